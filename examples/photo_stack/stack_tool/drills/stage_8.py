"""kill -9 the workers mid-photo, the broker and the relay: every answered upload ends with all its sizes, once. A fleet that stands still delays nobody."""
import re
import signal
import statistics
import threading
import time

from stack_tool import cgroups, live_events, processes
from stack_tool.broker import Broker
from stack_tool.edges import ObjectStores
from stack_tool.editors import Editors, sweep
from stack_tool.hosts import Hosts
from stack_tool.load import percentile
from stack_tool.photo_client import Refused
from stack_tool.shards import Shards
from stack_tool.uploaders import RENDITIONS, Uploaders, sample_photos, seconds_since
from stack_tool.waiting import awaited, seconds_until

UPLOADED, RESULTS, WORKERS, INBOX = "photos.uploaded", "photos.results", "workers", "inbox"
REPAIRS, STOREKEEPER = "photos.repairs", "storekeeper"
SETTLED_SECONDS_MAX = 60.0  # of which ten are those that a lost worker's photos wait for its return
ANSWER_SECONDS_MAX = 2.0
PATIENCE_SECONDS = 90
BROKEN_SECONDS_MAX = 40
UPLOADS_MEANWHILE = 25
POLITE = {"count": 4, "pause": 0.4}  # below what one user may write
FLEET_PERCENT = 60  # of a core, for all workers
HASTY = {"count": 2, "pause": 0.2}
EDITS_MEANWHILE = 20
PAIRS, PHASE_SECONDS = 5, 6
REVERSALS = 5
DELETIONS = 5
HOLD_SECONDS = 0.8  # less than the web server's deadline of a transaction


def _open_repairs(stack, broker):
    """Orders for the storekeeper: rows, until they are messages."""
    return ObjectStores(stack).open_repairs() + broker.unsettled(REPAIRS, STOREKEEPER)


def _sizers(stack):
    return [p.name for p in stack.topology.of_component("sizer")]


def _stop_sizers(stack):
    stack.stop(_sizers(stack))
    awaited(lambda: not any(processes.lives(stack.who(name)) for name in _sizers(stack)), PATIENCE_SECONDS)


def _kill(stack, names):
    for name in names:
        processes.send(stack.who(name), signal.SIGKILL)
    return time.monotonic()


def _second_attempts(stack):
    logs = (stack.place.log_of(stack.topology.process(name)).read_text() for name in _sizers(stack))
    return sum(len(re.findall(r'"attempt":"[2-9]","outcome":"done"', log)) for log in logs)


def _break_all(stack, report, broker):
    earlier_attempts = _second_attempts(stack)
    with Uploaders(stack, **POLITE) as uploaders:
        awaited(lambda: broker.progress(UPLOADED, WORKERS)["acked"] > 0, PATIENCE_SECONDS)
        awaited(lambda: broker.progress(UPLOADED, WORKERS)["leased"] > 0, PATIENCE_SECONDS)
        for what, names, has_lasted in (("the workers, mid-photo", _sizers(stack), lambda: _second_attempts(stack) > earlier_attempts),
                                        ("the broker", ["broker"], lambda: len(uploaders.acknowledged()) >= before + UPLOADS_MEANWHILE),
                                        ("the relay", ["relay"], lambda: len(uploaders.acknowledged()) >= before + UPLOADS_MEANWHILE)):
            before = len(uploaders.acknowledged())
            moment = _kill(stack, names)
            awaited(has_lasted, BROKEN_SECONDS_MAX)
            seconds = seconds_since(uploaders.each, moment)
            report.at_most(f"kill -9 {what}: the slowest of {len(seconds)} uploads since", max(seconds, default=None), ANSWER_SECONDS_MAX, "s")
    report.at_most("after the last upload: until every photo has its sizes", seconds_until(Shards(stack).nothing_in_work, PATIENCE_SECONDS), SETTLED_SECONDS_MAX, "s")
    report.at_least("photos that were done at a second attempt", _second_attempts(stack) - earlier_attempts, 1, "")
    return uploaders


def _break_edits(stack, report, broker):
    """Asked for faster than they can be done, so that most of them are overtaken."""
    with Editors(stack, **HASTY) as editors:
        for names in (_sizers(stack), ["relay"], ["broker"]):
            before = editors.asked_for()
            awaited(lambda: broker.progress(UPLOADED, WORKERS)["leased"] > 0, PATIENCE_SECONDS)
            _kill(stack, names)
            awaited(lambda: editors.asked_for() >= before + EDITS_MEANWHILE, BROKEN_SECONDS_MAX)
    report.at_most(f"kill -9 the workers, the relay, the broker: the slowest of {editors.asked_for()} edits", editors.slowest_seconds(), ANSWER_SECONDS_MAX, "s")
    report.at_most("  after the last one: until it is shown", seconds_until(Shards(stack).nothing_in_work, PATIENCE_SECONDS), SETTLED_SECONDS_MAX, "s")
    report.no_faults("  photos that do not show the last edit that was answered, whole", editors.faults())
    awaited(lambda: broker.unsettled(UPLOADED, WORKERS) == 0 and broker.unsettled(RESULTS, INBOX) == 0, PATIENCE_SECONDS)  # of those that were overtaken, too
    report.figure("  versions that were overtaken or replaced", sweep(stack), "")
    awaited(lambda: _open_repairs(stack, broker) == 0, PATIENCE_SECONDS)
    report.no_faults("  whose sizes are still there once they are swept", editors.left_behind())
    report.no_faults("  photos with other files in a store than those that are shown", ObjectStores(stack).differences(e.photo["id"] for e in editors.each))


def _reverse_once(stack):
    """Whether the upload that had its number first was committed last: somebody holds its user's row meanwhile."""
    photos = sample_photos()
    held, free = Uploaders(stack, 1).each[0], Uploaders(stack, 1).each[0]
    lock = threading.Thread(target=lambda: stack.psql().run(
        f"begin; select from users where id = {held.user_id} for update; select pg_sleep({HOLD_SECONDS}); commit"))
    answers = {}

    def upload(who):
        try:
            answers[who] = who.client.upload(*photos[0], "reversed")["id"], time.monotonic()
        except Refused:
            pass  # it has waited too long: another time
    first, second = (threading.Thread(target=upload, args=(who,)) for who in (held, free))
    lock.start()
    awaited(lambda: stack.psql().run("select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()").strip() != "0", 5)
    first.start()
    awaited(lambda: stack.psql().run("select count(*) from pg_locks where not granted").strip() != "0", HOLD_SECONDS)
    second.start()
    for thread in (lock, first, second):
        thread.join()
    if len(answers) < 2:
        return None, []
    (held_id, held_at), (free_id, free_at) = answers[held], answers[free]
    return held_id < free_id and free_at < held_at, [(held, held_id), (free, free_id)]


def _commit_in_reverse(stack, report):
    reversed_pairs, uploads = 0, []
    for _ in range(REVERSALS):
        reversed_, pair = _reverse_once(stack)
        reversed_pairs += reversed_ is True
        uploads += pair
    report.at_least(f"of {REVERSALS} pairs of uploads, committed in the reverse of their numbers", reversed_pairs, 1, "")
    awaited(Shards(stack).nothing_in_work, SETTLED_SECONDS_MAX)
    short = [photo_id for uploader, photo_id in uploads if len(uploader.client.photo(photo_id)["renditions"]) != RENDITIONS]
    report.no_faults("  of them without all their sizes", [f"photo {photo_id} was overtaken, and forgotten" for photo_id in short])


def _tell_again(stack, report, broker):
    """Every result, as if no worker had heard that it was taken in."""
    again = stack.psql().run("select json_build_object('photo', photo_id, 'version', version, 'sizes', 8, 'size',"
                             " json_build_object('file', file, 'width', width, 'height', height, 'bytes', bytes)) from renditions")
    broker.run("publish", RESULTS, "--lines", text=again)
    report.figure("results that are told a second time", len(again.splitlines()), "")
    report.at_most("  until all are taken in", seconds_until(lambda: broker.unsettled(RESULTS, INBOX) == 0, PATIENCE_SECONDS), SETTLED_SECONDS_MAX, "s")


def _notified(stack, uploaders):
    spool = stack.place.data("notifier")
    return [f"nobody was told of photo {a.photo_id}" for a in uploaders.acknowledged() if not (spool / f"{a.photo_id}-1.txt").exists()]


def _damaged(stack, report):
    uploader = Uploaders(stack, 1).each[0]
    name, content = next((n, c) for n, c in sample_photos() if n.endswith(".jpg"))
    photo_id = uploader.client.upload(name, content[:len(content) // 2], "damaged")["id"]
    took = seconds_until(lambda: uploader.client.photo(photo_id)["state"] == "damaged", SETTLED_SECONDS_MAX)
    report.at_most("a photo that only the workers can see is damaged: until its page says so", took, SETTLED_SECONDS_MAX, "s")
    page = uploader.client.ask("GET", f"/photos/{photo_id}").body
    report.require("  it says so to people, too", b"The photo is damaged" in page)


def _while_nobody_works(stack, report):
    """Pages of a photo whose sizes are not there yet, and what its watcher sees when they come."""
    uploader = Uploaders(stack, 1).each[0]
    _stop_sizers(stack)
    photo_id = uploader.client.upload(*sample_photos()[0], "waiting")["id"]
    statuses = {path: uploader.client.ask("GET", path).status for path in ("/", f"/photos/{photo_id}", f"/api/photos/{photo_id}")}
    report.no_faults("pages of a photo without sizes that fail", [f"{path}: {status}" for path, status in statuses.items() if status != 200])
    report.require("  its own page says how many there are", b"<b>0</b> of 8 files" in uploader.client.ask("GET", f"/photos/{photo_id}").body)
    told = live_events.told_while(stack.client(), photo_id, lambda: stack.start(_sizers(stack)))
    report.require("  whoever watches it is told of all of them, and of the end", live_events.all_sizes(told, 1))
    _edit_while_nobody_works(stack, report, uploader.client, photo_id)


def _is_there(client, url):
    try:
        return len(client.fetch(url)) > 0
    except Refused:
        return False


def _edit_while_nobody_works(stack, report, client, photo_id):
    """What was shown before is shown until the new version is there."""
    awaited(lambda: client.photo(photo_id)["state"] == "ready", PATIENCE_SECONDS)
    _stop_sizers(stack)
    client.edit(photo_id, {"blur": 3}, "blurred")
    page = client.ask("GET", f"/photos/{photo_id}").body
    shown = [url.decode() for url in re.findall(rb'(?:src|srcset|href)="([^"]*/media/[^"]*/v[^"]*)"', page)]
    report.require("an edited photo: its page shows the version before, and says how much of the new one is there",
                   b"<b>0</b> of 8 files of its new version" in page and len(shown) > RENDITIONS and all("/v1-" in url for url in shown))
    report.no_faults("  what it shows that is not there", [url for url in shown if not _is_there(client, url)])
    told = live_events.told_while(stack.client(), photo_id, lambda: stack.start(_sizers(stack)))
    report.require("  whoever watches it is told of the new version's sizes alone, and of the end", live_events.all_sizes(told, 2))
    took = seconds_until(lambda: client.photo(photo_id)["edit"] == {"blur": 3}, PATIENCE_SECONDS)
    report.at_most("  from then until it is shown to everybody", took, ANSWER_SECONDS_MAX, "s")


def _lose_a_store(stack, report, broker):
    """Uploads and workers go on with the other one; what it has missed is told by message."""
    stores = ObjectStores(stack)
    with Uploaders(stack, **POLITE) as uploaders:
        Hosts(stack).kill("store1")
        awaited(lambda: len(uploaders.acknowledged()) >= UPLOADS_MEANWHILE, PATIENCE_SECONDS)
    awaited(Shards(stack).nothing_in_work, SETTLED_SECONDS_MAX)
    photo_ids = [a.photo_id for a in uploaders.acknowledged()]
    report.at_least("an object store dead: photos whose sizes are made all the same", len(list(stores.differences(photo_ids))), UPLOADS_MEANWHILE, "")
    Hosts(stack).revive()
    stack.wait_until_ready(["store1"])
    took = seconds_until(lambda: _open_repairs(stack, broker) == 0, PATIENCE_SECONDS)
    report.at_most("  it is back: until all is in both", took, SETTLED_SECONDS_MAX, "s")
    report.no_faults(f"  of {len(photo_ids)} photos not the same in both stores", stores.differences(photo_ids))
    report.no_faults("  lost, doubled or damaged", uploaders.faults())


def _delete_while_in_work(stack, report, broker):
    """A worker that is slow, and does not know: what it stores afterwards goes again."""
    uploader, stores, came_back = Uploaders(stack, 1).each[0], ObjectStores(stack), 0
    deleted = []
    for number in range(DELETIONS):
        awaited(lambda: broker.unsettled(UPLOADED, WORKERS) == 0, PATIENCE_SECONDS)
        photo_id = uploader.client.upload(*sample_photos()[0], f"deleted-{number}")["id"]
        awaited(lambda: broker.progress(UPLOADED, WORKERS)["leased"] > 0 or Shards(stack).nothing_in_work(), PATIENCE_SECONDS, pause=0.01)
        for name in _sizers(stack):
            processes.send(stack.who(name), signal.SIGSTOP)
        uploader.client.delete(photo_id)
        for name in _sizers(stack):
            processes.send(stack.who(name), signal.SIGCONT)
        came_back += bool(awaited(lambda: stores.names_of(photo_id), 1, pause=0.002))
        deleted.append(photo_id)
    report.at_least(f"of {DELETIONS} photos deleted while in work, those whose files came back", came_back, 1, "")
    gone = seconds_until(lambda: not any(stores.names_of(photo_id) for photo_id in deleted) and _open_repairs(stack, broker) == 0, PATIENCE_SECONDS)
    report.at_most("  until they are gone again", gone, SETTLED_SECONDS_MAX, "s")


def upload_seconds(stack, seconds=PHASE_SECONDS):
    with Uploaders(stack, **POLITE) as uploaders:
        time.sleep(seconds)
    return [a.seconds for a in uploaders.acknowledged()]


def _compare_fleet(stack, report, broker):
    """Upload latency while the workers work, and while there are none: alternating, as the machine is not always the same."""
    found, made = {"running": [], "stopped": []}, {"running": 0, "stopped": 0}
    cgroups.as_if_elsewhere(stack.group("workers"), FLEET_PERCENT)
    try:
        for _ in range(PAIRS):
            for state, change in (("running", stack.start), ("stopped", stack.stop)):
                change(_sizers(stack))
                awaited(lambda s=state: all(processes.lives(stack.who(n)) == (s == "running") for n in _sizers(stack)), PATIENCE_SECONDS)
                before, seconds = broker.progress(UPLOADED, WORKERS)["acked"], upload_seconds(stack)
                made[state] += broker.progress(UPLOADED, WORKERS)["acked"] - before
                found[state].append([1000 * percentile(seconds, p) for p in (50, 99)])
    finally:
        cgroups.as_if_elsewhere(stack.group("workers"), None)
        stack.start(_sizers(stack))
    medians = {state: [statistics.median(pair[i] for pair in pairs) for i in (0, 1)] for state, pairs in found.items()}
    for state, (p50, p99) in medians.items():
        report.figure(f"workers {state}, {FLEET_PERCENT} % of a core: upload p50, median of {PAIRS}", p50, "ms")
        report.figure("  p99", p99, "ms")
        report.figure("  photos whose sizes were made meanwhile", made[state], "")
    allowed = max(5.0, 0.2 * medians["stopped"][1])
    report.at_most("  what the work adds to the p99", medians["running"][1] - medians["stopped"][1], allowed, "ms")


def run(stack, report):
    broker = Broker(stack)
    uploaders = _break_all(stack, report, broker)
    _break_edits(stack, report, broker)
    _commit_in_reverse(stack, report)
    _tell_again(stack, report, broker)
    report.figure("uploads answered", len(uploaders.acknowledged()), "")
    report.figure("attempts without an answer, sent again", sum(u.attempts_failed for u in uploaders.each), "")
    report.no_faults("of them lost, doubled, damaged or without all sizes", uploaders.faults())
    report.no_faults("of them whose owner was not told", _notified(stack, uploaders))
    _damaged(stack, report)
    _while_nobody_works(stack, report)
    _delete_while_in_work(stack, report, broker)
    _lose_a_store(stack, report, broker)
    _compare_fleet(stack, report, broker)
    report.no_faults("jobs that nobody could do", ["there are dead letters"] * int("dead" in broker.run("peek", "photos.dead", "--max", "1")))
