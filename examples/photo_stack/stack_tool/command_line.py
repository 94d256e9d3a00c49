"""stack up|down|status|drill|load|compare|open|trace|migrate|shard"""
import argparse
import os
import pathlib
import re
import sys

from stack_tool import packages, topology
from stack_tool.failure import StackFailed

COMMANDS = {"up": "start the stack at a stage, with all that it needs", "down": "stop it, and take everything away: processes, hosts, data, logs",
            "status": "say what lives; exit code 1 when something does not", "drill": "break it, and see that what the stage promises holds",
            "load": "upload and look at photos for a while, and say how fast that was",
            "compare": "look at pages of two stages, and upload to them, in turns, and say how fast each was", "open": "show it in a browser",
            "trace": "show one request on its way, or the newest ones (stage 9)",
            "migrate": "change the schema while everything goes on, in all shards", "shard": "add a shard, move buckets, and see that each is where it belongs",
            "supervise": None, "autoscale": None}


def _name(text):
    if not re.fullmatch(r"[a-z][a-z0-9]{0,15}", text):
        raise argparse.ArgumentTypeError("a name has up to 16 small letters and digits, a letter first")
    return text


def _parser():
    parser = argparse.ArgumentParser(prog="stack", description="The sample photo stack, from one server upwards. README.md beside it tells the story.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|drill|load|compare|open|trace|migrate|shard")
    for command, what in COMMANDS.items():
        sub = subparsers.add_parser(command, help=what) if what else subparsers.add_parser(command)
        sub.add_argument("--name", type=_name, default="photo", help="of the stack: several may be up (default: photo)")
        if command in ("up", "drill", "load", "open"):
            stages = topology.stages_there_are()
            sub.add_argument("--stage", type=int, choices=stages, help="default: that which is up, or the first one")
            sub.add_argument("--build", type=pathlib.Path, default=packages.REPOSITORY / "build-stack", help="build folder (default: build-stack)")
        if command == "compare":
            sub.add_argument("--stages", type=int, nargs=2, choices=topology.stages_there_are(), required=True, metavar="N")
            sub.add_argument("--build", type=pathlib.Path, default=packages.REPOSITORY / "build-stack", help="build folder (default: build-stack)")
        if command == "load":
            sub.add_argument("--seconds", type=float, default=10, help="how long at most (default: 10)")
            sub.add_argument("--uploads", type=int, default=200, help="how many photos at most (default: 200)")
            sub.add_argument("--clients", type=int, default=4, help="how many at once (default: 4)")
        if command == "trace":
            sub.add_argument("id", nargs="?", help="of the trace, as the answer's header X-Trace-Id has it")
        if command == "shard":
            sub.add_argument("what", choices=("status", "add", "move", "resume"), help="resume: end the moves that were begun")
            sub.add_argument("shard", nargs="?", help="that is added, or that buckets are moved to")
            sub.add_argument("--buckets", type=int, nargs="+", metavar="N", help="that are moved (default: as many as make the shards even)")
    return parser


def _as_root(arguments):
    if os.geteuid() != 0:
        print("stack: network namespaces need root; asking sudo", file=sys.stderr)
        os.execvp("sudo", ["sudo", sys.argv[0], *arguments])


def main(arguments):
    options = _parser().parse_args(arguments)
    _as_root(arguments)
    try:
        return _run(options)
    except StackFailed as why:
        print(f"stack: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstack: interrupted; `stack down` takes away what there is", file=sys.stderr)
        return 130


def _run(options):
    from stack_tool import stack  # after root is there
    if options.command == "supervise":
        from stack_tool import supervisor
        this = stack.Stack(options.name)
        return supervisor.supervise(this.place, this.network, this.topology, this.build)
    if options.command == "autoscale":
        from stack_tool import autoscaler
        return autoscaler.run(stack.Stack(options.name))
    if options.command == "down":
        return stack.down(options.name)
    if options.command == "status":
        return 0 if stack.status(options.name) else 1
    if options.command == "trace":
        from stack_tool import trace
        return trace.run(stack.Stack(options.name), options.id)
    if options.command == "migrate":
        from stack_tool import shard_commands
        return shard_commands.migrate(stack.Stack(options.name))
    if options.command == "shard":
        from stack_tool import shard_commands
        return shard_commands.run(stack.Stack(options.name), options.what, options.shard, options.buckets)
    if options.command == "up":
        return stack.up(options.name, options.stage or topology.stages_there_are()[0], options.build.resolve())
    if options.command == "compare":
        from stack_tool import comparison
        return comparison.run(options.name, options.stages, options.build.resolve())
    return _with_stack(options)


def _with_stack(options):
    """What needs a stack brings it up at the stage that is asked for, and leaves it as it was found."""
    from stack_tool import browser, drill, load, stack
    was_up = stack.Place(options.name).exists()
    if not was_up:
        stack.up(options.name, options.stage or topology.stages_there_are()[0], options.build.resolve())
    this = stack.Stack(options.name)
    if options.stage not in (None, this.stage):
        raise StackFailed(f"stack '{options.name}' is at stage {this.stage}: take it down first, or give another --name")
    if options.command == "open":
        return browser.open_page(this)
    try:
        if options.command == "drill":
            return 0 if drill.run(this) else 1
        return load.run(this, options.seconds, options.uploads, options.clients)
    finally:
        if not was_up:
            stack.down(options.name)
