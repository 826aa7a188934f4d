#!/usr/bin/env bash
# usage: run_test.sh <crawler> <upstream>
#
# The whole site, a part of it, and the whole of it with a kill -9 in the middle.
set -euo pipefail

crawler=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

pages='asked for: 16 pages
  /pages/1  Page 1, 2 links
  /pages/10  Page 10, 2 links
  /pages/11  Page 11, 2 links
  /pages/12  Page 12, 2 links
  /pages/13  Page 13, 2 links
  /pages/14  Page 14, 2 links
  /pages/15  Page 15, 3 links
  /pages/2  Page 2, 4 links
  /pages/3  Page 3, 3 links
  /pages/4  Page 4, 4 links
  /pages/5  Page 5, 4 links
  /pages/6  Page 6, 4 links
  /pages/7  Page 7, 4 links
  /pages/8  Page 8, 2 links
  /pages/9  Page 9, 2 links
  /pages/99  HTTP status 404'

"$crawler" --url "$url/pages/1" >first
expect first <<<$'known: 0 pages\n'"$pages"
(($(requests_so_far) == 16)) || fail "$(requests_so_far) requests for 16 pages"
"$crawler" --url "$url/pages/1" >second # has been walked
expect second <<<$'known: 16 pages\n'"$pages"

"$crawler" --url "$url/pages/1" --directory part-data --pages 5 --at-once 1 >part
expect part <<'PAGES'
known: 0 pages
asked for: 5 pages
  /pages/1  Page 1, 2 links
  /pages/2  Page 2, 4 links
  /pages/3  Page 3, 3 links
  /pages/4  Page 4, 4 links
  /pages/5  Page 5, 4 links
PAGES

# Killed after half of a slow walk, when something is under way. What was read is not read again.
before=$(requests_so_far)
"$crawler" --url "$url/pages/1?delay_ms=100" --directory killed-data --at-once 3 >unfinished &
walking=$!
deadline=$((SECONDS + 30))
until (($(requests_so_far) >= before + 7)); do
  ((SECONDS < deadline)) || fail "no 7 requests within 30 s"
  sleep 0.02
done
kill -KILL "$walking"
{ wait "$walking" || true; } 2>/dev/null
"$crawler" --url "$url/pages/1?delay_ms=100" --directory killed-data --at-once 3 >after
(($(sed -n 's/known: \([0-9]*\) pages/\1/p' after) >= 1)) || fail "nothing was known: $(cat after)"
sed 1d after >rest
expect rest <<<"$pages"
requests=$(($(requests_so_far) - before))
((requests >= 16 && requests <= 16 + 3)) || fail "$requests requests for 16 pages, of which three may have been under way"
echo "crawler: as expected"
