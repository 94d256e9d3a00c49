"""Changes of the schema while the shards are in use: the folders in db/, each of whose files is a step.

    expand      what is new is added, and filled in for new rows; nobody needs it yet      a transaction
    backfill    old rows get it, some at a time                                             as often as it finds any
    contract    from now on nobody does without                                             a transaction
    index …     built beside the writers                                                    alone

A step is done in all shards before the next one begins, and noted in each. One that needs a lock for a moment does not stand in the others' way for it: who
cannot have it in time lets them go first, and tries again.
"""
import time

from stack_tool.failure import StackFailed
from stack_tool.topology import SOURCE

LOCK_WAIT = "200ms"
PATIENCE_SECONDS = 60


def _steps():
    """(number, file) in order."""
    for folder in sorted(path for path in (SOURCE / "db").iterdir() if path.is_dir()):
        for file in sorted(folder.glob("*.sql")):
            yield 100 * int(folder.name.split("_")[0]) + int(file.stem.split("_")[0]), file


def _patiently(run):
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return run()
        except StackFailed as why:
            if "lock timeout" not in str(why) or time.monotonic() > until:
                raise
        time.sleep(0.1)


def _perform(psql, file, note):
    """How many rows were filled in."""
    statements = file.read_text()
    if "concurrently" in statements:  # waits for others, and nobody for it
        psql.run(f"set role photos; set statement_timeout = 0;\n{statements}")
        psql.run(note)
        return 0
    carefully = f"set role photos; set lock_timeout = '{LOCK_WAIT}';"
    if "backfill" not in file.stem:
        _patiently(lambda: psql.run(f"{carefully} begin;\n{statements}\nreset role; {note} commit;"))
        return 0
    filled, more = 0, True
    while more:
        more = int(_patiently(lambda: psql.run(f"{carefully}\n{statements}")))
        filled += more
    psql.run(note)
    return filled


def _done(psql):
    return {int(number) for number in psql.run("select number from schema_migrations").split()}


def is_complete(psql):
    return {number for number, _ in _steps()} <= _done(psql)


def run(shards):
    """Shard's name → its psql. Each step that was made: (its file, shard, rows that were filled in)."""
    for number, file in _steps():
        for name, psql in shards.items():
            if number in _done(psql):
                continue
            filled = _perform(psql, file, f"insert into schema_migrations (number, name) values ({number}, '{file.parent.name}/{file.stem}');")
            yield f"{file.parent.name}/{file.name}", name, filled
