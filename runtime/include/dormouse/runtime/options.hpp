#pragma once

/// What a runtime can be told. Every limit that an error text names is here.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dormouse {

class fetch_observer;
class task_observer;
class wall_clock;

/// A token bucket: `per_second` on average, up to `burst` at once after a pause.
struct fetch_rate {
  double per_second = 0; ///< 0: no limit; else 0.001..1,000,000
  double burst = 1;      ///< 1..1,000,000
};

/// What becomes of a fetch whose origin's circuit is open.
enum class open_circuit : std::uint8_t {
  fail, ///< it ends at once with CIRCUIT_OPEN; `sent` is `no` if it never was tried, `maybe` if an earlier
        ///< attempt has failed, or if it may be repeated and an earlier process has queued it, of which
        ///< nobody knows: this one was not sent
  wait, ///< it stays queued until the origin answers again or its deadline passes
};

/// A circuit breaker per origin. A failure is a status of 500 or more, or an attempt that ended without a
/// response for a reason that is worth a retry: no connection, a lost one, its time over. Any other response
/// ends the row. Neither one nor the other is what says nothing of the origin: blocked, too large, a
/// certificate refused, aborted, a lost worker, and trouble with the disk of this machine.
struct circuit_options {
  std::uint32_t failures = 0;                 ///< so many in a row open the circuit; 0: no circuit breaker
  std::chrono::milliseconds open_for{30'000}; ///< then one probe goes out, and its outcome decides
  open_circuit then = open_circuit::fail;
};

/// How fetches to one origin are held back.
struct origin_options {
  std::size_t max_in_flight = 256; ///< on the wire at a time
  fetch_rate rate = {};
  circuit_options circuit = {};
};

/// A named queue: fetches that say `{.queue = "bulk"}` have these limits to themselves.
struct queue_options {
  std::size_t max_in_flight = 1'000;  ///< on the wire at a time, of `options::max_in_flight`
  std::size_t max_queued = 1'000'000; ///< on disk; past it a fetch fails with `queue_full`
};

/// What becomes of a store in which damage has been found.
enum class damage_policy : std::uint8_t {
  report, ///< it is opened if it can be, and says in `stats()` what it cannot read
  repair, ///< it is repaired when it is opened: what can be read is copied, the old files are kept beside it
};

/// What becomes of a turn that does not end (R23).
enum class stuck_turn_policy : std::uint8_t {
  report, ///< it is named, and runs on
  abort,  ///< it is named, and the process ends with SIGABRT; the next start counts a death for it (R22)
};

struct options {
  /// Where everything durable lives; created if missing. One runtime per directory (R18).
  std::filesystem::path directory;

  /// How long to wait for another runtime to let the directory go, for deployments that overlap; 0: a
  /// directory that is in use is `directory_locked` at once. 0..24 h
  std::chrono::milliseconds lock_wait{0};

  /// R24: a repair costs a copy of the store, once; for a store of which neither an open nor an earlier
  /// process has found damage, nothing. The command `dormouse repair` does the same.
  damage_policy on_damage = damage_policy::report;

  /// The time of day; null: the system's. See clock.hpp
  std::shared_ptr<const wall_clock> clock = {};

  /// R13: the hosts that may be fetched from. Each entry is a host (`api.github.com`, `127.0.0.1`, `[::1]`),
  /// a host and port
  /// (`localhost:8080`), all hosts below a domain (`*.example.com`), or `*` for every public host. Loopback,
  /// private, link-local and metadata addresses are reached only through a host that is listed by name, never
  /// through a wildcard. Empty: nothing is allowed.
  std::vector<std::string> allow = {};

  /// R5: how long an idle object stays in memory; 0 hibernates after every message.
  std::chrono::milliseconds idle_after{10'000};
  std::size_t max_active_objects = 100'000; ///< beyond it the least recently used idle ones hibernate
  std::size_t max_active_bytes =
      std::size_t{1} << 30U; ///< the same, by the size of their states, of their cookie jars, of the journals
                             ///< of their tasks and of what is in flight to the disk, plus 2 KiB each

  /// R19: past these a call fails with `overloaded`. A message waits until the commit of its turn is durable.
  std::size_t max_mailbox_messages = 10'000;    ///< waiting for one object
  std::size_t max_pending_messages = 1'000'000; ///< waiting in the whole runtime

  /// R19: memory, beside the counts. What finds no room waits; nothing fails.
  std::size_t max_unwritten_bytes = std::size_t{64}
                                    << 20U; ///< of commits that wait for the disk: past it an object runs no
                                            ///< turn before its last one is durable, and no fetch goes out
  std::size_t max_mailbox_bytes =
      std::size_t{64} << 20U; ///< of results, answers, posts and calls of objects that wait in mailboxes:
                              ///< what is past it stays on the disk, and is read when its turn comes

  /// R22: what was running when the process died so often in a row is set aside: a message becomes a dead
  /// letter, a task is stuck, an object whose hooks or destructor it was stays asleep. 1..1,000
  std::uint32_t max_deaths = 3;

  /// R23: a turn that runs for longer is named in the log, in `stats().stuck_turns` and to the observer.
  std::chrono::milliseconds max_turn{30'000}; ///< 1 ms..366 days
  stuck_turn_policy on_stuck_turn = stuck_turn_policy::report;
  std::chrono::milliseconds stop_grace{60'000}; ///< for running turns, when the runtime stops; 0..366 days

  /// R12: sizes. Past them a call fails with `too_large` before anything is committed.
  std::size_t max_inline_bytes = 128 * 1024; ///< of a message; a larger body is kept beside it as a blob
  std::size_t max_body_bytes = std::size_t{64}
                               << 20U;      ///< of a request's or a decoded response's body; at most 1 GiB
  std::size_t max_header_bytes = 64 * 1024; ///< of all header fields of a message together
  std::size_t max_state_bytes =
      std::size_t{16}
      << 20U; ///< of one object's serialized state, of the rows that one turn writes to its storage, and of
              ///< one result: of a method, a task or a task's step; at most 1 GiB
  std::size_t max_jar_bytes =
      std::size_t{1} << 20U; ///< of one cookie jar, 16 KiB..4 MiB; past it cookies go, of the site that has
                             ///< most of them the one that was set longest ago. Nothing fails
  std::size_t max_task_steps =
      10'000; ///< of a durable task's journal, 10..1,000,000; a loop that runs for ever uses continue_as()
  std::shared_ptr<task_observer> tasks =
      {}; ///< sees durable tasks end, with their journals; for tests and audits. See replay.hpp
  std::chrono::milliseconds task_results_kept_for =
      std::chrono::hours(24); ///< of a task that was begun with start<>(); 0..366 days

  std::chrono::milliseconds call_results_kept_for =
      std::chrono::hours(24); ///< of a call with an idempotency key, from its reply on; 0..366 days

  /// Schedules.
  std::size_t max_schedules = 10'000'000; ///< on disk; past it a schedule fails with `queue_full`
  std::size_t max_firing_schedules =
      4'096; ///< due ones that are with their objects at a time, in memory; the rest wait on disk
  std::chrono::milliseconds min_schedule_interval{
      1'000}; ///< of one that recurs by an interval; shorter ones fail with `invalid_request`

  /// The proxy pool.
  std::size_t proxy_workers = 0; ///< 0: one per two cores, at least one
  std::size_t max_in_flight =
      10'000; ///< fetches on the wire, over all workers; each holds a socket, so it is lowered to what
              ///< RLIMIT_NOFILE leaves beside 664 files of the store and of bodies, but not below 16
  std::size_t max_in_flight_per_origin =
      256; ///< of those, to one scheme, host and port; for one that `origins` does not name
  fetch_rate rate_per_origin = {};      ///< the same for the rate
  circuit_options circuit_breaker = {}; ///< and for the circuit breaker
  std::map<std::string, origin_options> origins =
      {}; ///< by origin, as in "https://api.github.com" or "http://127.0.0.1:8080"
  std::map<std::string, queue_options> queues =
      {}; ///< named queues beside the default one; a name is `[A-Za-z_][A-Za-z0-9_]{0,63}`
  std::size_t max_queued_fetches = 1'000'000; ///< on disk; past it a fetch fails with `queue_full`
  std::size_t max_window = 20'000; ///< queued fetches that are kept in memory, of each queue and each of its
                                   ///< three priorities; the rest wait on disk
  std::chrono::milliseconds default_timeout{30'000}; ///< per attempt, for a fetch that names none
  std::chrono::milliseconds connect_timeout{10'000}; ///< part of the attempt
  std::chrono::milliseconds worker_lease{
      3'000}; ///< R10: a worker silent for this long is replaced and its fetches go elsewhere
  std::string user_agent = "dormouse/0.1"; ///< a header value; for a fetch that has no User-Agent of its own
  std::filesystem::path ca_file = {};      ///< certificates to trust instead of the system's, PEM
  std::filesystem::path client_certificate = {}; ///< shown to servers that ask for one, PEM
  std::filesystem::path client_key = {};         ///< of that certificate, PEM, without a passphrase

  /// All fetches go through this HTTP proxy, `http://[user:password@]host[:port]`; empty: none. Never taken
  /// from the environment. R13 then checks the name and the literal address of each target; what a name
  /// resolves to only the proxy knows.
  std::string proxy = {};

  /// Told what happens to each fetch; may be null.
  std::shared_ptr<fetch_observer> observer = {};

  /// Memory of the store.
  std::size_t store_cache_bytes = std::size_t{32} << 20U;  ///< block cache, index and filter blocks included
  std::size_t store_buffer_bytes = std::size_t{32} << 20U; ///< each of up to two write buffers
  std::size_t body_memory_bytes =
      std::size_t{64}
      << 20U; ///< of large responses on their way from the wire to their handler, besides their files; what
              ///< finds no room is streamed into its file and read from there. 0: all are

  /// Threads of the actor system that `runtime(options)` makes; 0: one per core, at least two. Not used when
  /// embedded.
  std::size_t scheduler_threads = 0; ///< at most 1024

  /// Seeds back-off jitter; 0 takes one from the system. The same seed gives the same delays.
  std::uint64_t seed = 0;
};

} // namespace dormouse
