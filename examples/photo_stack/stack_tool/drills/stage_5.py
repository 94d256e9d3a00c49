"""Take the sessions' master, a web server and the cache away: nobody is logged out, nobody sees what is old, and the database is not overrun."""
import http.client
import secrets
import threading
import time

from stack_tool import database, requests
from stack_tool.balancer import Balancer
from stack_tool.cluster import Cluster
from stack_tool.hosts import Hosts
from stack_tool.logged_in import LoggedIn
from stack_tool.redis import Redis
from stack_tool.session_store import SessionStore
from stack_tool.uploaders import Uploaders, sample_photos

POLITE = {"clients": 4, "pause": 0.04}  # some 100 requests a second
SESSIONS_BACK_SECONDS_MAX = 6.0
ANSWER_SECONDS_MAX = 2.0
HOT, COLD, KEY_BYTES = 1_000, 30_000, 400  # rows that are read again and again, and rows that are read once
CROWD = 60  # who want the same photo at one moment
SLOW_SECONDS = 0.1  # that the database takes for it then
TOO_SLOW_SECONDS, CROWDS_MAX = 0.3, 5  # a reader has asked a second database then; a machine with other work may make it so long


class _Scene:
    def __init__(self, stack, report):
        self.stack, self.report = stack, report
        self.hosts, self.cluster, self.store = Hosts(stack), Cluster(stack), SessionStore(stack)
        self.writer, self.visitor = stack.client(), stack.client()
        self.user = self.writer.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
        self.photos = sample_photos()

    def upload(self):
        for client in (self.writer, self.visitor):
            client.close()  # the balancer ends a connection that is idle for long
        return self.writer.upload(*self.photos[0], secrets.token_hex(8))["id"]

    def cache(self):
        return Redis(self.stack.topology.process("cache"), self.stack.place, self.stack.network)


# ---- sessions --------------------------------------------------------------------------------------------------------------------


def _kill_master(scene):
    with LoggedIn(scene.stack, scene.photos[0]) as people:
        people.wait_for_an_answer()
        time.sleep(2)
        old, moment = scene.store.master(), time.monotonic()
        scene.hosts.kill(old)
        people.wait_for_an_answer()
        time.sleep(2)
        scene.report.at_most("the sessions' master dies: longest time that nobody was known", people.longest_gap_since(moment), SESSIONS_BACK_SECONDS_MAX, "s")
        scene.report.require("  another one is master", scene.store.master() != old)
        scene.hosts.revive()
        scene.report.figure("  the old one follows it after", scene.store.wait_until_whole(), "s")
    scene.report.at_most("  the slowest answer meanwhile", people.slowest(), ANSWER_SECONDS_MAX, "s")
    scene.report.no_faults(f"  of {len(people.tokens)} log-ins that were answered, worth nothing", people.strangers())


def _kill_web_server(scene):
    """Whoever is logged in there goes on at the other one."""
    with LoggedIn(scene.stack, scene.photos[0]) as people:
        people.wait_for_an_answer()
        taken = Balancer(scene.stack.place).requests("web1")
        moment = time.monotonic()
        scene.hosts.kill("web1")
        people.wait_for_an_answer()
        time.sleep(1)
        scene.report.require("the web server that people logged in on dies (it had taken requests)", taken > 0)
        scene.report.at_most("  longest time that nobody was known", people.longest_gap_since(moment), ANSWER_SECONDS_MAX, "s")
    scene.report.no_faults(f"  of {len(people.tokens)} log-ins, worth nothing at the other one", people.strangers())
    scene.hosts.revive()
    scene.stack.wait_until_ready(["web1"])


# ---- the cache -------------------------------------------------------------------------------------------------------------------


def _see_what_is_new(scene):
    """With replicas that stand still: what is put into the cache after a purge must not be what they still say."""
    photo = scene.upload()
    for _ in range(20):
        scene.visitor.photo(photo)
    faults = []
    with scene.cluster.replicas_standing_still():
        added = scene.upload()
        if f"/photos/{added}\"".encode() not in scene.visitor.fetch("/"):
            faults.append(f"photo {added} was answered, and is not on the first page right after")
        scene.writer.delete(photo)
        if scene.visitor.ask("GET", f"/api/photos/{photo}").status != 404:
            faults.append(f"photo {photo} was deleted, and is shown to a visitor right after")
        if f"/photos/{photo}\"".encode() in scene.visitor.fetch("/"):
            faults.append(f"photo {photo} was deleted, and is on the first page right after")
    scene.cluster.wait_until_whole()
    scene.report.no_faults("added and deleted, replicas standing still: seen as it was before", faults)


def _keep_what_is_hot(scene):
    cache, text = scene.cache(), "=" + "x" * KEY_BYTES
    for number in range(HOT):
        cache.ask("SET", f"drill:hot:{number}", text)
    for _ in range(5):
        for number in range(HOT):
            cache.ask("GET", f"drill:hot:{number}")
    for number in range(COLD):
        cache.ask("SET", f"drill:cold:{number}", text)
    kept = sum(cache.ask("EXISTS", f"drill:hot:{number}") for number in range(HOT))
    scene.report.at_least("a full cache: rows forgotten", int(cache.facts("stats")["evicted_keys"]), 1, "")
    scene.report.at_least("  of what is read often, kept", 100 * kept / HOT, 99.0, "%")
    cache.ask("FLUSHALL")


def _waiting(scene):
    """How many who only ask wait for a lock now, in all databases."""
    asking = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and usename = 'photos' and query like 'select%'"
    return sum(int(database.Psql(scene.stack.place.data(name)).run(asking, "postgres")) for name in scene.cluster.names)


def _crowd(scene, photo):
    """All of them want the photo while the database is slow to say what it is: how many ask it at once, how they are answered, and how slow it was."""
    def ask(client):
        ready.wait()
        try:
            statuses.append(client.ask("GET", f"/api/photos/{photo}").status)
        except (OSError, http.client.HTTPException):
            statuses.append(None)

    ready, statuses, asked = threading.Barrier(CROWD + 1), [], []
    clients = [scene.stack.client() for _ in range(CROWD)]
    for client in clients:
        client.ask("GET", "/healthz")  # they are connected
    crowd = [threading.Thread(target=ask, args=(client,), daemon=True) for client in clients]
    for one in crowd:
        one.start()
    databases = [database.Psql(scene.stack.place.data(name)) for name in scene.cluster.names]
    with scene.stack.psql().locked("renditions"):
        while not all(each.is_locked("renditions") for each in databases):
            time.sleep(0.01)
        ready.wait()
        begun = time.monotonic()
        while time.monotonic() < begun + SLOW_SECONDS:
            asked.append(_waiting(scene))
    took = time.monotonic() - begun
    for one in crowd:
        one.join()
    return max(asked, default=0), statuses, took


def _stampede(scene, what, most):
    for _ in range(CROWDS_MAX):
        at_once, statuses, took = _crowd(scene, scene.upload())
        if took < TOO_SLOW_SECONDS:
            break
    scene.report.figure(f"{what}, and {CROWD} want one photo: questions to the database at once", at_once, "")
    scene.report.require(f"  some, and not more than {most}", 1 <= at_once <= most)
    scene.report.no_faults("  of them not answered", [f"answers: {statuses}"] * sum(status != 200 for status in statuses))


def _measure_hits(scene):
    """What the cache takes from the databases."""
    before = scene.cache().facts("stats")
    reads = requests.measure(scene.stack, "/", 4, **POLITE)
    after = scene.cache().facts("stats")
    hits, misses = (int(after[name]) - int(before[name]) for name in ("keyspace_hits", "keyspace_misses"))
    scene.report.figure(f"of {sum(reads.statuses.values())} first pages, from the cache", 100 * hits / max(1, hits + misses), "%")


def _lose_cache(scene):
    def kill():
        time.sleep(1)
        scene.hosts.kill("cache")
        time.sleep(2)
        # One of each web server, which asks the primary once a replica has not answered in time: that one does not know yet that nobody waits.
        _stampede(scene, "the cache is dead", most=2 * len(Balancer(scene.stack.place).up()))
        scene.hosts.revive()
        scene.stack.wait_until_ready(["cache"])
        time.sleep(2)

    reads = requests.measure(scene.stack, "/", 5, **POLITE, source=scene.stack.here()[1], during=kill)
    scene.report.no_faults(f"  of {sum(reads.statuses.values())} pages read meanwhile failed", [f"answers: {reads.statuses}"] * reads.failed)
    scene.report.at_least("  it is back: keys in it", scene.cache().ask("DBSIZE"), 1, "")


def _unplug_cache(scene):
    photo = scene.upload()

    def unplug():
        with scene.hosts.unplugged(["cache"]):
            time.sleep(3)

    reads = requests.measure(scene.stack, f"/photos/{photo}", 4, **POLITE, during=unplug)
    scene.report.no_faults(f"the cache is unplugged: of {sum(reads.statuses.values())} pages failed", [f"answers: {reads.statuses}"] * reads.failed)
    scene.report.at_most("  the slowest of them", reads.slowest_seconds, ANSWER_SECONDS_MAX, "s")


def run(stack, report):
    with Uploaders(stack, count=1, pause=1) as uploaders:
        scene = _Scene(stack, report)
        for trial in (_kill_master, _kill_web_server, _see_what_is_new, _measure_hits):
            trial(scene)
        _stampede(scene, "the cache lives", most=1)
        for trial in (_lose_cache, _unplug_cache, _keep_what_is_hot):
            trial(scene)
    report.figure("uploads answered", len(uploaders.acknowledged()), "")
    report.figure("attempts without an answer, sent again", sum(u.attempts_failed for u in uploaders.each), "")
    report.no_faults("of them lost, doubled or damaged", uploaders.faults())
