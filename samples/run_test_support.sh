# shellcheck shell=bash
# To be sourced by the run_test.sh of a sample that talks to samples/upstream, with the upstream's program as its argument.
#
# Starts the server on a port that the kernel picks, as $url, in a scratch folder that is the current one and goes away
# with the script.
set -euo pipefail

scratch=$(mktemp -d)
upstream_pid=
cleanup() {
  if [[ $upstream_pid ]]; then
    kill -CONT "$upstream_pid" 2>/dev/null || true # a stopped process does not hear of the next one
    kill "$upstream_pid" 2>/dev/null || true
    wait "$upstream_pid" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap cleanup EXIT
cd "$scratch"

# Opening the pipe waits for the server, and the line comes when it listens.
mkfifo line
"$1" >line &
upstream_pid=$!
read -r _ _ url <line

fail() { # <why>
  echo "$1" >&2
  exit 1
}

# <file> has the lines of standard input and no others.
expect() { # <file>
  diff - "$1" || fail "the sample printed something else (lines with >)"
}

# Whether somebody has sent a request that the server has not read.
request_waits() {
  local port
  port=$(printf '%04X' "${url##*:}")
  awk -v port=":$port" '$2 ~ port "$" && $4 == "01" && $5 !~ /:00000000$/ { found = 1 } END { exit !found }' /proc/net/tcp
}

# kill -9 while a request of <command> is without an answer: the server is stopped until then, so that it cannot have one.
kill_while_asking() { # <command...>
  kill -STOP "$upstream_pid"
  "$@" >killed 2>&1 &
  local pid=$! deadline=$((SECONDS + 30))
  until request_waits; do
    ((SECONDS < deadline)) || fail "no request within 30 s; the sample said: $(cat killed)"
    sleep 0.05
  done
  kill -KILL "$pid"
  { wait "$pid" || true; } 2>/dev/null
  kill -CONT "$upstream_pid"
}

# How many requests the server has counted.
requests_so_far() {
  local number
  exec {connection}<>"/dev/tcp/127.0.0.1/${url##*:}"
  printf 'GET /summary HTTP/1.0\r\n\r\n' >&"$connection"
  number=$(sed -n 's/.*"total":\([0-9]*\).*/\1/p' <&"$connection")
  exec {connection}>&-
  echo "$number"
}
