#!/usr/bin/env bash
# usage: run_test.sh <scraper> <upstream>
#
# Logs in, is still logged in as another process, logs out, and is killed when it wants to log in again.
set -euo pipefail

scraper=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

orders='  52.64  twigs
  65.75  twigs
  89.08  pillows
  36.22  hazelnuts
  67.63  beech nuts'

"$scraper" --url "$url" >first
expect first <<<$'remembered: 0 orders\nlogged in\n'"$orders"
"$scraper" --url "$url" >second
expect second <<<$'remembered: 5 orders\nstill logged in\n'"$orders"
"$scraper" --url "$url" --log-out >third
expect third <<<$'remembered: 5 orders\nlogged out'
"$scraper" --url "$url" >fourth
expect fourth <<<$'remembered: 5 orders\nlogged in\n'"$orders"

# Two logins at once, that of the killed process and this one: one of them waits for the other.
"$scraper" --url "$url" --log-out >/dev/null
kill_while_asking "$scraper" --url "$url"
"$scraper" --url "$url" | sed 's/^still //' >after
expect after <<<$'remembered: 5 orders\nlogged in\n'"$orders"
echo "scraper: as expected"
