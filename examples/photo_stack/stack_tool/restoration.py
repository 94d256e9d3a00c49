"""The database as it was at an instant, from the backups, started beside the one that lives."""
import shutil
import time

from stack_tool import database
from stack_tool.failure import StackFailed
from stack_tool.waiting import awaited

STANZA = "s1"  # the first shard
START_SECONDS = 60

# Whatever belongs to the cluster that was backed up does not belong to the copy: it listens nowhere but in its folder, follows nobody and archives nothing.
OF_ITS_OWN = {"archive_mode": "off", "listen_addresses": "", "synchronous_standby_names": "", "hot_standby": "on"}


def instant(psql):
    return psql.run("select clock_timestamp()").strip()


def checksums(psql):
    """Of every table: table → rows and a digest of them."""
    tables = psql.run("select tablename from pg_tables where schemaname = 'public' order by 1").split()
    return {table: psql.run(f"select count(*) || ' ' || md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {table} t").strip() for table in tables}


def push_log(psql):
    """What was committed so far is in the repository: a restore to an instant ends at the first commit after it."""
    psql.run("create table end_of_log (); drop table end_of_log")
    piece = psql.run("select pg_walfile_name(pg_switch_wal())").strip()
    until = time.monotonic() + START_SECONDS
    while psql.run(f"select coalesce(last_archived_wal >= '{piece}', false) from pg_stat_archiver").strip() != "t":
        if time.monotonic() > until:
            raise StackFailed(f"the log {piece} is not in the repository after {START_SECONDS} s")
        time.sleep(0.05)


class Copy:
    """With `with`: gone at the end."""

    def __init__(self, stack, at):
        self._stack, self._at = stack, at
        self._node = stack.topology.of_component("patroni")[0].name
        self.folder = stack.place.data("restored")

    def __enter__(self):
        self.folder.mkdir(mode=0o700)
        shutil.chown(self.folder, "postgres", "postgres")
        database.as_postgres(["/usr/bin/pgbackrest", f"--config={self._stack.place.config / self._node / 'pgbackrest.conf'}", f"--stanza={STANZA}",
                              f"--pg1-path={self.folder / 'postgres'}", "--type=time", f"--target={self._at}", "--target-action=promote", "restore"])
        self._pg_ctl("start", "-w", "-t", str(START_SECONDS), "-l", self.folder / "log", "-o", self._settings())
        self._wait_until_promoted()
        return self

    def __exit__(self, *_):
        self._pg_ctl("stop", "-m", "immediate")
        shutil.rmtree(self.folder)

    def _settings(self):
        settings = {**OF_ITS_OWN, "unix_socket_directories": self.folder, "hba_file": self._stack.place.config / self._node / "pg_hba.conf"}
        return " ".join(f"-c {name}='{value}'" for name, value in settings.items())

    def _pg_ctl(self, *words):
        database.as_postgres([database.BIN / "pg_ctl", "-D", self.folder / "postgres", *words])

    def _wait_until_promoted(self):
        if not awaited(lambda: self.psql().run("select pg_is_in_recovery()").strip() == "f", START_SECONDS):
            raise StackFailed(f"the restored database did not come to {self._at} in {START_SECONDS} s (see {self.folder}/log)")

    def psql(self):
        return database.Psql(self.folder)

    def text(self):
        """All of it, as SQL that puts it in the place of what is there."""
        return database.as_postgres([database.BIN / "pg_dump", "-h", self.folder, "--clean", "--if-exists", "photos"])
