"""A bucket on its way from one shard to another, while its users go on: copied, closed for a moment, copied to the end, and opened where it is now.

    directory   moving_to = s3 ──────────────────────────────────────────────► shard = s3, version + 1 ─────────────► moving_to = null
    s1          owned ─────────────────► leaving: nobody gets in ──────────────────────────────────────► rows gone ──┘
    s3          arriving, rows, rows, … ───────► the last rows, compared ─► owned, version + 1

There is never a moment at which two shards have it open: the one has closed it for ever, and all its replicas know, before the other one opens it. Each step is
committed where it happens, and begins with what it finds: whoever moves the bucket again after a crash goes on from there, and nothing has to be undone.
"""
import contextlib
import functools
import time

from stack_tool import bucket_rows
from stack_tool import network as networks
from stack_tool.failure import StackFailed
from stack_tool.redis import Redis, RedisRefused
from stack_tool.shards import Shards
from stack_tool.waiting import awaited

FEW_ROWS = 50  # that are left to be copied when nobody gets in
PASSES_MAX = 10
FOLLOW_SECONDS = 0.5  # that replicas have, while nobody gets in
RETRY_SECONDS = 60
ALONE_SECONDS = 5  # in which a shard finds out that somebody has died


class ReplicaBehind(StackFailed):
    """The bucket stays where it is, for now."""


class Database:
    """A connection that is made again once it was lost; a transaction is whole or not at all."""

    def __init__(self, connect):
        self._connect, self._connection = connect, None

    @contextlib.contextmanager
    def transaction(self, isolation=None):
        import psycopg2  # comes with Patroni
        if self._connection is None:
            self._connection = self._connect()
        try:
            with self._connection, self._connection.cursor() as cursor:
                if isolation:
                    cursor.execute(f"set transaction isolation level {isolation}")
                yield cursor
        except psycopg2.Error:
            self._connection.close()
            self._connection = None
            raise

    def one(self, sql, *values):
        """The first row of it, in a transaction of its own; None when there is none."""
        with self.transaction() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone() if cursor.description else None


class _Side:
    """The shard that a bucket leaves, or that it arrives in: and the version in which it has it."""

    def __init__(self, name, database, bucket, version):
        self.name, self._database = name, database
        self._bucket, self._version = bucket, version
        self.transaction = database.transaction

    def state(self):
        row = self._database.one("select state from own_buckets where bucket = %s and version = %s", self._bucket, self._version)
        return row and row[0]

    def arrive(self):
        self._database.one("insert into own_buckets (bucket, version, state) values (%s, %s, 'arriving') on conflict do nothing", self._bucket, self._version)

    def change(self, before, after):
        """Waits until nobody writes."""
        self._database.one("update own_buckets set state = %s where bucket = %s and version = %s and state = %s", after, self._bucket, self._version, before)

    def hold(self, cursor, state):
        """Until the transaction ends it is in that state."""
        cursor.execute("select from own_buckets where bucket = %s and version = %s and state = %s for update", (self._bucket, self._version, state))
        if cursor.rowcount != 1:
            raise StackFailed(f"bucket {self._bucket} is not {state} in {self.name} any more: somebody else is moving it")

    def replicas_follow(self, seconds):
        """Whether all of them know in time what is committed by now. Each look writes a word: a replica says how far it is when it hears of something new."""
        at, = self._database.one("select pg_current_wal_flush_lsn()")

        def know():
            self._database.one("set local synchronous_commit = local; select pg_logical_emit_message(true, 'bucket', 'moves')")
            return self._database.one("select coalesce(bool_and(replay_lsn >= %s), true) from pg_stat_replication where state = 'streaming'", at)[0]
        return awaited(know, seconds, pause=0.005)

    def forget(self):
        """All rows, some at a time, and at last that they were here: before that the database does not let it go."""
        more = True
        while more and self.state() == "leaving":
            with self.transaction() as cursor:
                self.hold(cursor, "leaving")
                more = bucket_rows.forget(cursor, self._bucket)
                if not more:
                    cursor.execute("delete from own_buckets where bucket = %s and version = %s", (self._bucket, self._version))


def mover_of(stack):
    import psycopg2
    shards, namespace = Shards(stack), stack.network.namespace(stack.topology.in_each_data_centre("lb")[0])

    def connect(name):
        with networks.inside(namespace):
            return psycopg2.connect(shards.address(name))

    def forget_newest(names):
        keys = [key for name in names for key in (f"newest:{name}", f"fill:newest:{name}")]
        for cache in stack.topology.of_component("redis_cache"):
            with contextlib.suppress(OSError, RedisRefused):  # a cache that cannot be reached forgets within a minute
                Redis(cache, stack.place, stack.network).ask("DEL", *keys)

    names = shards.registered()
    return BucketMover({name: Database(functools.partial(connect, name)) for name in names}, names[0], forget_newest)


class BucketMover:
    """Name → database of each shard; which of them has the directory; and what makes the web servers look for the newest photos again in some of them
    (web/hot_photos.cpp)."""

    def __init__(self, databases, directory, forget_newest):
        self._databases, self._directory, self._forget_newest = databases, databases[directory], forget_newest

    def move(self, bucket, to):
        """How long nobody got in, in seconds; None when that was before."""
        import psycopg2
        until = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return self._move(bucket, to)
            except (psycopg2.OperationalError, psycopg2.InternalError, psycopg2.InterfaceError, ReplicaBehind):  # a shard may have another primary now
                if time.monotonic() > until:
                    raise
            time.sleep(0.2)

    def _move(self, bucket, to):
        if not awaited(lambda: self._directory.one("select pg_try_advisory_lock(%s)", bucket)[0], ALONE_SECONDS):  # it ends with this connection
            raise StackFailed(f"bucket {bucket} is being moved by somebody else")
        self._directory.one("update shard_map set moving_from = shard, moving_to = %s where bucket = %s and moving_to is null and shard <> %s", to, bucket, to)
        here, origin, goal, version = self._directory.one("select shard, moving_from, moving_to, version from shard_map where bucket = %s", bucket)
        closed = None
        if goal not in (None, to):
            raise StackFailed(f"bucket {bucket} is on its way to {goal}: let it arrive there first")
        if goal:
            new = version if here == goal else version + 1
            source, target = (_Side(name, self._databases[name], bucket, its) for name, its in ((origin, new - 1), (goal, new)))
            if here != goal:
                closed = self._bring(bucket, source, target)
            source.forget()
            self._directory.one("update shard_map set moving_from = null, moving_to = null where bucket = %s and moving_to = %s", bucket, goal)
        self._directory.one("select pg_advisory_unlock(%s)", bucket)
        return closed

    def _bring(self, bucket, source, target):
        target.arrive()
        if target.state() == "arriving" and source.state() == "owned":
            for _ in range(PASSES_MAX):
                if self._copy(bucket, source, target) <= FEW_ROWS:
                    break
        closed_at = time.monotonic()
        if target.state() == "arriving":
            source.change("owned", "leaving")
            if not source.replicas_follow(FOLLOW_SECONDS):
                self._reopen(source, target)
                raise ReplicaBehind(f"bucket {bucket} stays in {source.name}: a replica there does not follow, and would show what is old")
            self._open(bucket, source, target)
        self._tell(bucket, source, target)
        return time.monotonic() - closed_at

    def _copy(self, bucket, source, target):
        with target.transaction() as there, source.transaction("repeatable read") as here:
            target.hold(there, "arriving")
            return bucket_rows.make_equal(here, there, bucket)

    def _open(self, bucket, source, target):
        with target.transaction() as there:
            target.hold(there, "arriving")
            with source.transaction("repeatable read") as here:
                here.execute("select state from own_buckets where bucket = %s", (bucket,))
                if here.fetchone() != ("leaving",):
                    raise StackFailed(f"bucket {bucket} is open in {source.name} again: somebody else is moving it")
                bucket_rows.make_equal(here, there, bucket)
                if bucket_rows.digests(here, bucket) != bucket_rows.digests(there, bucket):
                    raise StackFailed(f"bucket {bucket} is not the same in {target.name} as in {source.name}, although nobody gets in")
                here.execute("select last_value from photo_numbers")
                there.execute("select setval('photo_numbers', greatest(nextval('photo_numbers'), %s))", here.fetchone())
            there.execute("update own_buckets set state = 'owned' where bucket = %s", (bucket,))
            there.execute("notify outbox")

    def _reopen(self, source, target):
        with target.transaction() as there:
            target.hold(there, "arriving")  # so nobody opens it meanwhile
            source.change("leaving", "owned")

    def _tell(self, bucket, source, target):
        self._forget_newest([source.name, target.name])
        self._directory.one("update shard_map set shard = moving_to, version = version + 1 where bucket = %s and shard = moving_from", bucket)
