"""Requests from several clients, for a while, each as soon as the last one is answered: how many a second, and how long each took."""
import dataclasses
import http.client
import time

from stack_tool.background import Background


@dataclasses.dataclass
class Measured:
    per_second: float
    failed: int
    slowest_seconds: float
    statuses: dict


class _Asker(Background):
    def __init__(self, client, path, pause):
        super().__init__()
        self.client, self.path, self.pause = client, path, pause
        self.seconds, self.statuses, self.failed = [], {}, 0

    def run(self):
        while not self.ending.is_set():
            begun = time.monotonic()
            try:
                status = self.client.ask("GET", self.path).status
                self.statuses[status] = self.statuses.get(status, 0) + 1
            except (OSError, http.client.HTTPException):
                self.failed += 1
                time.sleep(0.01)
            self.seconds.append(time.monotonic() - begun)
            if self.pause:
                time.sleep(self.pause)


def measure(stack, path, seconds, clients=4, pause=0, source=None, during=None):
    """`during` is called meanwhile; if it takes longer, they ask longer."""
    begun = time.monotonic()
    askers = [_Asker(stack.client(source), path, pause) for _ in range(clients)]
    for asker in askers:
        asker.start()
    try:
        if during:
            during()
        time.sleep(max(0, begun + seconds - time.monotonic()))
    finally:
        for asker in askers:
            asker.ending.set()
    for asker in askers:
        asker.join()
    statuses = {}
    for asker in askers:
        for status, count in asker.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    took = time.monotonic() - begun
    return Measured(statuses.get(200, 0) / took, sum(a.failed for a in askers) + sum(n for s, n in statuses.items() if s != 200),
                    max((s for a in askers for s in a.seconds), default=0.0), statuses)
