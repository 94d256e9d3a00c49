"""Patroni calls this when a database has started. A replica that was killed may have been sent by its old primary what no other database has; what is then promoted
elsewhere leaves it behind: it asks for what is no longer told, over and over. Patroni looks for that before a start, when such a database does not know yet how far
its log goes. Stopped cleanly it does: then Patroni sees that the two have parted, and rewinds it."""
import pathlib
import subprocess
import sys
import time

import psycopg2  # comes with Patroni

WATCH_SECONDS, LOOK_SECONDS = 30, 0.2


def parting(history, timeline):
    """Where the newest timeline has left that one, as its history says, a line for each: timeline, position, reason."""
    return next((line.split("\t")[1] for line in history.splitlines() if line.startswith(f"{timeline}\t")), None)


def _state(cursor):
    """ "follows", "has parted", or None as long as nobody can say."""
    timeline = _asked(cursor, "select received_tli from pg_stat_wal_receiver")
    if timeline is None:
        return None
    newest = _asked(cursor, "select name from pg_ls_waldir() where name like '%.history' order by name desc limit 1")
    if newest is None or int(newest.partition(".")[0], 16) <= timeline:
        return "follows"
    left_at = parting(_asked(cursor, f"select pg_read_file('pg_wal/{newest}')"), timeline)
    return "has parted" if left_at and _asked(cursor, f"select pg_last_wal_replay_lsn() > '{left_at}'::pg_lsn") else None


def _asked(cursor, what):
    cursor.execute(what)
    found = cursor.fetchone()
    return found and found[0]


def watch(folder):
    until = time.monotonic() + WATCH_SECONDS
    with psycopg2.connect(f"host={folder} dbname=postgres user=postgres") as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        while (state := _state(cursor)) is None and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
    if state == "has parted":
        subprocess.run(["/usr/lib/postgresql/15/bin/pg_ctl", "-D", folder / "postgres", "-m", "fast", "stop"], check=True)


if __name__ == "__main__":
    _, folder, _, role, _ = sys.argv  # what is called for, and the cluster, come last
    if role == "replica":
        watch(pathlib.Path(folder))
