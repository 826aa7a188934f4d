#pragma once

/// A kit that tests whether a durable task can be replayed (R16): run the task to its end once, with the real
/// runtime, and hand what it left to `replay_every_prefix`. That cuts the journal off behind each outcome in
/// turn, as if the process had died there, runs the code from the start against what is left, gives it the
/// rest of the outcomes as they came, and compares: the same operations, the same end.
///
///   struct tape : dormouse::task_observer {
///     void ended(const dormouse::finished_task& task) override { ... }
///   };
///   options.tasks = std::make_shared<tape>();
///   ...
///   CHECK(dormouse::replay_every_prefix<site>(tape->task) == std::vector<std::string>());
///
/// What it finds are tasks that ask for other operations when they are run again: because they look at a
/// clock, at random numbers, at globals, at the order of an unordered container, or at anything else that is
/// not on their context.

#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/serialization/task_id.hpp>
#include <dormouse/serialization/task_journal.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dormouse {

/// A run of a task that has come to its end; of one that goes on with continue_as(), each run by itself.
struct finished_task {
  task_id id;
  task_record record;
  std::vector<journal_step> journal;
  call_result<std::string> outcome = std::string(); ///< encoded; of continue_as(), nothing
  bool restarts = false;                            ///< it ended with continue_as()
  std::map<std::uint64_t, std::string> bodies;      ///< large ones of responses, by fetch id
};

/// Sees tasks end. Called on a thread of the runtime, when that is durable: keep it short, do not block, do
/// not throw.
class task_observer {
public:
  virtual ~task_observer() = default;
  virtual void ended(const finished_task& task) = 0;
};

/// What went differently, a line each; empty: nothing.
std::vector<std::string> replay_every_prefix(const class_descriptor& type, const finished_task& task);

template <class T> std::vector<std::string> replay_every_prefix(const finished_task& task) {
  return replay_every_prefix(describe<T>(), task);
}

} // namespace dormouse
