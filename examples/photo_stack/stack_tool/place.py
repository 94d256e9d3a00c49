"""The folder of one stack, and what is written down there before it is made, so that `down` finds everything again after any crash."""
import contextlib
import fcntl
import json
import os
import pathlib
import shutil

from stack_tool.failure import StackFailed

ROOT = pathlib.Path("/var/lib/photo-stack")
SUBNETS = range(80, 120)  # the second number of a stack's addresses, 10.N.…


def write_json(path, value):
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value, indent=1))
    os.replace(draft, path)


@contextlib.contextmanager
def _locked(path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Place:
    def __init__(self, name):
        self.name = name
        self.folder = ROOT / name
        self.log = self.folder / "log"
        self.config = self.folder / "config"
        self.secrets = self.folder / "secrets"
        self.metrics = self.folder / "metrics"
        self.photos = self.folder / "photos"
        self.processes = self.folder / "processes"
        self._state = self.folder / "state.json"
        self._wanted = self.folder / "wanted.json"
        self._held = self.folder / "held.json"

    def log_of(self, process):
        return self.log / process.host.name / f"{process.name}.log"

    def data(self, process_name):
        return self.folder / "data" / process_name

    @contextlib.contextmanager
    def alone(self):
        """Two commands do not make or take down one stack at once."""
        ROOT.mkdir(parents=True, exist_ok=True)
        lock = ROOT / f".{self.name}.lock"
        with _locked(lock):
            yield
        if not self.exists():
            lock.unlink(missing_ok=True)

    def exists(self):
        return self._state.exists()

    def claim(self, stage, build):
        """Takes a subnet that no other stack has, and makes the folders."""
        with _locked(ROOT / ".subnets.lock"):
            taken = {json.loads(file.read_text())["subnet"] for file in ROOT.glob("*/state.json")}
            free = next((n for n in SUBNETS if n not in taken), None)
            if free is None:
                raise StackFailed("forty stacks are up already: take one down (ls /var/lib/photo-stack)")
            for folder in (self.folder, self.log, self.config, self.secrets, self.processes, self.folder / "data"):
                folder.mkdir(parents=True, exist_ok=True)
            write_json(self._state, {"stage": stage, "subnet": free, "build": str(build)})

    def state(self):
        if not self.exists():
            raise StackFailed(f"no stack '{self.name}' is up (start one with: stack up --stage N --name {self.name})")
        return json.loads(self._state.read_text())

    def note(self, **facts):
        write_json(self._state, {**self.state(), **facts})

    def wanted(self):
        """Processes that the supervisor keeps alive; it stops all others."""
        return json.loads(self._wanted.read_text()) if self._wanted.exists() else []

    def change_wanted(self, more=(), less=()):
        """Several commands, and the autoscaler, may do so at once."""
        with _locked(self.folder / ".wanted.lock"):
            before = {*self.wanted()}
            after = before.union(more).difference(less)
            if after != before:
                write_json(self._wanted, sorted(after))

    def held(self):
        """Processes that stay dead once they are: what happens when a whole host is lost."""
        return json.loads(self._held.read_text()) if self._held.exists() else []

    def hold(self, names):
        write_json(self._held, sorted(names))

    def remove(self):
        shutil.rmtree(self.folder)
