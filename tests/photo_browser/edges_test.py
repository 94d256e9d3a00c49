#!/usr/bin/python3
"""Looks at photos in headless Chromium while their edges die: an open page's script asks the site itself, and without scripts a page that is loaded again does.

Usage: tests/photo_browser/edges_test.py BUILD_FOLDER     exit code 77 when it is not root, or there can be no browser
"""
import os
import pathlib
import secrets
import subprocess
import sys

from browser_test import SKIPPED, install_browser  # which also finds the stack's own modules

from stack_tool import stack, uploaders
from stack_tool.edges import Edges
from stack_tool.failure import StackFailed
from stack_tool.hosts import Hosts

HERE = pathlib.Path(__file__).resolve().parent
STACK_NAME = "browseredges"
STAGE = 6
PHOTOS = 4


def look(this, modules, screenshot):
    client = this.client()
    client.sign_up_and_log_in(f"user_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
    for name, content in uploaders.sample_photos()[:PHOTOS]:
        client.upload(name, content, secrets.token_hex(8))
    screenshot.parent.mkdir(parents=True, exist_ok=True)
    command = ["ip", "netns", "exec", this.network.namespace(this.topology.host("lb")), "node", HERE / "edges.js", this.entry, screenshot]
    browser = subprocess.Popen(command, env={**os.environ, "NODE_PATH": str(modules)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    said = browser.stdout.readline()
    if said == "seen\n":
        for name in Edges(this).names:
            Hosts(this).kill(name)
    rest, _ = browser.communicate("dead\n")
    print(said + rest)
    return browser.returncode


def main():
    if os.geteuid() != 0:
        print("skipped: a stack needs root")
        return SKIPPED
    build = pathlib.Path(sys.argv[1]).resolve()
    try:
        modules = install_browser(build / "photo_browser")
    except (StackFailed, OSError) as why:
        print(f"skipped: there can be no browser here: {why}")
        return SKIPPED
    stack.down(STACK_NAME)  # of a run that was killed
    try:
        stack.up(STACK_NAME, STAGE, build)
        return look(stack.Stack(STACK_NAME), modules, build / "photo_browser/screenshots/edges-dead.png")
    finally:
        stack.down(STACK_NAME)


if __name__ == "__main__":
    sys.exit(main())
