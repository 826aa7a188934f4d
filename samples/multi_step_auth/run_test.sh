#!/usr/bin/env bash
# usage: run_test.sh <multi_step_auth> <upstream>
#
# Three pages with tokens that are good for two requests, in one process, in another, and after a kill -9.
set -euo pipefail

multi_step_auth=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

"$multi_step_auth" --url "$url" >first
expect first <<'END'
remembered: 0 orders, 0 tokens so far
asked:      all pages read
now:        10 orders, 2 tokens so far
END
"$multi_step_auth" --url "$url" >second # the token of the first run has one request left
expect second <<'END'
remembered: 10 orders, 2 tokens so far
asked:      all pages read
now:        10 orders, 3 tokens so far
END

# Nothing is known of the first token request of this one but that it was sent: it is not sent again.
kill_while_asking "$multi_step_auth" --url "$url" --directory token
"$multi_step_auth" --url "$url" --directory token >after_token
expect after_token <<'END'
remembered: 0 orders, 0 tokens so far
asked:      all pages read
now:        10 orders, 2 tokens so far
END

# A page is asked for again, and the work of the killed process goes on from there.
kill_while_asking "$multi_step_auth" --url "$url"
"$multi_step_auth" --url "$url" | sed 's/, [0-9]* tokens.*//' >after_page
expect after_page <<'END'
remembered: 10 orders
asked:      all pages read
now:        10 orders
END
echo "multi_step_auth: as expected"
