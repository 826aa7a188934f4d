#!/usr/bin/env bash
# usage: tests/consumer/run.sh <build dir>
#
# Installs the build into a scratch prefix, then configures, builds and runs a separate project that knows
# nothing but find_package(dormouse).
set -euo pipefail

if (($# != 1)); then
  echo "usage: $0 <build dir>" >&2
  exit 2
fi
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(cd "$here/../.." && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cached() {
  sed -nE "s/^$1:[A-Z]+=(.*)\$/\1/p" "$build/CMakeCache.txt"
}

cmake --install "$build" --prefix "$scratch/installed" >"$scratch/install.log"
# Moved after the install: a package that remembers where it was installed to fails here, not at a user's.
mv "$scratch/installed" "$scratch/prefix"

if grep -rnF -e "$source_dir" -e "$build" -e "$scratch" "$scratch/prefix" --include='*.cmake'; then
  echo "the installed package names a folder of the machine it was built on" >&2
  exit 1
fi

# The same compiler and sanitizers as the libraries, or they cannot be linked.
sanitize=$(cached DORMOUSE_SANITIZE)
cmake -S "$here" -B "$scratch/build" -G Ninja \
  -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_COMPILER="$(cached CMAKE_CXX_COMPILER)" \
  -DCMAKE_CXX_FLAGS="${sanitize:+-fsanitize=$sanitize}" \
  -DCMAKE_PREFIX_PATH="$scratch/prefix"
cmake --build "$scratch/build"
cd "$scratch"
"$scratch/build/consumer"
"$scratch/build/consumer_caf"
