"""What belongs to a bucket, in all tables: how two shards differ in it, and how one is made as the other."""
import dataclasses
import json

CHUNK = 500  # rows at once


@dataclasses.dataclass(frozen=True)
class Table:
    name: str
    key: tuple
    rows: str  # of one bucket
    columns: tuple = ()  # that are taken over; empty: all

    def keyed(self):
        """Each row as JSON, with its key as a text."""
        return f"select jsonb_build_array({', '.join(self.key)})::text as key, to_jsonb(rows) as content from ({self.rows}) as rows"


# Parents first.
TABLES = (
    Table("users", ("id",), "select * from users where bucket = %(bucket)s"),
    Table("photos", ("id",), "select * from photos where bucket = %(bucket)s"),
    Table("renditions", ("photo_id", "version", "file"), "select renditions.* from renditions join photos on id = photo_id where bucket = %(bucket)s"),
    # What is published stays so, under no number of the new shard's relay. What was only claimed is open where it arrives: nobody there knows how far that came.
    Table("outbox", ("photo_id", "version"), "select photo_id, outbox.version, outbox.edit, outbox.created_at, relay, traceparent, published_at, case when published_at is not null then 0 end as batch"
          " from outbox join photos on id = photo_id where bucket = %(bucket)s", columns=("photo_id", "version", "edit", "created_at", "relay", "traceparent", "published_at", "batch")),
    Table("loose_files", ("photo_id", "version"), "select * from loose_files where mod(photo_id, 256) = %(bucket)s"),  # also of photos that are not there yet
    Table("idempotency_keys", ("user_id", "key"), "select idempotency_keys.* from idempotency_keys join users on id = user_id where bucket = %(bucket)s"),
)


def _digests(cursor, table, bucket):
    cursor.execute(f"select key, md5(content::text) from ({table.keyed()}) as keyed", {"bucket": bucket})
    return dict(cursor.fetchall())


def _rows(cursor, table, bucket, keys):
    cursor.execute(f"select content from ({table.keyed()}) as keyed where key = any(%(keys)s)", {"bucket": bucket, "keys": keys})
    return [content for content, in cursor.fetchall()]


def _columns(cursor, table):
    if table.columns:
        return table.columns
    cursor.execute("select column_name from information_schema.columns where table_schema = 'public' and table_name = %s order by ordinal_position", (table.name,))
    return tuple(name for name, in cursor.fetchall())


def _chunks(items):
    for at in range(0, len(items), CHUNK):
        yield items[at:at + CHUNK]


def _delete(target, table, keys):
    for some in _chunks(keys):
        gone = [dict(zip(table.key, json.loads(key))) for key in some]
        is_it = " and ".join(f"{table.name}.{name} = gone.{name}" for name in table.key)
        target.execute(f"delete from {table.name} using jsonb_populate_recordset(null::{table.name}, %s::jsonb) as gone where {is_it}", (json.dumps(gone),))


def _write(target, table, rows):
    columns = _columns(target, table)
    others = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in table.key)
    target.execute(f"insert into {table.name} ({', '.join(columns)}) select {', '.join(columns)} from jsonb_populate_recordset(null::{table.name}, %s::jsonb)"
                   f" on conflict ({', '.join(table.key)}) do update set {others}", (json.dumps(rows),))


def make_equal(source, target, bucket):
    """Two cursors, each in a transaction that sees one state of its shard. How many rows of the target have changed, or gone."""
    changed, gone, count = {}, {}, 0
    for table in TABLES:
        here, there = _digests(source, table, bucket), _digests(target, table, bucket)
        changed[table] = [key for key, digest in here.items() if there.get(key) != digest]
        gone[table] = [key for key in there if key not in here]
        count += len(changed[table]) + len(gone[table])
    for table in reversed(TABLES):
        _delete(target, table, gone[table])
    for table in TABLES:
        for some in _chunks(changed[table]):
            _write(target, table, _rows(source, table, bucket, some))
    return count


def digests(cursor, bucket):
    """Two shards that have the same rows of it have the same ones."""
    return [_digests(cursor, table, bucket) for table in TABLES]


def forget(cursor, bucket):
    """Some of its rows; whether there may be more."""
    cursor.execute("delete from loose_files where mod(photo_id, 256) = %s", (bucket,))
    cursor.execute("delete from photos where id in (select id from photos where bucket = %s limit %s)", (bucket, CHUNK))
    if cursor.rowcount == CHUNK:
        return True
    cursor.execute("delete from users where id in (select id from users where bucket = %s limit %s)", (bucket, CHUNK))
    return cursor.rowcount == CHUNK
