"""As many workers as there is work for: started at once when the backlog grows, stopped one by one when it is gone. A worker that is stopped finishes its photo."""
import http.client
import json
import math
import time

from stack_tool.failure import StackFailed

LOOK_SECONDS = 0.5
CATCH_UP_SECONDS = 5  # a backlog is to be gone in so long
PHOTOS_PER_SECOND = 1.0  # that a worker can be counted on to do
FEWER_SECONDS = 4  # between one that is stopped and the next
ADMIN_PORT = 7080
ANSWER_SECONDS = 3
TOPIC, SUBSCRIPTION, COMPONENT = "photos.uploaded", "workers", "sizer"


def workers_for(backlog, most):
    needed = math.ceil(backlog / (PHOTOS_PER_SECOND * CATCH_UP_SECONDS)) + (backlog > 0)
    return min(max(needed, 1), most)


class Backlog:
    """What the broker's admin REST says that waits, or is in work."""

    def __init__(self, stack, broker):
        self._address = stack.network.address(broker.host, broker.network)
        self._headers = {"Authorization": f"Bearer {(stack.place.secrets / 'broker_operator').read_text().strip()}"}

    def ask(self):
        connection = http.client.HTTPConnection(self._address, ADMIN_PORT, timeout=ANSWER_SECONDS)
        connection.request("GET", f"/v1/topics/{TOPIC}/subscriptions/{SUBSCRIPTION}", headers=self._headers)
        answer = connection.getresponse()
        told = json.load(answer)
        if answer.status != 200:
            raise StackFailed(f"the broker answers {told}")
        return sum(p[state] for p in told["partitions"] for state in ("ready", "leased", "delayed"))


class Scaler:
    def __init__(self, most):
        self._most = most
        self._may_stop_at = 0.0

    def step(self, now, backlog, running):
        """How many there are to be."""
        needed = workers_for(backlog, self._most)
        if needed >= running:
            self._may_stop_at = now + FEWER_SECONDS
            return needed
        if now < self._may_stop_at:
            return running
        self._may_stop_at = now + FEWER_SECONDS
        return running - 1


class Fleet:
    """The workers of a broker: those of its data centre."""

    def __init__(self, stack, broker):
        self._stack, self._broker = stack, broker
        self._names = [p.name for p in stack.topology.of_component(COMPONENT) if p.host.site == broker.host.site]
        self._backlog, self._scaler = Backlog(stack, broker), Scaler(len(self._names))

    def look(self):
        try:
            waiting = self._backlog.ask()
            running = len({*self._names} & {*self._stack.place.wanted()})
            wanted = self._scaler.step(time.monotonic(), waiting, running)
            if wanted != running:
                print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {self._broker.name}: backlog {waiting}: {running} -> {wanted} workers", flush=True)
            self._stack.start(self._names[:wanted])
            self._stack.stop(self._names[wanted:])
        except (OSError, http.client.HTTPException, ValueError, StackFailed) as why:
            print(f"the backlog of {self._broker.name} is not known: {why}", flush=True)  # as many as there are


def run(stack):
    fleets = [Fleet(stack, broker) for broker in stack.topology.of_component("millrace")]
    while True:
        for fleet in fleets:
            fleet.look()
        time.sleep(LOOK_SECONDS)
