#pragma once

/// nginx on loopback, serving one 1 KB document at /plain. A process of ours, ended by its pid.

#include "measure.hpp"

#include <string>

#include <sys/types.h>

namespace dormouse::bench {

class nginx {
public:
  nginx();
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
