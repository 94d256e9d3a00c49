"""Take a whole data centre away: its people are served by the other one, nothing that was answered is lost, and it comes back by itself."""
import secrets
import statistics
import subprocess
import time
import urllib.parse

from stack_tool import requests
from stack_tool.balancer import Balancer
from stack_tool.cluster import Cluster
from stack_tool.data_centre import DataCentre
from stack_tool.edges import Edges, ObjectStores
from stack_tool.hosts import Hosts
from stack_tool.ledger import Ledger
from stack_tool.logged_in import LoggedIn
from stack_tool.name_servers import NameServers
from stack_tool.primary_watch import PrimaryWatch
from stack_tool.redis import Redis
from stack_tool.region import SITE_NAME
from stack_tool.session_store import SessionStore
from stack_tool.uploaders import Uploaders, sample_photos
from stack_tool.waiting import awaited, seconds_until

POLITE = {"clients": 2, "pause": 0.05}
PATIENCE_SECONDS = 90
CUT_SECONDS = 18  # longer than the primary's lease
HEARD_SECONDS = 2  # into the cut
USERS_SECONDS_MAX, WRITES_SECONDS_MAX, SESSIONS_SECONDS_MAX, RETURN_SECONDS_MAX = 12, 25, 6, 30
STALL_SECONDS_MAX = 8
GONE_SECONDS_MAX, EVEN_SECONDS_MAX = 5, 20
EDGES = {"east": "edge1", "west": "edge2"}


class _Scene:
    def __init__(self, stack, report):
        self.stack, self.report = stack, report
        self.cluster, self.store, self.hosts, self.names = Cluster(stack), SessionStore(stack), Hosts(stack), NameServers(stack)
        self.edges, self.stores = Edges(stack), ObjectStores(stack)
        self.east, self.west = stack.region("east"), stack.region("west")
        self.photos = sample_photos()

    def while_people_read(self, during):
        """Pages in both regions. What failed, as faults."""
        measured = {}

        def in_the_west():
            measured["west"] = requests.measure(self.west, "/", 0, **POLITE, during=during)

        measured["east"] = requests.measure(self.east, "/", 0, **POLITE, during=in_the_west)
        pages = sum(sum(reads.statuses.values()) for reads in measured.values())
        return pages, [f"in the {region}: {reads.statuses}" for region, reads in measured.items() for _ in range(reads.failed)]


# ---- how far it is ---------------------------------------------------------------------------------------------------------------


def _address_as_libc_finds_it(region):
    found = subprocess.run(["ip", "netns", "exec", region.namespace, "getent", "ahostsv4", SITE_NAME], capture_output=True, text=True, check=True).stdout
    return found.split()[0]


def _ask_the_way(scene):
    balancers = {host.site: scene.stack.network.address(host, "public") for host in scene.stack.topology.in_each_data_centre("lb")}
    right = all(_address_as_libc_finds_it(scene.stack.region(site)) == address for site, address in balancers.items())
    scene.report.require("people are sent to the data centre of their region", right)


def _measure_distance(scene):
    """What it costs that an answered row is in both data centres."""
    for site in ("east", "west"):
        with Ledger(scene.stack, f"{site}-web1") as ledger:
            ledger.first_answer_after(0, PATIENCE_SECONDS)
            time.sleep(3)
        seconds = [answered - begun for _, begun, answered in ledger.answered]
        scene.report.figure(f"a row written from the {site}, the primary in the east: median", 1000 * statistics.median(seconds), "ms")
    for site in ("east", "west"):
        client = scene.stack.region(site).client()
        client.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
        seconds = []
        for name, content in scene.photos[:10]:
            begun = time.monotonic()
            client.upload(name, content, secrets.token_hex(8))
            seconds.append(time.monotonic() - begun)
        scene.report.figure(f"an upload in the {site}: median of {len(seconds)}", 1000 * statistics.median(seconds), "ms")


def _look_nearby(scene):
    """What people look at comes from the edge of their data centre."""
    named = {site: [edge for edge in EDGES.values() if scene.edges.url(edge).encode() in scene.stack.region(site).client().fetch("/")] for site in EDGES}
    scene.report.require("their pages name the edge that is there", named == {site: [edge] for site, edge in EDGES.items()})


def _see_what_is_new(scene):
    """Each region's pages come from a cache of its own: what is added or deleted in the one is seen in the other."""
    here, there = scene.east.client(), scene.west.client()
    here.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
    faults, slowest = [], 0.0
    for name, content in scene.photos[:5]:
        there.fetch("/")  # it is in the cache
        photo = here.upload(name, content, secrets.token_hex(8))["id"]
        link = f"/photos/{photo}\"".encode()
        if link not in there.fetch("/"):
            faults.append(f"photo {photo} was added in the east, and is not on the first page in the west")
        square = next(size["url"] for size in there.photo(photo)["renditions"] if size["file"].endswith("square.jpg"))
        there.fetch(square)
        here.delete(photo)
        deleted = time.monotonic()
        if link in there.fetch("/") or there.ask("GET", f"/api/photos/{photo}").status != 404:
            faults.append(f"photo {photo} was deleted in the east, and is shown in the west")
        awaited(lambda: there.edge(square).ask("GET", urllib.parse.urlsplit(square).path).status == 404, PATIENCE_SECONDS)
        slowest = max(slowest, time.monotonic() - deleted)
    scene.report.no_faults("added and deleted in the east: in the west seen as it was before", faults)
    scene.report.at_most("  until what was deleted is gone from the edge in the west: the slowest", slowest, GONE_SECONDS_MAX, "s")


# ---- what can happen -------------------------------------------------------------------------------------------------------------


def _hear_of_a_change(scene):
    """In the west's cache, which so knows of what no database there has: a purge may be the last that gets through, or the first again. And what is not there is a
    segment of the log, as after minutes."""
    shard, here = scene.stack.topology.shards[0].name, scene.stack.psql().run("select pg_switch_wal()").strip()
    cache = Redis(scene.stack.topology.process("west-cache"), scene.stack.place, scene.stack.network)
    cache.ask("SET", f"newest:{shard}", f"!{shard}={here}", "EX", 60)


def _cut(scene, ledger):
    """Between the data centres; the witness and all people reach both."""
    primary, master, moment = scene.cluster.primary(), scene.store.master(), time.monotonic()
    stayed = {}

    def cut():
        with LoggedIn(scene.west, scene.photos[0]) as people:
            people.wait_for_an_answer()
            begun = time.monotonic()
            with scene.stack.wan.cut("east", "west"):
                time.sleep(HEARD_SECONDS)
                _hear_of_a_change(scene)
                time.sleep(CUT_SECONDS - HEARD_SECONDS)
                stayed["primary"], stayed["master"] = scene.cluster.primary() == primary, scene.store.master() == master
                stayed["served"] = scene.east.data_centre() == "east" and scene.west.data_centre() == "west"
            people.wait_for_an_answer()
            stayed["unknown"] = people.longest_gap_since(begun)
            time.sleep(1)

    pages, faults = scene.while_people_read(cut)
    scene.report.no_faults(f"the link between the data centres is cut for {CUT_SECONDS} s: of {pages} pages failed", faults)
    scene.report.require("  each region is served by its own data centre", stayed["served"])
    scene.report.require("  the same database is primary, the same Redis master", stayed["primary"] and stayed["master"])
    scene.report.at_most("  whoever is logged in in the west: longest time that he was not known", stayed["unknown"], SESSIONS_SECONDS_MAX, "s")
    scene.report.at_most("  longest time without an answered write in the east", ledger.longest_gap_since(moment), STALL_SECONDS_MAX, "s")
    scene.report.figure("  mended: the database is whole again after", scene.cluster.wait_until_whole(), "s")


def _is_idle(balancer, servers):
    before = sum(balancer.requests(server) for server in servers)
    time.sleep(1)
    return sum(balancer.requests(server) for server in servers) == before


def _drain(scene):
    """As for work at a data centre: its people are led away before its balancer and web servers stop."""
    balancer, servers = Balancer(scene.stack.place, "east-haproxy"), ["web1", "web2"]
    names = ["east-haproxy", *(f"east-{server}" for server in servers)]
    took = {}

    def drain():
        begun = time.monotonic()
        with scene.names.sending_nobody_to("east"):
            awaited(lambda: _is_idle(balancer, servers), PATIENCE_SECONDS)
            took["empty"] = time.monotonic() - begun
            scene.stack.stop(names)
            time.sleep(3)
            scene.stack.start(names)
            scene.stack.wait_until_ready(names)
            awaited(lambda: balancer.up() == servers, PATIENCE_SECONDS)
        took["back"] = scene.east.until_sent_to("east", PATIENCE_SECONDS)
        time.sleep(3)

    pages, faults = scene.while_people_read(drain)
    scene.report.at_most("east is drained by DNS: until nobody asks it for anything", took["empty"], USERS_SECONDS_MAX, "s")
    scene.report.no_faults(f"  stopped, and started again: of {pages} pages failed", faults)
    scene.report.at_most("  until its people are sent to it again", took["back"], RETURN_SECONDS_MAX, "s")


def _lose(scene, ledger):
    """The east."""
    with LoggedIn(scene.east, scene.photos[0]) as easterners, LoggedIn(scene.west, scene.photos[1]) as westerners:
        for people in (easterners, westerners):
            people.wait_for_an_answer()
        time.sleep(2)
        east = DataCentre(scene.stack, "east")
        scene.report.require("all of east dies, who leads the databases and the sessions with it", east.leads_all())
        moment = time.monotonic()
        with east.lost():
            for people in (easterners, westerners):
                people.wait_for_an_answer()
            ledger.first_answer_after(time.monotonic(), PATIENCE_SECONDS)
            writes = ledger.longest_gap_since(moment)
            time.sleep(5)
        scene.report.at_most("  its people: longest time that nobody was answered", easterners.longest_gap_since(moment), USERS_SECONDS_MAX, "s")
        scene.report.at_most("  people of the west: longest time that nobody was known", westerners.longest_gap_since(moment), SESSIONS_SECONDS_MAX, "s")
        scene.report.at_most("  longest time without an answered write", writes, WRITES_SECONDS_MAX, "s")
        scene.report.at_most("  it is there again: until all of it works, and its people are sent to it", east.bring_back(), RETURN_SECONDS_MAX, "s")
        time.sleep(2)
    for region, people in (("east", easterners), ("west", westerners)):
        scene.report.no_faults(f"  of {len(people.tokens)} log-ins in the {region}, before, meanwhile and since, worth nothing", people.strangers())


def _even_out(scene, photos):
    took = seconds_until(lambda: scene.stores.open_repairs() == 0, PATIENCE_SECONDS)
    scene.report.at_most("until nothing is to be made up for in the object stores", took, EVEN_SECONDS_MAX, "s")
    scene.report.no_faults(f"  of {len(photos)} photos, not whole in both", scene.stores.differences(photos))


def _switch_back(scene):
    """Nobody does that by himself: a primary in the west is as good, only farther from the east."""
    begun = time.monotonic()
    scene.cluster.switch_over(scene.cluster.primary(), "db1")
    scene.cluster.wait_until_whole()
    scene.report.figure("  the primary is led back to the east, and the database whole, after", time.monotonic() - begun, "s")


def run(stack, report):
    scene = _Scene(stack, report)
    _ask_the_way(scene)
    _measure_distance(scene)
    _look_nearby(scene)
    _see_what_is_new(scene)
    folders = [stack.place.data(name) for name in scene.cluster.names]
    with PrimaryWatch(folders) as watch, Uploaders(scene.east, 1, pause=1) as easterners, Uploaders(scene.west, 1, pause=1) as westerners:
        with Ledger(stack, "east-web1") as near:
            near.first_answer_after(0, PATIENCE_SECONDS)
            _cut(scene, near)
        report.no_faults(f"  of {len(near.answered)} rows that were answered, lost", near.lost())
        _drain(scene)
        with Ledger(stack, "west-web1") as far:
            far.first_answer_after(0, PATIENCE_SECONDS)
            _lose(scene, far)
        report.no_faults(f"  of {len(far.answered)} rows that were answered, lost", far.lost())
        _switch_back(scene)
    _even_out(scene, [a.photo_id for uploaders in (easterners, westerners) for a in uploaders.acknowledged()])
    report.no_faults(f"two primaries at once, in {watch.looks} looks", watch.doubled)
    for region, uploaders in (("east", easterners), ("west", westerners)):
        report.figure(f"uploads answered in the {region}", len(uploaders.acknowledged()), "")
        report.figure("  attempts without an answer, sent again", sum(u.attempts_failed for u in uploaders.each), "")
        report.no_faults("  of them lost, doubled or damaged", uploaders.faults())
