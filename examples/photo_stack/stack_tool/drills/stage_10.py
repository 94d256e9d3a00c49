"""Kill a shard's primary, change the schema, add a shard, move buckets, kill each part of a data centre by itself, and then lose it, all under uploads: who is in another
shard notices nothing, and no row is lost or doubled."""
import contextlib
import http.client
import random
import secrets
import signal
import subprocess
import sys
import time

from stack_tool import cgroups, database, live_events, migration, processes, requests, shard_check, topology
from stack_tool.background import Background
from stack_tool.broker import Broker
from stack_tool.cluster import Cluster
from stack_tool.data_centre import DataCentre
from stack_tool.drills.stage_8 import REPAIRS, STOREKEEPER, UPLOADED, WORKERS
from stack_tool.edges import ObjectStores
from stack_tool.failure import StackFailed
from stack_tool.gaps import longest_gap
from stack_tool.hosts import Hosts
from stack_tool.photo_client import Refused
from stack_tool.session_store import SessionStore
from stack_tool.shards import Shards, bucket_of
from stack_tool.uploaders import RENDITIONS, Uploader, Uploaders, acknowledged_by, sample_photos, seconds_since
from stack_tool.waiting import awaited, seconds_until

OF_EACH_SHARD = 2  # uploaders, of few and small photos: it is not their sizes that is tried here
PAUSE_SECONDS, PHOTOS = 1.5, 4
UNNOTICED_SECONDS_MAX = 1.0  # an upload of somebody whose shard is well
BACK_SECONDS_MAX = 20.0  # after the death of a primary's host; and of its PostgreSQL alone
RESTARTED_SECONDS_MAX = 6.0
ANSWER_SECONDS_MAX = 2.0
SIZES_SECONDS_MAX = 15.0
SETTLED_SECONDS_MAX = 90.0
STANDING_SECONDS = 4
WORKERS_PERCENT = 80  # of a core, for those of a data centre: it is not their work that is tried here
TAKEN_OVER_SECONDS_MAX = 60.0  # a lease of 15 s, and another relay that waits ten
WRITES_SECONDS_MAX, RETURN_SECONDS_MAX = 30.0, 60.0
PATIENCE_SECONDS = 90
FANS, FAN_SECONDS = 4, 4
FANS_SHARE_MAX = 5.0  # % of a celebrity's visits that her shard hears of
NEWEST = 24
UPLOADS_MEANWHILE = 8
KILLED_MOVES = 3
BETWEEN_SECONDS = 3  # two shards; nobody waits so long for a bucket (web/database.cpp)
WAITED_SECONDS = 1.0  # but so long
MOVED = 32  # buckets, beside those of the uploaders


# ---- people whose shard is known ---------------------------------------------------------------------------------------------------


class _People(Uploaders):
    """So many in each of the shards."""

    def __init__(self, stack, shards, count, pause=PAUSE_SECONDS):
        places, photos = Shards(stack).places(), sorted(sample_photos(), key=lambda photo: len(photo[1]))[:PHOTOS]
        self.each, self._shard_of = [], {}
        while len(self.each) < count * len(shards):
            uploader = Uploader(len(self.each), stack.client(), photos, pause)
            shard = places[bucket_of(uploader.user_id)]
            if shard in shards and len(self.of(shard)) < count:
                self.each.append(uploader)
                self._shard_of[uploader.user_id] = shard

    def of(self, shard):
        """Those who were in it at the beginning."""
        return [u for u in self.each if self._shard_of[u.user_id] == shard]

    def buckets(self):
        return sorted({bucket_of(u.user_id) for u in self.each})


def _longest_gap(uploaders, moment):
    """Between two answers that any of these got since."""
    return longest_gap([*sorted(a.answered_at for a in acknowledged_by(uploaders)), time.monotonic()], moment)


def _slowest(uploaders, moment):
    return max(seconds_since(uploaders, moment), default=None)


class _Reader(Background):
    """Looks without pause at what was answered: each photo is there, in its owner's list, and the latest is among the newest of all, unless its bucket has been waited
    for in vain."""

    def __init__(self, stack, people):
        super().__init__()
        self._client, self._people = stack.client(stack.here()[1]), people
        self.reads, self.faults, self.slowest, self.left_out = 0, [], 0.0, 0

    def run(self):
        while not self.ending.wait(0.05):
            uploader = random.choice(self._people.each)
            known = [a.photo_id for a in uploader.acknowledged]
            latest = max(self._people.acknowledged(), key=lambda a: a.answered_at, default=None)
            if known:
                for look in (lambda: self._photo(random.choice(known)), lambda: self._list(uploader.user_id, known), lambda: self._newest(latest.photo_id)):
                    self._look(look)

    def _look(self, look):
        begun = time.monotonic()
        try:
            fault = look()
        except (OSError, http.client.HTTPException) as why:
            fault = f"no answer: {why!r}"
        self.reads, self.slowest = self.reads + 1, max(self.slowest, time.monotonic() - begun)
        self.faults += [fault] if fault else []

    def _photo(self, photo):
        status = self._client.ask("GET", f"/api/photos/{photo}").status
        return None if status == 200 else f"photo {photo} was answered, and now with {status}"

    def _list(self, user, known):
        answer = self._client.ask("GET", f"/api/users/{user}/photos")
        there = [photo["id"] for photo in answer.json()["photos"]] if answer.status == 200 else []
        missing = {*known[-NEWEST // 2:]} - {*there}
        return f"user {user}: photos {missing} are not in the list ({answer.status})" if missing else None

    def _newest(self, photo):
        begun = time.monotonic()
        answer = self._client.ask("GET", "/")
        if f"/photos/{photo}\"".encode() in answer.body:
            return None
        if answer.status == 200 and time.monotonic() - begun >= WAITED_SECONDS:
            self.left_out += 1
            return None
        return f"photo {photo} is not among the newest of all ({answer.status})"


def _of(stack, component, site):
    return [process.name for process in stack.topology.of_component(component) if process.host.site == site]


def _sizers(stack, site):
    return [stack.who(name) for name in _of(stack, "sizer", site)]


# ---- what is tried -----------------------------------------------------------------------------------------------------------------


def _transactions(stack, shard):
    """Of the web servers and the relays, in all of its databases."""
    asked = "select coalesce(sum(xact_commit), 0) from pg_stat_database where datname = 'photos'"
    return sum(int(database.Psql(stack.place.data(name)).run(asked, "postgres")) for name in Cluster(stack, shard).names)


def _transactions_while(stack, shard, during):
    told_seconds = 1.5  # a database tells of a transaction a second later
    time.sleep(told_seconds)
    before = _transactions(stack, shard)
    during()
    time.sleep(told_seconds)
    return _transactions(stack, shard) - before


def _be_famous(stack, report):
    """Many look at one user's page: what of that comes to her shard?"""
    star = _People(stack, ["s2"], 1).each[0]
    name = star.client.upload(*sample_photos()[0], "famous")["user"]
    awaited(lambda: next(star.client.photos_of(star.user_id))["state"] == "ready", PATIENCE_SECONDS)
    stack.client().ask("GET", f"/users/{name}")
    alone = _transactions_while(stack, "s2", lambda: time.sleep(FAN_SECONDS))  # what the relays ask, and whoever watches
    measured = []
    asked = _transactions_while(stack, "s2", lambda: measured.append(requests.measure(stack, f"/users/{name}", FAN_SECONDS, FANS, pause=0.03, source=stack.here()[1])))
    visits, count = measured[0], sum(measured[0].statuses.values())
    report.no_faults(f"of {count} visits of a celebrity's page failed", [f"answers: {visits.statuses}"] * visits.failed)
    report.at_most("  transactions in her shard meanwhile, of a hundred visits", 100 * max(0, asked - alone) / max(1, count), FANS_SHARE_MAX, "")


def _sizes_of_the_next(stack, uploader):
    """Of a photo that is uploaded from now on: how long until its sizes are there."""
    before = len(uploader.acknowledged)
    if not awaited(lambda: len(uploader.acknowledged) > before, PATIENCE_SECONDS):
        return None
    photo, client = uploader.acknowledged[before].photo_id, stack.client()
    return seconds_until(lambda: len(client.photo(photo)["renditions"]) == RENDITIONS, PATIENCE_SECONDS)


def _lose_primary_host(stack, report, people, shard, others):
    cluster, hosts = Cluster(stack, shard), Hosts(stack)
    old, moment = cluster.primary(), time.monotonic()
    with hosts.unplugged([old]):
        hosts.kill(old)
        meanwhile = _sizes_of_the_next(stack, people.of(others)[0])
        awaited(lambda: any(a.answered_at - a.seconds > moment + 3 for u in people.of(shard) for a in u.acknowledged), PATIENCE_SECONDS)
        slowest_there = _slowest(people.of(others), moment)
    report.require(f"the host of {shard}'s primary dies: another one is primary", cluster.primary() not in (None, old))
    report.at_most("  longest time without an answered upload there", _longest_gap(people.of(shard), moment), BACK_SECONDS_MAX, "s")
    report.at_most(f"  in {others}: the slowest upload meanwhile", slowest_there, UNNOTICED_SECONDS_MAX, "s")
    report.at_most(f"  in {others}, of a photo that was uploaded meanwhile: until its sizes are there", meanwhile, SIZES_SECONDS_MAX, "s")
    hosts.revive()
    report.figure("  it is whole again after", cluster.wait_until_whole(), "s")


def _kill_directory(stack, report, people):
    """The first shard's primary, which knows the names and the map: who is in another one, and logged in, needs neither."""
    cluster = Cluster(stack, "s1")
    old, moment = cluster.primary(), time.monotonic()
    pid = int((stack.place.data(old) / "postgres/postmaster.pid").read_text().split()[0])
    processes.send(processes.identity(pid), signal.SIGKILL)
    awaited(lambda: any(a.answered_at - a.seconds > moment + 2 for u in people.of("s1") for a in u.acknowledged), PATIENCE_SECONDS)
    report.at_most("kill -9 of s1's primary, which has the directory: longest time without an answered upload there", _longest_gap(people.of("s1"), moment), RESTARTED_SECONDS_MAX, "s")
    report.at_most("  in s2: the slowest upload meanwhile", _slowest(people.of("s2"), moment), UNNOTICED_SECONDS_MAX, "s")
    cluster.wait_until_whole()


def _migrate(stack, report, people):
    moment, filled = time.monotonic(), 0
    for _, _, rows in migration.run({name: stack.psql(name) for name in Shards(stack).registered()}):
        filled += rows
    report.at_least("a change of the schema in all shards: rows that were filled in", filled, 1, "")
    report.figure("  it took", time.monotonic() - moment, "s")
    people.first_answer_after(time.monotonic(), PATIENCE_SECONDS)
    report.at_most("  the slowest upload meanwhile", _slowest(people.each, moment), ANSWER_SECONDS_MAX, "s")


def _command(stack, *words):
    return [sys.executable, str(topology.SOURCE / "stack"), "shard", *words, "--name", stack.place.name]


def _shard(stack, *words):
    """What `stack shard …` says."""
    done = subprocess.run(_command(stack, *words), capture_output=True, text=True)
    if done.returncode != 0:
        raise StackFailed(f"stack shard {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _kill_movers(stack, buckets):
    """Each at another moment: how many of them had begun, and not ended."""
    begun = 0
    for bucket in buckets:
        mover = subprocess.Popen(_command(stack, "move", "s3", "--buckets", str(bucket)), stdout=subprocess.DEVNULL)
        awaited(lambda: bucket in Shards(stack).under_way() or mover.poll() is not None, PATIENCE_SECONDS, pause=0)
        mover.kill()
        mover.wait()
        begun += bucket in Shards(stack).under_way()
    return begun


def _stay_between(stack, bucket):
    """As if its mover stood still: closed, and nowhere open."""
    source = stack.psql(Shards(stack).places()[bucket])
    for state, to, seconds in (("owned", "leaving", BETWEEN_SECONDS), ("leaving", "owned", 0)):
        source.run(f"update own_buckets set state = '{to}' where bucket = {bucket} and state = '{state}'")
        time.sleep(seconds)


def _grow(stack, report, people):
    begun = time.monotonic()
    _shard(stack, "add", "s3")
    report.figure("a third shard is there after", time.monotonic() - begun, "s")
    Hosts(stack).kill("store1")  # so the storekeeper has to know, for as long as buckets move, in which shard a photo is now
    with _Reader(stack, people) as reader:
        moment = time.monotonic()
        killed = _kill_movers(stack, people.buckets()[:KILLED_MOVES])
        report.at_least(f"  of {KILLED_MOVES} moves of uploaders' buckets, killed in the middle", killed, 1, "")
        told = _shard(stack, "resume")
        for chosen in (people.buckets, lambda: Shards(stack).to_even_out("s3")[:MOVED]):
            told += _shard(stack, "move", "s3", "--buckets", *map(str, chosen()))
        took = time.monotonic() - moment
        _stay_between(stack, Shards(stack).to_even_out("s3")[0])
        people.first_answer_after(time.monotonic(), PATIENCE_SECONDS)
    closed = [int(line.split(" for ")[1].split()[0]) for line in told.splitlines() if "nobody got in" in line]
    report.at_least("  buckets that it has then", list(Shards(stack).places().values()).count("s3"), MOVED + len(people.buckets()), "")
    report.figure("  until it has them", took, "s")
    report.figure("  a bucket is closed for, at most", max(closed), "ms")
    report.at_most("  the slowest upload meanwhile", _slowest(people.each, moment), ANSWER_SECONDS_MAX, "s")
    report.at_most("  longest time without any answered upload", _longest_gap(people.each, moment), ANSWER_SECONDS_MAX, "s")
    report.no_faults(f"  of {reader.reads} looks at photos, lists and the first page, wrong or failed", reader.faults)
    report.figure(f"  first pages without a bucket that was between two shards for more than {WAITED_SECONDS:.0f} s", reader.left_out, "")
    report.at_most("  the slowest of them", reader.slowest, ANSWER_SECONDS_MAX, "s")
    Hosts(stack).revive()
    stack.wait_until_ready(["store1"])


def _lead_back(stack, report):
    """Each shard, to the east: what comes next shall be lost with it."""
    begun, switched = time.monotonic(), set()
    for name in Shards(stack).registered():
        cluster = Cluster(stack, name)
        cluster.wait_until_whole()
        if Hosts(stack).of(cluster.primary()).site != "east":
            cluster.switch_over(cluster.primary(), cluster.names[0])
            cluster.wait_until_whole()
            switched.add(name)
    report.figure("all shards are led from the east again after", time.monotonic() - begun, "s")

    def signed_up_in_each():  # until the web servers have found a new primary, they say that they are unavailable
        try:
            user = stack.client().sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
        except Refused as refused:
            if refused.status != 503:
                raise
            return False
        switched.discard(Shards(stack).places()[bucket_of(user)])
        return not switched

    awaited(signed_up_in_each, PATIENCE_SECONDS)
    report.require("  and somebody has signed up since in each that was led from the west", not switched)


def _settle(stack, report):
    done = seconds_until(Shards(stack).nothing_in_work, 3 * SETTLED_SECONDS_MAX)
    report.at_most("after the last upload: until every photo has its sizes", done, SETTLED_SECONDS_MAX, "s")


def _even_out(stack, report, brokers, photo_ids):
    """What an object store has missed meanwhile."""
    stores = ObjectStores(stack)
    took = seconds_until(lambda: stores.open_repairs() + sum(broker.unsettled(REPAIRS, STOREKEEPER) for broker in brokers) == 0, PATIENCE_SECONDS)
    report.at_most("until each object store has what it missed", took, SETTLED_SECONDS_MAX, "s")
    report.no_faults(f"  of {len(photo_ids)} photos not the same in both stores", stores.differences(photo_ids))


def _sign_up_twice(stack, report):
    """Names are unique, wherever their accounts are; and a sign-up that ended between the directory and the shard keeps nobody from the name."""
    name, client = f"user_{secrets.token_hex(6)}", stack.client()
    Shards(stack).directory().run(f"insert into names (name) values ('{name}')")
    user = client.sign_up_and_log_in(name, "a good password")
    second = client.ask("POST", "/api/users", f'{{"name": "{name}", "password": "another password"}}', {"Content-Type": "application/json"}).status
    reserved = int(Shards(stack).directory().run(f"select user_id from names where name = '{name}'"))
    report.require("a name whose sign-up was broken off is free, and taken once it is an account", user == reserved and second == 409)


def _watch_from_afar(stack, report):
    """Who looks from the other data centre at a photo that is just made ready sees its sizes come, too."""
    here, there = stack.region("east").client(), stack.region("west").client()
    here.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
    with contextlib.ExitStack() as at_first:
        at_first.enter_context(processes.standing_still(_sizers(stack, "east")))
        photo = here.upload(*sample_photos()[0], "watched")["id"]

        def go_on():
            time.sleep(1)  # whoever watches is connected; the sizes are those of later
            at_first.close()

        told = live_events.told_while(there, photo, go_on)
    report.require("a photo of the east that is watched in the west as its sizes are made: all are told", live_events.all_sizes(told, 1))


def _kill_in_turn(stack, report):
    """Before a whole data centre, each of what is in it by itself; the supervisor starts it again."""
    broker, = _of(stack, "millrace", "east")
    with Uploaders(stack.region("east"), 2, PAUSE_SECONDS) as people:
        people.first_answer_after(0, PATIENCE_SECONDS)
        awaited(lambda: Broker(stack, broker).progress(UPLOADED, WORKERS)["leased"] > 0, PATIENCE_SECONDS)
        for what, names in (("the workers of the east, mid-photo", _of(stack, "sizer", "east")), ("its broker", [broker]), ("its relay", _of(stack, "relay", "east")),
                            ("a web server", _of(stack, "web", "east")[:1]), ("an edge", _of(stack, "edge", "east")[:1]), ("the sessions' master", [SessionStore(stack).master()])):
            before, moment = len(people.acknowledged()), time.monotonic()
            for name in names:
                processes.send(stack.who(name), signal.SIGKILL)
            awaited(lambda: len(people.acknowledged()) >= before + UPLOADS_MEANWHILE, PATIENCE_SECONDS)
            report.at_most(f"kill -9 {what}: the slowest upload since", _slowest(people.each, moment), RESTARTED_SECONDS_MAX, "s")
            report.at_most("  longest time without an answered one", _longest_gap(people.each, moment), RESTARTED_SECONDS_MAX, "s")
    SessionStore(stack).wait_until_whole(PATIENCE_SECONDS)
    return people


def _lose_east(stack, report):
    """With work that it has answered and not begun: the relay of the other data centre takes that over, and who comes back does nothing a second time."""
    east = DataCentre(stack, "east")
    report.require("all of east dies, who leads the shards and the sessions with it", east.leads_all())
    with Uploaders(stack.region("east"), 2, PAUSE_SECONDS) as easterners, Uploaders(stack.region("west"), 1, PAUSE_SECONDS) as westerners:
        for people in (easterners, westerners):
            people.first_answer_after(0, PATIENCE_SECONDS)
        with processes.standing_still(_sizers(stack, "east")):
            time.sleep(STANDING_SECONDS)
            answered = [a.photo_id for a in easterners.acknowledged()]
            without = _without_sizes(stack, answered)
            moment = time.monotonic()
            with east.lost():
                back = [people.first_answer_after(moment + 1, PATIENCE_SECONDS) for people in (easterners, westerners)]
                done = seconds_until(lambda: not _without_sizes(stack, answered), PATIENCE_SECONDS)
                done = done and time.monotonic() - moment
        report.at_least("  photos that it had answered, and not made the sizes of", len(without), 1, "")
        report.at_most("  the west: until they have them", done, TAKEN_OVER_SECONDS_MAX, "s")
        for region, first in zip(("east", "west"), back):
            report.at_most(f"  people of the {region}: until an upload that was begun since is answered", first and first - moment, WRITES_SECONDS_MAX, "s")
        report.at_most("  it is there again: until all of it works, and its people are sent to it", east.bring_back(), RETURN_SECONDS_MAX, "s")
        for people in (easterners, westerners):
            people.first_answer_after(time.monotonic(), PATIENCE_SECONDS)
    return easterners, westerners


def _without_sizes(stack, photo_ids):
    """As the shard of each knows, whoever leads that now."""
    named = ",".join(map(str, photo_ids))
    asked = f"select photo_id from renditions where photo_id in ({named}) and version = 1 group by 1 having count(*) = {RENDITIONS}"
    try:
        whole = {int(number) for shard in Shards(stack).registered() for number in stack.psql(shard).run(asked).split()}
    except StackFailed:  # nobody leads it
        whole = set()
    return {*photo_ids} - whole


def run(stack, report):
    brokers = [Broker(stack, p.name) for p in stack.topology.of_component("millrace")]
    for host in stack.topology.in_each_data_centre("workers"):
        cgroups.limit(stack.group(host.name), WORKERS_PERCENT)
    _sign_up_twice(stack, report)
    _be_famous(stack, report)
    _watch_from_afar(stack, report)
    with _People(stack, ["s1", "s2"], OF_EACH_SHARD) as people:
        people.first_answer_after(0, PATIENCE_SECONDS)
        time.sleep(2)
        _migrate(stack, report, people)
        _lose_primary_host(stack, report, people, "s2", "s1")
        _kill_directory(stack, report, people)
        _grow(stack, report, people)
    _settle(stack, report)
    _lead_back(stack, report)
    everybody = (people, _kill_in_turn(stack, report), *_lose_east(stack, report))
    _settle(stack, report)
    _even_out(stack, report, brokers, [a.photo_id for uploaders in everybody for a in uploaders.acknowledged()])
    report.no_faults("rows that are missing, twice, or in a shard that does not have their bucket", shard_check.faults(stack))
    report.figure("uploads answered", sum(len(uploaders.acknowledged()) for uploaders in everybody), "")
    report.figure("attempts without an answer, sent again", sum(u.attempts_failed for uploaders in everybody for u in uploaders.each), "")
    report.no_faults("of them lost, doubled, damaged or without all sizes", [fault for uploaders in everybody for fault in uploaders.faults()])
    report.no_faults("jobs that nobody could do", ["there are dead letters" for broker in brokers if "dead" in broker.run("peek", "photos.dead", "--max", "1")])
