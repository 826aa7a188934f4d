#!/usr/bin/env bash
# usage: readme_quickstart.sh <source dir>
#
# The program in the README is the one that is compiled: its first C++ block is samples/quickstart/quickstart.cpp.
set -euo pipefail

block=$(awk '/^```cpp$/ && !seen { inside = seen = 1; next } /^```$/ { inside = 0 } inside' "$1/README.md")
if [ "$block" != "$(cat "$1/samples/quickstart/quickstart.cpp")" ]; then
  echo "README.md: its first C++ block differs from samples/quickstart/quickstart.cpp"
  exit 1
fi
