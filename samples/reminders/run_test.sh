#!/usr/bin/env bash
# usage: run_test.sh <reminders>
#
# Each command is a process of its own, and one is killed: what was asked for comes all the same, and once.
set -euo pipefail

reminders=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() { # <why>
  echo "$1" >&2
  exit 1
}
expect() { # <file>
  diff - "$1" || fail "the sample printed something else (lines with >)"
}

"$reminders" in 3600 "the tea"
"$reminders" in 7200 "the cake"
"$reminders" at "0 9 * * MON-FRI" Europe/Berlin "stand-up meeting"
"$reminders" every 86400 "water the plants"
"$reminders" list | sort >first
expect first <<'END'
stand-up meeting, again and again
the cake
the tea
water the plants, again and again
END

"$reminders" forget "the cake"
"$reminders" forget "the cake" >second
expect second <<'END'
there is no such reminder
END
"$reminders" forget "stand-up meeting"
"$reminders" forget "water the plants"

# By the same name, so it moves and is not a second one. It may come before this process has ended; then it does not come again.
"$reminders" in 0.2 "the tea" >third
[[ -s third ]] || "$reminders" wait 1 >third
expect third <<'END'
1: the tea
END
"$reminders" list >fourth
expect fourth </dev/null

# Killed while it waits for the next one.
"$reminders" every 0.05 "tick" >/dev/null
"$reminders" wait 1000000 >killed &
pid=$!
deadline=$((SECONDS + 30))
until [[ -s killed ]]; do
  ((SECONDS < deadline)) || fail "no tick within 30 s"
  sleep 0.05
done
kill -KILL "$pid"
{ wait "$pid" || true; } 2>/dev/null
"$reminders" wait 3 >last
(($(grep -c ': tick$' last) >= 3)) || fail "the ticks did not go on: $(cat last)"

"$reminders" at "61 * * * *" UTC "never" 2>refused && fail "a bad expression was taken"
grep -q "'61' is not a minute" refused || fail "$(cat refused)"
echo "reminders: as expected"
