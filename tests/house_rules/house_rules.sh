#!/usr/bin/env bash
# usage: tests/house_rules/house_rules.sh <source dir>
#
# The rules about the source that a compiler does not enforce. Prints every violation as file:line: text,
# and why it is one; exits with 1 if there are any.
set -euo pipefail

if (($# != 1)); then
  echo "usage: $0 <source dir>" >&2
  exit 2
fi
cd "$1"
export LC_ALL=C

# Numbers that a test must carry in the name of a TEST_CASE.
rules=(R1 R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12 R13 R14 R15 R16 R17 R18 R19 R20 R21 R22 R23 R24 R25 R32 R33)

violations=0

report() { # <why> <lines>
  local count
  count=$(wc -l <<<"$2")
  violations=$((violations + count))
  printf '%s\n    %s\n' "$2" "$1"
}

# Sources whose path matches <regex> and, if a second one is given, does not match that.
files() { # <regex> [<regex>]
  local file
  for file in "${sources[@]}"; do
    if [[ $file =~ $1 && ! (${2-} && $file =~ ${2-}) ]]; then
      printf '%s\0' "$file"
    fi
  done
}

forbid() { # <why> <perl regex> <regex of paths> [<regex of paths let off>]
  local selected lines status=0
  mapfile -d '' selected < <(files "$3" "${4-}")
  if ((${#selected[@]} == 0)); then
    return
  fi
  # What a // comment says is not code. "://" starts no comment, it is in a URL.
  lines=$(grep -nHP -e "^(?:(?!(?<!:)//).)*?(?:$2)" -- "${selected[@]}") || status=$?
  case $status in
    0) report "$1" "$lines" ;;
    1) ;;
    *) exit 2 ;;
  esac
}

# Build folders and hidden folders hold copies and generated files.
mapfile -d '' sources < <(
  find . -mindepth 1 \( -path './build*' -o -path './cmake-build*' -o -path './.*/.*' \) -prune -o \
    -type f \( -name '*.cpp' -o -name '*.hpp' \) -printf '%P\0' | sort -z
)

include='^\s*#\s*include\s*[<"]'

forbid "CAF is included in runtime/src and runtime/caf.hpp only, so that a move to CAF 1.x touches few files" \
  "${include}caf/" '.' \
  '^(runtime/src|tests|samples|benchmarks)/|^runtime/include/dormouse/runtime/caf\.hpp$'
forbid "no public header includes RocksDB, libcurl, Boost, fmt, spdlog, libidn2, libpsl or date: they are private links" \
  "${include}((rocksdb|curl|boost|fmt|spdlog|date)/|idn2\.h|libpsl\.h)" '^(serialization|actors|runtime)/include/'
forbid "serialization depends on neither actors nor runtime" \
  "${include}(.*/)?dormouse/(actors/|runtime/|dormouse\.hpp)" '^serialization/'
forbid "actors does not depend on runtime" \
  "${include}(.*/)?dormouse/(runtime/|dormouse\.hpp)" '^actors/'
# .sleep( and ->sleep( are members of ours: a durable timer, on a clock the test owns; so are self.sleep_for and self.sleep_until of a task.
forbid "a test waits for a condition or moves a virtual clock, it does not sleep" \
  '(?<!\bself\.)\b(sleep_for|sleep_until)\b|\b(usleep|nanosleep)\s*\(|(?<![\w.])(?<!->)sleep\s*\(' '^tests/'
forbid "[=] hides what a lambda keeps, and that it keeps this" \
  '\[\s*=\s*[],]' '.'

# The names of all test cases, one a line. A name on the line after the bracket is one too, one that is
# commented out is not.
names=
mapfile -d '' tests < <(files '^tests/')
if ((${#tests[@]} > 0)); then
  test_case='(?<![^\n])[ \t]*(DOCTEST_)?TEST_CASE\w*\s*\(\s*([\w:<>]+\s*,\s*)?'
  status=0
  names=$(grep -hoPz -e "$test_case"'\K("[^"\n]*"\s*)+' -- "${tests[@]}" | tr '\n\0' ' \n') || status=$?
  if ((status > 1)); then
    exit 2
  fi
fi
untested=()
for rule in "${rules[@]}"; do
  if [[ ! $names =~ (^|[^[:alnum:]_])$rule([^[:alnum:]_]|$) ]]; then
    untested+=("tests: no TEST_CASE for $rule")
  fi
done
if ((${#untested[@]} > 0)); then
  report "every rule has at least one TEST_CASE that carries its number" "$(printf '%s\n' "${untested[@]}")"
fi

if ((violations > 0)); then
  echo "$violations violations of the house rules"
  exit 1
fi
echo "house rules: ${#sources[@]} files, no violation"
