"""Whether each row is once in all shards, and where the map says: asked when nobody moves a bucket."""
import collections

from stack_tool import migration
from stack_tool.shards import BUCKETS, Shards

ROWS = {"users": "id", "photos": "id", "renditions": "photo_id", "outbox": "photo_id", "loose_files": "photo_id", "idempotency_keys": "user_id"}


def counts(psql):
    return {table: int(psql.run(f"select count(*) from {table}")) for table in ROWS}


def _strangers(name, psql):
    for table, number in ROWS.items():
        found = psql.run(f"select distinct {number} % {BUCKETS} from {table} where {number} % {BUCKETS} not in (select bucket from own_buckets where state = 'owned')").split()
        yield from (f"{name} has rows of bucket {bucket} in {table}, and does not have the bucket" for bucket in found)


def _without_bucket(name, psql):
    for table in ("users", "photos") if migration.is_complete(psql) else ():
        found = int(psql.run(f"select count(*) from {table} where bucket is distinct from id % {BUCKETS}"))
        yield from [f"{name}: {found} rows of {table} have no bucket, or a wrong one"] * (found > 0)


def faults(stack):
    shards = Shards(stack)
    names = shards.registered()
    psqls = {name: stack.psql(name) for name in names}
    map_of = {line for line in shards.directory().run("select shard, bucket, version from shard_map").split()}
    owned = [f"{name}|{line}" for name, psql in psqls.items() for line in psql.run("select bucket, version from own_buckets where state = 'owned'").split()]
    yield from (f"the map says {line} (shard, bucket, version), and the shard does not have it" for line in sorted(map_of - {*owned}))
    yield from (f"{line} (shard, bucket, version) is owned, and the map says otherwise" for line in sorted({*owned} - map_of))
    if len(owned) != BUCKETS:
        yield f"{len(owned)} buckets are owned by a shard instead of {BUCKETS}"
    for name, psql in psqls.items():
        left = psql.run("select bucket, state from own_buckets where state <> 'owned'").split()
        yield from (f"{name}: bucket {line} is neither here nor gone" for line in left)
        yield from _strangers(name, psql)
        yield from _without_bucket(name, psql)
    yield from _doubled(psqls)
    yield from _nameless(shards.directory(), psqls)


def _doubled(psqls):
    for table in ("users", "photos"):
        seen = collections.Counter(number for psql in psqls.values() for number in psql.run(f"select id from {table}").split())
        yield from (f"{number} of {table} is in {count} shards" for number, count in seen.items() if count > 1)


def _nameless(directory, psqls):
    """Accounts without a name, or with somebody else's. (A name without an account is a sign-up that did not come to its end.)"""
    names = {*directory.run("select user_id, name from names").split()}
    for shard, psql in psqls.items():
        yield from (f"{shard}: user {line} is not in the directory" for line in sorted({*psql.run("select id, name from users").split()} - names))
