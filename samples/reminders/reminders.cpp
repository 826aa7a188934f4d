// Reminders that come at their time, whatever happens to the process in between:
//   reminders in 90 "the tea"
//   reminders every 3600 "stand up"
//   reminders at "0 9 * * MON-FRI" Europe/Berlin "stand-up meeting"
//   reminders list
//   reminders wait 3
#include <dormouse/dormouse.hpp>

#include <CLI/CLI.hpp>

#include <atomic>
#include <chrono>
#include <iostream>

namespace {

using dormouse::cron;
using dormouse::every;
using std::chrono::milliseconds;

class reminder_list : public dormouse::durable_object {
public:
  static inline std::atomic<unsigned> came{0}; ///< in this process

  // The text is the name too: saying the same again moves the reminder and does not double it.
  void remind_in(std::int64_t ms, std::string text) {
    schedule<&reminder_list::on_time>({.at = milliseconds(ms), .name = text}, text);
  }
  void remind_every(std::int64_t ms, std::string text) {
    schedule<&reminder_list::on_time>({.at = every(milliseconds(ms)), .name = text}, text);
  }
  void remind_at(std::string expression, std::string zone, std::string text) {
    schedule<&reminder_list::on_time>({.at = cron(expression, zone), .name = text}, text);
  }
  bool forget(std::string text) { return cancel_schedule(text); }

  // One turn: the count, and that this reminder is done or moves to its next time, are one commit. To print
  // is no part of it.
  void on_time(std::string text) {
    std::cout << ++count_ << ": " << text << std::endl;
    ++came;
    came.notify_all();
  }

  std::vector<std::string> waiting() const {
    std::vector<std::string> out;
    for (const auto& each : schedules())
      out.push_back(each.id.name + (each.recurs ? ", again and again" : ""));
    return out;
  }

  template <class Archive> void serialize(Archive& ar) { ar(count_); }

  using methods = dormouse::methods<"REMINDERS", dormouse::method<"in", &reminder_list::remind_in>,
                                    dormouse::method<"every", &reminder_list::remind_every>,
                                    dormouse::method<"at", &reminder_list::remind_at>,
                                    dormouse::method<"forget", &reminder_list::forget>,
                                    dormouse::method<"on_time", &reminder_list::on_time>,
                                    dormouse::method<"waiting", &reminder_list::waiting>>;

private:
  std::uint64_t count_ = 0;
};

} // namespace

int main(int argc, char** argv) try {
  CLI::App app{"Reminders that survive their process"};
  app.require_subcommand(1);
  double seconds = 0;
  std::string text, expression, zone;
  unsigned count = 1;
  auto* in = app.add_subcommand("in", "Once");
  auto* each = app.add_subcommand("every", "Again and again");
  for (auto* one : {in, each})
    one->add_option("seconds", seconds)->required();
  auto* at = app.add_subcommand("at", "By a cron expression in a time zone");
  at->add_option("expression", expression)->required();
  at->add_option("zone", zone)->required();
  auto* forget = app.add_subcommand("forget", "Not any more");
  for (auto* one : {in, each, at, forget})
    one->add_option("text", text)->required();
  auto* list = app.add_subcommand("list", "What is to come");
  auto* wait = app.add_subcommand("wait", "Until so many have come");
  wait->add_option("count", count);
  CLI11_PARSE(app, argc, argv);

  dormouse::runtime runtime({.directory = "reminders-data", .min_schedule_interval = milliseconds(10)});
  runtime.define<reminder_list>(); // what is overdue comes from here on
  auto mine = runtime.get<reminder_list>("me");
  const auto ms = static_cast<std::int64_t>(seconds * 1000);
  if (*in) mine.call<&reminder_list::remind_in>(ms, text).get();
  if (*each) mine.call<&reminder_list::remind_every>(ms, text).get();
  if (*at) mine.call<&reminder_list::remind_at>(expression, zone, text).get();
  if (*forget && !mine.call<&reminder_list::forget>(text).get()) std::cout << "there is no such reminder\n";
  if (*list)
    for (const auto& one : mine.call<&reminder_list::waiting>().get())
      std::cout << one << '\n';
  if (*wait)
    for (auto so_far = reminder_list::came.load(); so_far < count; so_far = reminder_list::came.load())
      reminder_list::came.wait(so_far);
} catch (const std::exception& e) {
  std::cerr << "reminders: " << e.what() << '\n';
  return 1;
}
