#!/usr/bin/env bash
# A check that never fails is no check: breaks each house rule once in a scratch tree, and expects the
# violation to be reported with its file and line, and nothing else to be.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

put() { # <path> <line>...
  mkdir -p "$tree/${1%/*}"
  printf '%s\n' "${@:2}" >"$tree/$1"
}

fail() { # <what>
  failures=$((failures + 1))
  printf 'FAILED: %s\n%s\n\n' "$1" "$output"
}

run() {
  status=0
  output=$(bash "$here/house_rules.sh" "$tree" 2>&1) || status=$?
}

# A tree that keeps every rule, with everything in it that only looks like a violation.
make_clean_tree() {
  put serialization/include/dormouse/serialization/url.hpp '#include <string>' '// #include <curl/curl.h>'
  put serialization/src/url.cpp '#include <curl/curl.h>' '#include <fmt/format.h>' '#include <libpsl.h>' 'auto u = "http://x"; // no [=] here'
  put actors/include/dormouse/actors/later.hpp '#include <dormouse/serialization/url.hpp>'
  put actors/src/later.cpp '#include <dormouse/actors/later.hpp>'
  put runtime/include/dormouse/dormouse.hpp '#include <dormouse/runtime/runtime.hpp>'
  put runtime/include/dormouse/runtime/caf.hpp '#include <caf/all.hpp>'
  put runtime/include/dormouse/runtime/runtime.hpp '#include <dormouse/actors/later.hpp>'
  put runtime/src/runtime.cpp '#include <caf/all.hpp>' '#include <rocksdb/db.h>' '#include <boost/asio.hpp>' \
    'auto f = [this, x = 1] { return a[i] == 2; };'
  put samples/plain/main.cpp '#include <caf/all.hpp>' 'void g() { std::this_thread::sleep_for(1s); }'
  put benchmarks/main.cpp '#include "caf/all.hpp"'
  put tests/runtime/rules.cpp \
    '#include <caf/all.hpp>' \
    'TEST_CASE("R1 R2 R3 R4 R5 R6") { co_await self.sleep(1h); self->sleep(1h); }' \
    '  TEST_CASE_FIXTURE(fixture, "R7, R8: both") {} // not sleep_for' \
    'TEST_CASE_TEMPLATE("R9", T, int) {}' \
    'TEST_CASE(' \
    '    "R10 R11 R12 "' \
    '    "R13 R14 R15"' \
    '    "R16 R17") {}' \
    'TEST_CASE("R18/R19-R20: R21, R22 to R25: R22 R23 R24 R25 R32 R33") { asleep(1); hibernate_sleep(2); }'
  put build/dev/copy.cpp '#include <caf/all.hpp>' 'auto f = [=] {};'
}

fresh_tree() {
  tree=$scratch/tree
  rm -rf "$tree"
  cp -r "$scratch/clean" "$tree"
}

expect() { # <file:line or text> <what>
  run
  if ((status != 1)); then
    fail "$2: exit status $status, expected 1"
  elif [[ $output != *"$1"* ]]; then
    fail "$2: no mention of $1"
  elif [[ $output != *$'\n1 violations of'* ]]; then
    fail "$2: expected one violation"
  fi
}

tree=$scratch/clean
make_clean_tree
run
if ((status != 0)); then
  fail "a clean tree passes"
fi

serialization_header=serialization/include/dormouse/serialization/x.hpp
actors_header=actors/include/dormouse/actors/x.hpp
private_libraries=(rocksdb/db.h curl/curl.h boost/asio.hpp fmt/format.h spdlog/spdlog.h idn2.h libpsl.h date/tz.h)
for header in "$serialization_header" "$actors_header"; do
  for library in caf/all.hpp "${private_libraries[@]}"; do
    fresh_tree
    put "$header" '#pragma once' "#include <$library>"
    expect "$header:2:" "$library in a public header"
  done
done

for library in "${private_libraries[@]}"; do
  fresh_tree
  put runtime/include/dormouse/runtime/x.hpp "#include <$library>"
  expect "runtime/include/dormouse/runtime/x.hpp:1:" "$library in a public header of runtime"
done

for header in dormouse/actors/later.hpp dormouse/runtime/runtime.hpp dormouse/dormouse.hpp; do
  fresh_tree
  put serialization/src/x.cpp '' "#  include \"$header\""
  expect "serialization/src/x.cpp:2:" "$header in serialization"
done
for header in dormouse/runtime/runtime.hpp dormouse/dormouse.hpp; do
  fresh_tree
  put actors/src/x.cpp "#include <$header>"
  expect "actors/src/x.cpp:1:" "$header in actors"
done

for file in serialization/src/x.cpp actors/src/x.hpp runtime/include/dormouse/runtime/x.hpp tools/x.cpp; do
  fresh_tree
  put "$file" '#include "caf/all.hpp"'
  expect "$file:1:" "CAF in $file"
done

for call in 'std::this_thread::sleep_for(1s)' 'std::this_thread::sleep_until(t)' 'usleep(1)' '::nanosleep(&t, 0)' \
  'sleep(1)' '::sleep (1)' 'get("http://x"); sleep(1)'; do
  for file in tests/runtime/x.cpp tests/support/x.hpp; do
    fresh_tree
    put "$file" '' '' "void f() { $call; }"
    expect "$file:3:" "$call in a test"
  done
done

for capture in '[=]' '[=, this]' '[ = ]'; do
  for file in runtime/src/x.hpp samples/x.cpp; do
    fresh_tree
    put "$file" "auto f = $capture { return 1; };"
    expect "$file:1:" "$capture"
  done
done

for rule in R1 R7 R14 R15 R16 R17 R18 R21; do
  fresh_tree
  sed -i -E "s/\b$rule\b/Rx/" "$tree/tests/runtime/rules.cpp"
  # Neither a longer number, nor a comment, nor any other string is a test of it.
  put tests/runtime/x.cpp "// TEST_CASE(\"$rule\")" "TEST_CASE(\"${rule}0\") { CHECK(\"$rule\"); }" "// $rule"
  expect "no TEST_CASE for $rule" "$rule has no test"
done

if ((failures > 0)); then
  echo "$failures failures"
  exit 1
fi
echo "house rules self test: all violations are reported"
