#!/usr/bin/env bash
# Every run of millrace-bench against a broker, with few messages: all are there at its end. What is no measurement says so, and ends with 1.
# Usage: bench_test.sh BUILD_DIR
set -euo pipefail
build=$1
work=$(mktemp -d)
broker=
trap 'status=$?; [ -z "$broker" ] || kill -9 "$broker" 2>/dev/null || true; rm -rf "$work"; exit $status' EXIT

fail() { echo "bench_test: $*" >&2; exit 1; }

mkfifo "$work/ready"
"$build/broker/millraced" --listen 127.0.0.1:0 --admin none --store "rocksdb:$work/store" >"$work/ready" 2>"$work/broker.log" &
broker=$!
read -r -t 20 line <"$work/ready" || fail "the broker is not ready: $(cat "$work/broker.log")"
server=${line#ready listen=}
export MILLRACE_SERVER=${server%% *}

disk=
measure() { "$build/bench/millrace-bench" --disk "$disk" "$@"; }
expect_messages() {  # COUNT RUN…
  measure "${@:2}" >"$work/result" 2>&1 || fail "${*:2}: $(cat "$work/result")"
  grep -qx "messages  $1" "$work/result" || fail "${*:2}: not $1 messages: $(cat "$work/result")"
}

expect_messages 3000 publish --count 3000
expect_messages 3000 publish --count 3000 --producers 100 --connections 7 --in-flight 1
expect_messages 3000 end-to-end --count 3000 --mixed-sizes --consumers 3
expect_messages 3000 consume --count 3000 --size 100
expect_messages 3000 end-to-end --count 3000 --topics 40 --producers 100 --connections 3 --consumers 2
expect_messages 300 rate --count 300 --rate 2000
expect_messages 300 rate --count 300 --rate 2000 --consume-time 1000
disk=$work began=$(date +%s%N)
expect_messages 900 end-to-end --count 300 --turns 3
disk= took=$(($(date +%s%N) - began))
grep -q '^fdatasync_p50_ms  ' "$work/result" || fail "the disk behind each turn is not told: $(cat "$work/result")"
awk -v took="$took" '$1 == "seconds" { exit !($2 > 0 && $2 <= took / 1e9 - 3) }' "$work/result" ||  # each probe takes one
  fail "of $took ns in all the time of three probes counts as the turns': $(cat "$work/result")"
expect_messages 3000 fill --topic t --subscription s --count 3000
expect_messages 3000 drain --topic t --subscription s --count 3000 --leave-every 1000
expect_messages 3 drain --topic t --subscription s --count 3
expect_messages 3000 publish --topic t --count 3000
expect_messages 3000 drain --topic t --subscription s --count 3000

! measure publish --server 127.0.0.1:1 --count 1 >"$work/result" 2>&1 || fail "nobody listens, and that was a measurement"
grep -q 'connect: .*127.0.0.1:1' "$work/result" || fail "what was wrong is not said: $(cat "$work/result")"
! measure drain --topic t --subscription nobody --count 1 >"$work/result" 2>&1 || fail "there is no such subscription, and that was a measurement"
grep -q nobody "$work/result" || fail "what was wrong is not said: $(cat "$work/result")"
