"""The shards: started, added, and which buckets each of them has."""
import collections

from stack_tool import cluster, database
from stack_tool.cluster import Cluster
from stack_tool.failure import StackFailed

BUCKETS = 256


def bucket_of(number):
    """Of a user or a photo."""
    return number % BUCKETS


class Shards:
    def __init__(self, stack):
        self._stack = stack
        self._shards = {shard.name: shard for shard in stack.topology.shards}

    def named(self, name):
        if name not in self._shards:
            raise StackFailed(f"there is no shard '{name}' at stage {self._stack.stage}: choose one of {', '.join(self._shards)}")
        return self._shards[name]

    def directory(self):
        return self._stack.psql()

    def address(self, name, balancer=None):
        """A connection string of libpq to its primary, for a host on the private network; by that host's balancer, where there are several."""
        balancer = balancer or self._stack.topology.in_each_data_centre("lb")[0]
        return f"host={self._stack.network.address(balancer, 'private')} port=5000 {self._stack.value('database')} {self.named(name).address}"

    def registered(self):
        return self.directory().run("select name from shards order by 1").split()

    def count(self, table):
        """Rows in all of them together."""
        return sum(int(self._stack.psql(name).run(f"select count(*) from {table}")) for name in self.registered())

    def nothing_in_work(self):
        """Every photo that was uploaded, and every edit, has its sizes."""
        return self.count("outbox") == 0

    def start(self, names):
        """Their databases, with the schema as it is on a new stack. The files that were applied to each."""
        self._start_databases(names)
        for name in names:
            psql = self._stack.psql(name)
            database.make_user(psql, self._stack.place.secrets / "pgpass")
            yield name, database.migrate(psql)

    def _start_databases(self, names):
        alone = [p.name for p in self._stack.topology.of_component("postgres")]
        for process in alone:
            database.make(self._stack.place.data(process))
            self._stack.start([process])
            self._stack.wait_until_ready([process])
        if not alone:
            cluster.start(self._stack, [Cluster(self._stack, name) for name in names])

    def register(self, name):
        shard = self.named(name)
        self.directory().run(f"insert into shards (name, address, replicas) values ('{name}', '{shard.address}', '{shard.replicas}') on conflict do nothing")

    def deal_out(self, names):
        """All buckets, evenly, to the first shards of a new stack: those that follow each other are in different ones."""
        for at, name in enumerate(names):
            self.register(name)
            its = f"generate_series({at}, {BUCKETS - 1}, {len(names)}) as bucket on conflict do nothing"
            self._stack.psql(name).run(f"insert into own_buckets (bucket, version, state) select bucket, 1, 'owned' from {its}")
            self.directory().run(f"insert into shard_map (bucket, shard, version) select bucket, '{name}', 1 from {its}")

    def add(self, name):
        """A shard without buckets, with all that is on its hosts."""
        if not self.named(name).spare:
            raise StackFailed(f"shard '{name}' is there from the beginning")
        applied = dict(self.start([name]))[name]
        hosts = {self._stack.topology.process(process).host for process in Cluster(self._stack, name).names}
        rest = [p.name for p in self._stack.topology.processes if p.host in hosts]
        self._stack.start(rest)
        self._stack.wait_until_ready(rest)
        return applied

    def places(self):
        """Bucket → shard, as the directory says."""
        rows = (line.split("|") for line in self.directory().run("select bucket, shard from shard_map").split())
        return {int(bucket): shard for bucket, shard in rows}

    def under_way(self):
        """Moves that have begun, and not ended: bucket → shard that it goes to."""
        rows = (line.split("|") for line in self.directory().run("select bucket, moving_to from shard_map where moving_to is not null order by 1").split())
        return {int(bucket): shard for bucket, shard in rows}

    def to_even_out(self, name):
        """Buckets which that shard lacks to have as many as the others, each from the one that has most."""
        places, wanted = self.places(), BUCKETS // len(self.registered())
        having = collections.defaultdict(list)
        for bucket, shard in sorted(places.items()):
            having[shard].append(bucket)
        chosen = []
        while len(having[name]) + len(chosen) < wanted:
            chosen.append(max((buckets for shard, buckets in having.items() if shard != name), key=len).pop())
        return chosen
