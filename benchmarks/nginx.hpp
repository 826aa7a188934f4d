#pragma once

/// nginx on loopback, serving one 1 KB document at /plain and, if asked to, a file at /large. A process of ours, ended by its pid.

#include "measure.hpp"

#include <cstddef>
#include <string>

#include <sys/types.h>

namespace dormouse::bench {

class nginx {
public:
  /// `large_bytes`: of the file; 0: none.
  explicit nginx(std::size_t large_bytes = 0);
  nginx(const nginx&) = delete;
  nginx& operator=(const nginx&) = delete;
  ~nginx();

  std::string url() const;

private:
  scratch_directory directory_;
  int port_ = 0;
  pid_t pid_ = 0;
};

} // namespace dormouse::bench
