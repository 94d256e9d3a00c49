"""Unplug the database host, then freeze it: 503 in time instead of a hang, and no answered upload lost. More processor makes the web server faster."""
import http.client
import signal
import threading
import time

from stack_tool import cgroups, network, processes, requests
from stack_tool.uploaders import Uploaders

ANSWER_SECONDS_MAX = 2.0
BACK_SECONDS_MAX = 5.0
BROKEN_SECONDS = 5
PATIENCE_SECONDS = 30
QUOTAS_PERCENT = (5, 20, 100)


class _Unplugged:
    what = "unplugged"

    def __init__(self, stack):
        self.stack, self.host = stack, stack.topology.process("postgres").host

    def begin(self):
        self.stack.network.unplug(self.host)

    def end(self):
        self.stack.network.plug_in(self.host)


class _Frozen:
    what = "frozen"

    def __init__(self, stack):
        self.namespace = stack.network.namespace(stack.topology.process("postgres").host)
        self.who = []

    def begin(self):
        self.who = [processes.identity(pid) for pid in network.pids_in([self.namespace])]
        for who in self.who:
            processes.send(who, signal.SIGSTOP)

    def end(self):
        for who in self.who:
            processes.send(who, signal.SIGCONT)


def _ask_meanwhile(stack, path, seconds):
    """(status, seconds) of each answer; None for none."""
    client, answers, until = stack.client(), [], time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.monotonic()
        try:
            status = client.ask("GET", path).status
        except (OSError, http.client.HTTPException):
            status = None
        answers.append((status, time.monotonic() - begun))
        time.sleep(0.02)
    return answers


def _while_broken(stack, report, fault, uploaders):
    fault.begin()
    told = {"/healthz": [], "/readyz": []}
    askers = [threading.Thread(target=lambda p=path: told[p].extend(_ask_meanwhile(stack, p, BROKEN_SECONDS))) for path in told]
    for asker in askers:
        asker.start()
    try:
        pages = _ask_meanwhile(stack, "/", BROKEN_SECONDS)
    finally:
        fault.end()
    mended = time.monotonic()
    for asker in askers:
        asker.join()
    report.at_most(f"db {fault.what}: the slowest answer", max(s for _, s in pages), ANSWER_SECONDS_MAX, "s")
    report.no_faults(f"db {fault.what}: of {len(pages)} answers not 503", [f"a page was answered with {status}" for status, _ in pages if status != 503])
    for path, right in (("/healthz", 200), ("/readyz", 503)):
        report.no_faults(f"db {fault.what}: {path} not {right}", [f"{path} was answered with {status}" for status, _ in told[path] if status != right])
    answered = uploaders.first_answer_after(mended, PATIENCE_SECONDS)
    report.at_most(f"db {fault.what}, and mended: until a new upload is answered", answered and answered - mended, BACK_SECONDS_MAX, "s")


def _grow(stack, report):
    group, before = stack.group("web"), None
    try:
        for percent in QUOTAS_PERCENT:
            cgroups.limit(group, percent)
            speed = requests.measure(stack, "/", 4).per_second
            report.figure(f"first pages a second with {percent} % of a core", speed, "/s")
            if before is not None:
                report.at_least("  times as many as with the quota before", speed / before, 2.0, "")
            before = max(speed, 0.1)
    finally:
        cgroups.limit(group, None)


def run(stack, report):
    with Uploaders(stack, count=2) as uploaders:
        time.sleep(2)
        for fault in (_Unplugged(stack), _Frozen(stack)):
            _while_broken(stack, report, fault, uploaders)
            time.sleep(1)
    report.figure("uploads answered", len(uploaders.acknowledged()), "")
    report.figure("attempts without an answer, sent again", sum(u.attempts_failed for u in uploaders.each), "")
    report.no_faults("of them lost, doubled or damaged", uploaders.faults())
    _grow(stack, report)
