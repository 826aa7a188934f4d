#!/usr/bin/env bash
# usage: run_test.sh <relay> <upstream>
#
# An answer and an error through three objects, in one process, in another, and after a kill -9.
set -euo pipefail

relay=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

answered='apple, found by the archive, signed by the department, handed out by the reception
in memory while the server thought about it: no object
no answer: ARCHIVE/the archive says: HTTP status 404'

"$relay" --url "$url" >first
expect first <<<$'answers so far: 0\n'"$answered"

# The question of the killed process goes on: its answer comes to this run or the next, for nobody, and is counted.
kill_while_asking "$relay" --url "$url"
"$relay" --url "$url" >second
expect second <<<$'answers so far: 2\n'"$answered"
"$relay" --url "$url" >third
sed 1d third >rest
expect rest <<<"$answered"
"$relay" --url "$url" >fourth
expect fourth <<<$'answers so far: 7\n'"$answered"
echo "relay: as expected"
