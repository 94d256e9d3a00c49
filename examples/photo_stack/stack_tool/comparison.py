"""The same load on two stages, in turns: pages with their images, and uploads. So it is seen what edges are for, and what a queue is for."""
import contextlib
import statistics
import time

from stack_tool import cgroups, packages, stack, topology
from stack_tool.balancer import Balancer
from stack_tool.browsing import PAGE_PHOTOS, Browsers
from stack_tool.load import percentile
from stack_tool.shards import Shards
from stack_tool.uploaders import PACKAGE, Uploaders
from stack_tool.waiting import awaited

PATIENCE_SECONDS = 60
BROWSERS = 4
PAIRS, PHASE_SECONDS, CLIENTS = 5, 6, 8
FLEET_PERCENT = 60  # of a core, for all workers


def _fill_first_page(this):
    """With photos whose sizes are there."""
    with Uploaders(this, CLIENTS, pause=0) as uploaders:
        awaited(lambda: len(uploaders.acknowledged()) >= PAGE_PHOTOS, PATIENCE_SECONDS)
    awaited(Shards(this).nothing_in_work, PATIENCE_SECONDS)


def _measure_pages(this):
    """Pages a second, of people who look at one after the other, each with all its images."""
    limit = Balancer(this.place).without_limit() if this.topology.of_component("haproxy") else contextlib.nullcontext()
    with limit, Browsers(this, BROWSERS) as browsers:
        time.sleep(PHASE_SECONDS)
    return len([view for view in browsers.views() if not view.unseen]) / browsers.seconds


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
    found, pages = ({stage: [] for stage in stages} for _ in range(2))
    try:
        for stage in stages:
            stack.up(names[stage], stage, build)
            if any(host.name == "workers" for host in topology.at_stage(stage).hosts):
                cgroups.as_if_elsewhere(stack.Stack(names[stage]).group("workers"), FLEET_PERCENT)
        for stage in stages:
            _fill_first_page(stack.Stack(names[stage]))
        for _ in range(PAIRS):
            for stage in stages:
                pages[stage].append(_measure_pages(stack.Stack(names[stage])))
        for _ in range(PAIRS):
            for stage in stages:
                found[stage].append(_measure(stack.Stack(names[stage])))
    finally:
        for each in names.values():
            stack.down(each)
    print(f"\n{BROWSERS} clients look at pages, and then {CLIENTS} upload, without pause; medians of {PAIRS} times {PHASE_SECONDS} s, in turns; workers have {FLEET_PERCENT} % of a core")
    for stage, measured in found.items():
        p50, p99, per_second = (statistics.median(column) for column in zip(*measured))
        print(f"  stage {stage:2}   {statistics.median(pages[stage]):7.1f} pages/s with {PAGE_PHOTOS} images each   {per_second:7.1f} uploads/s   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms")
    return 0
