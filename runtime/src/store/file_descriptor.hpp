#pragma once

/// A file of the kernel's, closed when this goes.

#include <unistd.h>

namespace dormouse {

class file_descriptor {
public:
  explicit file_descriptor(int number) noexcept : number_(number) {} ///< below 0: none
  file_descriptor(const file_descriptor&) = delete;
  file_descriptor& operator=(const file_descriptor&) = delete;
  ~file_descriptor() {
    if (number_ >= 0) ::close(number_);
  }

  int number() const noexcept { return number_; }

private:
  int number_;
};

} // namespace dormouse
