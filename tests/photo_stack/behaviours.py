"""What takes more than one request. Each says what is wrong, or nothing."""
import json
import re
import socket
import time
import urllib.parse

from stack_tool import photo_client
from stack_tool.waiting import awaited
from visitors import Visitor, exchange, path_of, patient_exchange, request

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
HEADER_SECONDS = 10  # the web server's, for the head of a request
BOB_IS_LIMITED_AFTER = 200
EDIT_SECONDS = 30  # until workers are done with it


def _log_in(scene, who, planted):
    form = urllib.parse.urlencode({"form_token": who.form_token, "name": scene.people["bob"].name, "password": scene.people["bob"].password}).encode()
    cookies = f"visitor={who.visitor}; session={planted}"
    answer, _ = patient_exchange(scene.entry, request("POST", "/login", [("Cookie", cookies), FORM], form))
    return answer, re.search(r"session=([^;]+)", answer.headers.get("Set-Cookie", ""))


def alive_and_ready(scene):
    answers = [(exchange(scene.entry, request("GET", path)).status, exchange(scene.entry, request("GET", path)).body) for path in ("/healthz", "/readyz")]
    return None if answers == [(200, b"ok\n"), (200, b"ready\n")] else f"answered with {answers}"


def session_fixation(scene):
    planted = "A" * 43
    answer, session = _log_in(scene, Visitor(scene.entry), planted)
    if answer.status != 303 or not session:
        return f"the log-in was answered with {answer.status}"
    if session.group(1) == planted:
        return "the session goes on under the token that was there before"
    if exchange(scene.entry, request("GET", "/photos", [("Cookie", f"session={planted}")])).status != 303:
        return "the planted token is logged in"
    return None


def a_session_that_was_logged_out(scene):
    session = _log_in(scene, Visitor(scene.entry), "")[1].group(1)
    mine = [("Cookie", f"session={session}")]
    page = exchange(scene.entry, request("GET", "/photos", mine))
    token = re.search(rb'form_token" value="([0-9a-f]+)', page.body).group(1).decode()
    patient_exchange(scene.entry, request("POST", "/logout", [*mine, FORM], f"form_token={token}".encode()))
    return None if exchange(scene.entry, request("GET", "/photos", mine)).status == 303 else "it is logged in still"


def a_changed_password(scene):
    """Whoever was logged in is not so any more, and has to know the new one."""
    carol, new = Visitor(scene.entry, "carol_tried"), "a better password"
    body = json.dumps({"password": carol.password, "new_password": new}).encode()
    change = request("POST", "/api/password", [("Authorization", f"Bearer {carol.token}"), JSON], body)
    token = json.loads(patient_exchange(scene.entry, change)[0].body)["token"]
    page = exchange(scene.entry, request("GET", "/photos", [("Cookie", f"session={carol.cookie}")])).status
    statuses = [patient_exchange(scene.entry, request("POST", "/api/logout", [("Authorization", f"Bearer {each}")]))[0].status for each in (carol.token, token)]
    log_ins = [patient_exchange(scene.entry, request("POST", "/api/login", [JSON], json.dumps({"name": carol.name, "password": each}).encode()))[0].status
               for each in (carol.password, new)]
    return None if (page, statuses, log_ins) == (303, [401, 204], [403, 200]) else f"page {page}, tokens {statuses}, log-ins {log_ins}"


def a_photo_that_others_have_just_seen_and_is_deleted(scene):
    """Wherever it is kept for them: it is gone with the answer. So it is with the first page."""
    photo = json.loads(_upload(scene, "seen-by-others").body)["photos"][0]
    address, link = f"/photos/{photo['id']}", f"/photos/{photo['id']}\"".encode()
    seen = [exchange(scene.entry, request("GET", address)).status for _ in range(3)]
    shown = link in exchange(scene.entry, request("GET", "/")).body
    patient_exchange(scene.entry, request("DELETE", photo["url"], [("Authorization", f"Bearer {scene.people['bob'].token}")]))
    after = exchange(scene.entry, request("GET", address)).status
    shown_after = link in exchange(scene.entry, request("GET", "/")).body
    return None if (seen, shown, after, shown_after) == ([200] * 3, True, 404, False) else f"seen {seen} {shown}, and after it was deleted {after} {shown_after}"


def _upload(scene, key):
    body, kind = photo_client.multipart(scene.samples["photo"])
    headers = [("Authorization", f"Bearer {scene.people['bob'].token}"), ("Content-Type", kind), ("Idempotency-Key", key)]
    answer, _ = patient_exchange(scene.entry, request("POST", "/api/photos", headers, body))
    return answer


def a_replayed_upload(scene):
    first, second = _upload(scene, "replayed"), _upload(scene, "replayed")
    if first.status != 201 or (first.status, first.body) != (second.status, second.body):
        return f"the second answer is another one: {second.status} {second.body[:100]!r}"
    there = list(scene.ann.photos_of(scene.people["bob"].user_id))
    return None if len(there) == 1 else f"there are {len(there)} photos of one upload"


def a_replayed_deletion(scene):
    photo = scene.finished(json.loads(_upload(scene, "to-be-deleted").body)["photos"][0]["id"])
    headers = [("Authorization", f"Bearer {scene.people['bob'].token}"), ("Idempotency-Key", "deletes")]
    deletion = request("DELETE", photo["url"], headers)
    answers = [patient_exchange(scene.entry, deletion)[0].status for _ in range(2)]
    without_key = patient_exchange(scene.entry, request("DELETE", photo["url"], headers[:1]))[0].status
    gone = exchange(scene.entry, request("GET", path_of(photo["renditions"][0]["url"]))).status
    return None if (answers, without_key, gone) == ([204, 204], 404, 404) else f"answered with {answers}, without a key {without_key}, its files {gone}"


def an_edited_photo(scene):
    """Seen at once by whoever has just seen it as it was, unless workers are to do it; under the same key it is done once; and it is as it was when that is asked for."""
    photo = scene.finished(json.loads(_upload(scene, "to-be-edited").body)["photos"][0]["id"])
    mine, address = [("Authorization", f"Bearer {scene.people['bob'].token}")], f"/photos/{photo['id']}"
    patience = EDIT_SECONDS if scene.has_workers else 0
    exchange(scene.entry, request("GET", photo["url"]))

    def edit(wanted, key):
        return patient_exchange(scene.entry, request("PUT", f"{photo['url']}/edit", [*mine, JSON, ("Idempotency-Key", key)], json.dumps(wanted).encode()))[0]

    def seen_with(wanted):
        return awaited(lambda: next((told for told in [scene.finished(photo["id"])] if told["edit"] == wanted), None), patience)
    wanted = {"crop": {"left": 10, "top": 20, "width": 300, "height": 200}, "blur": 4}
    first, seen, second = edit(wanted, "edit-1"), seen_with(wanted), edit(wanted, "edit-1")
    if first.status != 200 or seen is None or (first.status, first.body) != (second.status, second.body):
        return f"answered with {first.status} and {second.status}, seen as {seen}"
    if {f"{r['width']}x{r['height']}" for r in seen["renditions"] if "-large." in r["file"]} != {"300x200"}:
        return f"its sizes are {seen['renditions']}"
    page = exchange(scene.entry, request("GET", address)).body
    if b"cropped to 300 \xc3\x97 200, blurred by 4" not in page or b"/v2-large.jpg" not in page or b"/v1-" in page:
        return f"the page shows another one: {page[-3000:]!r}"
    there = [exchange(scene.entry, request("GET", path_of(r["url"]))).status for r in photo["renditions"] + seen["renditions"]]
    edit({"crop": {"left": 0, "top": 0, "width": photo["width"], "height": photo["height"]}, "blur": 0}, "edit-2")
    back = seen_with({})
    same = back and [(r["width"], r["height"]) for r in back["renditions"]] == [(r["width"], r["height"]) for r in photo["renditions"]]
    original = exchange(scene.entry, request("GET", photo["original"], mine)).body
    whole = photo_client.digest(original) == photo_client.digest(scene.samples["photo"][0][1])
    return None if (set(there), same, whole) == ({200}, True, True) else f"files {there}, seen as it was: {same}, original {whole}"


def a_title_that_is_html(scene):
    body, kind = photo_client.multipart([("<img src=x onerror=alert(1)>.jpg", scene.samples["photo"][0][1])])
    headers = [("Authorization", f"Bearer {scene.people['bob'].token}"), ("Content-Type", kind)]
    photo = json.loads(patient_exchange(scene.entry, request("POST", "/api/photos", headers, body))[0].body)["photos"][0]
    page = exchange(scene.entry, request("GET", f"/photos/{photo['id']}")).body
    return None if b"<img src=x" not in page and b"onerror=alert(1)" in page else f"it stands in the page as it is: {page[-800:]!r}"


def a_watched_photo(scene):
    """What is there already is told at once, and then it ends."""
    told = exchange(scene.entry, request("GET", f"/photos/{scene.photo}/events"))
    sizes = re.findall(rb"event: size\ndata: (.*)", told.body)
    urls = {json.loads(size)["url"] for size in sizes}
    if told.status != 200 or told.headers["Content-Type"] != "text/event-stream" or not told.body.endswith(b"event: end\ndata: {}\n\n"):
        return f"answered with {told.status}: {told.body[-200:]!r}"
    return None if len(urls) == len(sizes) == 8 and all(exchange(scene.entry, request("GET", path_of(url))).status == 200 for url in urls) else f"it was told of {sorted(urls)}"


def a_slow_head(scene):
    """A byte now and then keeps nobody's connection open."""
    where = urllib.parse.urlsplit(scene.entry)
    begun = time.monotonic()
    with socket.create_connection((where.hostname, where.port), timeout=2 * HEADER_SECONDS) as s:
        s.settimeout(1)
        s.sendall(b"GET / HTTP/1.1\r\n")
        while time.monotonic() - begun < 2 * HEADER_SECONDS:
            try:
                s.sendall(b"X")
                if s.recv(1) == b"":
                    return None
            except TimeoutError:
                continue
            except OSError:
                return None
    return "the connection is open still"


def two_hundred_slow_ones_beside_somebody_else(scene):
    where = urllib.parse.urlsplit(scene.entry)
    slow = [socket.create_connection((where.hostname, where.port), timeout=5) for _ in range(200)]
    try:
        for s in slow:
            s.sendall(b"GET / HTTP/1.1\r\nX: ")
        begun = time.monotonic()
        answer = exchange(scene.entry, request("GET", "/"))
        took = time.monotonic() - begun
        return None if answer.status == 200 and took < 1 else f"answered with {answer.status} after {took:.1f} s"
    finally:
        for s in slow:
            s.close()


def writes_without_end(scene):
    headers = [("Authorization", f"Bearer {scene.people['bob'].token}")]
    for _ in range(BOB_IS_LIMITED_AFTER):
        if exchange(scene.entry, request("DELETE", "/api/photos/999999999", headers)).status == 429:
            mine = [("Authorization", f"Bearer {scene.people['ann'].token}")]
            other = exchange(scene.entry, request("DELETE", "/api/photos/999999999", mine)).status
            return None if other == 404 else f"somebody else was answered with {other}"
    return f"{BOB_IS_LIMITED_AFTER} writes in a row, and none was too many"


BEHAVIOURS = {f.__name__.replace("_", " "): f for f in (
    alive_and_ready, session_fixation, a_session_that_was_logged_out, a_changed_password, a_photo_that_others_have_just_seen_and_is_deleted, a_replayed_upload, a_replayed_deletion, an_edited_photo, a_title_that_is_html,
    a_watched_photo, a_slow_head,
    two_hundred_slow_ones_beside_somebody_else, writes_without_end)}
