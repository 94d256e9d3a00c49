#!/usr/bin/env bash
# Fuzzes every target, or those named, and prints a table. Usage: tests/fuzz/run.sh [SECONDS_EACH | --executions EACH | --keep] [TARGET…]
#   SECONDS_EACH (10) or --executions say how long each target runs; --keep runs none, and makes corpus/ anew from all that was found so far,
#   as few inputs as reach the same. What was found lies in build-fuzz/found, and what broke a promise in build-fuzz/findings.
# Installs clang-16 (270 MB) and builds with it, ASan and UBSan in build-fuzz. FUZZ_BUILT=1 takes what is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

budget=(-max_total_time=10)
keep=
case "${1:-}" in
  --executions) budget=(-runs="${2:?how many executions of each target?}"); shift 2 ;;
  --keep) keep=1; shift ;;
  [0-9]*) budget=(-max_total_time="$1"); shift ;;
esac
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^fuzz_target(\([a-z_]*\).*/\1/p' tests/fuzz/CMakeLists.txt)

tests/install_packages.sh clang-16 libclang-rt-16-dev
mkdir -p build-fuzz
cmake -S . -B build-fuzz -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=clang++-16 -DMILLRACE_FUZZ=ON >build-fuzz/configure.log
[ -n "${FUZZ_BUILT:-}" ] || cmake --build build-fuzz --target "${targets[@]/#/fuzz-}" >build-fuzz/build.log || { cat build-fuzz/build.log; exit 1; }

# Less memory for what was freed and shorter stacks of what was allocated: twice as fast. A finding is looked at without these.
export ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=2:detect_stack_use_after_return=0

# Where a fuzzer has nothing yet it begins with what tests know: `lead BYTES FILES…` makes each file an input behind these bytes.
golden=tests/proto/golden
lead() {
  local bytes=$1 file
  shift
  for file in "$@"; do { printf '%b' "$bytes"; cat "$file"; } >"$seeds/$(basename "$file")${bytes//\\/-}"; done
}
make_seeds() {
  case "$1" in
    frame_decoder) lead '\x00\x01' "$golden"/*frame_*.bin; lead '\xd0\x21' "$golden"/frame_[HPS]*.bin; lead '\xff\xff' "$golden"/frame_Deliver.bin ;;
    record) lead '\x01' "$golden"/record_*.bin; lead '\x07' "$golden"/record_*.bin; lead '\x00' "$golden"/record_*.bin ;;
    batch) lead '\x01\x01\x00\x00\x00' "$golden"/record_*.bin
           cat "$golden"/record_plain.bin "$golden"/record_empty.bin >"$seeds/two"; lead '\x01\x02\x01\x10\x20' "$seeds/two" ;;
    entry) lead '\x07\x66' "$golden"/entry.bin; lead '\x00\x66' "$golden"/entry.bin ;;
    config_file) cp examples/millraced.toml "$seeds" ;;
    units) for text in 250ms 30s 5m 24h 64KiB 10GiB 512B 1TiB 0 1.5s; do printf %s "$text" >"$seeds/$text"; done ;;
    token_file) printf 'web publish web-token-000000000 # x\nroot admin,consume sha256:%064d\nlook none 0123456789abcdef\n' 7 >"$seeds/three" ;;
    http_page) for path in /healthz /v1/broker '/v1/topics?limit=3&after=t1' /v1/topics/t3 /v1/topics/t3/subscriptions/a '/v1/topics/t3/subscriptions?limit=1' '/v1/sessions?after=2'; do
                 printf 'GET\n%s\nBearer root-token-00000000' "$path" >"$seeds/${#path}"; done ;;
    *) head -c 600 /dev/urandom >"$seeds/anything" ;;
  esac
}

longest() {  # bytes of an input that is worth trying
  case "$1" in
    units) echo 32 ;;
    rows) echo 256 ;;
    config_file | token_file | http_page) echo 400 ;;
    client | session | shard) echo 1500 ;;
    *) echo 1024 ;;
  esac
}

run_target() {
  local target=$1 found=build-fuzz/found/$1 log=build-fuzz/$1.log
  seeds=build-fuzz/seeds/$target
  rm -rf "$seeds"
  mkdir -p "$found" "$seeds" build-fuzz/findings tests/fuzz/corpus/"$target"
  make_seeds "$target"
  if [ -n "$keep" ]; then
    rm -rf build-fuzz/kept
    mkdir build-fuzz/kept
    # What was a finding once stays, under its name.
    find tests/fuzz/corpus/"$target" -name 'found_*' -exec cp {} build-fuzz/kept \;
    build-fuzz/tests/fuzz/fuzz-"$target" -set_cover_merge=1 -max_len="$(longest "$target")" build-fuzz/kept tests/fuzz/corpus/"$target" "$found" "$seeds" >"$log" 2>&1
    rm -rf tests/fuzz/corpus/"$target"
    mv build-fuzz/kept tests/fuzz/corpus/"$target"
    printf '%-14s %5s inputs kept, %s bytes\n' "$target" "$(find tests/fuzz/corpus/"$target" -type f | wc -l)" "$(find tests/fuzz/corpus/"$target" -type f -printf '%s\n' | awk '{ s += $1 } END { print s }')"
    return
  fi
  local result=clean before
  before=$(find build-fuzz/findings -type f | wc -l)
  build-fuzz/tests/fuzz/fuzz-"$target" "${budget[@]}" -max_len="$(longest "$target")" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=64 \
    -print_final_stats=1 -artifact_prefix=build-fuzz/findings/"$target"- "$found" tests/fuzz/corpus/"$target" "$seeds" >"$log" 2>&1 || result="see $log"
  [ "$(find build-fuzz/findings -type f | wc -l)" -eq "$before" ] || result="FOUND, see $log"
  [ "$result" = clean ] || failed=1
  printf '%-14s %12s %9s %7s %s\n' "$target" "$(sed -n 's/stat::number_of_executed_units: *//p' "$log")" "$(sed -n 's/stat::average_exec_per_sec: *//p' "$log")" \
    "$(find "$found" -type f | wc -l)" "$result"
}

failed=0
[ -n "$keep" ] || printf '%-14s %12s %9s %7s %s\n' target executions 'per s' inputs findings
for target in "${targets[@]}"; do run_target "$target"; done
exit "$failed"
