"""Processes by their true identity: a number is given to somebody else one day, number and start time are not."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess

from stack_tool import cgroups
from stack_tool.place import write_json
from stack_tool.waiting import awaited


def _stat(pid):
    """The fields of /proc/PID/stat after the name; None when there is no such process, or nothing but its remains."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields


def start_time(pid):
    fields = _stat(pid)
    return fields and int(fields[19])


def processor_seconds(pid):
    """That it has used so far."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def identity(pid):
    return {"pid": pid, "start_time": start_time(pid)}


def lives(who):
    return who is not None and who["start_time"] is not None and start_time(who["pid"]) == who["start_time"]  # none: it had ended when it was asked who it is


def send(who, number):
    if lives(who):
        with contextlib.suppress(ProcessLookupError):  # it has ended since
            os.kill(who["pid"], number)


@contextlib.contextmanager
def standing_still(them):
    """They are there, and do nothing meanwhile."""
    for who in them:
        send(who, signal.SIGSTOP)
    try:
        yield
    finally:
        for who in them:
            send(who, signal.SIGCONT)


def end(who, first_signal, seconds):
    """The signal, and -9 when that was not enough in so many seconds."""
    send(who, first_signal)
    if not _gone_within(who, seconds):
        send(who, signal.SIGKILL)
        _gone_within(who, 5)


def end_group(pid):
    """Whatever a process that is gone has started and left behind: it would hold its ports."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _gone_within(who, seconds):
    return awaited(lambda: not lives(who), seconds, pause=0.02)


def recorded(place, name):
    """Who that process of the stack is; None when it was never started."""
    path = place.processes / name
    return json.loads(path.read_text()) if path.exists() else None


def start(place, namespace, group, process, command):
    """In its host's namespace and control group, as its user, with its log. It writes down who it is before it becomes the program."""
    def before_exec():
        cgroups.enter(group)
        write_json(place.processes / process.name, identity(os.getpid()))

    whole = ["ip", "netns", "exec", namespace, "setpriv", f"--reuid={process.user}", f"--regid={process.user}", "--init-groups", *command]
    log_file = place.log_of(process)
    log_file.parent.mkdir(exist_ok=True)
    with open(log_file, "ab") as log:
        return subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, preexec_fn=before_exec)
