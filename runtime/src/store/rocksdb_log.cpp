#include "store/rocksdb_log.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string_view>

namespace dormouse {
namespace {

constexpr std::size_t lines_in_a_period = 10;
constexpr std::chrono::seconds period{10};

class rocksdb_log final : public rocksdb::Logger {
public:
  explicit rocksdb_log(std::shared_ptr<spdlog::logger> log)
      : rocksdb::Logger(rocksdb::WARN_LEVEL), log_(std::move(log)) {}

  using rocksdb::Logger::Logv;
  void LogHeader(const char*, va_list) override {} // what RocksDB is and how it is set up
  void Logv(const char* format, va_list arguments) override { Logv(rocksdb::INFO_LEVEL, format, arguments); }
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level < rocksdb::WARN_LEVEL || level >= rocksdb::HEADER_LEVEL || !log_) return;
    std::array<char, 1024> line{};
    const int bytes = std::vsnprintf(line.data(), line.size(), format, arguments);
    if (bytes <= 0 || !may_say()) return;
    std::string_view text(line.data(),
                          std::min<std::size_t>(static_cast<std::size_t>(bytes), line.size() - 1));
    while (!text.empty() && text.back() == '\n')
      text.remove_suffix(1);
    if (level == rocksdb::WARN_LEVEL)
      log_->warn(fmt::format("the store's RocksDB: {}", text));
    else
      log_->error(fmt::format("the store's RocksDB: {}", text));
  }

private:
  bool may_say() {
    std::lock_guard guard(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now - begun_ >= period) {
      if (left_out_ != 0)
        log_->warn(fmt::format("the store's RocksDB: {} more lines were left out", left_out_));
      begun_ = now;
      said_ = left_out_ = 0;
    }
    if (said_ < lines_in_a_period) return ++said_, true;
    return ++left_out_, false;
  }

  const std::shared_ptr<spdlog::logger> log_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point begun_{};
  std::size_t said_ = 0;
  std::size_t left_out_ = 0;
};

} // namespace

std::shared_ptr<rocksdb::Logger> make_rocksdb_log(std::shared_ptr<spdlog::logger> log) {
  return std::make_shared<rocksdb_log>(std::move(log));
}

} // namespace dormouse
