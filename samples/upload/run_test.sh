#!/usr/bin/env bash
# usage: run_test.sh <upload> <upstream>
#
# Three uploads that arrive as they are, in one process, in another, and after a kill -9.
set -euo pipefail

upload=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

uploaded='256 bytes, crc32 29058c73
a form of 3 parts
  title: 16 bytes, crc32 f778eaed
  photo: 50000 bytes, crc32 3f143b7d
  notes: 11 bytes, crc32 0aa97156
16777216 bytes, crc32 35b8ab88'

"$upload" --url "$url" >first
expect first <<<$'receipts before: 0\n'"$uploaded"$'\nreceipts now:    3'
"$upload" --url "$url" >second
expect second <<<$'receipts before: 3\n'"$uploaded"$'\nreceipts now:    6'

# Each upload that was on disk is sent again, from there, and its receipt comes to this run or the next.
kill_while_asking "$upload" --url "$url"
"$upload" --url "$url" | grep -v ^receipts >after
expect after <<<"$uploaded"
"$upload" --url "$url" >last
receipts=$(sed -n 's/^receipts now: *//p' last)
((receipts > 12 && receipts <= 15)) || fail "$receipts receipts for four runs, and one that was killed"
echo "upload: as expected"
