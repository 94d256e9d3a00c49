"""Looks at each database over and over, by the socket in its folder, which an unplugged host has too: are two of them primaries at one time?"""
import multiprocessing
import os
import pwd
import time

LOOK_SECONDS = 0.05


class PrimaryWatch:
    """A process of its own, for the databases know who is at their socket: it is the user postgres."""

    def __init__(self, folders):
        self._ours, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=_watch, args=(folders, theirs), daemon=True)
        self.looks, self.doubled = 0, []

    def __enter__(self):
        self._process.start()
        return self

    def __exit__(self, *_):
        self._ours.send("end")
        self.looks, self.doubled = self._ours.recv()
        self._process.join(10)


def _watch(folders, pipe):
    postgres = pwd.getpwnam("postgres")
    os.initgroups(postgres.pw_name, postgres.pw_gid)
    os.setgid(postgres.pw_gid)
    os.setuid(postgres.pw_uid)
    databases = [_Database(folder) for folder in folders]
    looks, doubled = 0, {}
    while not pipe.poll(LOOK_SECONDS):
        primaries = [d for d in databases if d.is_primary()]
        # The first one may have laid its role down before the second took it.
        if len(primaries) > 1 and len([d for d in primaries if d.is_primary()]) > 1:
            doubled[f"{time.strftime('%H:%M:%S')}: primaries are {', '.join(d.folder.name for d in primaries)}"] = True
        looks += 1
    pipe.send((looks, list(doubled)))


class _Database:
    def __init__(self, folder):
        self.folder = folder
        self._connection = None

    def is_primary(self):
        import psycopg2  # comes with Patroni
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(f"host={self.folder} dbname=postgres user=postgres connect_timeout=1")
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute("select not pg_is_in_recovery()")
                return cursor.fetchone()[0]
        except psycopg2.Error:
            self._connection = None
            return False
