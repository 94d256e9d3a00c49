#!/usr/bin/env bash
# Usage: bench/shards.sh [ROUNDS] [BUILD]      build with: cmake --build build --target millraced millrace-bench
#   What a second shard gives: the same load on a broker with one and with two, in turns, on the memory engine, so that no disk is in it. Two loading processes, each
#   with a topic of its own. Prints medians, and where the processors' time went: broker, load, nobody.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
build=${2:-build}
seconds=3
address=127.0.0.1:7190
work=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null || true; rm -rf "$work"' EXIT

ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }  # of a process, in hundredths of a second
idle() { awk '/^cpu / { print $5 + $6 }' /proc/stat; }

# SHARDS WORKLOAD… → "messages/s, processors that the broker used, processors that nobody used"
run() {
  local shards=$1
  shift
  "$build/broker/millraced" --store memory: --shards "$shards" --listen $address --admin none --log-level warn >"$work/ready" &
  broker=$!
  until grep -q ready "$work/ready"; do kill -0 $broker; sleep 0.02; done
  local used nobody loads=()
  used=$(ticks $broker) nobody=$(idle)
  for n in 1 2; do
    "$build/bench/millrace-bench" --server $address --disk "" --seconds $seconds "$@" >"$work/load$n" &
    loads+=($!)
  done
  wait "${loads[@]}"
  used=$(($(ticks $broker) - used)) nobody=$(($(idle) - nobody))
  kill $broker
  wait $broker
  broker=
  awk -v used=$used -v nobody=$nobody -v s=$seconds '/^messages_per_second/ { sum += $2 } END { printf "%d %.2f %.2f\n", sum, used / 100 / s, nobody / 100 / s }' "$work"/load*
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

printf '%-34s %8s %12s %8s %8s %8s\n' load shards messages/s broker nobody ratio
while read -r name arguments; do
  : >"$work/1.all" && : >"$work/2.all"
  for ((round = 0; round < rounds; ++round)); do
    for shards in 1 2; do run $shards $arguments >>"$work/$shards.all"; done
  done
  for shards in 1 2; do
    rate=$(cut -d' ' -f1 "$work/$shards.all" | median)
    [ $shards = 2 ] || one=$rate
    printf '%-34s %8d %12d %8.2f %8.2f %8.2f\n' "$name" $shards "$rate" "$(cut -d' ' -f2 "$work/$shards.all" | median)" "$(cut -d' ' -f3 "$work/$shards.all" | median)" \
      "$(awk -v a="$rate" -v b="$one" 'BEGIN { print a / b }')"
  done
done <<END
publish,100B --size 100 publish
publish,1KiB --size 1024 publish
end-to-end,1KiB --size 1024 end-to-end
one-in-flight,50-connections --size 100 --producers 50 --in-flight 1 publish
END
