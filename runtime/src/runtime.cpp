#include "host/caf_visit.hpp"
#include "host/forked_exit.hpp"
#include "host/front_desk.hpp"
#include "host/log.hpp"
#include "host/object_list.hpp"
#include "host/own_threads.hpp"
#include "host/runtime_core.hpp"
#include "host/sweeper.hpp"
#include "host/thread_check.hpp"
#include "host/turn_watch.hpp"
#include "ports/ports.hpp"
#include "proxy/dispatcher.hpp"
#include "schedule/scheduler.hpp"
#include "store/awaited_commit.hpp"
#include "store/directory_lock.hpp"
#include "store/renaming.hpp"
#include "store/repair.hpp"
#include "store/rocksdb_engine.hpp"

#include <dormouse/actors/user_code.hpp>
#include <dormouse/runtime/runtime.hpp>
#include <dormouse/serialization/headers.hpp>
#include <dormouse/serialization/url.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/send.hpp>
#include <caf/thread_hook.hpp>
#include <curl/curl.h>
#include <fmt/format.h>
#include <spdlog/logger.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

/// What the store, the files of large bodies and the process itself may have open.
constexpr rlim_t files_besides_sockets = 600 + blob_store::most_descriptors;

using std::chrono::steady_clock;

/// For what ends by itself when all objects have come to rest.
constexpr std::chrono::milliseconds least_for_the_rest{10'000};

template <class T> void require(std::string_view name, const T& value, const T& least, const T& most) {
  if (value < least || value > most)
    throw failure({errc::invalid_option,
                   fmt::format("options::{} is {}; it must be {}..{}", name, value, least, most)});
}

void require(std::string_view name, milliseconds value, milliseconds least, milliseconds most) {
  require(fmt::format("{} (ms)", name), value.count(), least.count(), most.count());
}

options checked(options given) {
  constexpr std::size_t gib = std::size_t{1} << 30U;
  constexpr std::size_t many = std::size_t{1} << 40U;
  constexpr milliseconds day = std::chrono::hours(24);
  if (given.directory.empty())
    throw failure(
        {errc::invalid_option, "options::directory is empty; name the directory that holds the objects"});
  require("lock_wait", given.lock_wait, milliseconds(0), day);
  require("idle_after", given.idle_after, milliseconds(0), day * 366);
  require<std::size_t>("max_deaths", given.max_deaths, 1, 1'000);
  require("max_turn", given.max_turn, milliseconds(1), day * 366);
  require("stop_grace", given.stop_grace, milliseconds(0), day * 366);
  require("default_timeout", given.default_timeout, milliseconds(1), day);
  require("connect_timeout", given.connect_timeout, milliseconds(1), day);
  require("worker_lease", given.worker_lease, milliseconds(100), day);
  require<std::size_t>("max_active_objects", given.max_active_objects, 1, many);
  require<std::size_t>("max_active_bytes", given.max_active_bytes, 1, many);
  require<std::size_t>("max_mailbox_messages", given.max_mailbox_messages, 1, many);
  require<std::size_t>("max_pending_messages", given.max_pending_messages, 1, many);
  require<std::size_t>("max_unwritten_bytes", given.max_unwritten_bytes, 1, many);
  require<std::size_t>("max_mailbox_bytes", given.max_mailbox_bytes, 1, many);
  require<std::size_t>("max_inline_bytes", given.max_inline_bytes, 1024, gib);
  require<std::size_t>("max_body_bytes", given.max_body_bytes, 1, gib);
  require<std::size_t>("max_header_bytes", given.max_header_bytes, 1024, gib);
  require<std::size_t>("max_state_bytes", given.max_state_bytes, 1, gib);
  require<std::size_t>("max_jar_bytes", given.max_jar_bytes, std::size_t{16} << 10U, std::size_t{4} << 20U);
  require<std::size_t>("max_task_steps", given.max_task_steps, 10, 1'000'000);
  require("task_results_kept_for", given.task_results_kept_for, milliseconds(0), day * 366);
  require("call_results_kept_for", given.call_results_kept_for, milliseconds(0), day * 366);
  require<std::size_t>("proxy_workers", given.proxy_workers, 0, 1024);
  require<std::size_t>("max_in_flight", given.max_in_flight, 1, many);
  require<std::size_t>("max_in_flight_per_origin", given.max_in_flight_per_origin, 1, many);
  require<std::size_t>("max_queued_fetches", given.max_queued_fetches, 1, many);
  require<std::size_t>("max_window", given.max_window, 2, many);
  require<std::size_t>("max_schedules", given.max_schedules, 1, many);
  require<std::size_t>("max_firing_schedules", given.max_firing_schedules, 1, std::size_t{1} << 20U);
  require("min_schedule_interval", given.min_schedule_interval, milliseconds(1), day * 366);
  require<std::size_t>("store_cache_bytes", given.store_cache_bytes, std::size_t{1} << 20U, many);
  require<std::size_t>("store_buffer_bytes", given.store_buffer_bytes, std::size_t{1} << 20U, many);
  require<std::size_t>("body_memory_bytes", given.body_memory_bytes, 0, many);
  require<std::size_t>("scheduler_threads", given.scheduler_threads, 0, 1024);
  const auto check_rate = [](const std::string& of, const fetch_rate& rate) {
    if (rate.per_second != 0 && !(rate.per_second >= 0.001 && rate.per_second <= 1e6))
      throw failure(
          {errc::invalid_option,
           fmt::format("options::{}.per_second is {}; it must be 0 or 0.001..1000000", of, rate.per_second)});
    if (!(rate.burst >= 1 && rate.burst <= 1e6))
      throw failure({errc::invalid_option,
                     fmt::format("options::{}.burst is {}; it must be 1..1000000", of, rate.burst)});
  };
  check_rate("rate_per_origin", given.rate_per_origin);
  require("circuit_breaker.open_for", given.circuit_breaker.open_for, milliseconds(1), day);
  std::map<std::string, origin_options> origins;
  for (const auto& [text, limits] : given.origins) {
    const auto name = fmt::format("origins[\"{}\"]", text);
    auto target = parse_url(text);
    if (!target || target->path != "/" || !target->query.empty() || !target->fragment.empty() ||
        !target->user.empty())
      throw failure(
          {errc::invalid_option,
           fmt::format(
               "options::{} is not an origin; one is scheme, host and port, as in https://api.example.com",
               name)});
    require<std::size_t>(name + ".max_in_flight", limits.max_in_flight, 1, many);
    require(name + ".circuit.open_for", limits.circuit.open_for, milliseconds(1), day);
    check_rate(name + ".rate", limits.rate);
    origins.insert_or_assign(target->origin(), limits);
  }
  given.origins = std::move(origins);
  for (const auto& [name, limits] : given.queues) {
    if (!is_valid_binding(name))
      throw failure(
          {errc::invalid_option,
           fmt::format("options::queues has a queue named {:?}; a name is [A-Za-z_][A-Za-z0-9_]{{0,63}}",
                       name.substr(0, 100))});
    require<std::size_t>(fmt::format("queues[\"{}\"].max_in_flight", name), limits.max_in_flight, 1, many);
    require<std::size_t>(fmt::format("queues[\"{}\"].max_queued", name), limits.max_queued, 1, many);
  }
  headers sent;
  if (auto kept = sent.try_append("User-Agent", given.user_agent); !kept)
    throw failure({errc::invalid_option, "options::user_agent cannot be sent: " + kept.error().message});
  given.user_agent = sent.fields().front().second;
  if (!given.proxy.empty())
    if (auto proxy = parse_url(given.proxy); !proxy || proxy->scheme != "http" || proxy->path != "/")
      throw failure(
          {errc::invalid_option, "options::proxy is not of the form http://[user:password@]host[:port]"});
  if (given.client_certificate.empty() != given.client_key.empty())
    throw failure({errc::invalid_option, "options::client_certificate and options::client_key go together"});
  for (const auto& [name, file] :
       {std::pair{"ca_file", &given.ca_file}, std::pair{"client_certificate", &given.client_certificate},
        std::pair{"client_key", &given.client_key}})
    if (!file->empty() && ::access(file->c_str(), R_OK) != 0)
      throw failure(
          {errc::invalid_option, fmt::format("options::{} '{}' cannot be read", name, file->string())});
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
    given.max_in_flight = std::min<std::size_t>(
        given.max_in_flight,
        files.rlim_cur > files_besides_sockets + 16 ? files.rlim_cur - files_besides_sockets : 16);
  if (given.seed == 0) given.seed = std::random_device{}();
  return given;
}

rocksdb_settings store_settings(const options& of) {
  return {of.directory,        of.store_cache_bytes, of.store_buffer_bytes,
          of.max_inline_bytes, of.lock_wait,         nullptr,
          make_log()};
}

expected<std::unique_ptr<store>> open_store(const options& settings, const ports& outside) {
  return open_rocksdb(store_settings(settings)).and_then([&](std::unique_ptr<storage_engine>&& engine) {
    if (outside.wrap_engine) engine = outside.wrap_engine(std::move(engine));
    return store::open(std::move(engine), settings.directory, settings.max_inline_bytes,
                       settings.body_memory_bytes);
  });
}

/// If there is something to repair.
expected<std::optional<repair_report>> repair_if_damaged(const options& settings, const error* open_failed) {
  std::error_code unseen;
  const bool damaged = open_failed != nullptr
                           ? open_failed->code == errc::corrupt
                           : std::filesystem::exists(settings.directory / damage_note, unseen);
  if (settings.on_damage != damage_policy::repair || !damaged) return std::nullopt;
  const auto now = settings.clock ? settings.clock->now_ms() : wall_clock().now_ms();
  return repair_store(store_settings(settings), now, missing_commits::refuse).map([](repair_report&& done) {
    return std::optional(std::move(done));
  });
}

std::shared_ptr<runtime_core> open_core(caf::actor_system& system, options settings, ports outside) {
  auto policy = value_or_throw(url_policy::make(settings.allow));
  // From here on it leads there whatever becomes of the working directory.
  settings.directory = value_or_throw(make_directory(settings.directory));
  auto noted = repair_if_damaged(settings, nullptr);
  if (!noted && noted.error().code != errc::storage_error) throw failure(noted.error());
  if (!noted) // with too little room, for example; it is open to all but what is damaged
    make_log()->error(fmt::format("the damaged store in '{}' is not repaired: {}",
                                  settings.directory.string(), noted.error().message));
  auto repaired = noted ? std::move(*noted) : std::nullopt;
  auto opened = open_store(settings, outside);
  if (!opened && !repaired) {
    repaired = value_or_throw(repair_if_damaged(settings, &opened.error()));
    if (repaired) opened = open_store(settings, outside);
  }
  if (!opened)
    throw failure({opened.error().code,
                   fmt::format("directory '{}': {}", settings.directory.string(), opened.error().message)});
  auto core = std::make_shared<runtime_core>(system, std::move(settings), std::move(outside),
                                             std::move(*opened), std::move(policy));
  if (repaired)
    core->log->warn(fmt::format(
        "the store was damaged and has been repaired: {} rows were saved, {} ranges lost; the old "
        "files are in '{}'",
        repaired->rows, repaired->lost.size(), repaired->kept.string()));
  if (!core->notes.survive())
    core->log->warn(
        fmt::format("the file 'running' in directory '{}' cannot be used: should the process die, nobody "
                    "knows what it died in",
                    core->settings.directory.string()));
  core->suspects.begin(*core);
  return core;
}

/// CAF itself starts at least four; more threads than cores only take turns.
std::size_t scheduler_threads_of(const options& settings) {
  return settings.scheduler_threads != 0 ? settings.scheduler_threads
                                         : std::max<std::size_t>(2, std::thread::hardware_concurrency());
}

/// How many threads a runtime may have, its own and those of CAF and RocksDB.
std::size_t threads_of(const options& settings, bool with_own_system) {
  // The committer has 2, the files 2, RocksDB 2, and there are 2 to spare; CAF has a clock and a logger.
  constexpr std::size_t of_storage = 8;
  constexpr std::size_t of_caf = 2;
  const auto workers = settings.proxy_workers != 0
                           ? settings.proxy_workers
                           : std::max<std::size_t>(1, std::thread::hardware_concurrency() / 2);
  return of_storage + workers + (with_own_system ? scheduler_threads_of(settings) + of_caf : 0);
}

/// Until the dispatcher, or whoever it passes the token on to, has acted on it.
template <class Message, class What> void tell_dispatcher(runtime_core& core, What what) {
  std::promise<void> acted;
  auto done = acted.get_future();
  caf::anon_send(core.dispatcher, Message{std::move(what), std::shared_ptr<void>(nullptr, [&acted](void*) {
                                            acted.set_value();
                                          })});
  done.wait();
}

/// That no two classes claim a name, new or old, those that are defined together among them.
void check_old_names(const runtime_core& core, const std::vector<const class_descriptor*>& fresh) {
  std::map<std::string_view, const class_descriptor*> claimed;
  for (const auto* type : fresh)
    claimed.emplace(type->binding, type);
  for (const auto* type : fresh)
    for (auto old : type->old_bindings) {
      if (core.find_class(old) != nullptr)
        throw failure({errc::invalid_binding,
                       fmt::format("binding '{}', the old name of '{}', is defined by another class", old,
                                   type->binding)});
      if (core.was_renamed(old) && // by another; a definition that failed half way goes on
          core.present({std::string(old), "any"})->binding != type->binding)
        throw failure({errc::invalid_binding,
                       fmt::format("binding '{}', an old name of '{}', is an old name of another class that "
                                   "is defined",
                                   old, type->binding)});
      const auto [found, is_first] = claimed.emplace(old, type);
      if (!is_first && found->second != type)
        throw failure({errc::invalid_binding,
                       fmt::format("binding '{}', an old name of '{}', is a name of '{}' too, which is "
                                   "defined with it",
                                   old, type->binding, found->second->binding)});
    }
}

/// Before the class is defined, so that no object of it is awake and none is looked for.
void rename_objects(runtime_core& core, const class_descriptor& type) {
  tell_dispatcher<binding_renamed>(core, &type);
  for (auto old : type.old_bindings)
    value_or_throw(move_objects(*core.store, old, type.binding));
  core.suspects.read(core);
}

} // namespace

/// Marks the threads of the runtime's own CAF.
class own_caf_threads final : public caf::thread_hook {
public:
  void init(caf::actor_system&) override {}
  void thread_started() override { mark_own_thread(); }
  void thread_terminates() override {}
};

struct runtime::implementation {
  implementation(caf::actor_system* given, options settings, ports outside) {
    caf_visit visit;                       // the thread that makes the runtime may outlive it
    curl_global_init(CURL_GLOBAL_DEFAULT); // counted by libcurl
    settings = checked(std::move(settings));
    value_or_throw(check_threads(threads_of(settings, given == nullptr)));
    if (given == nullptr) {
      own_config.set("scheduler.max-threads", scheduler_threads_of(settings));
      // One shared queue whose idle threads block. Work stealing polls while idle, and takes from the
      // committer and the proxy workers the processor time that they need.
      own_config.set("scheduler.policy", caf::atom("sharing"));
      own_config.add_thread_hook<own_caf_threads>();
      own_system = std::make_unique<caf::actor_system>(own_config);
      given = own_system.get();
    }
    core = open_core(*given, std::move(settings), std::move(outside));
    leave_forked_children();
    watch.emplace(*core); // before there are actors: there may be no thread for it
    desk = std::make_shared<front_desk>(core);
    queue = std::make_unique<outside_queue>(*desk, *core);
    scheduler = spawn_scheduler(*core);
    spawn_dispatcher(*core);
    sweeper = spawn_sweeper(*core);
  }

  /// Those that did not end: then what they use stays, and the rest is told to end and not waited for.
  std::vector<stuck_turn> stop() {
    std::lock_guard guard(stop_mutex);
    if (stopped.exchange(true)) return unended;
    core->stopping = true;
    for (const auto& awake : core->directory.close())
      caf::anon_send(awake, stop_activation{});
    desk->close();
    const bool all_rest = core->directory.wait_until_empty(core->settings.stop_grace);
    // What is left is not up to the program, unless it holds up a handler or an observer, or the disk hangs.
    const auto deadline =
        steady_clock::now() +
        (all_rest ? std::max(least_for_the_rest, core->settings.stop_grace) : std::chrono::milliseconds(0));
    std::unique_lock no_definition(define_mutex, std::defer_lock);
    const bool has_ended = all_rest && no_definition.try_lock_until(deadline) &&
                           core->activations.wait_until(deadline) && // they may not have ended yet
                           end(sweeper, deadline) &&
                           core->store->committer().drain_until(
                               deadline) && // what the dispatcher was storing is durable before it goes
                           end(scheduler, deadline) &&
                           stop_dispatcher(*core, deadline);
    if (!has_ended) {
      abandon();
      return unended;
    }
    core->callers.fail_all(
        {errc::stopped, "the runtime has stopped; the reply will not come to this caller"});
    final_commits = core->store->committer().commits();
    final_syncs = core->store->committer().syncs();
    std::lock_guard store_guard(store_mutex);
    core->store.reset();
    return {};
  }

  void abandon() {
    is_abandoned = true;
    core->notes.stopped();
    unended = stuck_turns(*core, std::chrono::milliseconds(-1));
    core->log->error(fmt::format(
        "the runtime stops; objects that have not come to rest within options::stop_grace = {1} ms: {0}",
        core->directory.active(), core->settings.stop_grace.count()));
    for (const auto& each : unended)
      core->log->error(fmt::format("{}.{} of object {} has been running for {} ms", each.object.binding,
                                   each.method, to_string(each.object), each.since.count()));
    if (unended.empty()) // no turn: an observer, the handler of a call, or a disk that does not answer
      unended.push_back({address{}, "what is outside of turns", core->settings.stop_grace});
    (void)core->store->committer().drain_until(steady_clock::now());
    for (auto* each : {&sweeper, &scheduler, &core->dispatcher})
      if (*each) caf::anon_send_exit(*each, caf::exit_reason::user_shutdown);
    core->callers.fail_all(
        {errc::stopped, "the runtime has stopped; the reply will not come to this caller"});
  }

  static bool end(caf::actor& one, steady_clock::time_point deadline) {
    auto ended = std::make_shared<std::promise<void>>();
    auto done = ended->get_future();
    one->attach_functor([ended] { ended->set_value(); });
    caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
    if (done.wait_until(deadline) != std::future_status::ready) return false;
    one = nullptr;
    return true;
  }

  /// A forked child has the memory of its parent and none of its threads.
  bool is_of_another_process() const noexcept { return process != ::getpid(); }

  const pid_t process = ::getpid();
  caf::actor_system_config own_config;
  std::unique_ptr<caf::actor_system> own_system;
  std::shared_ptr<runtime_core> core;
  std::shared_ptr<front_desk> desk;
  std::unique_ptr<outside_queue> queue;
  caf::actor sweeper;
  caf::actor scheduler;
  std::mutex stop_mutex;
  std::mutex store_mutex;
  std::timed_mutex define_mutex;
  std::atomic<bool> stopped{false};
  std::uint64_t final_commits = 0;
  std::uint64_t final_syncs = 0;
  bool is_abandoned = false;
  std::vector<stuck_turn> unended;
  std::optional<turn_watch> watch; ///< last: it uses the others
};

runtime::runtime(options settings)
    : self_(std::make_unique<implementation>(nullptr, std::move(settings), ports{})) {}

runtime::runtime(caf::actor_system& system, options settings)
    : self_(std::make_unique<implementation>(&system, std::move(settings), ports{})) {}

runtime::runtime(options settings, ports replaced)
    : self_(std::make_unique<implementation>(nullptr, std::move(settings), std::move(replaced))) {}

runtime::runtime(runtime&&) noexcept = default;

runtime& runtime::operator=(runtime&& other) noexcept {
  if (this != &other) {
    leave();
    self_ = std::move(other.self_);
  }
  return *this;
}

runtime::~runtime() { leave(); }

std::vector<stuck_turn> runtime::stop() {
  refuse_to_wait("runtime::stop()");
  if (!self_ || self_->is_of_another_process()) return {};
  return self_->stop();
}

void runtime::leave() noexcept {
  if (!self_) return;
  if (self_->is_of_another_process()) { // what would be waited for runs in the parent, whose directory it is
    (void)self_.release();
    return;
  }
  if (!must_not_wait_for_runtime()) return end(std::move(self_));
  auto* left = self_.release(); // to a thread that is none of its own
  try {
    std::thread([left] { end(std::unique_ptr<implementation>(left)); }).detach();
  } catch (const std::system_error&) {
    left->core->log->error(
        "the runtime is destroyed on one of its own threads, and there is no other to do it");
  }
}

void runtime::end(std::unique_ptr<implementation> of) noexcept {
  caf_visit visit;
  of->stop();
  if (!of->is_abandoned) return;
  // What runs still, for ever perhaps, must find what it uses.
  static std::mutex mutex;
  static auto& abandoned = *new std::vector<std::unique_ptr<implementation>>; // NOLINT: for ever
  std::lock_guard guard(mutex);
  abandoned.push_back(std::move(of));
}

void runtime::release(const address& object) {
  refuse_to_wait("runtime::release()");
  value_or_throw(validate(object));
  std::vector<std::string> gone;
  std::future<expected<void>> durable;
  self_->desk->with_store([&](runtime_core& core) {
    const auto present = core.present(object);
    auto commit = std::make_unique<awaited_commit>();
    auto row = core.store->scan(keys::rows_of('X', present));
    for (; row->valid(); row->next()) {
      gone.emplace_back(row->key());
      commit->writes.push_back({gone.back(), std::nullopt});
    }
    value_or_throw(row->status());
    durable = commit->durable();
    core.store->submit(std::move(commit));
  });
  value_or_throw(durable.get()); // not under the lock that stop() wants
  for (const auto& each : gone)
    self_->core->suspects.forget(each);
}

void runtime::define(std::initializer_list<const class_descriptor*> types) {
  refuse_to_wait("runtime::define()");
  auto& core = *self_->core;
  std::lock_guard guard(
      self_->define_mutex); // one at a time: a class that is defined twice would get its inbox twice
  std::vector<const class_descriptor*> fresh;
  for (const auto* type : types) {
    const auto* known = core.find_class(type->binding);
    for (const auto* each : fresh)
      known = each->binding == type->binding ? each : known;
    if (known != nullptr && known != type)
      throw failure({errc::invalid_binding,
                     fmt::format("binding '{}' is already defined by another class", type->binding)});
    if (known == nullptr && core.was_renamed(type->binding))
      throw failure(
          {errc::invalid_binding,
           fmt::format("binding '{}' is an old name of another class that is defined", type->binding)});
    if (known == nullptr) fresh.push_back(type);
  }
  if (fresh.empty()) return;
  if (self_->stopped) throw failure({errc::stopped, "the runtime has stopped"});
  std::lock_guard defining(core.defining);
  check_old_names(core, fresh);
  for (const auto* type : fresh) // all before the first object is moved
    for (auto old : type->old_bindings)
      value_or_throw(check_renaming(*core.store, old, type->binding));
  for (const auto* type : fresh)
    if (!type->old_bindings.empty()) rename_objects(core, *type);
  tell_dispatcher<classes_defined>(core, fresh);
  for (const auto* type : fresh)
    core.schedules->defined(*type);
}

const class_descriptor* runtime::check(const address& to, const class_descriptor* wanted) const {
  value_or_throw(validate(to));
  const auto* type = self_->core->find_class(to.binding);
  if (type == nullptr)
    throw failure(
        {errc::unknown_binding,
         fmt::format("no class is defined for binding '{}'; call runtime.define<T>() first", to.binding)});
  if (wanted != nullptr && wanted != type)
    throw failure(
        {errc::invalid_binding,
         fmt::format("binding '{}' is defined by another class than the one of this handle", to.binding)});
  return type;
}

std::shared_ptr<router> runtime::routes() const { return self_->desk; }

untyped_ref runtime::get(const address& to) const {
  address present = self_->core->present(to);
  const auto* type = check(present, nullptr);
  return {routes(), std::move(present), type};
}

const method_descriptor& untyped_ref::find(std::string_view method) const {
  const auto* found = type_->find(method);
  if (found == nullptr)
    throw failure({errc::unknown_method, fmt::format("class {} has no method '{}'", type_->binding, method)});
  return *found;
}

fetch_queue& runtime::queue() { return *self_->queue; }

dead_letters runtime::dead_letters() const { return dormouse::dead_letters(self_->desk); }

object_page runtime::objects(std::string_view binding, const object_list_options& which) const {
  return self_->desk->with_store(
      [&](runtime_core& core) { return list_objects(*core.store, binding, which); });
}

dormouse::tasks runtime::tasks() const { return dormouse::tasks(self_->desk); }

runtime_stats runtime::stats() const {
  const auto& core = *self_->core;
  const auto& counts = core.counts;
  runtime_stats out;
  out.active_objects = core.directory.active();
  out.active_objects_peak = core.directory.active_peak();
  out.active_bytes = counts.active_bytes.get();
  out.mailbox_bytes = core.mailbox_bytes->get();
  out.awake_tasks = counts.awake_tasks.get();
  out.pending_messages = counts.pending_messages.get();
  out.queued_fetches = counts.queued_fetches.get();
  out.in_flight_fetches = counts.in_flight_fetches.get();
  out.waiting_callers = core.callers.size();
  out.schedules = static_cast<std::uint64_t>(std::max<std::int64_t>(
      0, static_cast<std::int64_t>(counts.schedules.get()))); // not counted up yet: below 0
  out.firing_schedules = counts.firing_schedules.get();
  out.wakes = counts.wakes.get();
  out.hibernations = counts.hibernations.get();
  out.turns = counts.turns.get();
  out.reads = counts.reads.get();
  out.failed_turns = counts.failed_turns.get();
  out.failed_commits = counts.failed_commits.get();
  out.overloaded = counts.overloaded.get();
  out.thrown_by_handlers = counts.thrown_by_handlers.get();
  out.thrown_by_observers = counts.thrown_by_observers.get();
  {
    std::lock_guard guard(self_->store_mutex);
    out.unwritten_bytes = core.store ? core.store->committer().bytes() : 0;
    out.active_bytes += out.unwritten_bytes;
    out.commits = core.store ? core.store->committer().commits() : self_->final_commits;
    out.syncs = core.store ? core.store->committer().syncs() : self_->final_syncs;
    if (core.store)
      for (auto rows = core.store->scan_readable(keys::all('U')); rows->valid(); rows->next())
        ++out.stuck_tasks;
    if (core.store) {
      out.damage = core.store->damage().count();
      for (auto& each : core.store->damage().entries())
        out.damaged_ranges.push_back({describe_rows(each.rows), std::move(each.reason)});
    }
  }
  out.fetches = counts.fetches.get();
  out.attempts = counts.attempts.get();
  out.retries = counts.retries.get();
  out.responses_stored = counts.responses_stored.get();
  out.fetch_errors = counts.fetch_errors.get();
  out.delivered = counts.delivered.get();
  out.blocked = counts.blocked.get();
  out.duplicates_dropped = counts.duplicates_dropped.get();
  out.strangers_dropped = counts.strangers_dropped.get();
  out.late_dropped = counts.late_dropped.get();
  out.undeliverable = counts.undeliverable.get();
  out.dead_letters = counts.dead_letters.get();
  out.worker_restarts = counts.worker_restarts.get();
  out.aborted = counts.aborted.get();
  out.tasks_started = counts.tasks_started.get();
  out.tasks_completed = counts.tasks_completed.get();
  out.tasks_failed = counts.tasks_failed.get();
  out.tasks_cancelled = counts.tasks_cancelled.get();
  out.shared = counts.shared.get();
  out.scheduled = counts.scheduled.get();
  out.fired = counts.fired.get();
  out.fired_late = counts.fired_late.get();
  out.failed_firings = counts.failed_firings.get();
  out.origins = core.origins.all();
  out.noted_deaths = counts.noted_deaths.get();
  out.quarantined = counts.quarantined.get();
  out.quarantined_objects = core.suspects.quarantined_objects(core.settings.max_deaths);
  out.stuck_turns = stuck_turns(core, core.settings.max_turn);
  out.corrupt_rows = counts.corrupt_rows.get();
  out.corrupt_objects = core.corrupt_objects();
  return out;
}

} // namespace dormouse
