#!/usr/bin/env bash
# Usage: bench/backlog.sh [COUNT [DIR [SIZE]]]     build with: cmake --build build --target millraced millrace millrace-bench
#   What a backlog costs: COUNT (5 000 000) messages of random size around SIZE (1 024) bytes and two subscriptions in a store under DIR (a new folder of
#   /var/tmp), every 1 001st message left unacked. Prints the broker's memory at its highest, the time until it is ready after kill -9, the rate of draining beside that of an
#   empty topic, and the disk before, and after the drain.
set -euo pipefail
count=${1:-5000000}
directory=${2:-$(mktemp -d /var/tmp/millrace-backlog.XXXX)}
size=${3:-1024}
mkdir -p "$directory"
cd "$(dirname "$0")/.."
bin=$PWD/build
broker=

trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null; wait; rm -rf "$directory/store" "$directory/ready"; rmdir "$directory" 2>/dev/null || true' EXIT

start_broker() {
  local began; began=$(date +%s%N)
  : >"$directory/ready"
  "$bin/broker/millraced" --store "rocksdb:$directory/store" --listen 127.0.0.1:0 --admin none --log-level warn >"$directory/ready" &
  broker=$!
  until grep -q '^ready' "$directory/ready"; do
    kill -0 "$broker" || { echo "backlog.sh: the broker did not start" >&2; exit 1; }
    sleep 0.01
  done
  echo "ready_ms  $((($(date +%s%N) - began) / 1000000))"
  MILLRACE_SERVER=$(sed -n 's/^ready listen=\([^ ]*\).*/\1/p' "$directory/ready")
  export MILLRACE_SERVER
}

kill_broker() { kill -9 "$broker"; wait "$broker" 2>/dev/null || true; }
rss_mib() { echo "$1  $(($(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$broker/status") / 1024))"; }
disk_mib() { echo "$1  $(du -sm "$directory/store" | cut -f1)"; }
bench() { "$bin/bench/millrace-bench" --disk "" --size "$size" --mixed-sizes "$@" | grep -E "^(messages|messages_per_second) "; }

echo "-- an empty topic"
start_broker
bench end-to-end --seconds 10
echo "-- $count messages are published to two subscriptions"
"$bin/client/millrace" topic create backlog >/dev/null
"$bin/client/millrace" subscription create backlog first >/dev/null
"$bin/client/millrace" subscription create backlog second >/dev/null
bench publish --topic backlog --count "$count"
rss_mib rss_highest_mib
disk_mib disk_mib
echo "-- kill -9"
kill_broker
start_broker
for subscription in first second; do
  echo "-- $subscription is drained but for every 1 001st"
  bench drain --topic backlog --subscription $subscription --count "$count" --leave-every 1001
  rss_mib rss_highest_mib
done
echo "-- kill -9"
kill_broker
start_broker
for second in 1 60; do
  [ $second = 1 ] || sleep 60
  disk_mib "disk_mib_after_${second}_s"
done
"$bin/client/millrace" subscription describe backlog first | grep ^partition
echo "-- the rest is drained"
for subscription in first second; do bench drain --topic backlog --subscription $subscription --count $(((count + 1000) / 1001)); done
disk_mib disk_mib
sleep 60
disk_mib disk_mib_after_60_s
rss_mib rss_highest_mib
