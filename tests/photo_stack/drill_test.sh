#!/usr/bin/env bash
# The drill of one stage, on a stack of its own. Usage: tests/photo_stack/drill_test.sh BUILD_FOLDER STAGE     exit code 77 when there can be no stack here
set -euo pipefail
stack="$(dirname "$0")/../../examples/photo_stack/stack"
name="drill$2"

if [ "$(id -u)" -ne 0 ]; then
  echo "skipped: a stack needs root"
  exit 77
fi
groups=/sys/fs/cgroup
[ -e $groups/cgroup.controllers ] || groups+=/cpu
if [ ! -w $groups ]; then
  echo "skipped: $groups cannot be written to, and a host's share of the processors is a control group there"
  exit 77
fi
if ! why=$(unshare --mount --net ip link add probe type bridge 2>&1); then
  echo "skipped: there can be no network namespaces with bridges here: $why"
  exit 77
fi
"$stack" down --name "$name"  # of a run that was killed
exec "$stack" drill --name "$name" --stage "$2" --build "$1"
