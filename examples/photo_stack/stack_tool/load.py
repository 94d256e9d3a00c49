"""Uploads, and photos looked at, from several clients: bounded in number and time."""
import time

from stack_tool import packages
from stack_tool.background import Background
from stack_tool.uploaders import PACKAGE, Uploaders

LOOK_SECONDS = 0.05
VIEWS_OF_EACH = 3  # sizes that somebody looks at, for each photo


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else None


class _Viewer(Background):
    """Looks at what an uploader has uploaded, newest first."""

    def __init__(self, client, uploader):
        super().__init__()
        self.client, self.uploader = client, uploader
        self.seconds = []

    def run(self):
        while not self.ending.is_set():
            if not self.uploader.acknowledged:
                self.ending.wait(0.05)
                continue
            photo = self.client.photo(self.uploader.acknowledged[-1].photo_id)
            for rendition in photo["renditions"][:VIEWS_OF_EACH]:
                begun = time.monotonic()
                self.client.fetch(rendition["url"])
                self.seconds.append(time.monotonic() - begun)
                self.ending.wait(LOOK_SECONDS)
            self.ending.wait(LOOK_SECONDS)


def run(stack, seconds, uploads, clients):
    packages.install([PACKAGE])
    print(f"{clients} clients upload for {seconds:.0f} s, or {uploads} photos; as many look at them", flush=True)
    begun = time.monotonic()
    with Uploaders(stack, clients, pause=0) as uploaders:
        viewers = [_Viewer(stack.client(), uploader) for uploader in uploaders.each]
        for viewer in viewers:
            viewer.start()
        while time.monotonic() - begun < seconds and len(uploaders.acknowledged()) < uploads:
            time.sleep(0.1)
        took = time.monotonic() - begun
    for viewer in viewers:
        viewer.ending.set()
        viewer.join()
    uploaded = [a.seconds for a in uploaders.acknowledged()]
    viewed = [s for viewer in viewers for s in viewer.seconds]
    _tell("uploads", uploaded, took)
    _tell("views", viewed, took)
    return 0 if uploaded and not any(u.surprise for u in uploaders.each) else 1


def _tell(what, seconds, took):
    if seconds:
        p50, p99 = (1000 * percentile(seconds, p) for p in (50, 99))
        print(f"  {what:8} {len(seconds):6}   {len(seconds) / took:8.1f} /s   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms")
