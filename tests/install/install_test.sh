#!/usr/bin/env bash
# Installs a build into a folder of its own and uses nothing but that folder: the programs, find_package, pkg-config, the shell completion.
# Usage: install_test.sh BUILD_DIR
set -euo pipefail
build=$1
project=$(cd "$(dirname "$0")/project" && pwd)
work=$(mktemp -d)
broker=
trap 'status=$?; [ -z "$broker" ] || kill -9 "$broker" 2>/dev/null || true; rm -rf "$work"; exit $status' EXIT

fail() { echo "install_test: $*" >&2; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"; }

prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log"; fail "cmake --install failed"; }
for program in millraced millrace millrace-bench; do
  "$prefix/bin/$program" --help >/dev/null || fail "$program does not run"
done
hidden=$(cd "$prefix" && grep -rlE '#include "(proto|client|broker)/|flatbuffers|generated' include || true)
expect "headers that include what is not installed" "$hidden" ""

mkfifo "$work/ready"
"$prefix/bin/millraced" --listen 127.0.0.1:0 --admin none --store memory: >"$work/ready" 2>"$work/broker.log" &
broker=$!
read -r -t 20 line <"$work/ready" || fail "the broker is not ready: $(cat "$work/broker.log")"
server=${line#ready listen=}
server=${server%% *}
export MILLRACE_SERVER=$server
export PATH=$prefix/bin:$PATH
millrace topic create photos >/dev/null
millrace subscription create photos resize >/dev/null

# find_package, from a prefix that was moved after it was installed.
mv "$prefix" "$work/moved"
prefix=$work/moved
PATH=$prefix/bin:$PATH
cmake -S "$project" -B "$work/by-cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; fail "find_package failed"; }
cmake --build "$work/by-cmake" >"$work/build.log" 2>&1 || { cat "$work/build.log"; fail "the project does not build"; }
expect "the first message, by CMake" "$("$work/by-cmake/uploader" "$server")" "sequence 0"

pc=$(find "$prefix" -name millrace.pc)
export PKG_CONFIG_PATH=$(dirname "$pc")
read -ra flags < <(pkg-config --cflags --libs millrace)
g++ "$project/uploader.cpp" "${flags[@]}" -o "$work/by-pkg-config"
expect "the second message, by pkg-config" "$("$work/by-pkg-config" "$server")" "sequence 1"
expect "what a consumer gets" "$(millrace consume photos resize --max 2 --timeout 5s | tr -d '\n' | wc -c)" "4000"

# Shell completion, as bash does it.
source "$prefix/share/bash-completion/completions/millrace"
completed() {
  COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
  _millrace
  echo "${COMPREPLY[*]}"
}
expect "completion of commands" "$(completed millrace pub)" "publish"
expect "completion of a group" "$(completed millrace topic de)" "describe delete"
expect "completion of a flag" "$(completed millrace subscription create photos resize --max)" "--max-deliveries"
expect "completion of a topic" "$(completed millrace publish ph)" "photos"
expect "completion of a topic as a flag's value" "$(completed millrace subscription create photos x --dead-letter '')" "photos"
expect "completion of a subscription" "$(completed millrace consume photos '')" "resize"
expect "completion behind --server HOST:PORT, which bash takes apart" "$(MILLRACE_SERVER= completed millrace --server "${server%:*}" : "${server#*:}" topic describe '')" "photos"
expect "completion of a name that is new" "$(completed millrace topic create '')" ""
expect "completion of a file" "$(cd "$work" && completed millrace publish photos install)" "install.log"
expect "completion without a broker" "$(MILLRACE_SERVER=127.0.0.1:1 completed millrace publish '')" ""
for shell in zsh:share/zsh/site-functions/_millrace fish:share/fish/vendor_completions.d/millrace.fish; do
  cmp "$prefix/${shell#*:}" <(millrace completion "${shell%%:*}")
done
kill "$broker"
wait "$broker" || fail "the installed broker ended with $?"
broker=
echo "install_test: all is well"
