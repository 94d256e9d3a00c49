"""Keeps the wanted processes alive: a process of its own, which is their parent. What is wanted stands in a file, which it reads again and again.

    stack up ── wanted.json ──► supervisor ── fork ──► postgres, web, …      what dies is started again, later each time while it dies at once
"""
import dataclasses
import os
import signal
import subprocess
import time

from stack_tool import cgroups, configuration, processes
from stack_tool.supervised_metrics import SupervisedMetrics

LOOK_SECONDS = 0.05
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
SOUND_SECONDS = 10  # who has lived so long begins again with the first pause
STOP_SECONDS = 15


@dataclasses.dataclass
class Child:
    handle: object = None  # Popen, while it lives
    started: float = 0.0
    pause: float = FIRST_PAUSE
    starts: int = 0
    due: float = 0.0  # when it may be started (again)


class Supervisor:
    def __init__(self, place, network, topology, build):
        self.place, self.network, self.topology, self.build = place, network, topology, build
        self.metrics = SupervisedMetrics(place, network, topology, build)
        self.children = {}
        self.ending = False

    def run(self):
        signal.signal(signal.SIGTERM, self._end)
        while not self.ending:
            wanted = self.place.wanted()
            self._reap()
            self._start_missing(wanted)
            self._stop([name for name in self.children if name not in wanted])
            self.metrics.tell(wanted, self.children)
            time.sleep(LOOK_SECONDS)
        self._stop([p.name for p in reversed(self.topology.processes)])

    def _end(self, *_):
        self.ending = True

    def _say(self, text):
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", flush=True)

    def _reap(self):
        for name, child in self.children.items():
            if child.handle is None or child.handle.poll() is None:
                continue
            lived = time.monotonic() - child.started
            child.pause = FIRST_PAUSE if lived > SOUND_SECONDS else min(2 * child.pause, LONGEST_PAUSE)
            child.due = time.monotonic() + child.pause
            processes.end_group(child.handle.pid)
            self._say(f"{name} (pid {child.handle.pid}) ended with {child.handle.returncode} after {lived:.1f} s; again in {child.pause:.1f} s")
            child.handle = None

    def _start_missing(self, wanted):
        held = self.place.held()
        for process in self.topology.processes:
            child = self.children.setdefault(process.name, Child()) if process.name in wanted else None
            if child and child.handle is None and time.monotonic() >= child.due and process.name not in held:
                self._start(process, child)

    def _start(self, process, child):
        values = configuration.values_of(process, self.place, self.network, self.topology, self.build)
        configuration.write_files(process, self.place, values)
        command = [configuration.fill(word, values) for word in process.command]
        group = cgroups.group_of(self.place.name, process.host.name)
        child.handle = processes.start(self.place, self.network.namespace(process.host), group, process, command)
        child.started = time.monotonic()
        child.starts += 1
        self._say(f"{process.name} started as pid {child.handle.pid}")

    def _stop(self, names):
        for name in names:
            child = self.children.pop(name, None)
            if child is None or child.handle is None:
                continue
            number = getattr(signal, "SIG" + self.topology.process(name).stop_signal)
            os.kill(child.handle.pid, number)  # our own child, not waited for yet: the number is its still
            try:
                child.handle.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.handle.kill()
                child.handle.wait()
                processes.end_group(child.handle.pid)
            self._say(f"{name} stopped")


def supervise(place, network, topology, build):
    Supervisor(place, network, topology, build).run()
    return 0
