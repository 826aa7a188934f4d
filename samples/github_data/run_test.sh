#!/usr/bin/env bash
# usage: run_test.sh <github_data> <upstream>
#
# Reads two repositories, asks again in another process, and once more after a kill -9.
set -euo pipefail

github_data=$1
. "$(dirname "$0")/../run_test_support.sh" "$2"

"$github_data" --url "$url" >first
expect first <<'END'
actor-framework/actor-framework: read; 18909 stars, 224 open issues; answers: 1
facebook/rocksdb: read; 17803 stars, 486 open issues; answers: 1
END
"$github_data" --url "$url" >second
expect second <<'END'
actor-framework/actor-framework: not modified; 18909 stars, 224 open issues; answers: 2
facebook/rocksdb: not modified; 17803 stars, 486 open issues; answers: 2
END

# Past the rate limit what is known stays known.
"$github_data" --url "$url" 'limited/repository?rate_limit=1' >limit
"$github_data" --url "$url" 'limited/repository?rate_limit=1' >over_limit
[[ $(sed 's/.*: read; //' limit) == "$(sed 's/.*: rate limit exceeded; //; s/answers: 2/answers: 1/' over_limit)" ]] ||
  fail "the limit: $(cat limit over_limit)"

kill_while_asking "$github_data" --url "$url" facebook/rocksdb
"$github_data" --url "$url" facebook/rocksdb >after # its own question, and that of the killed process
"$github_data" --url "$url" facebook/rocksdb >last
expect last <<'END'
facebook/rocksdb: not modified; 17803 stars, 486 open issues; answers: 5
END
echo "github_data: as expected"
