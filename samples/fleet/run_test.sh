#!/usr/bin/env bash
# usage: run_test.sh <fleet> <upstream>
#
# Small runs with a kill, against a server of its own and against others, and what is refused. The exit code of
# fleet says whether anything was lost, duplicated or given to the wrong object; that its JSON line says the same
# is checked here.
set -euo pipefail

fleet=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

"$fleet" --objects 300 --delay 500 --seed 7 --directory "$scratch/objects" | tee "$scratch/output"
number='[0-9]+(\.[0-9]+)?'
check_line() { # <line> <objects> <regex of server_hits>
  local expected="^\\{\"objects\":$2,\"fetches\":$2,\"delivered\":$2,\"lost\":0,\"duplicated\":0,\"wrong_object\":0,\"server_hits\":$3"
  expected+=",\"awake_peak\":[0-9]+,\"rss_mib_idle\":$number,\"rss_mib_asleep\":$number,\"restarts\":1,\"seconds\":$number\\}\$"
  [[ $1 =~ $expected ]] || fail "this is not the expected JSON line: $1"
}
hits_of() { # <line>
  local hits=${1##*\"server_hits\":}
  echo "${hits%%,*}"
}
line=$(tail -n 1 "$scratch/output")
check_line "$line" 300 '[0-9]+'
(($(hits_of "$line") >= 300)) || fail "only $(hits_of "$line") requests reached the server"

# An upstream that runs already, with and without a slash at the end.
for server in "$url" "$url/"; do
  line=$("$fleet" --json --objects 50 --delay 200 --url "$server")
  check_line "$line" 50 '[0-9]+'
  (($(hits_of "$line") >= 50)) || fail "only $(hits_of "$line") requests reached $server"
done

# Any other URL is asked for as it stands, and nothing is known of what its server counts. An error status is an answer.
for target in "/plain?delay_ms=200" /no/such/page; do
  before=$(requests_so_far)
  line=$("$fleet" --json --objects 50 --url "$url$target")
  check_line "$line" 50 null
  [[ $target != /plain* ]] || (($(requests_so_far) >= before + 50)) || fail "fewer than 50 requests for $target"
done

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
