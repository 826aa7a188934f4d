#!/usr/bin/env bash
# usage: run_test.sh <mixed> <upstream>
#
# The site knows the visitor when it comes again, as another process; the API never does.
set -euo pipefail

mixed=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

"$mixed" --url "$url" >first
expect first <<'END'
visits before: 0
the site saw: no cookie
the API saw:  no cookie
END
"$mixed" --url "$url" >second
expect second <<'END'
visits before: 1
the site saw: visitor=alice
the API saw:  no cookie
END

kill_while_asking "$mixed" --url "$url"
"$mixed" --url "$url" >/dev/null # a visit, and that of the killed process
"$mixed" --url "$url" >last
expect last <<'END'
visits before: 4
the site saw: visitor=alice
the API saw:  no cookie
END
echo "mixed: as expected"
