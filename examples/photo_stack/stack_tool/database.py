"""The database: made once, and brought up to date by the numbered files in db/."""
import contextlib
import pathlib
import re
import secrets
import shutil
import subprocess

from stack_tool.failure import StackFailed
from stack_tool.topology import SOURCE

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")


AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


def as_postgres(command, **options):
    done = subprocess.run([*AS_POSTGRES, *map(str, command)], cwd="/", text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise StackFailed(f"{pathlib.Path(command[0]).name} failed: {(done.stderr + done.stdout).strip()[-1000:]}")
    return done.stdout


def make(data):
    """An empty database server, with checksums; nothing when it is there."""
    if (data / "PG_VERSION").exists():
        return
    as_postgres([BIN / "initdb", "-D", data, "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--auth=peer"])


class Psql:
    """By the socket in the data folder, as the user postgres."""

    def __init__(self, data):
        self.data = data

    def _command(self, database):
        return [BIN / "psql", "-h", self.data, "-d", database, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]

    def run(self, sql, database="photos"):
        return as_postgres(self._command(database), input=sql)

    @contextlib.contextmanager
    def locked(self, table):
        """Nobody reads it meanwhile, at a replica neither once it has heard of it: which is at once, as the log goes out with a new segment."""
        psql = subprocess.Popen([*AS_POSTGRES, *map(str, self._command("photos"))], cwd="/", text=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        psql.stdin.write(f"begin; lock table {table} in access exclusive mode; select pg_switch_wal();\n")
        psql.stdin.flush()
        try:
            yield
        finally:
            psql.communicate("commit;\n")

    def is_locked(self, table):
        asked = f"select count(*) from pg_locks where mode = 'AccessExclusiveLock' and relation = '{table}'::regclass and granted"
        return int(self.run(asked)) > 0

    def is_primary(self):
        """False also when it does not run."""
        try:
            return self.run("select not pg_is_in_recovery()", "postgres").strip() == "t"
        except StackFailed:
            return False


def make_user(psql, password_file):
    """The web servers' own, who owns the tables. The password file is libpq's: they read it, and nobody else."""
    if not password_file.exists():
        password_file.write_text(f"*:*:photos:photos:{secrets.token_urlsafe(24)}\n")
        shutil.chown(password_file, "www-data", "www-data")
        password_file.chmod(0o600)
    password = password_file.read_text().strip().rpartition(":")[2]
    if not psql.run("select 1 from pg_roles where rolname = 'photos'", "postgres").strip():
        psql.run(f"create role photos login password '{password}'; grant pg_monitor to photos", "postgres")  # who moves a bucket asks how far replicas are
    if not psql.run("select 1 from pg_database where datname = 'photos'", "postgres").strip():
        psql.run("create database photos owner photos", "postgres")


def migrate(psql):
    """The files that the database has not seen yet, each in a transaction with the note that it has. (A folder there is a change that is made while the
    database is in use: see migration.py.)"""
    psql.run("set client_min_messages = warning;"
             " create table if not exists schema_migrations (number int primary key, name text not null, applied_at timestamptz not null default now())")
    seen = set(psql.run("select number from schema_migrations").split())
    applied = []
    for file in sorted((SOURCE / "db").glob("*.sql")):
        number, name = re.fullmatch(r"0*(\d+)_(\w+)", file.stem).groups()
        if number in seen:
            continue
        psql.run(f"begin; set role photos;\n{file.read_text()}\nreset role; insert into schema_migrations (number, name) values ({number}, '{name}'); commit;")
        applied.append(file.name)
    return applied
