"""Kill object stores and edges: photos are seen, uploads go on, and in the end each photo is in both stores, and a deleted one nowhere."""
import secrets
import shutil
import time

from stack_tool import network as networks
from stack_tool import processes
from stack_tool.balancer import Balancer
from stack_tool.browsing import PAGE_PHOTOS, Browsers
from stack_tool.edges import Edges, ObjectStores
from stack_tool.editors import sweep
from stack_tool.hosts import Hosts
from stack_tool.uploaders import Uploaders, sample_photos, seconds_since
from stack_tool.waiting import awaited, seconds_until

PATIENCE_SECONDS = 60
ANSWER_SECONDS_MAX = 4.0  # of an upload, of which two are for a store that is silent
BACK_SECONDS_MAX = 5.0
EVEN_SECONDS_MAX = 20.0
GONE_SECONDS_MAX = 5.0
FALLBACK_SECONDS_MAX = 3.0
UPLOADS = {"count": 4, "pause": 0.4}
UPLOADS_MEANWHILE = 15
VIEW_SECONDS = 6
WEB_HOSTS = ("lb", "web1", "web2")


class _Scene:
    def __init__(self, stack, report):
        self.stack, self.report = stack, report
        self.hosts, self.edges, self.stores = Hosts(stack), Edges(stack), ObjectStores(stack)
        self.client = stack.client()
        self.client.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
        self.photos = sample_photos()
        self.seconds = int(stack.value("edge_seconds"))

    def upload(self):
        """The path of one of its sizes, and its number."""
        self.client.close()  # the balancer ends a connection that is idle for long
        photo = self.client.upload(*self.photos[0], secrets.token_hex(8))
        return f"/media/{photo['id']}/v1-square.jpg", photo["id"]

    def delete(self, photo_id):
        self.client.close()
        self.client.delete(photo_id)

    def kill(self, *names):
        for name in names:
            self.hosts.kill(name)
        awaited(lambda: not any(processes.lives(self.stack.who(name)) for name in names), PATIENCE_SECONDS, pause=0.01)

    def revive(self, *names):
        self.hosts.revive()
        self.stack.wait_until_ready(names)


# ---- what edges are for ----------------------------------------------------------------------------------------------------------


def _processor_seconds(stack, host_names):
    namespaces = [stack.network.namespace(stack.topology.host(name)) for name in host_names]
    return sum(processes.processor_seconds(pid) for pid in networks.pids_in(namespaces))


def _look(stack, report, what, at_origin):
    """Pages with all their images, as many as come: the balancer's limit for one address is lifted meanwhile."""
    balancer = Balancer(stack.place)
    requests = sum(balancer.requests(name) for name in ("web1", "web2"))
    seconds = _processor_seconds(stack, WEB_HOSTS)
    with balancer.without_limit(), Browsers(stack, 4, at_origin=at_origin) as browsers:
        time.sleep(VIEW_SECONDS)
    views = browsers.views()
    images = sum(view.images for view in views)
    report.figure(f"{what}: pages with {PAGE_PHOTOS} images each", len(views) / browsers.seconds, "/s")
    report.figure("  requests to the web servers for each", (sum(balancer.requests(name) for name in ("web1", "web2")) - requests) / max(1, len(views)), "")
    report.figure("  processor time of balancer and web servers for each", 1000 * (_processor_seconds(stack, WEB_HOSTS) - seconds) / max(1, len(views)), "ms")
    report.no_faults(f"  of {images} images not seen", browsers.unseen())


def _compare_views(scene):
    for _ in range(PAGE_PHOTOS):
        scene.upload()
    _look(scene.stack, scene.report, "images from the web servers, as before", at_origin=True)
    _look(scene.stack, scene.report, "images from the edges", at_origin=False)


def _keep_to_rules(scene):
    """What an edge gives to whom, for how long, and until when."""
    report, edges, stores = scene.report, scene.edges, scene.stores
    path, photo_id = scene.upload()
    original = f"/media/{photo_id}/original.jpg"
    states = [edges.state("edge1", path) for _ in range(2)]
    report.require(f"an edge asked twice: {states}", states == [(200, "MISS"), (200, "HIT")])
    answers = {f"{method} {where}": edges.ask("edge1", where, method).status
               for method, where in (("GET", original), ("PUT", path), ("DELETE", path), ("GET", f"/purge{path}"), ("GET", f"/media/{photo_id}/"))}
    report.no_faults("  originals, writes, purges and listings for whoever asks", [f"{what} was answered with {status}" for what, status in answers.items() if status < 400])
    report.require("  purged, and asked again: MISS", edges.purge("edge1", path) == 200 and edges.state("edge1", path) == (200, "MISS"))
    cached = time.monotonic()
    old = edges.ask("edge1", path).body
    for name in stores.names:  # nobody ever does this: it shows when an edge asks again
        stores.file(name, path).write_bytes(old + b"changed")
    took = seconds_until(lambda: edges.ask("edge1", path).body != old, PATIENCE_SECONDS)
    asked_again = time.monotonic() - cached if took is not None else None
    report.at_most(f"an object is changed: until an edge shows it, TTL {scene.seconds} s", asked_again, scene.seconds + 2.0, "s")
    report.require("  and not before its time", asked_again is not None and asked_again >= scene.seconds - 1.0)
    scene.delete(photo_id)


# ---- object stores ---------------------------------------------------------------------------------------------------------------


def _lose_both_stores(scene):
    report, edges = scene.report, scene.edges
    (seen, _), (unseen, _) = scene.upload(), scene.upload()
    edges.ask("edge1", seen)
    scene.kill(*scene.stores.names)
    report.require("both stores killed: what an edge has, it gives", edges.state("edge1", seen)[0] == 200)
    report.require("  what it does not have: 502", edges.state("edge1", unseen)[0] == 502)
    stale = seconds_until(lambda: edges.state("edge1", seen) == (200, "STALE"), scene.seconds + 5)
    report.require("  after its time: 200 STALE", stale is not None)
    _restart(scene.stack, "edge1")
    report.require("  also by an edge that was started again meanwhile: 200 STALE", edges.state("edge1", seen) == (200, "STALE"))
    scene.client.close()
    status = scene.client.ask("GET", unseen).status
    report.require(f"  the web servers say that they cannot: {status}", status == 503)
    scene.revive(*scene.stores.names)
    report.at_most("  they are back: until the other one is there, under the same address", seconds_until(lambda: edges.state("edge1", unseen)[0] == 200, PATIENCE_SECONDS),
                   BACK_SECONDS_MAX, "s")


def _restart(stack, name):
    stack.stop([name])
    awaited(lambda: not processes.lives(stack.who(name)), PATIENCE_SECONDS)
    stack.start([name])
    stack.wait_until_ready([name])


def _lose_a_store(scene, what, begin, end):
    """During uploads, which go on; afterwards it has what it has missed."""
    report, stores = scene.report, scene.stores
    with Uploaders(scene.stack, **UPLOADS) as uploaders:
        awaited(lambda: len(uploaders.acknowledged()) >= UPLOADS_MEANWHILE, PATIENCE_SECONDS)
        begin()
        moment = time.monotonic()
        awaited(lambda: len([a for a in uploaders.acknowledged() if a.answered_at - a.seconds >= moment]) >= UPLOADS_MEANWHILE, PATIENCE_SECONDS)
    seconds = seconds_since(uploaders.each, moment)
    photo_ids = [a.photo_id for a in uploaders.acknowledged()]
    report.at_most(f"{what}: the slowest of {len(seconds)} uploads since", max(seconds, default=None), ANSWER_SECONDS_MAX, "s")
    report.at_least("  photos that are in one store alone", len(list(stores.differences(photo_ids))), UPLOADS_MEANWHILE, "")
    report.no_faults("  uploads lost, doubled or damaged meanwhile", uploaders.faults())
    end()
    report.at_most("  it is back: until all is in both", seconds_until(lambda: stores.open_repairs() == 0, PATIENCE_SECONDS), EVEN_SECONDS_MAX, "s")
    report.no_faults(f"  of {len(photo_ids)} photos not the same in both stores", stores.differences(photo_ids))
    report.no_faults("  lost, doubled or damaged", uploaders.faults())


def _lose_each_store(scene):
    def kill():
        scene.kill("store1")

    def silence():
        scene.stack.network.unplug(scene.hosts.of("store2"))

    _lose_a_store(scene, "store1 killed", kill, lambda: scene.revive("store1"))
    _lose_a_store(scene, "store2 unplugged", silence, lambda: scene.stack.network.plug_in(scene.hosts.of("store2")))


def _lose_a_disk(scene):
    """A store that is empty, although it was never away: nobody knows, until somebody says so for all photos."""
    report, stores, psql = scene.report, scene.stores, scene.stack.psql()
    shutil.rmtree(scene.stack.place.data("store2") / "objects" / "media")
    psql.run("insert into store_repairs (photo_id) select id from photos")
    photo_ids = [int(number) for number in psql.run("select id from photos").split()]
    took = seconds_until(lambda: stores.open_repairs() == 0, PATIENCE_SECONDS)
    report.at_most(f"store2 has lost its disk: until its {len(photo_ids)} photos are copied", took, PATIENCE_SECONDS, "s")
    report.no_faults("  of them not the same in both stores", stores.differences(photo_ids))


# ---- edges -----------------------------------------------------------------------------------------------------------------------


def _lose_edges(scene):
    """One edge, and then the other one, too: whoever looks sees every image, and new pages name edges that live."""
    report, stack = scene.report, scene.stack
    scene.upload()
    with Browsers(stack, 2, pause=0.3) as browsers:
        awaited(lambda: all(browser.views for browser in browsers.each), PATIENCE_SECONDS)
        for what, dying, left in (("edge1 killed", "edge1", {"edge2"}), ("edge2 killed, too", "edge2", set())):
            scene.kill(dying)
            moment = time.monotonic()
            _until_pages_name(scene, browsers, moment, left, f"{what}: until pages name {' '.join(left) or 'the web servers'}")
        scene.revive("edge1", "edge2")
        _until_pages_name(scene, browsers, time.monotonic(), {"edge1", "edge2"}, "both are back: until pages name them")
    report.at_least("images that were asked for at the web servers, as their edge was gone", browsers.asked_elsewhere(), 1, "")
    report.no_faults(f"of {sum(view.images for view in browsers.views())} images not seen", browsers.unseen())


def _until_pages_name(scene, browsers, moment, names, what):
    expected = {scene.edges.url(name).removeprefix("https://") for name in names}

    def first():
        return next((view for view in sorted(browsers.views_since(moment), key=lambda v: v.begun) if view.edges == expected), None)
    view = awaited(first, PATIENCE_SECONDS)
    scene.report.at_most(what, view.begun - moment if view else None, FALLBACK_SECONDS_MAX, "s")


# ---- deletion --------------------------------------------------------------------------------------------------------------------


def _traces_of(scene, photo_id, path):
    there = [f"{name} has it still" for name in scene.stores.names if scene.stores.files_of(name, photo_id)]
    return there + [f"{name} has it still" for name in scene.edges.names if scene.edges.has_on_disk(name, path)]


def _delete(scene):
    report, edges = scene.report, scene.edges
    path, photo_id = scene.upload()
    for name in edges.names:
        edges.ask(name, path)
    report.require("a photo is in both stores and at both edges", len(_traces_of(scene, photo_id, path)) == 4)
    scene.delete(photo_id)
    report.at_most("  deleted: until it is in none of them", seconds_until(lambda: not _traces_of(scene, photo_id, path), PATIENCE_SECONDS), GONE_SECONDS_MAX, "s")
    report.no_faults("  and nobody gives it", [f"{name}: {edges.state(name, path)}" for name in edges.names if edges.state(name, path)[0] != 404])
    path, photo_id = scene.upload()
    for name in edges.names:
        edges.ask(name, path)
    scene.kill("store2", "edge2")
    scene.delete(photo_id)
    awaited(lambda: len(_traces_of(scene, photo_id, path)) <= 2, PATIENCE_SECONDS)
    report.require("another one, a store and an edge being dead: these two have it still", len(_traces_of(scene, photo_id, path)) == 2)
    scene.revive("store2", "edge2")
    report.at_most("  they are back: until it is in none", seconds_until(lambda: not _traces_of(scene, photo_id, path), PATIENCE_SECONDS), GONE_SECONDS_MAX, "s")


def _replace(scene):
    """A version that nobody asks for any more goes as a deleted photo does; here while a store and an edge are dead."""
    report, edges = scene.report, scene.edges
    path, photo_id = scene.upload()
    for name in edges.names:
        edges.ask(name, path)
    scene.kill("store2", "edge2")
    scene.client.close()
    scene.client.edit(photo_id, {"blur": 2}, secrets.token_hex(8))
    urls = [r["url"] for r in scene.client.photo(photo_id)["renditions"]]
    report.require("an edited photo, a store and an edge being dead: its page names the new version, which is there",
                   all("/v2-" in url and scene.client.fetch(url) for url in urls))
    report.require("  the one before is there still", edges.state("edge1", path)[0] == 200)
    report.require("  and is given up later", sweep(scene.stack) is not None)
    scene.revive("store2", "edge2")

    def left():
        return [name for name in scene.stores.names if scene.stores.file(name, path).exists()] + [name for name in edges.names if edges.has_on_disk(name, path)]
    report.at_most("  they are back: until it is in none", seconds_until(lambda: not left(), PATIENCE_SECONDS), GONE_SECONDS_MAX, "s")
    report.at_most("  until both stores have the new one", seconds_until(lambda: not list(scene.stores.differences([photo_id])), PATIENCE_SECONDS), EVEN_SECONDS_MAX, "s")


def run(stack, report):
    scene = _Scene(stack, report)
    for trial in (_compare_views, _keep_to_rules, _delete, _replace, _lose_edges, _lose_both_stores, _lose_each_store, _lose_a_disk):
        trial(scene)
