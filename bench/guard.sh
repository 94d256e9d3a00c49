#!/usr/bin/env bash
# Usage: bench/guard.sh [--accept] [BUILD]     build with: cmake --build build --target millrace-bench-instructions; needs valgrind
#   Counts the instructions that a message costs in client, protocol, driver and core, and fails when a workload needs 3 % more than
#   bench/guard.baseline says. --accept writes what was counted there: commit it with the reason.
#   The count is that of Debian 12's compiler, Release, and of copies as a processor without AVX makes them: the same on every machine.
set -euo pipefail
cd "$(dirname "$0")/.."
accept=
[ "${1:-}" != --accept ] || { accept=1; shift; }
program=${1:-build}/bench/millrace-bench-instructions
baseline=bench/guard.baseline
most=103 # per cent of the baseline
[ -x "$program" ] || { echo "guard.sh: there is no $program: build it, or name the build folder" >&2; exit 2; }
command -v valgrind >/dev/null || { echo "guard.sh: there is no valgrind: tests/install_packages.sh valgrind" >&2; exit 2; }

# WORKLOAD COUNT
instructions() {
  GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX_Fast_Unaligned_Load,-AVX2,-AVX512F,-AVX512VL,-ERMS \
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
    awk -v name="$1" '/Collected :/ { found = $NF } { said = said $0 "\n" } END { if (!found) { print "guard.sh: " name ": " said >"/dev/stderr"; exit 1 } print found }'
}

counted=$(mktemp)
trap 'rm -f "$counted"' EXIT
for workload in $("$program"); do
  few=$(instructions "$workload" 3200) # the difference leaves out start and end
  many=$(instructions "$workload" 6400)
  echo "$workload $(((many - few) / 3200))" >>"$counted"
done

if [ "$accept" ]; then
  cp "$counted" "$baseline"
  chmod 644 "$baseline"
  echo "bench/guard.baseline is now:"
  cat "$baseline"
  exit
fi
awk -v most="$most" '
  FILENAME != ARGV[2] { before[$1] = $2; next }
  !($1 in before) { printf "%-24s %6d instructions a message, and bench/guard.baseline has no such workload\n", $1, $2; worse = 1; next }
  { percent = 100 * $2 / before[$1]
    printf "%-24s %6d instructions a message, %5.1f %% of %d\n", $1, $2, percent, before[$1]
    if (percent > most) worse = 1
    delete before[$1] }
  END {
    for (gone in before) { printf "%-24s is in bench/guard.baseline, and no workload\n", gone; worse = 1 }
    if (worse) print "\nA message costs more than it did. Where: valgrind --tool=callgrind '"$program"' WORKLOAD 6400, then callgrind_annotate, before and after.\n" \
                     "When it is worth it: bench/guard.sh --accept, and commit the baseline with the reason."
    exit worse }' "$baseline" "$counted"
