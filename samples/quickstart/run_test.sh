#!/usr/bin/env bash
# usage: run_test.sh <quickstart> <upstream>
#
# Asks a local server twice, in two processes: the second one remembers what the first one was told.
set -euo pipefail

quickstart=$1
upstream=$2
scratch=$(mktemp -d)
upstream_pid=
cleanup() {
  if [[ $upstream_pid ]]; then
    kill "$upstream_pid" 2>/dev/null || true
    wait "$upstream_pid" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap cleanup EXIT
cd "$scratch"

# Opening the pipe waits for the server, and the line comes when it listens.
mkfifo line
"$upstream" >line &
upstream_pid=$!
read -r _ _ url <line

expect() { # <text> <file>
  if ! diff <(printf '%s\n' "$1") "$2"; then
    echo "quickstart printed something else (lines with >)" >&2
    exit 1
  fi
}

"$quickstart" "$url/k/apple" hit >first
expect $'remembered: 0\nasked:      ok\nnow:        1' first
"$quickstart" "$url/k/apple" hit >second
expect $'remembered: 1\nasked:      ok\nnow:        2' second
# A status is an answer, and not one that changes the number.
"$quickstart" "$url/k/apple?status=404" hit >third
expect $'remembered: 0\nasked:      HTTP status 404\nnow:        0' third
echo "quickstart: as expected"
