#!/usr/bin/env bash
# usage: run_test.sh <fleet>
#
# A small run with a kill, and what is refused. The exit code of fleet says whether anything was lost, duplicated
# or given to the wrong object; that its JSON line says the same is checked here.
set -euo pipefail

fleet=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
  echo "run_test.sh: $1" >&2
  exit 1
}

"$fleet" --objects 300 --delay 500 --seed 7 --directory "$scratch/objects" | tee "$scratch/output"
number='[0-9]+(\.[0-9]+)?'
expected='^\{"objects":300,"fetches":300,"delivered":300,"lost":0,"duplicated":0,"wrong_object":0,"server_hits":[0-9]+'
expected+=",\"awake_peak\":[0-9]+,\"rss_mib_idle\":$number,\"rss_mib_asleep\":$number,\"restarts\":1,\"seconds\":$number\}\$"
line=$(tail -n 1 "$scratch/output")
[[ $line =~ $expected ]] || fail "this is not the expected JSON line: $line"
hits=${line##*\"server_hits\":}
hits=${hits%%,*}
((hits >= 300)) || fail "only $hits requests reached the server"

[[ $("$fleet" --json --no-kill --objects 20 --delay 50 | wc -l) == 1 ]] || fail "--json prints more than one line"

refused() { # <arguments> ...
  local status=0
  "$fleet" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
  ((status == 2)) || fail "exit code $status instead of 2: $*"
  [[ $(wc -l <"$scratch/err") == 1 && ! -s $scratch/out ]] || fail "not one line of error: $*"
}
refused --objects 0
refused --objects many
refused --delay -1
refused --no-such-option
refused --url ftp://127.0.0.1/
refused --directory "$scratch/objects" # of the run above
refused --directory "$scratch/output/below-a-file"
echo "fleet: as expected"
