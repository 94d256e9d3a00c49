"""What the stack needs from Debian, and the programs that it builds."""
import contextlib
import os
import pathlib
import subprocess
import sys

from stack_tool.failure import StackFailed
from stack_tool.topology import SOURCE

REPOSITORY = SOURCE.parent.parent
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")
BASE = ["iproute2", "openssl", "python3"]


@contextlib.contextmanager
def _without_starting_services():
    """Debian starts a server when it is installed, unless this file says no."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _without_a_default_cluster():
    """Debian would make a database of its own, which nobody uses here."""
    settings = pathlib.Path("/etc/postgresql-common/createcluster.conf")
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("create_main_cluster = false\n")


def install(packages):
    missing = [p for p in sorted({*BASE, *packages}) if not _is_installed(p)]
    if missing and any(p.startswith("postgresql") for p in missing):
        _without_a_default_cluster()
    with _without_starting_services():
        _run([REPOSITORY / "tests/install_packages.sh", *BASE, *packages], "installing packages")


def _is_installed(package):
    asked = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True)
    return "ok installed" in asked.stdout


def build(folder, targets):
    """The stack's own programs, optimized; does nothing when they are there and nothing has changed."""
    _run(["cmake", "-S", REPOSITORY, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DMILLRACE_STACK=ON"], "configuring the build", quiet=True)
    _run(["cmake", "--build", folder, "--target", *targets], "building the programs", quiet=not sys.stdout.isatty())


def _run(command, doing, quiet=False):
    done = subprocess.run([os.fspath(word) for word in command], capture_output=quiet, text=True)
    if done.returncode != 0:
        raise StackFailed(f"{doing} failed" + (f":\n{(done.stdout + done.stderr)[-3000:]}" if quiet else ""))
