#include "host/death_notes.hpp"

#include "host/crash_pages.hpp"
#include "store/file_descriptor.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <fstream>
#include <new>
#include <optional>

namespace dormouse {
namespace {

constexpr std::string_view magic = "DMSENOTE";
constexpr std::string_view file_name = "running";
constexpr std::size_t page_bytes = 4'096;
constexpr std::size_t slot_bytes = 2'048;
constexpr std::size_t most_slots = 4'096;
static_assert(sizeof(note_page) <= page_bytes);

thread_local note_slot* innermost = nullptr;
thread_local std::size_t last_taken = 0; ///< most likely free again

std::string boot_id() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(in, id);
  id.resize(sizeof(note_page::boot) - 1);
  return id;
}

/// Reads, as far as there is something.
std::string contents(int file, std::size_t most) {
  struct stat what {};
  if (::fstat(file, &what) != 0 || what.st_size < 0) return {};
  std::string out(std::min(static_cast<std::size_t>(what.st_size), most), '\0');
  std::size_t size = 0;
  while (size < out.size()) {
    const auto got = ::pread(file, out.data() + size, out.size() - size, static_cast<off_t>(size));
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  out.resize(size);
  return out;
}

std::optional<death_note> note_of(const note_slot& slot) {
  const std::size_t binding = slot.binding_bytes;
  const std::size_t id = slot.id_bytes;
  const std::size_t method = slot.method_bytes;
  const auto kind = static_cast<std::uint8_t>(slot.kind);
  if (kind < 1 || kind > static_cast<std::uint8_t>(note_kind::call) || slot.place_bytes > sizeof slot.place ||
      binding + id + method > sizeof slot.names)
    return std::nullopt;
  death_note out;
  out.kind = slot.kind;
  out.number = slot.number;
  out.where = {std::string(slot.names, binding), std::string(slot.names + binding, id)};
  out.method.assign(slot.names + binding + id, method);
  out.signal = slot.signal;
  out.died_ms = slot.died_ms;
  out.place.assign(slot.place, slot.place_bytes);
  return out;
}

/// The file, as large as need be and with its blocks taken: a store into a mapped hole of a full disk would
/// be a SIGBUS. Null: there is none.
void* map_file(const std::filesystem::path& path, std::size_t bytes) {
  const file_descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (file.number() < 0) return nullptr;
  if (::ftruncate(file.number(), static_cast<off_t>(bytes)) != 0 ||
      ::posix_fallocate(file.number(), 0, static_cast<off_t>(bytes)) != 0)
    return nullptr;
  auto* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.number(), 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

} // namespace

std::int64_t coarse_now_ms() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1'000 + now.tv_nsec / 1'000'000;
}

death_notes::death_notes(const std::filesystem::path& directory, std::size_t slots)
    : bytes_(page_bytes + std::min(slots, most_slots) * slot_bytes), slots_(std::min(slots, most_slots)) {
  const auto path = directory / file_name;
  read_left(path);
  auto* memory = map_file(path, bytes_);
  is_file_ = memory != nullptr;
  if (memory == nullptr)
    memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  std::memset(memory, 0, bytes_);
  page_ = static_cast<note_page*>(memory);
  page_->slot_bytes = slot_bytes;
  page_->slots = static_cast<std::uint32_t>(slots_);
  const auto boot = boot_id();
  std::memcpy(page_->boot, boot.data(), boot.size());
  std::memcpy(page_->magic, magic.data(), magic.size()); // last: from here on it is believed
  crash_pages::add(*page_);
}

death_notes::~death_notes() {
  crash_pages::remove(*page_);
  ::munmap(page_, bytes_);
}

void death_notes::read_left(const std::filesystem::path& path) {
  const file_descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() < 0) return;
  const auto bytes = contents(file.number(), page_bytes + most_slots * slot_bytes);
  if (bytes.size() < page_bytes) return;
  note_page page{};
  std::memcpy(static_cast<void*>(&page), bytes.data(), sizeof page);
  if (std::string_view(page.magic, sizeof page.magic) != magic || page.slot_bytes != slot_bytes ||
      std::string(page.boot, sizeof page.boot - 1) != boot_id())
    return;
  const auto culprit = page.culprit.load(std::memory_order_relaxed);
  if (page.stopped.load(std::memory_order_relaxed) != 0 && culprit == 0) return;
  for (std::size_t i = 0; i < page.slots && page_bytes + (i + 1) * slot_bytes <= bytes.size(); ++i) {
    note_slot each{};
    std::memcpy(static_cast<void*>(&each), bytes.data() + page_bytes + i * slot_bytes, sizeof each);
    if (each.state.load(std::memory_order_relaxed) != note_slot::running) continue;
    if (culprit != 0 && each.signal == 0) continue; // the process said that it was another
    if (auto note = note_of(each)) left_.push_back(std::move(*note));
  }
}

note_slot& death_notes::slot(std::size_t index) const noexcept {
  return *reinterpret_cast<note_slot*>(reinterpret_cast<char*>(page_) + page_bytes + index * slot_bytes);
}

note_slot* death_notes::take() noexcept {
  if (slots_ == 0) return nullptr;
  for (std::size_t i = 0, at = last_taken; i < slots_; ++i, ++at) {
    auto& each = slot(at % slots_);
    std::uint32_t expected = note_slot::free;
    if (each.state.load(std::memory_order_relaxed) != note_slot::free ||
        !each.state.compare_exchange_strong(expected, note_slot::taken, std::memory_order_acquire))
      continue;
    last_taken = at % slots_;
    return &each;
  }
  return nullptr;
}

std::vector<death_notes::long_one> death_notes::running_for(std::chrono::milliseconds longer_than) const {
  std::vector<long_one> out;
  const auto now = coarse_now_ms();
  for (std::size_t i = 0; i < slots_; ++i) {
    const auto& each = slot(i);
    const auto turn = each.turn.load(std::memory_order_acquire);
    if (each.state.load(std::memory_order_acquire) != note_slot::running) continue;
    const auto since = now - each.began_ms.load(std::memory_order_relaxed);
    if (since <= longer_than.count()) continue;
    auto note = note_of(each); // it has been as it is for long; should it end now, that is seen below
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!note || each.turn.load(std::memory_order_relaxed) != turn ||
        each.state.load(std::memory_order_relaxed) != note_slot::running)
      continue;
    out.push_back({std::move(*note), std::chrono::milliseconds(since), i, turn});
  }
  return out;
}

void death_notes::blame(const long_one& which, int signal, std::string_view why) noexcept {
  auto& each = slot(which.slot);
  if (each.turn.load(std::memory_order_acquire) != which.turn) return;
  const auto size = std::min(why.size(), sizeof each.place);
  std::memcpy(each.place, why.data(), size);
  each.place_bytes = static_cast<std::uint16_t>(size);
  each.signal = signal;
  page_->culprit.store(signal, std::memory_order_release);
}

void death_notes::forget_survived() noexcept {
  auto culprit = page_->culprit.load(std::memory_order_acquire);
  if (culprit != 0 && culprit == seen_culprit_) page_->culprit.compare_exchange_strong(culprit, 0);
  seen_culprit_ = page_->culprit.load(std::memory_order_acquire);
}

running_note::running_note(death_notes& in, note_kind kind, std::uint64_t number, const address& where,
                           std::string_view method) noexcept
    : slot_(in.take()), outer_(innermost) {
  if (slot_ == nullptr) return;
  if (outer_ == nullptr) crash_pages::prepare_thread();
  slot_->turn.fetch_add(1, std::memory_order_release);
  slot_->kind = kind;
  slot_->number = number;
  slot_->signal = 0;
  slot_->died_ms = 0;
  slot_->place_bytes = 0;
  auto* to = slot_->names;
  auto room = sizeof slot_->names;
  const auto put = [&](std::string_view text) {
    const auto size = std::min(text.size(), room);
    std::memcpy(to, text.data(), size);
    to += size;
    room -= size;
    return static_cast<std::uint16_t>(size);
  };
  slot_->binding_bytes = put(where.binding);
  slot_->id_bytes = put(where.instance_id);
  slot_->method_bytes = put(method);
  slot_->began_ms.store(coarse_now_ms(), std::memory_order_relaxed);
  slot_->state.store(note_slot::running, std::memory_order_release);
  if (outer_ != nullptr) outer_->state.store(note_slot::covered, std::memory_order_release);
  innermost = slot_;
}

running_note::~running_note() {
  if (slot_ == nullptr) return;
  innermost = outer_;
  slot_->signal = 0; // it lives on
  if (outer_ != nullptr) outer_->state.store(note_slot::running, std::memory_order_release);
  slot_->state.store(note_slot::free, std::memory_order_release);
}

note_slot* running_note::current() noexcept { return innermost; }

} // namespace dormouse
