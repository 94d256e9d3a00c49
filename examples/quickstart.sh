#!/usr/bin/env bash
# Usage: examples/quickstart.sh [--no-faults] [PHOTO_DIR]
#   Builds Millrace, starts a broker on its embedded RocksDB store, and runs photographs through a fleet of workers: those of PHOTO_DIR, or those of
#   Debian's mate-backgrounds in every orientation plus 20 corrupt files. In the middle a worker and then the broker are killed with -9, and the fleet
#   grows, unless --no-faults. Ends with a report, 0 when every photo is accounted for and every result is right.
set -euo pipefail

faults=yes
photos=
for argument in "$@"; do
  case "$argument" in
    --no-faults) faults=no ;;
    -*) echo "quickstart.sh: '$argument' is not an option: --no-faults, or a folder with photographs" >&2; exit 2 ;;
    *) photos=$(realpath -- "$argument") ;;
  esac
done
[ -z "$photos" ] || [ -d "$photos" ] || { echo "quickstart.sh: there is no folder '$photos'" >&2; exit 2; }

cd "$(dirname "$0")/.."
packages=(libvips-dev)
[ -n "$photos" ] || packages+=(mate-backgrounds)
tests/install_packages.sh "${packages[@]}"
cmake -S . -B build-quickstart -G Ninja -DCMAKE_BUILD_TYPE=Release -DMILLRACE_TESTS=OFF >/dev/null
cmake --build build-quickstart --target millraced millrace photo-samples photo-producer photo-worker

bin=$PWD/build-quickstart
work=$(mktemp -d)
broker_pid=
worker_pids=()

stop_all() {  # the broker last: workers hand in what they have
  kill "${worker_pids[@]}" 2>/dev/null || true
  [ ${#worker_pids[@]} = 0 ] || wait "${worker_pids[@]}" || true
  [ -z "$broker_pid" ] || kill "$broker_pid" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap stop_all EXIT

start_broker() {  # [ADDRESS]: the one it had before, after a crash
  : >"$work/broker.out"
  "$bin/broker/millraced" --store "rocksdb:$work/store" --listen "${1:-127.0.0.1:0}" --admin none --log-level warn >"$work/broker.out" &
  broker_pid=$!
  until grep -q '^ready' "$work/broker.out"; do
    kill -0 "$broker_pid" || { echo "quickstart.sh: the broker did not start" >&2; exit 1; }
    sleep 0.05
  done
  MILLRACE_SERVER=$(sed -n 's/^ready listen=\([^ ]*\).*/\1/p' "$work/broker.out")
  export MILLRACE_SERVER
}

start_worker() {
  "$bin/examples/photo_workers/photo-worker" "$work/renditions" --name "worker-$((${#worker_pids[@]} + 1))" &
  worker_pids+=($!)
}

settled() {  # photos that have been settled so far
  "$bin/client/millrace" --json subscription describe photos workers 2>/dev/null |
    grep -oE '"(acked|dead)": *[0-9]+' | grep -oE '[0-9]+$' | awk '{ sum += $1 } END { print sum + 0 }'
}

wait_until_settled() {  # COUNT, or the producer has ended
  while kill -0 "$producer_pid" 2>/dev/null && [ "$(settled || echo 0)" -lt "$1" ]; do sleep 0.1; done
}

if [ -z "$photos" ]; then
  photos=$work/photos
  mkdir "$photos"
  find /usr/share/backgrounds/mate -type f \( -name '*.jpg' -o -name '*.png' \) -exec cp -t "$photos" {} +
  "$bin/examples/photo_workers/photo-samples" "$photos" /usr/share/backgrounds/mate/nature/Dune.jpg
fi
total=$(find "$photos" -type f | wc -l)
echo "$total photographs in $photos"

start_broker
echo "broker on $MILLRACE_SERVER, store in $work/store"
"$bin/examples/photo_workers/photo-producer" "$photos" &
producer_pid=$!
until "$bin/client/millrace" subscription describe photos workers >/dev/null 2>&1; do
  kill -0 "$producer_pid" || { echo "quickstart.sh: the producer did not start" >&2; exit 1; }
  sleep 0.05
done
start_worker
start_worker

if [ $faults = yes ]; then
  wait_until_settled $((total / 4))
  echo "-- kill -9 of a worker"
  kill -9 "${worker_pids[0]}"
  wait "${worker_pids[0]}" 2>/dev/null || true
  start_worker
  wait_until_settled $((total / 2))
  echo "-- kill -9 of the broker"
  kill -9 "$broker_pid"
  wait "$broker_pid" 2>/dev/null || true
  start_broker "$MILLRACE_SERVER"
  echo "-- the broker is back; the fleet grows to three"
  start_worker
fi

status=0
wait "$producer_pid" || status=$?
"$bin/client/millrace" subscription describe photos workers || true
exit $status
