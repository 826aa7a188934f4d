#include <dormouse/actors/replay.hpp>
#include <dormouse/actors/task_run.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

/// Performs nothing: has the outcomes from the recording.
class recorded_world final : public task_host {
public:
  recorded_world(const finished_task& task, std::vector<std::string>& problems)
      : task_(task), problems_(problems) {}

  std::optional<outcome> foresee(const step_place& place, const journal_step& asked) override {
    const auto index = place.step - task_.record.first_step;
    if (index >= task_.journal.size()) {
      problems_.push_back(fmt::format("asks for '{}' where the recording has ended", to_string(asked)));
      return outcome();
    }
    const auto& recorded = task_.journal[index];
    if (asked.kind != recorded.kind || asked.target != recorded.target || asked.digest != recorded.digest)
      problems_.push_back(fmt::format("step {} is '{}' in the recording, and the code asks for '{}'{}", index,
                                      to_string(recorded), to_string(asked),
                                      asked.target == recorded.target ? " with other arguments" : ""));
    // One that was done next is as good as one that was done at once: nothing came in between. A response has
    // to be delivered, for its body may be apart.
    if (recorded.order == done_ + 1 && !(recorded.kind == step_kind::fetch && recorded.outcome)) {
      ++done_;
      return outcome(recorded.outcome);
    }
    return outcome();
  }

  outcome fetch(const step_place&, journal_step&, fetch_message&&) override { return {}; }
  outcome call(const step_place&, journal_step&, const address&, call_message&&) override { return {}; }
  outcome call_own(const step_place&, journal_step&, std::string_view, std::string) override { return {}; }
  outcome sleep(const step_place&, journal_step&, std::chrono::system_clock::time_point) override {
    return {};
  }
  std::chrono::milliseconds default_timeout() const override { return std::chrono::seconds(30); }
  std::chrono::system_clock::time_point now() const override { return {}; }
  std::uint64_t random() override { return 0; }

  expected<std::string> load_body(std::uint64_t fetch_id) override {
    auto found = task_.bodies.find(fetch_id);
    if (found == task_.bodies.end())
      return fail(errc::corrupt, fmt::format("the recording has no body of fetch {}", fetch_id));
    return found->second;
  }

  /// Gives the outcome that came next. False if there is none for what the code has asked for.
  bool deliver_next(task_run& run) {
    for (std::size_t i = 0; i < task_.journal.size(); ++i)
      if (task_.journal[i].order == done_ + 1) {
        const auto step = task_.record.first_step + i;
        auto recorded = task_.journal[i];
        if (!run.complete(step, std::move(recorded.outcome), recorded.failed != 0)) return false;
        run.at(step).body_is_blob = recorded.body_is_blob;
        run.at(step).reference = recorded.reference;
        ++done_;
        return true;
      }
    return false;
  }

private:
  const finished_task& task_;
  std::vector<std::string>& problems_;
  std::uint64_t done_ = 0;
};

std::vector<journal_step> from_disk(const std::vector<journal_step>& journal) {
  return decode<std::vector<journal_step>>(encode(journal)).value();
}

std::string describe(const call_result<std::string>& outcome) {
  return outcome ? fmt::format("a result of {} bytes", outcome->size())
                 : fmt::format("{}: {}", to_string(outcome.error().code), outcome.error().message);
}

/// Runs the task, throws the frame away behind `cut` outcomes, and goes on from the journal. False: it ended
/// before.
bool replay_cut_at(const class_descriptor& type, const finished_task& task, std::size_t cut,
                   std::vector<std::string>& problems) {
  const auto* method = type.find(task.record.method);
  if (method == nullptr || method->make_task == nullptr) {
    problems.push_back(fmt::format("class {} has no task '{}'", type.binding, task.record.method));
    return false;
  }
  recorded_world world(task, problems);
  const auto make = [&](std::vector<journal_step> journal) {
    return std::make_unique<task_run>(
        task.id, task_record(task.record), std::move(journal), method->make_task,
        task_limits{.max_steps = std::max(task.journal.size() + 1, default_max_task_steps)});
  };
  auto run = make({});
  run->advance(world);
  const auto going = [&] { return !run->ended() && !run->halted() && problems.empty(); };
  for (std::size_t delivered = 0; going(); ++delivered) {
    if (delivered == cut) {
      run = make(from_disk(run->journal()));
      run->advance(world);
      if (!going()) break;
    }
    if (!world.deliver_next(*run)) {
      problems.push_back("waits for an operation that the recording has no outcome of");
      return true;
    }
    run->advance(world);
    if (delivered < cut && !going()) return false;
  }
  if (run->halted())
    problems.push_back(run->halted()->message);
  else if (run->ended() && run->restarts() != task.restarts)
    problems.push_back(task.restarts ? "ends where the recording goes on with continue_as()"
                                     : "goes on with continue_as() where the recording ends");
  else if (run->ended() && !task.restarts)
    if (const auto outcome = run->take_outcome();
        outcome != task.outcome &&
        !(outcome && !task.outcome &&
          task.outcome.error().code == errc::too_large)) // the limit is the runtime's
      problems.push_back(
          fmt::format("comes to {} and in the recording to {}", describe(outcome), describe(task.outcome)));
  return true;
}

} // namespace

std::vector<std::string> replay_every_prefix(const class_descriptor& type, const finished_task& task) {
  std::vector<std::string> out;
  for (std::size_t cut = 0;; ++cut) {
    std::vector<std::string> problems;
    const bool was_cut = replay_cut_at(type, task, cut, problems);
    for (const auto& each : problems)
      out.push_back(fmt::format("cut behind outcome {}: {}", cut, each));
    if (!was_cut || cut > task.journal.size()) return out;
  }
}

} // namespace dormouse
