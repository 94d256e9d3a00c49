"""People who look at pages as a browser without JavaScript shows them: each page, and then its images, from wherever it says that they are."""
import dataclasses
import html
import re
import time
import urllib.parse

from stack_tool.background import Background, Several

PAGE_PHOTOS = 24  # of the first page
IMAGE = re.compile(rb'<img src="([^"]+)"')


@dataclasses.dataclass
class View:
    begun: float
    seconds: float
    images: int
    edges: frozenset  # that its images were from
    unseen: tuple  # images that did not come, each with why


class Browser(Background):
    def __init__(self, client, path, pause, at_origin=False):
        super().__init__()
        self._client, self._path, self._pause = client, path, pause
        self._at_origin = at_origin  # images are loaded from the site itself, whatever their addresses are
        self.views = []

    def run(self):
        while not self.ending.is_set():
            self.views.append(self._look())
            self.ending.wait(self._pause)

    def _look(self):
        begun = time.monotonic()
        try:
            urls = [html.unescape(found.decode()) for found in IMAGE.findall(self._client.fetch(self._path))]
        except Exception as why:
            return View(begun, time.monotonic() - begun, 0, frozenset(), (f"{self._path}: {why!r}",))
        photos = [url for url in urls if "/media/" in url]
        unseen = tuple(f"{url}: {fault}" for url in photos if (fault := self._fault_of(url)))
        edges = frozenset(urllib.parse.urlsplit(url).netloc for url in photos) - {""}
        return View(begun, time.monotonic() - begun, len(photos), edges, unseen)

    def _fault_of(self, url):
        try:
            content = self._client.fetch(urllib.parse.urlsplit(url).path if self._at_origin else url)
            return None if content[:2] == b"\xff\xd8" else "no JPEG"
        except Exception as why:
            return repr(why)


class Browsers(Several):
    """With `with`: they look meanwhile. Each half of them comes from another address."""

    def __init__(self, stack, count, path="/", pause=0.0, at_origin=False):
        sources = stack.here()
        self.clients = [stack.client(sources[number % len(sources)]) for number in range(count)]
        self.each = [Browser(client, path, pause, at_origin) for client in self.clients]

    def __enter__(self):
        self.begun = time.monotonic()
        return super().__enter__()

    def __exit__(self, *_):
        super().__exit__()
        self.seconds = time.monotonic() - self.begun

    def views(self):
        return [view for browser in self.each for view in browser.views]

    def views_since(self, moment):
        return [view for view in self.views() if view.begun >= moment]

    def unseen(self):
        return [fault for view in self.views() for fault in view.unseen]

    def asked_elsewhere(self):
        """Images that an edge did not give."""
        return sum(client.edges_failed for client in self.clients)
