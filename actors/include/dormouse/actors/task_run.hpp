#pragma once

/// One run of a durable task: the coroutine's frame, if there is one, and the journal it writes or is
/// replayed from (R16).
///
/// Each operation of the code takes the next step of the journal. If the journal has that step already, the
/// operation is not performed again: its kind, target and digest are compared, and its outcome, if it has
/// one, is what the `co_await` gives. If not, it is performed, as part of the turn the code runs in. An
/// operation that does not match, or whose outcome does not decode, halts the run (R17): from there on no
/// operation does anything, the frame never gets past its next `co_await`, and it is destroyed.
///
/// All that decides which way the code goes is in the journal: outcomes, the order in which they came, and at
/// which `co_await` a cancellation was thrown.
///
/// Not thread-safe: the thread of the object's turn.

#include <dormouse/actors/user_code.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/expected.hpp>
#include <dormouse/serialization/messages.hpp>
#include <dormouse/serialization/task_id.hpp>
#include <dormouse/serialization/task_journal.hpp>

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse {

inline constexpr std::size_t default_max_task_steps = 10'000;

/// Performs what is new. Each tells the outcome if there is one at once; otherwise it comes with
/// `task_run::complete`, after any time.
class task_host {
public:
  using outcome = std::optional<call_result<std::string>>;

  virtual ~task_host() = default;

  virtual outcome fetch(const step_place& place, journal_step& step,
                        fetch_message&& what) = 0; ///< comes to an encoded `fetch_result`
  virtual outcome call(const step_place& place, journal_step& step, const address& to,
                       call_message&& what) = 0;
  virtual outcome call_own(const step_place& place, journal_step& step, std::string_view method,
                           std::string arguments) = 0;
  virtual outcome sleep(const step_place& place, journal_step& step,
                        std::chrono::system_clock::time_point until) = 0;

  /// Asked first about every step that is new. With a value the step is not performed, and that is its
  /// outcome. For the replay kit.
  virtual std::optional<outcome> foresee(const step_place&, const journal_step&) { return std::nullopt; }

  virtual std::chrono::milliseconds default_timeout() const = 0;
  virtual std::chrono::system_clock::time_point now() const = 0;
  virtual std::uint64_t random() = 0;

  /// The large body of a response. Errors: `corrupt`, `storage_error`.
  virtual expected<std::string> load_body(std::uint64_t fetch_id) = 0;
};

/// What a frame is suspended for. Lives in the frame.
class task_wait {
public:
  /// Whether it can go on; takes the outcome then.
  virtual bool settle() = 0;

  std::coroutine_handle<> frame;

protected:
  ~task_wait() = default;
};

/// The coroutine of a task with its type erased.
class task_frame {
public:
  virtual ~task_frame() = default;
  virtual void start() = 0;
  virtual bool done() const noexcept = 0;
  virtual call_result<std::string> outcome(const address& origin) = 0; ///< of one that is done
  virtual bool was_cancelled() const noexcept = 0;                     ///< it ended with `task_cancelled`
};

struct task_limits {
  std::size_t max_steps = default_max_task_steps; ///< `options::max_task_steps`
  std::size_t max_outcome_bytes = std::size_t{1}
                                  << 30U; ///< of one step, and of the task itself: `options::max_state_bytes`
};

class task_run {
public:
  /// Makes a frame that has not started. Throws `failure{bad_arguments}`.
  using frame_maker = std::unique_ptr<task_frame> (*)(task_run&, std::string_view arguments);

  static constexpr std::uint64_t no_step =
      ~std::uint64_t{0}; ///< of an operation that does nothing: the run has halted

  task_run(task_id id, task_record record, std::vector<journal_step> journal, frame_maker make_frame,
           task_limits limits);
  task_run(const task_run&) = delete;
  task_run& operator=(const task_run&) = delete;
  ~task_run();

  // --- For who runs it. Behind each of these two it is suspended, ended or halted.

  /// Runs the code as far as it gets; from the start if there is no frame.
  void advance(task_host& host);

  /// Throws `task_cancelled` where the code waits. Does nothing if it was cancelled before.
  void cancel(task_host& host, std::string reason);

  /// Whether this can be the value of a promise of the code, which has come to where it waits. An error says
  /// why not.
  expected<void> accepts(std::uint64_t step, const std::string& value) const;

  /// What a step that was performed came to. False for a step that has its outcome, or that there is not:
  /// then nothing has changed.
  bool complete(std::uint64_t step, call_result<std::string> outcome, bool failed);

  bool awake() const noexcept { return frame_ != nullptr; } ///< has a frame
  bool ended() const noexcept { return ended_; }
  void set_ended() noexcept { ended_ = true; } ///< of one whose record says so
  bool was_cancelled() const noexcept { return was_cancelled_; }
  bool restarts() const noexcept { return restart_.has_value(); } ///< ended with continue_as
  std::string take_restart() { return std::move(*restart_); }     ///< the arguments
  const std::optional<error>& halted() const noexcept { return halted_; }
  call_result<std::string> take_outcome() { return std::move(outcome_); }

  const task_id& id() const noexcept { return id_; }
  task_record& record() noexcept { return record_; }
  const std::vector<journal_step>& journal() const noexcept { return journal_; }
  void forget_journal() noexcept { journal_.clear(); } ///< of one that has ended

  bool take_newly_cancelled() noexcept { return std::exchange(newly_cancelled_, false); }

  /// The steps that changed since this was asked last.
  std::vector<std::uint64_t> take_changed();

  // --- For operations, inside the frame.

  /// The next step. `perform(host, place, step)` as the members of `task_host`; it is called only if the step
  /// is new. `is_the_same(target)` is asked of a recorded target that differs: names may have changed since.
  /// Throws `failure{too_large}` past the limit of steps.
  template <class Perform, class Same>
  std::uint64_t step(step_kind kind, std::string target, std::uint32_t digest, Perform&& perform,
                     Same&& is_the_same) {
    if (halted_ || host_ == nullptr) return no_step;
    if (next_ < journal_.size())
      if (const auto& recorded = journal_[next_].target; recorded != target && is_the_same(recorded))
        target = recorded;
    const auto number = take_step(kind, std::move(target), digest);
    if (!is_new_) return number;
    const step_place place{id_.number, number};
    auto foreseen = host_->foresee(place, at(number));
    auto outcome = foreseen ? std::move(*foreseen) : perform(*host_, place, at(number));
    if (outcome) complete(number, std::move(*outcome), false);
    return number;
  }
  template <class Perform>
  std::uint64_t step(step_kind kind, std::string target, std::uint32_t digest, Perform&& perform) {
    return step(kind, std::move(target), digest, std::forward<Perform>(perform),
                [](std::string_view) { return false; });
  }

  /// How the value of a promise is checked before it is taken: an empty text, or why it does not decode.
  using value_check = std::string (*)(const std::string& value);
  void check_value_of(std::uint64_t step, value_check check) {
    if (step != no_step) value_checks_.insert_or_assign(step, check);
  }

  bool has(std::uint64_t step) const noexcept {
    return step >= record_.first_step && step - record_.first_step < journal_.size();
  }
  journal_step& at(std::uint64_t step) { return journal_[step - record_.first_step]; }
  const journal_step& at(std::uint64_t step) const { return journal_[step - record_.first_step]; }
  std::uint64_t order_of(std::uint64_t step) const noexcept { return step == no_step ? 0 : at(step).order; }
  task_host& host() noexcept { return *host_; }

  bool pass(task_wait& at);          ///< whether the frame can go on without being suspended
  void wait(task_wait& at) noexcept; ///< it was suspended
  void throw_if_cancelled();         ///< when it goes on
  void halt(error why);
  void restart(std::string arguments); ///< continue_as; the frame is suspended and does not come back
  /// What it takes of memory, about: its arguments and its journal.
  std::size_t bytes() const noexcept { return bytes_; }

  bool is_cancelled() const noexcept { return record_.cancelled_at != 0 && awaits_ >= record_.cancelled_at; }

private:
  std::uint64_t take_step(step_kind kind, std::string target, std::uint32_t digest);
  void check_end_of_replay();
  bool begin_code();
  user_code code() const noexcept;
  call_result<std::string> within_limit(call_result<std::string> outcome, std::string_view whose) const;

  task_id id_;
  task_record record_;
  std::vector<journal_step> journal_;
  std::vector<std::uint64_t> changed_;
  frame_maker make_frame_;
  task_limits limits_;
  std::size_t bytes_;

  std::map<std::uint64_t, value_check> value_checks_; ///< by step; of promises that have no outcome yet

  task_host* host_ = nullptr; ///< while the code runs
  task_wait* waiting_ = nullptr;
  std::size_t next_ = 0; ///< in the journal
  std::uint32_t awaits_ = 0;
  std::uint64_t last_order_ = 0;
  bool is_new_ = false;
  bool cancelling_ = false;
  bool newly_cancelled_ = false;
  bool ended_ = false;
  bool was_cancelled_ = false;
  std::optional<error> halted_;
  std::optional<std::string> restart_;
  call_result<std::string> outcome_ = std::string();
  std::unique_ptr<task_frame> frame_; ///< last: what is in it uses the rest
};

} // namespace dormouse
