"""How much of a processor a host may use: a control group for each, of either version of Linux's."""
import pathlib

ROOT = pathlib.Path("/sys/fs/cgroup")
PERIOD_US = 100_000


def _version_2():
    return (ROOT / "cgroup.controllers").exists()


def _parent():
    return ROOT if _version_2() else ROOT / "cpu"


def group_of(stack_name, host_name):
    return _parent() / f"photo-stack.{stack_name}.{host_name}"


def make(stack_name, host_name):
    if _version_2():
        (ROOT / "cgroup.subtree_control").write_text("+cpu")
    group_of(stack_name, host_name).mkdir(exist_ok=True)


def enter(group):
    """This process, and what it will start."""
    (group / "cgroup.procs").write_text("0")


def limit(group, percent):
    """Of one processor; None takes the limit away."""
    quota = None if percent is None else int(PERIOD_US * percent / 100)
    if _version_2():
        (group / "cpu.max").write_text(f"{quota or 'max'} {PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota or -1))


def weigh(group, percent):
    """What it gets where the processors do not suffice, against 100 of each other one."""
    if _version_2():
        (group / "cpu.weight").write_text(str(percent))
    else:
        (group / "cpu.shares").write_text(str(percent * 1024 // 100))


def as_if_elsewhere(group, percent):
    """So much of a processor, and in nobody's way with that: what a host would be that does not share this machine with all others. None ends it."""
    limit(group, percent)
    weigh(group, 100 if percent is None else 1)


def remove(stack_name):
    for group in _parent().glob(f"photo-stack.{stack_name}.*"):
        group.rmdir()
