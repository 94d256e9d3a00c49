"""What takes more than one request. Each says what is wrong, or nothing."""
import json
import re
import socket
import time
import urllib.parse

from stack_tool import photo_client
from visitors import Visitor, exchange, path_of, patient_exchange, request

FORM = ("Content-Type", "application/x-www-form-urlencoded")
HEADER_SECONDS = 10  # the web server's, for the head of a request
BOB_IS_LIMITED_AFTER = 200


def _log_in(scene, who, planted):
    form = urllib.parse.urlencode({"form_token": who.form_token, "name": scene.people["bob"].name, "password": scene.people["bob"].password}).encode()
    cookies = f"visitor={who.visitor}; session={planted}"
    answer, _ = patient_exchange(scene.entry, request("POST", "/login", [("Cookie", cookies), FORM], form))
    return answer, re.search(r"session=([^;]+)", answer.headers.get("Set-Cookie", ""))


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
    session_fixation, a_session_that_was_logged_out, a_photo_that_others_have_just_seen_and_is_deleted, a_replayed_upload, a_replayed_deletion, a_title_that_is_html,
    a_watched_photo, a_slow_head,
    two_hundred_slow_ones_beside_somebody_else, writes_without_end)}
