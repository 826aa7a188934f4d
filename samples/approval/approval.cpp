// A purchase that somebody has to approve, which may take days:
//   approval ask bicycle 14d;  approval pending;  approval yes PURCHASE/1.2/bicycle;  approval result bicycle
#include <dormouse/dormouse.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <string>

using namespace std::chrono_literals;

class purchase : public dormouse::durable_object {
public:
  // At the race it may wait for two weeks: no frame, no timer, no object in memory, and no process if there
  // is none.
  static dormouse::task<std::string> approve(dormouse::task_context<purchase> self,
                                             std::int64_t patience_ms) {
    const auto answer = self.promise<std::string>();
    co_await self.call<&purchase::show>(to_string(answer.id()));
    std::string outcome;
    try {
      const auto first = co_await race(answer, self.sleep_for(std::chrono::milliseconds(patience_ms)));
      outcome = first.index() == 0 ? "approved by " + std::get<0>(first) : "nobody answered in time";
    } catch (const dormouse::call_failed& e) {
      outcome = "refused: " + e.why().message;
    }
    co_await self.call<&purchase::show>("");
    co_return outcome;
  }

  // Once, however often it is called. The task begins with this turn, and is on disk with it.
  dormouse::task_id ask(std::int64_t patience_ms) {
    if (task_.number == 0) task_ = start<&purchase::approve>(patience_ms);
    return task_;
  }

  void show(std::string open) { open_ = open; }

  std::string open() const { return open_; }
  dormouse::task_id asked() const { return task_; }

  template <class Archive> void serialize(Archive& ar) { ar(task_, open_); }

  using methods =
      dormouse::methods<"PURCHASE", dormouse::method<"approve", &purchase::approve>,
                        dormouse::method<"ask", &purchase::ask>, dormouse::method<"show", &purchase::show>,
                        dormouse::method<"open", &purchase::open>,
                        dormouse::method<"asked", &purchase::asked>>;

private:
  dormouse::task_id task_;
  std::string open_; // the id of the promise while it waits
};

// Days pass in no time, for whoever tries this out. A test that owns the process would take a
// dormouse::manual_clock.
class clock_ahead final : public dormouse::wall_clock {
public:
  explicit clock_ahead(std::int64_t ms) : by_(ms) {}
  std::chrono::system_clock::time_point now() const override { return wall_clock::now() + by_; }

private:
  std::chrono::milliseconds by_;
};

// The text may have been in a letter with a link in it.
dormouse::promise_id<std::string> read_id(const std::string& text) {
  return dormouse::promise_id<std::string>(dormouse::value_or_throw(dormouse::parse_promise_id(text)));
}

int main(int argc, char** argv) try {
  std::string directory = "approval-data";
  std::string what;
  std::string id;
  std::string by = "the boss";
  std::string why = "no";
  std::int64_t patience_ms = 0;
  std::int64_t later_ms = 0;

  CLI::App app{"A purchase that somebody has to approve, which may take days."};
  app.require_subcommand(1)->fallthrough();
  const std::map<std::string, std::int64_t> units{
      {"ms", 1}, {"s", 1'000}, {"h", 3'600'000}, {"d", 86'400'000}};
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  app.add_option("--later", later_ms, "by a simulated clock, which is so far ahead: 13d, 2h")
      ->transform(CLI::AsNumberWithUnit(units));
  auto* ask = app.add_subcommand("ask", "ask for an approval, and go");
  ask->add_option("what", what, "to buy")->required();
  ask->add_option("patience", patience_ms, "how long an answer is waited for: 14d, 500ms")
      ->required()
      ->transform(CLI::AsNumberWithUnit(units));
  auto* pending = app.add_subcommand("pending", "what waits for an answer");
  auto* yes = app.add_subcommand("yes", "approve");
  yes->add_option("id", id, "as pending shows it")->required();
  yes->add_option("--by", by)->capture_default_str();
  auto* no = app.add_subcommand("no", "refuse");
  no->add_option("id", id, "as pending shows it")->required();
  no->add_option("--why", why)->capture_default_str();
  auto* result = app.add_subcommand("result", "what came of it; waits for that");
  result->add_option("what", what, "that was asked for")->required();
  CLI11_PARSE(app, argc, argv);

  dormouse::runtime runtime({.directory = directory,
                             .clock = std::make_shared<clock_ahead>(later_ms),
                             .task_results_kept_for = 24h * 30});
  runtime.define<purchase>();
  if (*ask) {
    runtime.get<purchase>(what).call<&purchase::ask>(patience_ms).get(); // durable
    std::cout << "asked for " << what << '\n';
  } else if (*pending) {
    for (const auto& each : runtime.objects<purchase>().ids)
      if (const auto open = runtime.get<purchase>(each).call<&purchase::open>().get(); !open.empty())
        std::cout << open << '\n';
  } else if (*yes || *no) {
    auto told = *yes ? runtime.tasks().resolve(read_id(id), by) : runtime.tasks().reject(read_id(id), why);
    std::cout << (told.get() ? "told\n" : "too late\n");
  } else if (*result) {
    const auto task = runtime.get<purchase>(what).call<&purchase::asked>().get();
    if (task.number == 0) throw std::runtime_error("nobody asked for " + what);
    std::cout << runtime.tasks().result<std::string>(task).get() << '\n';
  }
} catch (const std::exception& e) {
  std::cerr << "approval: " << e.what() << '\n';
  return 1;
}
