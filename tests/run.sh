#!/usr/bin/env bash
# Builds Millrace and runs its tests. Usage: tests/run.sh [LABEL…]
#   Labels: proto core storage driver check access admin program server client worker photo_web photo_relay photo_messages photo_stores photo_sizes process install sim
#   power blackbox fuzz bench guard drill; drill breaks four stages of the sample stack of examples/photo_stack on purpose (root). Not in the default run: stack, which
#   breaks all ten, and tries what strangers and browsers do there. asan and tsan build with sanitizers in folders of their own (tsan on the memory engine) and run the
#   rest of the labels, or all but those of the stack, there.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/install_packages.sh valgrind libnats-dev librabbitmq-dev libhiredis-dev librdkafka-dev  # bench/guard.sh counts with it; bench/compare is compiled with them

build=build
options=(-DCMAKE_BUILD_TYPE=Release)
stack=OFF
labels=()
for label in "$@"; do
  case "$label" in
    asan) build=build-asan; options=(-DCMAKE_BUILD_TYPE=Debug -DMILLRACE_SANITIZE=address) ;;
    tsan) build=build-tsan; options=(-DCMAKE_BUILD_TYPE=Debug -DMILLRACE_SANITIZE=thread) ;;
    stack) labels+=(stack drill) ;;
    *) labels+=("$label") ;;
  esac
done
case "$build ${labels[*]-} " in
  "build  " | *" drill "* | *" photo_messages "* | *" photo_stores "* | *" photo_sizes "*) stack=ON ;;  # the others need no libraries for photos
esac

[ $stack = OFF ] || tests/install_packages.sh libvips-dev libpqxx-dev libargon2-dev nginx-light python3-yaml python3-jsonschema openapi-specification
cmake -S . -B "$build" -G Ninja -DMILLRACE_WERROR=ON -DMILLRACE_COMPARE=ON -DMILLRACE_STACK=$stack "${options[@]}" >"$build.configure.log" 2>&1 || { cat "$build.configure.log"; exit 1; }
rm -f "$build.configure.log"
cmake --build "$build"

selection=(-LE "^stack$")
if [ ${#labels[@]} -gt 0 ]; then
  joined=$(IFS='|'; echo "${labels[*]}")
  selection=(-L "^(${joined})$")
fi
cd "$build"
export MILLRACE_SEED_START="${MILLRACE_SEED_START:-$(date +%s)000}"  # of the simulator's fresh seeds
echo "fresh seeds from $MILLRACE_SEED_START; the same again: MILLRACE_SEED_START=$MILLRACE_SEED_START tests/run.sh sim"
exec ctest --output-on-failure --no-tests=error -j "$((2 * $(nproc)))" "${selection[@]}"  # two for each core: they wait more than they compute
