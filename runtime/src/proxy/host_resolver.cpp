#include "proxy/host_resolver.hpp"

#include <arpa/inet.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility> // Boost 1.74's Asio uses std::exchange without it

namespace dormouse {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

/// The last two labels: about what one owner has.
std::string domain_of(const std::string& name) {
  const auto end = name.find_last_not_of('.'); // "example.com." is "example.com"
  if (end == std::string::npos) return {};
  auto dot = name.rfind('.', end);
  if (dot != std::string::npos && dot != 0) dot = name.rfind('.', dot - 1);
  const auto begin = dot == std::string::npos ? 0 : dot + 1;
  return name.substr(begin, end + 1 - begin);
}

bool has_ipv6() {
  static const bool has = [] {
    const int opened = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (opened >= 0) ::close(opened);
    return opened >= 0;
  }();
  return has;
}

} // namespace

/// Threads outlive the resolver, so this does too.
struct host_resolver::crew : std::enable_shared_from_this<crew> {
  crew(asio::io_context& on, host_resolver& of, lookup with) : how(std::move(with)), loop(&on), owner(&of) {}

  /// Of those that wait, one whose domain has a thread left.
  std::optional<std::string> take_next() {
    const auto next = std::find_if(waiting.begin(), waiting.end(), [this](const std::string& name) {
      const auto of_domain = running_of.find(domain_of(name));
      return of_domain == running_of.end() || of_domain->second < most_lookups_of_domain;
    });
    if (next == waiting.end()) return std::nullopt;
    auto name = std::move(*next);
    waiting.erase(next);
    ++running_of[domain_of(name)];
    return name;
  }

  void add(std::string name, answer what) {
    if (const auto of_domain = running_of.find(domain_of(name)); --of_domain->second == 0)
      running_of.erase(of_domain);
    if (loop == nullptr) return;
    done.emplace_back(std::move(name), std::move(what));
    if (done.size() != 1) return;
    asio::post(*loop, [self = shared_from_this()] {
      if (self->owner != nullptr) self->owner->deliver();
    });
  }

  /// A thread.
  void work(std::string name) {
    ::pthread_setname_np(::pthread_self(), "dormouse.names");
    for (;;) {
      answer what;
      try {
        what = how(name);
      } catch (const std::exception& e) {
        what.error = e.what();
      }
      std::lock_guard guard(mutex);
      add(std::move(name), std::move(what));
      auto next = take_next();
      if (!next) {
        --running;
        return;
      }
      name = std::move(*next);
    }
  }

  const lookup how;
  std::mutex mutex;
  asio::io_context* loop;                                  ///< null when the resolver is gone
  std::deque<std::string> waiting;                         ///< names that no thread has
  std::size_t running = 0;                                 ///< threads
  std::unordered_map<std::string, std::size_t> running_of; ///< domains
  std::vector<std::pair<std::string, answer>> done;

  host_resolver* owner; ///< for the thread of the loop only; null when it is gone
};

host_resolver::answer host_resolver::look_up(const std::string& name) {
  addrinfo wanted{};
  wanted.ai_family = has_ipv6() ? AF_UNSPEC : AF_INET;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  answer out;
  if (const int code = ::getaddrinfo(name.c_str(), nullptr, &wanted, &found); code != 0) {
    out.error = code == EAI_SYSTEM ? std::generic_category().message(errno) : ::gai_strerror(code);
    return out;
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, &::freeaddrinfo);
  for (const auto* each = found; each != nullptr; each = each->ai_next) {
    char text[INET6_ADDRSTRLEN] = {};
    const void* bytes = nullptr;
    if (each->ai_family == AF_INET) {
      bytes = &reinterpret_cast<const sockaddr_in*>(each->ai_addr)->sin_addr;
    } else if (each->ai_family == AF_INET6) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(each->ai_addr);
      if (address->sin6_scope_id == 0) bytes = &address->sin6_addr; // else it is of no use without its link
    }
    if (bytes != nullptr && ::inet_ntop(each->ai_family, bytes, text, sizeof text) != nullptr)
      out.addresses.emplace_back(text);
  }
  if (out.addresses.empty()) out.error = "it has no address that can be used";
  return out;
}

host_resolver::host_resolver(asio::io_context& loop, lookup how)
    : crew_(std::make_shared<crew>(loop, *this, std::move(how))) {}

host_resolver::~host_resolver() {
  crew_->owner = nullptr;
  std::lock_guard guard(crew_->mutex);
  crew_->loop = nullptr;
  crew_->waiting.clear();
}

const host_resolver::answer* host_resolver::known(const std::string& name) {
  const auto found = kept_.find(name);
  return found == kept_.end() || found->second.until <= steady_clock::now() ? nullptr : &found->second.what;
}

std::uint64_t host_resolver::ask(const std::string& name, completion done) {
  const auto number = next_number_++;
  const auto [at, is_new] = asked_.try_emplace(name);
  at->second.emplace_back(number, std::move(done));
  if (!is_new) return number;
  {
    std::lock_guard guard(crew_->mutex);
    crew_->waiting.push_back(name);
  }
  start_lookups();
  return number;
}

/// One that nobody wants any more and that no thread has is not looked up at all.
void host_resolver::forget(const std::string& name, std::uint64_t number) {
  const auto at = asked_.find(name);
  if (at == asked_.end()) return;
  std::erase_if(at->second, [number](const auto& each) { return each.first == number; });
  if (!at->second.empty()) return;
  std::lock_guard guard(crew_->mutex);
  if (std::erase(crew_->waiting, name) != 0) asked_.erase(at);
}

void host_resolver::start_lookups() {
  std::lock_guard guard(crew_->mutex);
  while (crew_->running < most_lookups) {
    auto name = crew_->take_next();
    if (!name) return;
    try {
      std::thread([crew = crew_, name = *name] { crew->work(name); }).detach();
      ++crew_->running;
    } catch (const std::system_error& e) {
      crew_->add(std::move(*name), {{}, e.what()}); // no threads
    }
  }
}

void host_resolver::deliver() {
  std::vector<std::pair<std::string, answer>> done;
  {
    std::lock_guard guard(crew_->mutex);
    done.swap(crew_->done);
  }
  for (const auto& [name, what] : done) {
    keep(name, what);
    const auto asked = asked_.extract(name);
    if (asked.empty()) continue;
    for (const auto& [number, tell] : asked.mapped())
      tell(what);
  }
}

void host_resolver::keep(const std::string& name, const answer& what) {
  const auto now = steady_clock::now();
  const auto until = now + (what.addresses.empty() ? keeps_failures : keeps_addresses);
  kept_.insert_or_assign(name, kept{what, until});
  auto& order = what.addresses.empty() ? failures_ : addresses_;
  order.emplace_back(until, name);
  for (auto* each : {&failures_, &addresses_})
    while (!each->empty() && (each->size() > most_kept || each->front().first <= now)) {
      const auto oldest = kept_.find(each->front().second);
      if (oldest != kept_.end() && oldest->second.until == each->front().first) kept_.erase(oldest);
      each->pop_front();
    }
}

} // namespace dormouse
