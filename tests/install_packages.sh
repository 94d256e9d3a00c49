#!/usr/bin/env bash
# Installs what Millrace is built from and tested with on Debian 12, and the packages named as arguments: without questions, without starting
# services; does nothing when all is there.
set -euo pipefail

extra=("$@")  # more packages than the build and the tests need

packages=(g++ cmake ninja-build ccache pkg-config
  libboost1.81-dev librocksdb-dev libflatbuffers-dev flatbuffers-compiler libspdlog-dev libcli11-dev catch2
  libssl-dev libzstd-dev liblz4-dev libxxhash-dev prometheus-cpp-dev ${extra[@]+"${extra[@]}"})

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
