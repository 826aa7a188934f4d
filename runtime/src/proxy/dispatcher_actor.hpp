#pragma once

/// The dispatcher's actor (dispatcher.hpp says what it is for). Its parts: the window on the disk's queue,
/// the ready queue that picks, the gates of the origins, the workers, and the delivery to inboxes.
///
///   dispatcher.cpp          going out and coming back
///   dispatcher_endings.cpp  what ends without an answer: deadlines, aborts, lost workers; and what an
///   earlier process left

#include "host/runtime_core.hpp"
#include "proxy/inbox_delivery.hpp"
#include "proxy/job.hpp"
#include "proxy/origin_gates.hpp"
#include "proxy/queue_window.hpp"
#include "proxy/ready_queue.hpp"
#include "proxy/shared_jars.hpp"
#include "proxy/worker.hpp"

#include <caf/event_based_actor.hpp>

#include <deque>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace dormouse {

class dispatcher final : public caf::event_based_actor {
public:
  dispatcher(caf::actor_config& config, runtime_core& core);

  caf::behavior make_behavior() override;
  void on_exit() override;

private:
  using window = std::unordered_map<std::uint64_t, job>;
  static constexpr std::int64_t never = queue_window::never;

  struct worker_slot {
    proxy_worker worker;
    std::set<std::uint64_t> in_flight; ///< fetch ids
    std::set<std::uint64_t> suspects;  ///< of those, what was with a worker that was lost
    bool has_lone_suspect = false;     ///< beside which no other goes
  };

  // Coming in.
  void take(queued_fetch& next);
  void add(std::shared_ptr<fetch_message> fetch, std::int64_t due_ms, std::string origin);
  void wait(job& next);
  expected<std::optional<abort_mark>> abort_of(const fetch_message& fetch) const;

  // Going out.
  void pump();
  void send(job& next);
  bool follows(job& next);
  void mark(job& next);
  void marked(const attempt_marked& what);
  void assign(job& next);
  void keep_back(job& next, const error& why);
  void flush_assignments();
  void give_places_back(const job& over);
  void stay(const job& unsent);

  // Coming back.
  void finished(attempts_finished& batch);
  void finished(transfer_outcome& outcome);
  void judge(const job& over, const transfer_outcome& outcome);
  void leave_worker(job& over);
  struct joint_retry {
    retry_policy policy;
    std::chrono::milliseconds delay;
  };
  void land(job& leader, const transfer_outcome* outcome,
            std::optional<std::chrono::milliseconds> delay = std::nullopt);
  void share(job& follower, const job& leader, const transfer_outcome& outcome,
             std::optional<joint_retry>& together);
  void repeat(job& over, const transfer_outcome& outcome, std::chrono::milliseconds delay);
  void stop_following(job& follower);
  void store_result(job& over, fetch_result result, blob_writer_ptr body = nullptr,
                    std::vector<received_cookie> cookies = {});
  void store_error(job& over, fetch_errc code, std::string why, sent_state sent);
  void body_lost(job& over);
  void write_result(job& over);
  void move(job& again, std::chrono::milliseconds delay);
  void write_move(const job& again);
  void write_again(job& what);
  void stored(const result_stored& what);
  void moved(const fetch_moved& what);
  void forget(window::iterator over);

  // Endings.
  void recover();
  bool recover_queues();
  bool recover_marks(const key_range& where);
  void lose_marked(std::uint64_t id);
  void look_at_marks_again();
  proxy_worker first_worker(std::size_t index);
  void release_held_back();
  bool is_held_back(const fetch_message& fetch) const;
  void recover_aborts();
  void purge_aborts();
  void expire();
  void end_impatient();
  enum class ending : std::uint8_t {
    none,       ///< there is no such fetch: what leads to it can go
    begun,      ///< or it is in hand
    unreadable, ///< nobody knows whether there is one: what leads to it stays
  };
  ending end_one(std::uint64_t id, const std::string& queue_key, const std::string* abort_reason);
  void end(job& late, const std::string* abort_reason);
  sent_state sent_before(const fetch_message& fetch) const;
  void end_some_aborted();
  void give_back(job& lost, std::string_view why);
  std::size_t places_for_suspects(const worker_slot& of, const job& next) const;
  void set_apart(job& suspect);
  void let_suspects_wait();

  // Watching.
  void rename(binding_renamed& what);
  void define(classes_defined& what);
  void walk_inbox(classes_settled& what);
  void tick();
  void schedule_tick();
  void replace_worker(std::size_t index, std::string_view why);

  std::int64_t now_ms() const { return core_.clock->now_ms(); }
  ready_queue::place place_of(const job& of) const {
    return {of.fetch->extra.queue, of.origin, of.fetch->priority, of.fetch->id};
  }

  runtime_core& core_;
  window window_;
  queue_window queue_;
  ready_queue ready_;
  origin_gates gates_;
  inbox_delivery inboxes_;
  shared_jars jars_;
  std::vector<worker_slot> workers_;
  std::vector<std::vector<transfer>> assignments_;            ///< by worker, sent together
  std::vector<std::vector<std::uint64_t>> cancellations_;     ///< the same: tokens
  std::unordered_map<std::uint64_t, std::uint64_t> by_token_; ///< attempt -> fetch
  std::unordered_map<std::string, std::uint64_t>
      flights_; ///< what can be shared -> the fetch that goes out for it
  std::set<std::pair<std::chrono::steady_clock::time_point, std::uint64_t>>
      impatient_; ///< followers with a `follows_until`
  std::uint64_t next_token_ = 1;
  std::uint64_t next_generation_ = 1;
  std::size_t in_flight_ = 0;
  std::set<std::pair<std::uint32_t, std::uint64_t>>
      apart_;                         ///< suspects that wait for a place: lost workers, id
  std::size_t suspects_cleared_ = 0;  ///< since a worker was lost
  std::int64_t next_deadline_ms_ = 0; ///< the first tick looks for it
  std::int64_t next_tick_ms_ = never;
  std::int64_t next_purge_ms_ = 0;          ///< of old aborts
  bool marks_are_known_ = false;            ///< those that an earlier process left have been read, but for
  unread_ranges unread_marks_;              ///< these: what they may be of is held back
  std::set<std::uint64_t> marks_of_unread_; ///< marks of fetches that were not found while part of the queue
                                            ///< could not be read
  unread_ranges unread_aborts_;

  /// An abort whose fetches are being ended, and the signal row from which on there may be more.
  struct open_abort {
    abort_request what;
    std::string from;
  };
  std::deque<open_abort> aborting_;
  std::string recovered_to_;      ///< the same for those of earlier: the signal row that is looked at next
  bool aborts_are_known_ = false; ///< and the aborts that nobody has acted on yet
  bool end_is_due_ = false;       ///< of some fetch that could not be read: whoever looked for it looks again
  std::vector<std::uint64_t>
      held_back_; ///< fetches that wait for that: they must not be repeated, and may have a mark
  std::mt19937_64 random_;
};

} // namespace dormouse
