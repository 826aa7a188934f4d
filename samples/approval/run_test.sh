#!/usr/bin/env bash
# usage: run_test.sh <approval>
#
# Four questions, each asked by one process, answered by another or by nobody, and asked after by a third.
set -euo pipefail

approval=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

expect() { # <what was printed> <text>
  if ! diff <(printf '%s\n' "$2") <(printf '%s\n' "$1"); then
    echo "approval printed something else (lines with >)" >&2
    exit 1
  fi
}
id_of() { # <what>
  "$approval" pending | grep "/$1\$"
}

for what in bicycle yacht; do
  expect "$("$approval" ask $what 14d)" "asked for $what"
done
expect "$("$approval" ask bicycle 14d)" "asked for bicycle" # the same question
expect "$("$approval" pending | sed 's,.*/,,')" $'bicycle\nyacht'

bicycle=$(id_of bicycle)
expect "$("$approval" yes "$bicycle" --by Ada)" "told"
expect "$("$approval" result bicycle)" "approved by Ada"
expect "$("$approval" no "$bicycle")" "too late"
expect "$("$approval" result bicycle)" "approved by Ada"

expect "$("$approval" no "$(id_of yacht)" --why "where would we put it")" "told"
expect "$("$approval" result yacht)" "refused: where would we put it"
expect "$("$approval" pending)" ""

# The time passes whether there is a process or not.
"$approval" ask taxi 100ms >/dev/null
expect "$("$approval" result taxi)" "nobody answered in time"

# Days later, by a simulated clock: the day before the last one, and the day after.
"$approval" ask boots 14d >/dev/null
boots=$(id_of boots)
expect "$("$approval" --later 13d pending)" "$boots"
expect "$("$approval" --later 13d yes "$boots" --by Grace)" "told"
expect "$("$approval" --later 13d result boots)" "approved by Grace"
"$approval" ask hat 14d >/dev/null
hat=$(id_of hat)
expect "$("$approval" --later 15d result hat)" "nobody answered in time"
expect "$("$approval" --later 15d yes "$hat")" "too late"

# Killed while it waits for what comes of it.
"$approval" ask boat 14d >/dev/null
boat=$(id_of boat)
{ timeout -s KILL 0.5 "$approval" result boat || true; } 2>/dev/null
expect "$("$approval" yes "$boat")" "told"
expect "$("$approval" result boat)" "approved by the boss"
echo "approval: as expected"
