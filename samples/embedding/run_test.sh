#!/usr/bin/env bash
# usage: run_test.sh <embedding>
#
# Runs it twice on one directory: the second run goes on where the first one ended.
set -euo pipefail

embedding=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

expect() { # <text> <file>
  if ! diff <(printf '%s\n' "$1") "$2"; then
    echo "embedding printed something else (lines with >)" >&2
    exit 1
  fi
}

"$embedding" "$scratch/data" | sed 's/^refused: .*/refused/' >"$scratch/first"
expect $'alice, visit 1\nbob, visit 1\nalice, visit 2\nrefused\nvisits, of all runs: 3' "$scratch/first"
"$embedding" "$scratch/data" | sed 's/^refused: .*/refused/' >"$scratch/second"
expect $'alice, visit 3\nbob, visit 2\nalice, visit 4\nrefused\nvisits, of all runs: 6' "$scratch/second"
echo "embedding: as expected"
