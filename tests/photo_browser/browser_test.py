#!/usr/bin/python3
"""Goes through the pages of a stack as people do, in headless Chromium: with a large and a small window, with JavaScript and without.

Usage: tests/photo_browser/browser_test.py BUILD_FOLDER [--stage N] [--screenshots FOLDER] [--stack NAME]
Brings up a stack of its own, unless it is given the name of one that is up. Exit code 77 when it is not root, or there can be no browser.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent.parent / "examples/photo_stack")]

from stack_tool import packages, stack, uploaders  # noqa: E402
from stack_tool.edges import Edges  # noqa: E402
from stack_tool.failure import StackFailed  # noqa: E402
from stack_tool.region import SITE_NAME  # noqa: E402

SKIPPED = 77


def install_browser(folder):
    """Chromium and fonts from Debian, what drives it from npm, in the versions of package-lock.json."""
    programs = [] if shutil.which("npm") else ["nodejs", "npm"]
    packages.install(["chromium", "fonts-dejavu-core", uploaders.PACKAGE, *programs])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise StackFailed(f"npm ci failed: {done.stderr[-500:]}")
    return folder / "node_modules"


def whence(this):
    """A namespace, and the address to open there: of a host that nothing changes, as a browser breaks off what it loads whenever any network of its machine comes
    or goes. With data centres, of somebody in the region of the first one, who knows nothing but the name."""
    if this.topology.sites:
        return this.region(next(iter(this.topology.sites))).namespace, f"https://{SITE_NAME}"
    return this.network.namespace(next(host for host in this.topology.hosts if "public" in host.networks)), this.entry


def journey(this, modules, screenshots):
    screenshots.mkdir(parents=True, exist_ok=True)
    namespace, entry = whence(this)
    edges = Edges(this)
    command = ["ip", "netns", "exec", namespace, "node", HERE / "journeys.js", entry, uploaders.PHOTOS, screenshots, *map(edges.url, edges.names)]
    return subprocess.run(command, env={**os.environ, "NODE_PATH": str(modules)}).returncode


def journey_through_own_stack(build, stage, modules, screenshots):
    name = f"browser{stage}"
    stack.down(name)  # of a run that was killed
    try:
        stack.up(name, stage, build)
        return journey(stack.Stack(name), modules, screenshots)
    finally:
        stack.down(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--stage", type=int, default=3, help="of its own stack (default: 3)")
    parser.add_argument("--screenshots", type=pathlib.Path, help="default: BUILD_FOLDER/photo_browser/screenshots-STAGE")
    parser.add_argument("--stack", help="the name of one that is up")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: a stack needs root")
        return SKIPPED
    build = options.build.resolve()
    try:
        modules = install_browser(build / "photo_browser")
    except (StackFailed, OSError) as why:
        print(f"skipped: there can be no browser here: {why}")
        return SKIPPED
    screenshots = (options.screenshots or build / f"photo_browser/screenshots-{options.stage}").resolve()
    return journey(stack.Stack(options.stack), modules, screenshots) if options.stack else journey_through_own_stack(build, options.stage, modules, screenshots)


if __name__ == "__main__":
    sys.exit(main())
