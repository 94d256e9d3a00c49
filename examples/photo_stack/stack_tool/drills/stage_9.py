"""Whatever is killed is seen in time, one request is followed through all of it, a burst finds more workers, and a dropped table comes back."""
import re
import signal
import time
import urllib.request

from stack_tool import cgroups, processes, restoration
from stack_tool.alerts import Alerts
from stack_tool.autoscaler import COMPONENT
from stack_tool.background import Background
from stack_tool.broker import Broker
from stack_tool.photo_client import multipart
from stack_tool.session_store import SessionStore
from stack_tool.shards import Shards
from stack_tool.uploaders import Uploaders, sample_photos
from stack_tool.waiting import awaited, seconds_until
from stack_tool.watch import traces

FIRED_SECONDS_MAX = 10.0
RESOLVED_SECONDS_MAX = 60.0
PATIENCE_SECONDS = 120
TRACE_SECONDS_MAX = 10.0
RESTORED_SECONDS_MAX = 10.0
BURST = {"count": 9, "pause": 1.0}  # some nine photos a second
BURST_SECONDS = 16
FLEET_PERCENT = 60  # of a core, for all workers: they are to be too few for the burst, and the machine has two for everything
ON_THE_WAY = ("haproxy", "web", "relay", "sizer", "notifier")
ON_THE_DASHBOARD = ("Requests", "Latency", "Queue depth", "Lease age", "Replication lag", "Cache hit rate")
WATCHERS = {"prometheus", "alertmanager", "alert_log", "node_exporter", "log_agent", "autoscaler", "backup"}


# ---- alerts ----------------------------------------------------------------------------------------------------------------------


def _one_of_each_kind(stack):
    wanted = stack.place.wanted()
    kinds = {p.component: p.name for p in reversed(stack.topology.processes) if p.name in wanted and p.component not in WATCHERS}
    return list(kinds.values())


def _kill_each(stack, report, alerts):
    killed = []
    for name in _one_of_each_kind(stack):
        moment = time.time()
        processes.send(stack.who(name), signal.SIGKILL)
        fired = alerts.wait_for("firing", "ProcessRestarted", moment, PATIENCE_SECONDS, process=name)
        report.at_most(f"kill -9 {name}: until the alert", fired, FIRED_SECONDS_MAX, "s")
        killed.append((name, time.time()))
    resolved = [alerts.wait_for("resolved", "ProcessRestarted", moment, PATIENCE_SECONDS, process=name) for name, moment in killed]
    report.at_most("  until the last of them is over", None if None in resolved else max(resolved), RESOLVED_SECONDS_MAX, "s")


def _break_and_mend(report, alerts, what, alert, labels, begin, end):
    moment = time.time()
    begin()
    try:
        report.at_most(f"{what}: until the alert {alert}", alerts.wait_for("firing", alert, moment, PATIENCE_SECONDS, **labels), FIRED_SECONDS_MAX, "s")
    finally:
        end()
    report.at_most("  mended: until it is over", alerts.wait_for("resolved", alert, time.time(), PATIENCE_SECONDS, **labels), RESOLVED_SECONDS_MAX, "s")


def _lose_processes(stack, report, alerts):
    """They stay dead, as nothing but the loss of its host makes them."""
    def lose(names, alert, **labels):
        def kill_for_good():
            stack.place.hold(names)
            for name in names:
                processes.send(stack.who(name), signal.SIGKILL)

        _break_and_mend(report, alerts, f"{' and '.join(names)} dead, and not started again", alert, labels, kill_for_good, lambda: stack.place.hold([]))

    store = SessionStore(stack)
    lose(["web1"], "ProcessDown", process="web1")
    lose(["cache"], "CacheDown", process="cache")
    lose([store.master()], "SessionsNotCopied")
    store.wait_until_whole()
    lose(store.names, "NoSessionsMaster")
    store.wait_until_whole()


def _lose_host(stack, report, alerts):
    host = stack.topology.process("web2").host
    _break_and_mend(report, alerts, "the host web2 unplugged", "HostDown", {"host": "web2"}, lambda: stack.network.unplug(host), lambda: stack.network.plug_in(host))


# ---- traces ----------------------------------------------------------------------------------------------------------------------


def _upload_and_its_trace(uploader):
    body, kind = multipart([sample_photos()[0]])
    return uploader.client.ask("POST", "/api/photos", body, {"Content-Type": kind}).headers["X-Trace-Id"]


def _components_of(stack, trace):
    spans = traces.spans_of(stack.place.data("log_center") / "logs", trace)
    return {stack.topology.process(s.process).component for s in spans}


def _follow_one(stack, report):
    uploader = Uploaders(stack, 1).each[0]
    trace = _upload_and_its_trace(uploader)
    took = seconds_until(lambda: _components_of(stack, trace) >= {*ON_THE_WAY}, PATIENCE_SECONDS)
    report.at_most(f"an upload: until its trace has {', '.join(ON_THE_WAY)}", took, TRACE_SECONDS_MAX, "s")
    stack.stop(["log_center"])
    awaited(lambda: not processes.lives(stack.who("log_center")), PATIENCE_SECONDS)
    trace = _upload_and_its_trace(uploader)
    stack.start(["log_center"])
    took = seconds_until(lambda: _components_of(stack, trace) >= {*ON_THE_WAY}, PATIENCE_SECONDS)
    report.at_most("  of one while nobody collected logs: once somebody does", took, 2 * TRACE_SECONDS_MAX, "s")


# ---- workers ---------------------------------------------------------------------------------------------------------------------


def _clean_ends(stack):
    """Workers that have ended by themselves, with nothing begun and not finished: each says so in its last line. One that is killed in its work says nothing."""
    logs = (stack.place.log_of(p) for p in stack.topology.of_component(COMPONENT))
    return sum(len(re.findall(r"\d+ done, 0 rejected, 0 failed, 0 too late", log.read_text())) for log in logs if log.exists())


class _Fleet(Background):
    """How many workers there were, whenever that changed."""

    def __init__(self, stack):
        super().__init__()
        self._stack, self._names = stack, {p.name for p in stack.topology.of_component(COMPONENT)}
        self.sizes = [self.size()]

    def size(self):
        return len(self._names & {*self._stack.place.wanted()})

    def run(self):
        while not self.ending.wait(0.1):
            self._look()
        self._look()

    def _look(self):
        now = self.size()
        if now != self.sizes[-1]:
            self.sizes.append(now)


def _burst(stack, report):
    broker = Broker(stack)
    awaited(lambda: broker.unsettled("photos.uploaded", "workers") == 0, PATIENCE_SECONDS)
    most = len(stack.topology.of_component(COMPONENT))
    fleet = _Fleet(stack)
    awaited(lambda: fleet.size() == 1, PATIENCE_SECONDS)
    ended = _clean_ends(stack)
    fleet.sizes = [fleet.size()]
    cgroups.limit(stack.group("workers"), FLEET_PERCENT)
    try:
        with fleet:
            with Uploaders(stack, **BURST) as uploaders:
                time.sleep(BURST_SECONDS)
            report.figure(f"a burst of {BURST_SECONDS} s: photos a second", len(uploaders.acknowledged()) / BURST_SECONDS, "/s")
            done = seconds_until(lambda: broker.unsettled("photos.uploaded", "workers") == 0, PATIENCE_SECONDS)
            report.at_most("  after it: until all photos have their sizes", done, PATIENCE_SECONDS, "s")
            awaited(lambda: fleet.size() == 1, PATIENCE_SECONDS)
    finally:
        cgroups.limit(stack.group("workers"), None)
    report.require(f"  workers: {' '.join(map(str, fleet.sizes))}", fleet.sizes[0] == 1 and max(fleet.sizes) == most and fleet.sizes[-1] == 1)
    awaited(Shards(stack).nothing_in_work, PATIENCE_SECONDS)
    stopped = sum(max(0, a - b) for a, b in zip(fleet.sizes, fleet.sizes[1:]))
    awaited(lambda: _clean_ends(stack) - ended >= stopped, PATIENCE_SECONDS)
    report.no_faults(f"  of {stopped} workers that were stopped, killed in their work", ["a worker did not come to its end"] * (stopped - _clean_ends(stack) + ended))
    report.no_faults(f"  of {len(uploaders.acknowledged())} photos lost, doubled or without all sizes", uploaders.faults())


# ---- the dashboard ---------------------------------------------------------------------------------------------------------------


def _look_at_dashboard(stack, report):
    """Every chart has found what it shows, under these names among others; and there is a trace all the way."""
    with urllib.request.urlopen(stack.pages["dashboard"]) as answer:
        page = answer.read().decode()
    charts = re.findall(r'<div class="panel"><h2>([^<]*)</h2>(.*?)</div>', page, re.DOTALL)
    report.require(f"{len(charts)} charts, among them {', '.join(ON_THE_DASHBOARD)}", all(any(name in title for title, _ in charts) for name in ON_THE_DASHBOARD))
    report.no_faults("  of them without anything to show", [f"{title}: nothing yet" for title, chart in charts if "nothing yet" in chart])
    report.require("  alerts, and one trace from the balancer to a worker", 'class="alerts"' in page and "lb/haproxy" in page and "workers/sizer" in page)


# ---- restore ---------------------------------------------------------------------------------------------------------------------


def _drop_and_restore(stack, report):
    with Uploaders(stack, 2) as uploaders:
        time.sleep(3)
    awaited(Shards(stack).nothing_in_work, PATIENCE_SECONDS)
    psql = stack.psql()
    with processes.standing_still([stack.who(relay.name) for relay in stack.topology.of_component("relay")]):  # it counts up in a row all the while
        before, at = restoration.checksums(psql), restoration.instant(psql)
    psql.run("drop table photos cascade")
    report.require("drop table photos: its pages fail", stack.client().ask("GET", f"/photos/{uploaders.acknowledged()[0].photo_id}").status >= 500)
    begun = time.monotonic()
    restoration.push_log(psql)
    with restoration.Copy(stack, at) as copy:
        report.at_most("  until the database of the instant before is there, beside it", time.monotonic() - begun, RESTORED_SECONDS_MAX, "s")
        there = restoration.checksums(copy.psql())
        report.no_faults(f"  of {len(before)} tables with other rows than then", [f"{t}: {there.get(t)} instead of {before[t]}" for t in before if there.get(t) != before[t]])
        psql.run(f"begin;\n{copy.text()}\ncommit;")
    report.figure("  until it is in the place of the damaged one", time.monotonic() - begun, "s")
    report.no_faults(f"  of {len(uploaders.acknowledged())} photos lost, doubled or damaged", uploaders.faults())


def run(stack, report):
    alerts = Alerts(stack)
    _follow_one(stack, report)
    _burst(stack, report)
    _look_at_dashboard(stack, report)
    _drop_and_restore(stack, report)
    _kill_each(stack, report, alerts)
    _lose_processes(stack, report, alerts)
    _lose_host(stack, report, alerts)
