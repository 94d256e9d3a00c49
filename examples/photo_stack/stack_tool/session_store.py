"""The sessions' Redis: who its master is, as the sentinels say, and who follows it."""
import time

from stack_tool.failure import StackFailed
from stack_tool.redis import SENTINEL_PORT, Redis, RedisRefused

WAIT_SECONDS = 30


class SessionStore:
    def __init__(self, stack):
        self._stack = stack
        self.names = [process.name for process in stack.topology.of_component("redis_sessions")]
        self._sentinels = [process.name for process in stack.topology.of_component("redis_sentinel")]

    def redis(self, name, port=6379):
        return Redis(self._stack.topology.process(name), self._stack.place, self._stack.network, port)

    def _address(self, name):
        process = self._stack.topology.process(name)
        return self._stack.network.address(process.host, process.network)

    def master(self):
        """Who it is by the first sentinel that answers."""
        for sentinel in self._sentinels:
            try:
                address, _ = self.redis(sentinel, SENTINEL_PORT).ask("SENTINEL", "get-master-addr-by-name", "sessions")
            except (OSError, RedisRefused):
                continue
            return next(name for name in self.names if self._address(name) == address)
        raise StackFailed("no sentinel says who the sessions' master is")

    def _is_whole(self):
        master = self.master()
        try:
            followers = self.redis(master).facts("replication")
            return followers["role"] == "master" and int(followers["connected_slaves"]) == len(self.names) - 1
        except (OSError, RedisRefused):
            return False

    def wait_until_whole(self, seconds=WAIT_SECONDS):
        """How long it took until everybody followed the master."""
        begun = time.monotonic()
        while not self._is_whole():
            if time.monotonic() - begun > seconds:
                raise StackFailed(f"the sessions' Redis is not whole after {seconds} s: master {self.master()} (see {self._stack.place.log}/redis*.log)")
            time.sleep(0.1)
        return time.monotonic() - begun

    def start(self):
        """The first one is master; from then on the sentinels decide."""
        self._stack.start(self.names)
        self._stack.wait_until_ready(self.names)
        for name in self.names[1:]:
            follower = self.redis(name)
            follower.ask("REPLICAOF", self._address(self.names[0]), 6379)
            follower.ask("CONFIG", "REWRITE")
        self._stack.start(self._sentinels)
        self._stack.wait_until_ready(self._sentinels)
        self.wait_until_whole()
