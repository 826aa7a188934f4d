#include "host/crash_pages.hpp"

#include <dormouse/runtime/crash_notes.hpp>

#include <execinfo.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <mutex>
#include <string_view>

namespace dormouse {
namespace {

constexpr std::array signals{SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
constexpr std::size_t most_pages = 64; ///< runtimes in one process; of more, some have no crash notes
constexpr std::size_t most_frames = 48;
constexpr std::size_t most_modules = 64;
constexpr std::size_t stack_bytes = std::size_t{64} * 1'024;

/// Of the process, for a signal handler: so it is static, and of what such a handler may touch.
struct module_range {
  std::uintptr_t base;
  std::uintptr_t end;
  char name[48];
};
std::array<std::atomic<note_page*>, most_pages> pages;
std::array<module_range, most_modules> modules;
std::size_t module_count = 0;
pid_t process = 0; ///< a child that it forks has the pages too, and no say in them
std::array<struct sigaction, signals.size()> actions_before;
std::atomic<bool> is_installed{false};
std::once_flag installing;

/// Text of bounded size, by means that a signal handler has.
class place_writer {
public:
  explicit place_writer(note_slot& to) : to_(to) { to_.place_bytes = 0; }

  void put(std::string_view text) noexcept {
    const auto size = std::min(text.size(), sizeof to_.place - to_.place_bytes);
    std::memcpy(to_.place + to_.place_bytes, text.data(), size);
    to_.place_bytes = static_cast<std::uint16_t>(to_.place_bytes + size);
  }
  void put_hex(std::uintptr_t value) noexcept {
    char digits[2 + 2 * sizeof value];
    std::size_t size = 0;
    do {
      digits[size++] = "0123456789abcdef"[value & 0xfU];
      value >>= 4U;
    } while (value != 0);
    digits[size++] = 'x';
    digits[size++] = '0';
    std::reverse(digits, digits + size);
    put({digits, size});
  }

private:
  note_slot& to_;
};

int note_module(dl_phdr_info* info, std::size_t, void*) {
  if (module_count == modules.size()) return 1;
  auto& out = modules[module_count];
  out = {static_cast<std::uintptr_t>(info->dlpi_addr), 0, {}};
  for (int i = 0; i < info->dlpi_phnum; ++i)
    if (info->dlpi_phdr[i].p_type == PT_LOAD)
      out.end = std::max<std::uintptr_t>(out.end, info->dlpi_addr + info->dlpi_phdr[i].p_vaddr +
                                                      info->dlpi_phdr[i].p_memsz);
  std::string_view name = info->dlpi_name != nullptr ? info->dlpi_name : "";
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  if (name.empty()) name = module_count == 0 ? ::program_invocation_short_name : "?";
  std::memcpy(out.name, name.data(), std::min(name.size(), sizeof out.name - 1));
  ++module_count;
  return 0;
}

void write_place(note_slot& to) noexcept {
  void* frames[most_frames];
  const auto count = ::backtrace(frames, most_frames);
  place_writer out(to);
  for (int i = 0; i < count; ++i) {
    const auto at = reinterpret_cast<std::uintptr_t>(frames[i]);
    if (i != 0) out.put(" ");
    const module_range* end = modules.data() + module_count;
    const module_range* in = modules.data();
    while (in != end && (at < in->base || at >= in->end))
      ++in;
    if (in != end) {
      out.put(in->name);
      out.put("+");
    }
    out.put_hex(in != end ? at - in->base : at);
  }
}

void note_signal(int signal) noexcept {
  auto* mine = running_note::current();
  if (mine == nullptr) return; // a thread that a turn has started, perhaps: any of them may be at fault
  for (auto& each : pages)
    if (auto* page = each.load(std::memory_order_acquire)) {
      std::int32_t none = 0;
      page->culprit.compare_exchange_strong(none, signal); // the watch may have said it before
    }
  if (mine->signal != 0) return;
  mine->signal = signal;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  mine->died_ms = std::int64_t{now.tv_sec} * 1'000 + now.tv_nsec / 1'000'000;
  write_place(*mine);
}

void on_signal(int signal, siginfo_t* info, void*) {
  const auto saved = errno;
  if (::getpid() == process) note_signal(signal);
  for (std::size_t i = 0; i < signals.size(); ++i)
    if (signals[i] == signal) ::sigaction(signal, &actions_before[i], nullptr);
  errno = saved;
  // A fault happens again when this returns; what was sent has to be sent again.
  if (info == nullptr || info->si_code <= 0) ::raise(signal);
}

/// The stack for the handler, of one thread.
class handler_stack {
public:
  handler_stack() noexcept {
    stack_t now{};
    if (::sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return; // the program's own
    auto* memory = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    now = {};
    now.ss_sp = memory;
    now.ss_size = stack_bytes;
    if (::sigaltstack(&now, nullptr) == 0)
      memory_ = memory;
    else
      ::munmap(memory, stack_bytes);
  }
  handler_stack(const handler_stack&) = delete;
  handler_stack& operator=(const handler_stack&) = delete;
  ~handler_stack() {
    if (memory_ == nullptr) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
    ::munmap(memory_, stack_bytes);
  }

private:
  void* memory_ = nullptr;
};

} // namespace

void crash_pages::add(note_page& page) noexcept {
  for (auto& each : pages) {
    note_page* none = nullptr;
    if (each.compare_exchange_strong(none, &page)) return;
  }
}

void crash_pages::remove(note_page& page) noexcept {
  for (auto& each : pages) {
    auto* expected = &page;
    if (each.compare_exchange_strong(expected, nullptr)) return;
  }
}

void crash_pages::prepare_thread() noexcept {
  if (!is_installed.load(std::memory_order_acquire)) return;
  thread_local const handler_stack stack;
  (void)stack;
}

void install_crash_notes() {
  std::call_once(installing, [] {
    void* frame[1];
    (void)::backtrace(frame, 1); // the first one loads a library
    ::dl_iterate_phdr(&note_module, nullptr);
    process = ::getpid();
    struct sigaction ours {};
    ours.sa_sigaction = &on_signal;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    for (std::size_t i = 0; i < signals.size(); ++i)
      ::sigaction(signals[i], &ours, &actions_before[i]);
    is_installed.store(true, std::memory_order_release);
  });
}

} // namespace dormouse
