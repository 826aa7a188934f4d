#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace fleet {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t longest_bar = 30;
constexpr std::size_t shortest_bar = 6;

// Asked every time: the window may have been resized.
std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string bar(std::size_t done, std::size_t total, std::size_t columns) {
  const auto filled = total == 0 ? 0 : std::min(done, total) * columns / total;
  return "[" + std::string(filled, '#') + std::string(columns - filled, '.') + "]";
}

} // namespace

progress::mode progress::detect() { return ::isatty(STDOUT_FILENO) == 1 ? mode::terminal : mode::plain; }

void progress::update(std::string_view stage, std::size_t done, std::size_t total,
                      const std::string& details) {
  const auto now = std::chrono::steady_clock::now();
  if (mode_ == mode::silent || now < next_) return;
  next_ = now + (mode_ == mode::terminal ? 100ms : 1000ms);

  const auto count = std::to_string(done) + "/" + std::to_string(total);
  if (mode_ == mode::plain) {
    std::cout << stage << ' ' << count << "  " << details << std::endl;
    return;
  }
  // The last column stays free: a terminal may wrap when it is written to, and then \r is one line too low.
  const auto columns = terminal_columns() - 1;
  auto head = std::string(stage) + ' ';
  auto tail = ' ' + count + "  " + details;
  widest_text_ = std::max(widest_text_, head.size() + tail.size() + 2); // lest the bar jumps with every digit
  if (columns >= widest_text_ + shortest_bar)
    head += bar(done, total, std::min(longest_bar, columns - widest_text_));
  std::cout << '\r' << (head + tail).substr(0, columns) << "\x1b[K" << std::flush;
  drawn_ = true;
}

void progress::say(const std::string& text) {
  if (mode_ == mode::silent) return;
  clear();
  std::cout << text << std::endl;
  next_ = {}; // what follows is news
}

void progress::clear() {
  if (drawn_) std::cout << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

} // namespace fleet
