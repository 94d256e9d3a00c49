"""The same upload load on two stages, in turns: what an upload costs when its work is done within the request, and when it is left to the workers."""
import statistics
import time

from stack_tool import cgroups, packages, stack, topology
from stack_tool.load import percentile
from stack_tool.uploaders import PACKAGE, Uploaders

PAIRS, PHASE_SECONDS, CLIENTS = 5, 6, 8
FLEET_PERCENT = 60  # of a core, for all workers


def _measure(this):
    """p50 and p99 in ms, and uploads a second, of clients that upload without pause."""
    with Uploaders(this, CLIENTS, pause=0) as uploaders:
        time.sleep(PHASE_SECONDS)
        answered = len(uploaders.acknowledged())
    seconds = [a.seconds for a in uploaders.acknowledged()]
    return [*(1000 * percentile(seconds, p) for p in (50, 99)), answered / PHASE_SECONDS]


def run(name, stages, build):
    """Each stage is a stack of its own, and gone afterwards."""
    packages.install([PACKAGE])
    names = {stage: f"{name}{stage}" for stage in stages}
    found = {stage: [] for stage in stages}
    try:
        for stage in stages:
            stack.up(names[stage], stage, build)
            if any(host.name == "workers" for host in topology.at_stage(stage).hosts):
                cgroups.as_if_elsewhere(stack.Stack(names[stage]).group("workers"), FLEET_PERCENT)
        for _ in range(PAIRS):
            for stage in stages:
                found[stage].append(_measure(stack.Stack(names[stage])))
    finally:
        for each in names.values():
            stack.down(each)
    print(f"\n{CLIENTS} clients upload without pause; medians of {PAIRS} times {PHASE_SECONDS} s, in turns; workers have {FLEET_PERCENT} % of a core")
    for stage, measured in found.items():
        p50, p99, per_second = (statistics.median(column) for column in zip(*measured))
        print(f"  stage {stage:2}   {per_second:7.1f} uploads/s   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms")
    return 0
