"""A whole data centre: taken away at once, and brought back."""
import contextlib
import time

from stack_tool.cluster import Cluster
from stack_tool.hosts import Hosts
from stack_tool.session_store import SessionStore
from stack_tool.shards import Shards

PATIENCE_SECONDS = 90
DARK_SECONDS = 0.5  # before all of it dies: what it answers by itself meanwhile, nobody hears


class DataCentre:
    def __init__(self, stack, site):
        self._stack, self._site = stack, site
        self._hosts = Hosts(stack)
        self._clusters = [Cluster(stack, shard) for shard in Shards(stack).registered()]
        self._sessions = SessionStore(stack)

    def leads_all(self):
        """Whether everybody who leads something is there."""
        leaders = [self._sessions.master(), *(cluster.primary() for cluster in self._clusters)]
        return {self._hosts.of(name).site for name in leaders} == {self._site}

    @contextlib.contextmanager
    def lost(self):
        """From one moment on nothing gets out of it, and half a second later all of its processes are dead: so it is while the block is run."""
        with self._stack.wan.dark(self._site):
            for cluster in self._clusters:
                self._stack.psql(cluster.shard).run("select pg_logical_emit_message(false, 'drill', 'what a replica nearby hears, and nobody else')")
            time.sleep(DARK_SECONDS)
            self._hosts.kill_all_of(self._site)
            yield

    def bring_back(self):
        """How long it took until all of it works, and its people are sent to it."""
        begun = time.monotonic()
        self._hosts.revive()
        self._stack.wait_until_ready([p.name for p in self._stack.topology.processes if p.host.site == self._site and not p.spare], PATIENCE_SECONDS)
        self._sessions.wait_until_whole(PATIENCE_SECONDS)
        for cluster in self._clusters:
            cluster.wait_until_whole(PATIENCE_SECONDS)
        self._stack.region(self._site).until_sent_to(self._site, PATIENCE_SECONDS)
        return time.monotonic() - begun
