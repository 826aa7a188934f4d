#pragma once

/// Memory for large responses between the wire and their handler. A body that finds room here is in memory
/// whole while it comes, is put into its file by the thread of the files and not by the worker's loop, and
/// need not be read back when its turn runs. The file is there all the same, and on the disk, before the
/// handler runs: what is here saves work and never an fsync.
///
/// The room is bounded. One that finds none goes to its file as it comes and is read from there; one that is
/// kept for its handler makes room for one that comes. Thread-safe.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse {

class body_memory;

/// A body that grows in memory, with the room that it has there; given back at the end. Its checksum grows
/// with it, while what came last is in the processor's cache. Without room it is a buffer like any other; one
/// that was moved from has no home to find room in.
class held_body {
public:
  explicit held_body(std::shared_ptr<body_memory> home) : home_(std::move(home)) {}
  held_body(held_body&& other) noexcept;
  held_body& operator=(held_body&& other) noexcept;
  ~held_body() { let_go(); }

  /// Room for so many bytes in all, and reserves them. False: there is none, and what was held is held still.
  bool grow(std::size_t bytes_in_all);

  void append(std::string_view more);

  /// Nothing is held any more.
  void let_go() noexcept;

  /// The bytes, which are then no longer held.
  std::string take() noexcept;

  const std::string& bytes() const noexcept { return bytes_; }
  std::size_t room() const noexcept { return room_; }
  std::uint32_t crc() noexcept; ///< CRC-32C of the bytes

private:
  friend class body_memory;

  std::string bytes_;
  std::size_t summed_ = 0; ///< bytes that are in `crc_`
  std::uint32_t crc_ = 0;
  std::shared_ptr<body_memory> home_;
  std::size_t room_ = 0;
};

class body_memory {
public:
  explicit body_memory(std::size_t most_bytes) : most_(most_bytes) {}

  /// For whoever asks for the body of this number.
  void keep(std::uint64_t number, held_body body);

  /// What was kept, which is then no longer here; nothing if it had to make room.
  std::optional<std::string> take(std::uint64_t number);

  std::size_t used() const;

private:
  friend class held_body;
  struct kept_body {
    std::string bytes;
    std::size_t room = 0;
  };
  using bodies = std::map<std::uint64_t, kept_body>; ///< numbers grow: the oldest first

  bool claim(std::size_t bytes);
  void give_back(std::size_t bytes) noexcept;

  const std::size_t most_;
  mutable std::mutex mutex_;
  std::size_t used_ = 0;
  std::size_t kept_bytes_ = 0; ///< of those, what can make room
  bodies kept_;
};

} // namespace dormouse
