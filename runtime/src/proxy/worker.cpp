#include "proxy/worker.hpp"

#include "host/runtime_core.hpp"
#include "proxy/curl_transport.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <caf/actor_companion.hpp>
#include <caf/send.hpp>
#include <pthread.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility> // Boost 1.74's Asio uses std::exchange without it
#include <vector>

namespace dormouse {

namespace asio = boost::asio;
using std::chrono::steady_clock;

/// Owned by the worker's thread as well as by its handle, so that a thread that hangs can be left behind. It
/// keeps copies of what it needs: the runtime may be gone when it wakes up.
class worker_loop : public std::enable_shared_from_this<worker_loop> {
public:
  worker_loop(runtime_core& core, std::size_t index, std::uint64_t generation)
      : dispatcher_(core.dispatcher),
        policy_(core.policy),
        clock_(core.clock),
        wrap_transport_(core.world.wrap_transport),
        blobs_(core.store->blobs()),
        settings_{core.settings.max_inline_bytes,
                  core.settings.max_body_bytes,
                  core.settings.max_header_bytes,
                  core.settings.connect_timeout,
                  core.settings.user_agent,
                  core.settings.ca_file.string(),
                  core.settings.client_certificate.string(),
                  core.settings.client_key.string(),
                  core.settings.proxy},
        renew_every_(core.settings.worker_lease / 4),
        index_(index),
        generation_(generation),
        work_(loop_.get_executor()),
        renewal_(loop_) {
    renew();
  }

  bool start() {
    try {
      std::thread([self = shared_from_this()] { self->run(); }).detach(); // joined by `wait`, unless it hangs
      return true;
    } catch (const std::system_error&) {
      has_ended_ = true; // nobody waits for it
      return false;
    }
  }

  /// Any thread.
  void take(std::vector<transfer> transfers) {
    bool wake = false;
    {
      std::lock_guard guard(mutex_);
      wake = arrived_.empty();
      std::move(transfers.begin(), transfers.end(), std::back_inserter(arrived_));
    }
    if (wake) asio::post(loop_, [this] { start_arrived(); });
  }

  /// Any thread. Behind those that were taken before it.
  void cancel(std::vector<std::uint64_t> tokens) {
    asio::post(loop_, [this, tokens = std::move(tokens)] {
      for (auto token : tokens)
        cancel(token);
    });
  }

  void revoke() noexcept {
    revoked_.store(true, std::memory_order_relaxed);
    loop_.stop();
  }

  bool wait(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return ended_.wait_for(lock, patience, [this] { return has_ended_; });
  }

  std::chrono::nanoseconds silent_for() const noexcept {
    return steady_clock::now().time_since_epoch() -
           std::chrono::nanoseconds(renewed_.load(std::memory_order_relaxed));
  }

private:
  void cancel(std::uint64_t token) {
    {
      std::lock_guard guard(mutex_);
      if (std::erase_if(arrived_, [token](const transfer& each) { return each.token == token; }) != 0) return;
    }
    std::erase_if(finished_, [token](const transfer_outcome& each) { return each.token == token; });
    transport_->cancel(token);
  }

  void run() {
    ::pthread_setname_np(::pthread_self(), "dormouse.proxy");
    // libcurl is told to leave signals alone; a connection that breaks while TLS writes to it must not end
    // the process.
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    std::string died;
    try {
      transport_ = make_curl_transport(loop_, settings_, policy_, *clock_, blobs_);
      if (wrap_transport_) transport_ = wrap_transport_(index_, std::move(transport_));
      renew_again();
      loop_.run();
    } catch (const std::exception& e) {
      died = e.what();
    } catch (...) {
      died = "something that is not a std::exception";
    }
    if (!died.empty() && !revoked_.load(std::memory_order_relaxed))
      caf::anon_send(dispatcher_, worker_died{index_, generation_, died});
    transport_.reset();
    dispatcher_ = nullptr;
    std::lock_guard guard(mutex_);
    has_ended_ = true;
    ended_.notify_all();
  }

  void renew() noexcept {
    renewed_.store(std::chrono::nanoseconds(steady_clock::now().time_since_epoch()).count(),
                   std::memory_order_relaxed);
  }

  void renew_again() {
    renew();
    renewal_.expires_after(renew_every_);
    renewal_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled) renew_again();
    });
  }

  /// In slices: to start ten thousand takes longer than a lease, and neither its renewal nor what is answered
  /// already should wait for that.
  void start_arrived() {
    constexpr std::size_t slice = 64;
    std::vector<transfer> transfers;
    bool more = false;
    {
      std::lock_guard guard(mutex_);
      for (; !arrived_.empty() && transfers.size() < slice; arrived_.pop_front())
        transfers.push_back(std::move(arrived_.front()));
      more = !arrived_.empty();
    }
    for (auto& next : transfers)
      transport_->start(std::move(next),
                        [this](transfer_outcome&& outcome) { finished(std::move(outcome)); });
    if (more) asio::post(loop_, [this] { start_arrived(); });
  }

  /// What finishes in one round of the loop goes out as one message.
  void finished(transfer_outcome&& outcome) {
    finished_.push_back(std::move(outcome));
    if (finished_.size() == 1)
      asio::post(loop_, [this] {
        auto outcomes = std::make_shared<std::vector<transfer_outcome>>();
        outcomes->swap(finished_);
        caf::anon_send(dispatcher_, attempts_finished{index_, generation_, std::move(outcomes)});
      });
  }

  caf::actor dispatcher_;
  const url_policy policy_;
  const std::shared_ptr<const wall_clock> clock_;
  const decltype(ports::wrap_transport) wrap_transport_;
  const std::shared_ptr<blob_store> blobs_;
  const transport_settings settings_;
  const std::chrono::milliseconds renew_every_;
  const std::size_t index_;
  const std::uint64_t generation_;
  std::atomic<std::int64_t> renewed_{0};
  std::atomic<bool> revoked_{false};

  std::mutex mutex_;
  std::deque<transfer> arrived_;
  std::condition_variable ended_;
  bool has_ended_ = false;

  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::steady_timer renewal_;
  std::unique_ptr<http_transport> transport_;
  std::vector<transfer_outcome> finished_;
};

proxy_worker::proxy_worker(runtime_core& core, std::size_t index, std::uint64_t generation)
    : loop_(std::make_shared<worker_loop>(core, index, generation)), generation_(generation) {
  mailbox_ = core.system.spawn<caf::actor_companion, caf::hidden>();
  auto* companion = caf::actor_cast<caf::actor_companion*>(mailbox_);
  companion->on_enqueue([loop = loop_](caf::mailbox_element_ptr element) {
    auto message = element->move_content_to_message();
    if (message.match_elements<cancel_transfers>())
      loop->cancel(message.get_as<cancel_transfers>(0).tokens);
    else if (message.match_elements<start_transfers>())
      loop->take(std::move(*message.get_as<start_transfers>(0).transfers));
  });
  is_started_ = loop_->start();
}

proxy_worker::~proxy_worker() {
  if (loop_) loop_->revoke();
}

std::chrono::nanoseconds proxy_worker::silent_for() const noexcept {
  return loop_ ? loop_->silent_for() : std::chrono::nanoseconds::max();
}

void proxy_worker::revoke() noexcept {
  if (loop_) loop_->revoke();
}

bool proxy_worker::stop(std::chrono::milliseconds patience) {
  if (!loop_) return true;
  loop_->revoke();
  return loop_->wait(patience);
}

} // namespace dormouse
