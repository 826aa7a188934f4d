#!/usr/bin/env bash
# usage: run_test.sh <checkout> <upstream>
#
# Three orders without a kill; the same again, for which nothing happens; three orders through kills; and a kill at a request that was received.
set -euo pipefail

checkout=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

orders='books: reserved, paid, shipped
candles: reserved, the card was refused, released
mattress: reserved, paid, nobody delivers there, refunded, released
left: 9 of 10'

"$checkout" --url "$url" >first
expect first <<<"$orders"$'\nthe server counts: 3 charges, 1 refunds, 2 shipments, in 6 requests'
"$checkout" --url "$url" >second
expect second <<<"$orders"$'\nthe server counts: 3 charges, 1 refunds, 2 shipments, in 6 requests'

# Other orders at the same server, so the counts are twice those: each charge once, whatever number of requests it took.
"$checkout" --url "$url" --directory killed-data --kill 8 >killed
killed=$(sed -n 's/^killed: \(.*\) times$/\1/p' killed)
((killed >= 3)) || fail "only $killed processes were killed: $(cat killed)"
sed '1d; s/, in [0-9]* requests//' killed >after
expect after <<<"$orders"$'\nthe server counts: 6 charges, 2 refunds, 4 shipments'

kill_while_asking "$checkout" --url "$url" --directory stopped-data
"$checkout" --url "$url" --directory stopped-data | sed 's/, in [0-9]* requests//' >last
expect last <<<"$orders"$'\nthe server counts: 9 charges, 3 refunds, 6 shipments'
echo "checkout: as expected"
