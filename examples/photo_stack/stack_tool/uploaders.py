"""Uploads that go on while something is broken, and afterwards the proof that each one that was answered is there: once, whole, with all its sizes.

A client that gets no answer does as an application would: it sends the same again, under the same Idempotency-Key, until it is answered.
"""
import dataclasses
import http.client
import pathlib
import secrets
import time

from stack_tool.background import Background, Several
from stack_tool.photo_client import Refused, digest
from stack_tool.waiting import awaited

PHOTOS = pathlib.Path("/usr/share/backgrounds/mate")
PACKAGE = "mate-backgrounds"
BYTES_MAX = 1_500_000  # the largest ones take seconds each
SENT_TWICE_EACH = 5  # every fifth
RENDITIONS = 8  # thumbnail, square, large and placeholder, as JPEG and as WebP


def sample_photos():
    files = [f for f in sorted(PHOTOS.rglob("*.jpg")) + sorted(PHOTOS.rglob("*.png")) if f.stat().st_size <= BYTES_MAX]
    return [(f.name, f.read_bytes()) for f in files]


@dataclasses.dataclass
class Acknowledged:
    photo_id: int
    content_digest: str
    answered_at: float
    seconds: float  # from its first attempt


class Uploader(Background):
    def __init__(self, number, client, photos, pause):
        super().__init__()
        self.client, self.photos, self.pause = client, photos, pause
        self.user_id = client.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
        self.acknowledged = []
        self.attempts_failed = 0
        self.surprise = None  # what no breakage explains
        self._next = number

    def run(self):
        while not self.ending.is_set() and self.surprise is None:
            name, content = self.photos[self._next % len(self.photos)]
            self._next += 1
            key = secrets.token_hex(16)
            first = self._upload(name, content, key)
            if first and self._next % SENT_TWICE_EACH == 0:
                self._send_again(name, content, key, first)
            self.ending.wait(self.pause)

    def _send_again(self, name, content, key, first):
        """As if the answer had been lost on its way: the same photo is answered, and not another one."""
        try:
            again = self.client.upload(name, content, key)["id"]
        except (Refused, OSError, http.client.HTTPException):
            return  # something is being broken: what it left behind is seen in the end
        if again != first:
            self.surprise = f"photo {first} was sent again under its key, and stored again as {again}"

    def _upload(self, name, content, key):
        """The number of the new photo; None when this uploader has given up."""
        begun = time.monotonic()
        while self.surprise is None:
            try:
                photo = self.client.upload(name, content, key)
                now = time.monotonic()
                self.acknowledged.append(Acknowledged(photo["id"], digest(content), now, now - begun))
                return photo["id"]
            except Refused as why:
                if why.status not in (429, 502, 503, 504):
                    self.surprise = f"an upload was refused: {why}"
            except (OSError, http.client.HTTPException):
                pass
            self.attempts_failed += 1
            time.sleep(0.05)
        return None


def acknowledged_by(uploaders):
    return [a for uploader in uploaders for a in uploader.acknowledged]


def seconds_since(uploaders, moment):
    """What each upload took that was answered since."""
    return [a.seconds for a in acknowledged_by(uploaders) if a.answered_at >= moment]


class Uploaders(Several):
    def __init__(self, stack, count, pause=0.2):
        photos = sample_photos()
        self.each = [Uploader(i, stack.client(), photos, pause) for i in range(count)]

    def acknowledged(self):
        return acknowledged_by(self.each)

    def first_answer_after(self, moment, seconds):
        """Of an upload that was begun after that moment; None when there was none in so many seconds."""
        return awaited(lambda: min((a.answered_at for a in self.acknowledged() if a.answered_at - a.seconds >= moment), default=None), seconds, pause=0.01)

    def faults(self):
        """What is not as it was answered, one sentence each."""
        return [fault for uploader in self.each for fault in faults_of(uploader)]


def faults_of(uploader):
    if uploader.is_alive():
        yield f"user {uploader.user_id}: the last upload is not answered yet"
    uploader.client.close()  # what was broken may have broken its connection, too
    if uploader.surprise:
        yield f"user {uploader.user_id}: {uploader.surprise}"
    there = [photo["id"] for photo in uploader.client.photos_of(uploader.user_id)]
    answered = [a.photo_id for a in uploader.acknowledged]
    for photo_id in sorted({*answered} - {*there}):
        yield f"photo {photo_id} was answered, and is LOST"
    for photo_id in sorted({*there} - {*answered}):
        yield f"photo {photo_id} is there twice: an upload that was sent again was stored again"
    for a in uploader.acknowledged:
        if a.photo_id in there:
            yield from faults_of_photo(uploader.client, a)


def faults_of_photo(client, acknowledged):
    photo = client.photo(acknowledged.photo_id)
    original = client.fetch(photo["original"])
    if digest(original) != acknowledged.content_digest:
        yield f"photo {photo['id']}: the original has other bytes than were sent"
    if len(photo["renditions"]) != RENDITIONS:
        yield f"photo {photo['id']} has {len(photo['renditions'])} of {RENDITIONS} sizes"
    stored = len(original)
    for rendition in photo["renditions"]:
        content = client.fetch(rendition["url"])
        stored += len(content)
        if size_of_image(content) != (rendition["width"], rendition["height"]):
            yield f"photo {photo['id']}: {rendition['file']} is not {rendition['width']}x{rendition['height']}"
    if photo["stored_bytes"] != stored:
        yield f"photo {photo['id']} has files of {stored} bytes, and {photo['stored_bytes']} were counted: a size was taken in twice, or not at all"


def size_of_image(content):
    """Of a JPEG or WebP, read from its head: a second opinion, not libvips's."""
    return _size_of_webp(content) if content[:4] == b"RIFF" else _size_of_jpeg(content)


def _size_of_jpeg(content):
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2:at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame's head
            return int.from_bytes(content[at + 7:at + 9], "big"), int.from_bytes(content[at + 5:at + 7], "big")
        at += 2 + length
    return None


def _size_of_webp(content):
    kind = content[12:16]
    if kind == b"VP8 ":
        return int.from_bytes(content[26:28], "little") & 0x3FFF, int.from_bytes(content[28:30], "little") & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    return None
