#!/usr/bin/env bash
# scripts/check-tasks reports each co_await that g++ 12 miscompiles, and no other.
# usage: check_tasks.sh <root of the project>
set -euo pipefail

root=$1
if ! command -v clang-query >/dev/null && ! command -v clang-query-14 >/dev/null; then
  echo "clang-query is not installed; scripts/setup installs it" >&2
  exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cat >"$scratch/tasks.hpp" <<'END'
#include <coroutine>
#include <initializer_list>
#include <string>
#include <vector>
struct task {
  struct promise_type {
    task get_return_object() { return {}; }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};
struct operation {
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<>) {}
  int await_resume() { return 1; }
};
struct chat { std::string who; int times = 1; };
struct point { int x; int y; };
operation part(chat);
operation at(point);
operation look(const chat&);
operation given(int, chat = {});
operation named(std::string);
operation counted(int);
operation all(std::vector<std::string>);
int count(const chat&);
chat made();
template <class F> operation run(F&&) { return {}; }
inline task in_header() { co_await part({"anna"}); } // BAD
END
cat >"$scratch/tasks.cpp" <<'END'
#include "tasks.hpp"
#include <utility>
task bad(std::string text) {
  co_await part(chat{"anna"}); // BAD
  co_await part({"anna"}); // BAD
  co_await look({.who = text}); // BAD
  co_await counted(count(chat{"anna"})); // BAD
  auto n = count({"anna"}) + co_await counted(1); // BAD
  co_await given(n); // BAD
  co_await run([text] { return text.size(); }); // BAD
  co_await all({"a", "b"}); // BAD
  co_await all(std::vector<std::string>{"a", "b"}); // BAD
  if (co_await part({"anna"}) == 1) co_return; // BAD
}
template <class T> task bad_template() {
  co_await part(T{"anna"}); // BAD
}
template task bad_template<chat>();
task fine(std::string text, int n) {
  auto anna = chat{"anna"};
  co_await part(anna);
  co_await part(std::move(anna));
  co_await part(made());
  co_await at({1, 2});
  co_await named("a text that has to be allocated somewhere");
  co_await named(std::string("a") + text);
  co_await run([&text] { return count({text}); });
  co_await run([n] { return n; });
  auto both = std::vector<std::string>{"a", "b"};
  co_await all(std::move(both));
  auto op = part({"anna"});
  co_await op;
}
END
printf '[{"directory": "%s", "file": "tasks.cpp", "command": "g++ -std=c++20 -fno-semantic-interposition -Winvalid-pch -include x/cmake_pch.hxx -c tasks.cpp"}]\n' \
  "$scratch" >"$scratch/compile_commands.json"

failures=0
check() { # <what> <expected> <actual>
  if [[ $2 != "$3" ]]; then
    failures=$((failures + 1))
    printf 'FAILED: %s\nexpected:\n%s\ngot:\n%s\n\n' "$1" "$2" "$3"
  fi
}

status=0
output=$("$root/scripts/check-tasks" -p "$scratch" 2>&1) || status=$?
expected=$(cd "$scratch" && grep -n "// BAD" tasks.cpp tasks.hpp | cut -d: -f1,2 | sort)
check "every co_await that breaks is reported, and no other" "$expected" \
  "$(sed -n "s|^$(realpath "$scratch")/\([^:]*:[0-9]*\):.*|\1|p" <<<"$output" | sort -u)"
check "the status tells that there are some" 1 "$status"

status=0
echo 'no C++' >>"$scratch/tasks.cpp"
"$root/scripts/check-tasks" -p "$scratch" >/dev/null 2>&1 || status=$?
check "a file that does not compile is not called clean" 2 "$status"

status=0
printf '#include "tasks.hpp"\ntask good() { co_await counted(1); }\n' >"$scratch/tasks.cpp"
sed -i '/BAD/d' "$scratch/tasks.hpp"
output=$("$root/scripts/check-tasks" -p "$scratch" 2>&1) || status=$?
check "what is fine has the status 0" "0 " "$status $output"

if ((failures)); then exit 1; fi
echo "check-tasks: all findings as expected"
