"""stack migrate, and stack shard status|add|move|resume."""
from stack_tool import migration, shard_check
from stack_tool.bucket_move import mover_of
from stack_tool.failure import StackFailed
from stack_tool.shards import BUCKETS, Shards


def say(text):
    print(text, flush=True)


def migrate(stack):
    for file, shard, filled in migration.run({name: stack.psql(name) for name in Shards(stack).registered()}):
        say(f"{shard}: {file}" + (f" ({filled} rows)" if filled else ""))
    return 0


def _status(stack):
    shards = Shards(stack)
    places, under_way = shards.places(), shards.under_way()
    for name in shards.registered():
        has = ", ".join(f"{count} {table}" for table, count in shard_check.counts(stack.psql(name)).items())
        say(f"  {name:4} {list(places.values()).count(name):4} buckets   {has}")
    for bucket, goal in under_way.items():
        say(f"  bucket {bucket} is on its way from {places[bucket]} to {goal}")
    faults = [] if under_way else list(shard_check.faults(stack))
    for fault in faults:
        say(f"  ! {fault}")
    return 1 if faults else 0


def _add(stack, name):
    shards = Shards(stack)
    for file in shards.add(name):
        say(f"  applied {file}")
    for file, _, _ in migration.run({name: stack.psql(name)}):
        say(f"  applied {file}")
    shards.register(name)
    say(f"shard {name} is there, and has no bucket yet")
    return 0


def _move(stack, buckets_to):
    missing = [name for name in Shards(stack).registered() if not migration.is_complete(stack.psql(name))]
    if missing:
        raise StackFailed(f"rows of {', '.join(missing)} do not know their bucket: run `stack migrate` first")
    mover = mover_of(stack)
    for bucket, name in buckets_to.items():
        closed = mover.move(bucket, name)
        say(f"  bucket {bucket} is in {name}" + (f"; nobody got in for {1000 * closed:.0f} ms" if closed else ""))
    return 0


def run(stack, what, name, buckets):
    shards = Shards(stack)
    if not stack.topology.of_component("patroni") or len(stack.topology.shards) < 2:
        raise StackFailed(f"stage {stack.stage} has one shard: more of them are there from stage 10 on")
    if what == "status":
        return _status(stack)
    if what == "resume":
        return _move(stack, shards.under_way())
    if name is None:
        raise StackFailed(f"which shard? `stack shard {what} NAME`: choose one of {', '.join(s.name for s in stack.topology.shards)}")
    if what == "add":
        return _add(stack, name)
    if shards.named(name).name not in shards.registered():
        raise StackFailed(f"shard '{name}' is not there: add it first")
    if not {*(buckets or ())} <= {*range(BUCKETS)}:
        raise StackFailed(f"buckets are numbers from 0 to {BUCKETS - 1}")
    return _move(stack, {bucket: name for bucket in buckets or shards.to_even_out(name)})
