"""Take the primary away in every way: another database becomes it in time, nothing that was answered is lost, and whoever reads notices nothing."""
import secrets
import signal
import time

from stack_tool import database, processes, requests
from stack_tool.cluster import Cluster
from stack_tool.hosts import Hosts
from stack_tool.ledger import Ledger
from stack_tool.primary_watch import PrimaryWatch
from stack_tool.uploaders import Uploaders, sample_photos
from stack_tool.waiting import awaited

POLITE = {"clients": 4, "pause": 0.04}  # some 100 requests a second
PATIENCE_SECONDS = 60
CUT_OFF_SECONDS = 0.5  # a primary from its replicas, before it dies: what it answers meanwhile, by itself, would be lost
WITHOUT_ETCD_SECONDS = 12  # longer than its lease
ANSWER_SECONDS_MAX = 2.0
UNPLUGGED_SECONDS = 4


class _Scene:
    def __init__(self, stack, report, ledger):
        self.stack, self.report, self.ledger = stack, report, ledger
        self.cluster = Cluster(stack)
        self.folders = {name: stack.place.data(name) for name in self.cluster.names}
        self.hosts = Hosts(stack)

    def others(self, primary):
        return [name for name in self.cluster.names if name != primary]

    def promoted(self, old):
        """Who is primary instead; None when nobody is in time."""
        return awaited(lambda: next((name for name in self.others(old) if database.Psql(self.folders[name]).is_primary()), None), PATIENCE_SECONDS)

    def gone(self, old):
        """Waits until it is no primary: what its PostgreSQL had begun may be answered for a moment after that was killed."""
        awaited(lambda: not database.Psql(self.folders[old]).is_primary(), PATIENCE_SECONDS, pause=0.02)

    def measure(self, what, bound, moment):
        """The longest time without an answered write, once there are answers again."""
        self.ledger.first_answer_after(time.monotonic(), PATIENCE_SECONDS)
        self.report.at_most(f"{what}: longest time without an answered write", self.ledger.longest_gap_since(moment), bound, "s")

    def mended(self):
        self.report.figure("  the database is whole again after", self.cluster.wait_until_whole(), "s")


def _switchover(scene):
    old, moment = scene.cluster.primary(), time.monotonic()
    scene.cluster.switch_over(old, scene.cluster.synchronous()[0])
    scene.report.require("switchover: another one is primary", scene.promoted(old))
    scene.measure("switchover", 3, moment)
    scene.mended()


def _kill_postmaster(scene):
    old = scene.cluster.primary()
    pid = int((scene.folders[old] / "postgres/postmaster.pid").read_text().split()[0])
    moment = time.monotonic()
    processes.send(processes.identity(pid), signal.SIGKILL)
    scene.gone(old)
    scene.measure("kill -9 of the primary's PostgreSQL", 6, moment)
    scene.mended()


def _lose_host(scene):
    """With its cable, as what its kernel has not sent yet would be sent still."""
    old, moment = scene.cluster.primary(), time.monotonic()
    primary, replicas = scene.hosts.of(old), [scene.hosts.of(name) for name in scene.others(old)]
    scene.stack.network.cut(primary, replicas)
    time.sleep(CUT_OFF_SECONDS)
    with scene.hosts.unplugged([old]):
        scene.hosts.kill(old)
        scene.report.require("the primary's host dies, cut off from its replicas just before: another one is primary", scene.promoted(old))
        scene.measure("  the same", 20, moment)
    scene.stack.network.mend(primary, replicas)
    scene.hosts.revive()
    scene.mended()


def _unplug_primary(scene):
    old, moment = scene.cluster.primary(), time.monotonic()
    with scene.hosts.unplugged([old]):
        scene.report.require("the primary is unplugged, and lives: another one is primary", scene.promoted(old))
        scene.report.require("  it had laid its role down", not database.Psql(scene.folders[old]).is_primary())
        scene.measure("  the same", 20, moment)
    scene.mended()


def _lose_etcd(scene):
    old, moment = scene.cluster.primary(), time.monotonic()
    lost = [process.name for process in scene.stack.topology.of_component("etcd")[:2]]
    for name in lost:
        scene.hosts.kill(name)
    time.sleep(WITHOUT_ETCD_SECONDS)
    scene.measure(f"2 of 3 etcd lost for {WITHOUT_ETCD_SECONDS} s", 1, moment)
    scene.report.require("  the same one is primary", scene.cluster.primary() == old)
    scene.hosts.revive()
    scene.stack.wait_until_ready(lost)
    scene.mended()


def _read_your_writes(stack, report):
    """Replicas that are far behind: their replay stands still. Whoever has written sees it all the same, on any of the web servers; others see it later."""
    writer, visitor = stack.client(), stack.client()
    user = writer.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
    cluster = Cluster(stack)
    with cluster.replicas_standing_still():
        unseen = []
        for number, (name, content) in enumerate(sample_photos()[:6]):
            photo = writer.upload(name, content, f"own-{number}")["id"]
            if photo not in [p["id"] for p in writer.photos_of(user)]:
                unseen.append(f"photo {photo} was answered, and is not in its owner's list right after")
        report.no_faults("replicas that stand still: own uploads not seen right after", unseen)
        report.require("  others do not see them yet: replicas are read", not list(visitor.photos_of(user)))
    cluster.wait_until_whole()


def _unplug_all(scene):
    client, answers, until = scene.stack.client(), [], time.monotonic() + UNPLUGGED_SECONDS
    with scene.hosts.unplugged(scene.cluster.names):
        while time.monotonic() < until:
            begun = time.monotonic()
            answers.append((client.ask("GET", "/").status, time.monotonic() - begun))
            time.sleep(0.02)  # or the balancer takes it for a flood
    scene.report.at_most("all databases unplugged: the slowest answer", max(seconds for _, seconds in answers), ANSWER_SECONDS_MAX, "s")
    scene.report.require("  it is 503 then", answers[-1][0] == 503)
    scene.mended()


def _break_in_turn(scene):
    for fault in (_switchover, _kill_postmaster, _lose_host, _unplug_primary, _lose_etcd):
        time.sleep(2)
        fault(scene)


def run(stack, report):
    _read_your_writes(stack, report)
    folders = [stack.place.data(process.name) for process in stack.topology.of_component("patroni")]
    with PrimaryWatch(folders) as watch, Ledger(stack, "web1") as ledger, Uploaders(stack, count=1, pause=1) as uploaders:
        scene = _Scene(stack, report, ledger)
        ledger.first_answer_after(0, PATIENCE_SECONDS)
        reader = stack.here()[1]
        reads = requests.measure(stack, "/", 0, **POLITE, source=reader, during=lambda: _break_in_turn(scene))
        report.no_faults(f"of {sum(reads.statuses.values())} pages read meanwhile failed", [f"answers: {reads.statuses}"] * reads.failed)
        report.figure("  the slowest of them", reads.slowest_seconds, "s")
        _unplug_all(scene)
    report.no_faults(f"two primaries at once, in {watch.looks} looks", watch.doubled)
    report.no_faults(f"of {len(ledger.answered)} rows that were answered, lost", ledger.lost())
    report.figure("uploads answered", len(uploaders.acknowledged()), "")
    report.figure("attempts without an answer, sent again", sum(u.attempts_failed for u in uploaders.each), "")
    report.no_faults("of them lost, doubled or damaged", uploaders.faults())
