#include <dormouse/actors/task_errors.hpp>
#include <dormouse/actors/task_run.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {

call_error detail::describe_exception(const std::exception_ptr& thrown, const address& origin) {
  try {
    std::rethrow_exception(thrown);
  } catch (const call_failed& e) {
    return with_origin(e.why(), origin);
  } catch (const task_cancelled& e) {
    return {errc::cancelled, e.what(), origin};
  } catch (const std::exception& e) {
    return describe(e, origin);
  } catch (...) {
    auto why = describe_caught(origin);
    why.message.insert(0, "the task threw ");
    return why;
  }
}

namespace {

std::size_t bytes_of(const journal_step& step) {
  return sizeof step + step.target.size() +
         (step.outcome ? step.outcome->size() : step.outcome.error().message.size());
}

} // namespace

task_run::task_run(task_id id, task_record record, std::vector<journal_step> journal, frame_maker make_frame,
                   task_limits limits)
    : id_(std::move(id)),
      record_(std::move(record)),
      journal_(std::move(journal)),
      make_frame_(make_frame),
      limits_(limits),
      bytes_(record_.arguments.size()) {
  for (const auto& each : journal_) {
    last_order_ = std::max(last_order_, each.order);
    bytes_ += bytes_of(each);
  }
}

task_run::~task_run() = default;

user_code task_run::code() const noexcept {
  return {.object = &id_.object, .scope = id_.object.binding, .name = record_.method};
}

/// False: the code cannot begin, and the run has ended or halted.
bool task_run::begin_code() {
  auto failed = run_user_code(code(), [this] { frame_ = make_frame_(*this, record_.arguments); });
  if (!failed) return true;
  if (!journal_.empty()) {
    halt(std::move(*failed));
  } else {
    outcome_ = unexpected<error>(with_origin(std::move(*failed), id_.object));
    ended_ = true;
  }
  return false;
}

void task_run::advance(task_host& host) {
  host_ = &host;
  const bool is_new = !frame_;
  if (is_new && !begin_code()) {
    host_ = nullptr;
    return;
  }
  // What the coroutine itself throws it keeps; the outcomes that it waits for are decoded out here.
  auto failed = run_user_code(code(), [&] {
    if (is_new) frame_->start();
    while (!halted_ && !restart_ && waiting_ != nullptr && waiting_->settle())
      std::exchange(waiting_, nullptr)->frame.resume();
  });
  if (failed) halt(std::move(*failed));
  if (!halted_) check_end_of_replay();
  if (halted_) {
    frame_.reset(); // what its destructors ask for is not done
  } else if (restart_) {
    frame_.reset();
    ended_ = true;
  } else if (frame_->done()) {
    outcome_ = within_limit(frame_->outcome(id_.object), "the result");
    was_cancelled_ = frame_->was_cancelled();
    ended_ = true;
  }
  host_ = nullptr;
}

void task_run::cancel(task_host& host, std::string reason) {
  if (record_.cancelled_at != 0 || waiting_ == nullptr) return;
  record_.cancelled_at = awaits_;
  record_.cancel_reason = std::move(reason);
  newly_cancelled_ = cancelling_ = true;
  host_ = &host;
  if (auto failed = run_user_code(code(), [this] { std::exchange(waiting_, nullptr)->frame.resume(); }))
    halt(std::move(*failed));
  advance(host);
}

expected<void> task_run::accepts(std::uint64_t step, const std::string& value) const {
  const auto check = value_checks_.find(step);
  if (check == value_checks_.end()) return {};
  std::string wrong;
  if (auto threw = run_user_code({&id_.object, {}, "serialize() of the value of a promise"},
                                 [&] { wrong = check->second(value); }))
    wrong = threw->message;
  if (wrong.empty()) return {};
  return fail(errc::bad_arguments,
              fmt::format("the value that step {} of task {}, '{}', is resolved with is of another type: {}",
                          step, to_string(id_), to_string(at(step)), wrong));
}

bool task_run::complete(std::uint64_t step, call_result<std::string> outcome, bool failed) {
  if (!has(step) || at(step).order != 0) return false;
  auto& it = at(step);
  it.order = ++last_order_;
  value_checks_.erase(step);
  it.outcome = within_limit(std::move(outcome), to_string(it));
  it.failed = failed || !it.outcome ? 1 : 0;
  bytes_ += bytes_of(it) - sizeof it - it.target.size();
  changed_.push_back(step);
  return true;
}

call_result<std::string> task_run::within_limit(call_result<std::string> outcome,
                                                std::string_view whose) const {
  if (!outcome || outcome->size() <= limits_.max_outcome_bytes) return outcome;
  return unexpected<error>(
      {errc::too_large,
       fmt::format("{} of task {} has {} bytes; the limit is options::max_state_bytes = {}", whose,
                   to_string(id_), outcome->size(), limits_.max_outcome_bytes),
       id_.object});
}

std::vector<std::uint64_t> task_run::take_changed() {
  auto out = std::exchange(changed_, {});
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::uint64_t task_run::take_step(step_kind kind, std::string target, std::uint32_t digest) {
  const auto number = record_.first_step + next_;
  if (next_ < journal_.size()) {
    is_new_ = false;
    const auto& recorded = journal_[next_++];
    if (recorded.kind == kind && recorded.digest == digest && recorded.target == target) return number;
    const journal_step asked{
        .kind = kind, .target = std::move(target), .digest = digest, .outcome = std::string()};
    halt({errc::bad_arguments,
          fmt::format("step {} of task {} is '{}' in the journal, and the code asks for '{}'{}", number,
                      to_string(id_), to_string(recorded), to_string(asked),
                      to_string(recorded) == to_string(asked) ? " with other arguments" : "")});
    return no_step;
  }
  if (next_ >= limits_.max_steps)
    throw failure(
        {errc::too_large, fmt::format("task {} has {} steps, the limit of options::max_task_steps; a loop "
                                      "that runs for ever begins a new journal with continue_as()",
                                      to_string(id_), next_)});
  is_new_ = true;
  ++next_;
  bytes_ += sizeof(journal_step) + target.size();
  journal_.push_back({.kind = kind, .target = std::move(target), .digest = digest, .outcome = std::string()});
  changed_.push_back(number);
  return number;
}

bool task_run::pass(task_wait& at) {
  if (halted_ || restart_ || host_ == nullptr) return false;
  ++awaits_;
  if (record_.cancelled_at == awaits_) {
    cancelling_ = true;
    return true;
  }
  return at.settle();
}

void task_run::wait(task_wait& at) noexcept { waiting_ = &at; }

void task_run::throw_if_cancelled() {
  if (std::exchange(cancelling_, false)) throw task_cancelled(record_.cancel_reason);
}

void task_run::halt(error why) {
  if (!halted_) halted_ = std::move(why);
}

void task_run::restart(std::string arguments) {
  if (!halted_ && host_ != nullptr) restart_ = std::move(arguments);
}

/// The code must have come as far as it had when the journal was written.
void task_run::check_end_of_replay() {
  if (next_ < journal_.size() || awaits_ < record_.cancelled_at)
    halt({errc::bad_arguments,
          fmt::format("the code of task {} {} after {} steps, where the journal goes on with '{}'",
                      to_string(id_), frame_->done() ? "ends" : "waits", next_,
                      next_ < journal_.size() ? to_string(journal_[next_]) : std::string("a cancellation"))});
}

} // namespace dormouse
