#!/usr/bin/env bash
# The Kafka side of bench/compare against librdkafka's mock of a cluster. The mock makes no topics: they are there, and each run has one of its own. What it keeps of a
# topic is little, so the messages are few and small; and a group takes nobody in for 45 s when another one has left it, or was there first: so each run has a
# group of its own, with one consumer on a topic.
# Usage: kafka_test.sh BUILD_DIR
set -euo pipefail
build=$1
work=$(mktemp -d)
trap 'status=$?; exec 3>&-; rm -rf "$work"; exit $status' EXIT  # the mock ends with its input

fail() { echo "kafka_test: $*" >&2; exit 1; }

mkfifo "$work/input" "$work/ready"
"$build/tests/millrace-kafka-mock" published shared rated slow spread-0 spread-1 spread-2 <"$work/input" >"$work/ready" 2>"$work/mock.log" &
exec 3>"$work/input"
read -r -t 20 line <"$work/ready" || fail "the mock is not ready: $(cat "$work/mock.log")"
export MILLRACE_SERVER=${line#ready }

measure() { "$build/bench/millrace-compare" --peer kafka --disk "" --size 100 "$@"; }
expect_messages() {  # COUNT RUN…
  measure "${@:2}" >"$work/result" 2>&1 || fail "${*:2}: $(cat "$work/result")"
  grep -qx "messages  $1" "$work/result" || fail "${*:2}: not $1 messages: $(cat "$work/result")"
}
expect_failure() {  # WHY RUN…
  ! measure "${@:2}" >"$work/result" 2>&1 || fail "${*:2}: that was a measurement"
  grep -q "$1" "$work/result" || fail "${*:2}: what was wrong is not said: $(cat "$work/result")"
}

expect_messages 3000 publish --topic published --count 3000
expect_messages 3000 drain --topic published --subscription one --count 3000
expect_messages 3000 end-to-end --topic shared --count 3000
expect_messages 1000 rate --topic rated --count 1000 --rate 2000
expect_messages 1000 rate --topic slow --count 1000 --rate 5000 --consume-time 200
expect_messages 3000 end-to-end --topic spread --topics 3 --count 3000 --producers 9 --connections 2

expect_failure "a message of an earlier run came: topic published" end-to-end --topic published --count 10
expect_failure "connect: " publish --topic published --count 1 --server 127.0.0.1:1
