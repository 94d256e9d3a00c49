"""A shard's databases: who their primary is, as Patroni on each host says, and the command to make another one so."""
import http.client
import json
import pathlib

from stack_tool import network as networks
from stack_tool import processes
from stack_tool.failure import StackFailed
from stack_tool.waiting import seconds_until

PORT = 8008
ASK_SECONDS = 3
WAIT_SECONDS = 60


class Cluster:
    """Of the first shard, unless another one is named."""

    def __init__(self, stack, shard=None):
        self._stack = stack
        self.shard = shard or stack.topology.shards[0].name
        self.names = [process.name for process in stack.topology.of_component("patroni") if process.shard == self.shard]
        self._synchronous_replicas = int(stack.topology.shard(self.shard).synchronous_replicas)

    def _ask(self, name, method, path, body=None, seconds=ASK_SECONDS):
        """Status and body, asked in the host's own namespace: also when it is unplugged."""
        process = self._stack.topology.process(name)
        with networks.inside(self._stack.network.namespace(process.host)):
            connection = http.client.HTTPConnection(self._stack.network.address(process.host, process.network), PORT, timeout=seconds)
            connection.connect()
        connection.request(method, path, body and json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _those(self, path, names=None):
        """Who answers that they are what the path says."""
        found = []
        for name in names or self.names:
            try:
                if self._ask(name, "GET", path)[0] == 200:
                    found.append(name)
            except (OSError, http.client.HTTPException):
                pass
        return found

    def primary(self):
        """None when there is none."""
        return next(iter(self._those("/primary")), None)

    def synchronous(self):
        """The replicas that have whatever was answered."""
        return self._those("/synchronous")

    def replicas(self):
        """Those that follow the primary."""
        return self._those("/replica?lag=1MB")

    def wait_until_whole(self, seconds=WAIT_SECONDS):
        """One primary, and everybody else follows it, as many of them synchronously as shall. How long it took."""
        took = seconds_until(self._is_whole, seconds, pause=0.1)
        if took is not None:
            return took
        raise StackFailed(f"shard {self.shard} is not whole after {seconds} s: primary {self.primary()}, replicas {self.replicas()} (see {self._stack.place.log}/db*/)")

    def _is_whole(self):
        return self.primary() and len(self.replicas()) == len(self.names) - 1 and len(self.synchronous()) == self._synchronous_replicas

    def switch_over(self, leader, candidate):
        status, told = self._ask(leader, "POST", "/switchover", {"leader": leader, "candidate": candidate}, seconds=WAIT_SECONDS)
        if status != 200:
            raise StackFailed(f"the switchover to {candidate} was refused: {told.decode()}")

    def _replaying(self, name):
        """The process that applies what a replica has been sent."""
        for pid in networks.pids_in([self._stack.network.namespace(self._stack.topology.process(name).host)]):
            if b"startup recovering" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                return processes.identity(pid)
        raise StackFailed(f"nobody replays on {name}")

    def replicas_standing_still(self):
        """They have on their disks whatever they are sent, and answer, but as of now. (Patroni ends a pause that PostgreSQL is asked for.)"""
        return processes.standing_still([self._replaying(name) for name in self.replicas()])


def start(stack, clusters):
    """All at once, but one database of each before the others, so that it is the primary; and before them who votes, or they would wait for it."""
    witnesses = [process.name for process in stack.topology.of_component("etcd") if process.name not in stack.place.wanted()]
    for names in (witnesses, [cluster.names[0] for cluster in clusters], [name for cluster in clusters for name in cluster.names[1:]]):
        stack.start(names)
        stack.wait_until_ready(names)
    for cluster in clusters:
        cluster.wait_until_whole()
