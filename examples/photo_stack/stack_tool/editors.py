"""Edits that are asked for while something is broken, and afterwards the proof: what was asked for last is shown, whole, and nothing is left of the rest."""
import http.client
import random
import secrets
import time
import urllib.parse

from stack_tool.background import Background, Several
from stack_tool.photo_client import Refused
from stack_tool.uploaders import Acknowledged, digest, faults_of_photo, sample_photos
from stack_tool.waiting import awaited

LARGE_PIXELS = 1280
LONG_AGO = "1 hour"  # loose files are swept when they are older than some minutes
SWEPT_SECONDS = 60


def _path(url):
    return urllib.parse.urlsplit(url).path


class Editor(Background):
    """Has one photo, asks for another edit of it now and then, and looks at what is shown meanwhile."""

    def __init__(self, stack, number, pause):
        super().__init__()
        self.client, self.pause = stack.client(), pause
        self.client.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
        name, content = sample_photos()[number]
        self.photo = self.client.upload(name, content, secrets.token_hex(8))
        self.uploaded = Acknowledged(self.photo["id"], digest(content), time.monotonic(), 0)
        self.asked_for, self.seconds, self.urls = [], [], set()
        self.surprise = None  # what no breakage explains

    def run(self):
        while not self.ending.is_set() and self.surprise is None:
            self._ask_for(self._another_edit())
            self._look()
            self.ending.wait(self.pause)

    def _another_edit(self):
        width, height = (random.randint(1, self.photo[side]) for side in ("width", "height"))
        left, top = random.randint(0, self.photo["width"] - width), random.randint(0, self.photo["height"] - height)
        return {"crop": {"left": left, "top": top, "width": width, "height": height}, "sharpen": random.randint(1, 10)}

    def _ask_for(self, edit):
        """Under its key, until it is answered."""
        key, begun = secrets.token_hex(16), time.monotonic()
        while self.surprise is None:
            try:
                self.client.edit(self.photo["id"], edit, key)
                self.asked_for.append(edit)
                self.seconds.append(time.monotonic() - begun)
                return
            except Refused as why:
                if why.status not in (429, 502, 503, 504):
                    self.surprise = f"an edit was refused: {why}"
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)

    def _look(self):
        """Whatever is shown is there."""
        try:
            shown = self.client.photo(self.photo["id"])
            self.urls |= {rendition["url"] for rendition in shown["renditions"]}
            for rendition in shown["renditions"]:
                self.client.fetch(rendition["url"])
        except Refused as why:
            if why.status not in (429, 502, 503, 504):
                self.surprise = f"a size that was shown is not there: {why}"
        except (OSError, http.client.HTTPException):
            pass

    def faults(self):
        """As it was answered last."""
        photo_id = self.photo["id"]
        self.client.close()
        if self.surprise:
            yield f"photo {photo_id}: {self.surprise}"
        shown, last = self.client.photo(photo_id), self.asked_for[-1]
        if shown["state"] != "ready" or shown["edit"] != last:
            yield f"photo {photo_id} is {shown['state']} with the edit {shown['edit']}, and {last} was answered last"
        yield from faults_of_photo(self.client, self.uploaded)
        large = next(r for r in shown["renditions"] if r["file"].endswith("-large.jpg"))
        scale = min(1.0, LARGE_PIXELS / max(last["crop"]["width"], last["crop"]["height"]))
        if any(abs(large[side] - last["crop"][side] * scale) > 1 for side in ("width", "height")):
            yield f"photo {photo_id} is {large['width']} x {large['height']} after it was cropped by {last['crop']}"

    def left_behind(self):
        """Once everything is swept: sizes of versions that are not shown any more."""
        self.client.close()  # it has not asked for a while, and is parted from
        shown = {_path(rendition["url"]) for rendition in self.client.photo(self.photo["id"])["renditions"]}
        return [f"{url} is still there" for url in sorted(self.urls) if _path(url) not in shown and self._is_there(url)]

    def _is_there(self, url):
        """At the edge that the address names, or where the page came from."""
        askers = [self.client]
        if _path(url) != url:
            askers.append(self.client.edge(url))
            askers[-1].close()
        return any(asker.ask("GET", _path(url)).status != 404 for asker in askers)


class Editors(Several):
    def __init__(self, stack, count, pause):
        self.each = [Editor(stack, number, pause) for number in range(count)]

    def asked_for(self):
        return sum(len(editor.asked_for) for editor in self.each)

    def slowest_seconds(self):
        return max((s for editor in self.each for s in editor.seconds), default=None)

    def faults(self):
        return [fault for editor in self.each for fault in editor.faults()]

    def left_behind(self):
        return [fault for editor in self.each for fault in editor.left_behind()]


def sweep(stack):
    """As if loose files had been so for long. How many photos and versions these were; None when they were not all swept. REQUIRES: nobody uploads or edits."""
    psql = stack.psql()
    loose = int(psql.run(f"update loose_files set since = since - interval '{LONG_AGO}'; select count(*) from loose_files"))
    return loose if awaited(lambda: psql.run("select count(*) from loose_files").strip() == "0", SWEPT_SECONDS) else None
