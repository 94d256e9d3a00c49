#!/usr/bin/python3
"""A bucket moves between two real databases, and whoever moves it dies: once before each statement, and once after each commit. Whoever goes on afterwards finds
every row once, in one shard, that has the bucket.

Usage: tests/photo_stack/bucket_crashes.py     exit code 77 when it is not root
"""
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent.parent / "examples/photo_stack")]

from stack_tool import database, migration, packages  # noqa: E402
from stack_tool.bucket_move import BucketMover, Database  # noqa: E402

USERS, PHOTOS_EACH, SIZES = 512, 3, 4  # two users in each bucket

FILL = f"""
insert into users (id, name, password_hash) select id, 'user_' || id, 'x' from generate_series(1, {USERS}) as id;
insert into photos (id, user_id, title, original, bytes, width, height)
    select (nextval('photo_numbers') * 256) + users.id % 256, users.id, 'ö "' || n, 'original.jpg', 9007199254740993, 4, 3 from users, generate_series(1, {PHOTOS_EACH}) as n;
insert into renditions (photo_id, version, file, width, height, bytes) select id, 1, 'v1-' || n || '.jpg', 4, 3, 7 from photos, generate_series(1, {SIZES}) as n;
insert into outbox (photo_id, version, producer_epoch, batch, published_at, traceparent) select id, 1, 3, id, case when id % 2 = 0 then now() end, 't' from photos where id % 3 = 0;
insert into loose_files (photo_id, version) select id, 2 from photos;
insert into loose_files (photo_id, version) select (nextval('photo_numbers') * 256) + id % 256, 0 from users;
insert into idempotency_keys (user_id, key, request, status, answer) select id, 'key', 'digest', 201, '{{"a": [1, null]}}' from users;
insert into own_buckets select bucket, 1, 'owned' from generate_series(0, 255) as bucket;
insert into shards values ('s1', '', ''), ('s2', '', '');
insert into shard_map select bucket, 's1', 1 from generate_series(0, 255) as bucket;
"""

WHOLE = {"users": USERS, "photos": USERS * PHOTOS_EACH, "renditions": USERS * PHOTOS_EACH * SIZES, "idempotency_keys": USERS, "loose_files": USERS * (PHOTOS_EACH + 1)}


class Crash(BaseException):
    """Nobody catches it."""


class Fuse:
    """Burns at the so-manieth thing that is done."""

    def __init__(self, at=None):
        self.at, self.count = at, 0

    def touch(self):
        self.count += 1
        if self.count == self.at:
            raise Crash()


class FusedCursor:
    def __init__(self, cursor, fuse):
        self._cursor, self._fuse = cursor, fuse

    def execute(self, *words):
        self._fuse.touch()
        self._cursor.execute(*words)

    def __getattr__(self, name):
        return getattr(self._cursor, name)


class FusedDatabase(Database):
    def __init__(self, connect, fuse):
        super().__init__(connect)
        self._fuse = fuse

    @contextlib.contextmanager
    def transaction(self, isolation=None):
        with super().transaction(isolation) as cursor:
            yield FusedCursor(cursor, self._fuse)
        self._fuse.touch()  # it is committed

    def die(self):
        if self._connection:
            self._connection.close()


class Shard:
    """A PostgreSQL of its own in a folder."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        shutil.chown(folder, "postgres", "postgres")
        database.make(folder)
        self._pg_ctl("start", "-w", "-l", folder / "log", "-o", f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c timezone=UTC")
        self.psql = database.Psql(folder)
        self.psql.run("create role photos; create database photos owner photos", "postgres")
        database.migrate(self.psql)

    def _pg_ctl(self, *words):
        database.as_postgres([database.BIN / "pg_ctl", "-D", self.folder, *words])

    def stop(self):
        self._pg_ctl("stop", "-m", "immediate")

    def let_in(self):
        """This process, which is root: it comes as the user that owns everything."""
        with open(self.folder / "pg_hba.conf", "w") as rules:
            rules.write("local all all trust\n")
        self.psql.run("alter role photos login; grant pg_monitor to photos; select pg_reload_conf()", "postgres")

    def connect(self):
        import psycopg2
        return psycopg2.connect(f"host={self.folder} dbname=photos user=photos")


def move(shards, bucket, fuse):
    """Whether it came to its end."""
    databases = {name: FusedDatabase(shard.connect, fuse) for name, shard in shards.items()}
    try:
        BucketMover(databases, "s1", lambda names: None).move(bucket, "s2")
        return True
    except Crash:
        return False
    finally:
        for each in databases.values():
            each.die()


def two_have_it_open(shards, bucket):
    """Asked at whatever moment it died."""
    return sum(int(s.psql.run(f"select count(*) from own_buckets where bucket = {bucket} and state = 'owned'")) for s in shards.values()) > 1


def faults(shards, moved):
    s1, s2 = (shards[name].psql for name in ("s1", "s2"))
    for table, count in WHOLE.items():
        there = sum(int(psql.run(f"select count(*) from {table}")) for psql in (s1, s2))
        if there != count:
            yield f"there are {there} rows in {table} instead of {count}"
    for psql, mine in ((s1, "not in"), (s2, "in")):
        buckets = f"({', '.join(map(str, moved))})"
        for table in ("users", "photos"):
            if int(psql.run(f"select count(*) from {table} where not bucket {mine} {buckets}")):
                yield f"rows of {table} are in the wrong shard"
    if int(s2.run("select count(*) from own_buckets where state = 'owned' and version = 2")) != len(moved):
        yield "s2 does not have what was moved there"
    if int(s1.run("select count(*) from own_buckets where state = 'owned'")) != 256 - len(moved):
        yield "s1 does not have what was left there"
    if int(s1.run("select count(*) from shard_map where shard = 's2' and version = 2 and moving_to is null")) != len(moved):
        yield "the map does not say where the buckets are"
    if s2.run("select distinct published_at is not null, batch from outbox order by 1").split() != ["f|", "t|0"]:
        yield "work is claimed by a relay of another shard"
    if int(s2.run("select last_value from photo_numbers")) < int(s1.run("select last_value from photo_numbers")):
        yield "a new photo would have a smaller number than those before it"


def run(folder):
    shards = {name: Shard(folder / name) for name in ("s1", "s2")}
    try:
        shards["s1"].psql.run(f"set role photos; {FILL}")
        for _ in migration.run({name: shard.psql for name, shard in shards.items()}):
            pass
        for shard in shards.values():
            shard.let_in()
        found, bucket, ended = [], 0, False
        while not ended:
            ended = move(shards, bucket, Fuse(at=bucket + 1))
            found += [f"bucket {bucket} is open in both after a crash"] * two_have_it_open(shards, bucket)
            if not ended and not move(shards, bucket, Fuse()):
                found.append(f"bucket {bucket} cannot be moved any more")
            bucket += 1
        print(f"{bucket - 1} moves that died, each at another place, and one that did not")
        return found + list(faults(shards, range(bucket)))
    finally:
        for shard in shards.values():
            shard.stop()


def main():
    if os.geteuid() != 0:
        return 77
    packages.install(["postgresql-15", "patroni"])
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bucket-crashes-"))
    folder.chmod(0o755)
    try:
        found = run(folder)
    finally:
        shutil.rmtree(folder)
    for fault in found:
        print(f"! {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
