#!/usr/bin/env bash
# Usage: bench/compare/run.sh [OPTION…]     --help says which
#   Installs the other brokers and their client libraries without starting them, builds, and compares: see README.md beside this.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/install_packages.sh rabbitmq-server nats-server redis-server beanstalkd librabbitmq-dev libnats-dev libhiredis-dev librdkafka-dev python3
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DMILLRACE_COMPARE=ON >/dev/null
cmake --build build --target millraced millrace-compare
exec python3 bench/compare/compare.py "$@"
