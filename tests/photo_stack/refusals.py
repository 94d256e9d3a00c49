#!/usr/bin/python3
"""Sends the requests of refusals.toml to a web server of a stack of its own, and sees each refused; then tries what takes more than one request, and walks
through the API. Every exchange with the API is held against its document.

Usage: tests/photo_stack/refusals.py BUILD_FOLDER STAGE     exit code 77 when it is not root
"""
import json
import os
import pathlib
import re
import sys
import tomllib
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent.parent / "examples/photo_stack")]

import samples  # noqa: E402
import visitors  # noqa: E402
from api_document import SOURCE, ApiDocument  # noqa: E402
from api_walk import document_of, walk  # noqa: E402
from stack_tool import network, packages, photo_client, stack, uploaders  # noqa: E402
from stack_tool.waiting import awaited  # noqa: E402
from behaviours import BEHAVIOURS  # noqa: E402
from visitors import Visitor, exchange, patient_exchange, request  # noqa: E402

WORK_SECONDS = 30  # until workers are done with a photo


def expand(text, words):
    """${word}, and what is too long to be written down: long:N, many:N, nested:N, many parts:N."""
    text = re.sub(r"\$\{(\w+)\}", lambda found: str(words[found.group(1)]), text)
    text = re.sub(r"many parts:(\d+)", lambda n: '--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n' * int(n.group(1)) + "--b--\r\n", text)
    for word, repeated in (("long", "x"), ("many", "a=1&"), ("nested", "[")):
        text = re.sub(rf"{word}:(\d+)", lambda n, r=repeated: r * int(n.group(1)), text)
    return text


class Scene:
    """The people, and what they have."""

    def __init__(self, entry, has_workers):
        self.entry, self.has_workers = entry, has_workers
        self.people = {name: Visitor(entry, f"{name}_tried") for name in ("ann", "bob")} | {"nobody": Visitor(entry)}
        ann = photo_client.Client(entry)
        ann.token = self.people["ann"].token
        flower = (samples.PHOTOS / "nature/FreshFlower.jpg").read_bytes()
        self.photo = ann.upload("flower.jpg", flower, "used")["id"]
        self.finished(self.photo)
        self.ann, self.digest = ann, photo_client.digest(flower)
        self.samples = samples.all_of(ann.fetch(f"/media/{self.photo}/v1-large.webp"))

    def finished(self, photo):
        """The photo as it is told of once nobody works on it any more."""
        def look():
            told = json.loads(exchange(self.entry, request("GET", f"/api/photos/{photo}")).body)
            return told if told["state"] != "in_work" else None

        if told := awaited(look, WORK_SECONDS):
            return told
        raise TimeoutError(f"photo {photo} is in work still, after {WORK_SECONDS} s")

    def words(self, sender, each):
        known = {"photo": self.photo, "user": self.people["ann"].user_id, "form_token": sender.form_token, "token": sender.token,
                 "password_of_ann": self.people["ann"].password}
        for name, visitor in self.people.items():
            known |= {f"form_token_of_{name}": visitor.form_token, f"cookie_of_{name}": visitor.cookie, f"token_of_{name}": visitor.token}
        known["each"] = expand(each, known)
        return known

    def faults(self):
        """What the strangers have changed, although they should not."""
        there = [photo["id"] for photo in self.ann.photos_of(self.people["ann"].user_id)]
        if there != [self.photo]:
            yield f"ann has the photos {there}, and not {[self.photo]}"
        elif photo_client.digest(self.ann.fetch(f"/media/{self.photo}/original.jpg")) != self.digest:
            yield "ann's photo has changed"


def body_of(case, words, scene):
    """And its type."""
    if "file" in case:
        return photo_client.multipart(scene.samples[expand(case["file"], words)])
    if "form" in case:
        fields = {name: expand(value, words) for name, value in case["form"].items()}
        return urllib.parse.urlencode(fields).encode(), "application/x-www-form-urlencoded"
    if "json" in case:
        return expand(case["json"], words).encode(), "application/json"
    return expand(case.get("text", ""), words).encode(), expand(case.get("type", ""), words)


def bytes_of(case, words, sender, scene):
    if "raw" in case:
        return expand(case["raw"], words).encode("latin-1")
    method, target = expand(case["request"], words).split(" ", 1)
    body, kind = body_of(case, words, scene)
    own = [(name, expand(value, words)) for name, value in case.get("headers", {}).items()]
    named = {name for name, _ in own}
    headers = [header for header in sender.headers(target) if header[0] not in named] + own
    return request(method, target, headers + ([("Content-Type", kind)] if kind else []), body)


def fault_in_result(answer, sender, scene):
    """Of an upload whose fault workers are to find: what else it became than a damaged photo. It is deleted again."""
    if answer.status != 201:
        return f"answered with {answer.status}, and not taken: {answer.body[:200]!r}"
    photo = json.loads(answer.body)["photos"][0]["id"]
    state = scene.finished(photo)["state"]
    patient_exchange(scene.entry, request("DELETE", f"/api/photos/{photo}", sender.headers("/api")))
    return None if state == "damaged" else f"taken, and {state} in the end"


def fault_in(case, each, scene):
    """What is wrong with how it was answered; None when it was refused as it should be."""
    sender = scene.people[case.get("as", "nobody")]
    try:
        answer, _ = patient_exchange(scene.entry, bytes_of(case, scene.words(sender, each), sender, scene))
    except Exception as why:
        return f"no answer: {why!r}"
    if case.get("decoded") and scene.has_workers:
        return fault_in_result(answer, sender, scene)
    expected = case["status"] if isinstance(case["status"], list) else [case["status"]]
    if answer.status not in expected:
        return f"answered with {answer.status}, and not {expected}: {answer.body[:200]!r}"
    if "error" in case and answer.error() != case["error"]:
        return f"answered with the error {answer.error()}, and not {case['error']}"
    return None


def run(this):
    """Right at a web server, where there is a balancer, too: that one refuses much by itself."""
    process = this.topology.of_component("web")[0]
    address = this.network.address(process.host, process.network)
    with network.inside(this.network.namespace(process.host)):
        return try_all(this, process.name, f"http://{address}:8080")


def try_all(this, web, entry):
    document, untrue = ApiDocument(document_of(entry)), []
    visitors.listeners.append(lambda content, answer: untrue.extend(document.faults_in(content, answer)))
    scene = Scene(entry, has_workers=bool(this.topology.of_component("sizer")))
    who = this.who(web)
    cases = [(case, each) for case in tomllib.loads((HERE / "refusals.toml").read_text())["case"] for each in case.get("each", [""])]
    faults = [f"{case['what']} ({each[:60]!r}): {fault}" for case, each in cases if (fault := fault_in(case, each, scene))]
    faults += [f"{name}: {fault}" for name, behave in BEHAVIOURS.items() if (fault := behave(scene))]
    if document.document != ApiDocument(SOURCE.read_text()).document:
        faults.append("the server sends another document of its API than the one in the source")
    if fault := walk(scene, document):
        faults.append(f"the walk through the API: {fault}")
    faults += [f"the API's document: {fault}" for fault in dict.fromkeys(untrue)]
    faults += [f"the API's document: {name} is never answered with {status}" for name, status in document.never_seen()]
    faults += scene.faults()
    if this.who(web) != who:
        faults.append("the web server died of it, and was started again")
    for fault in faults:
        print(f"! {fault}")
    print(f"{len(cases)} requests and {len(BEHAVIOURS)} behaviours, {len(document.seen)} answers of the API seen as documented, {len(faults)} faults")
    return 1 if faults else 0


def main():
    if os.geteuid() != 0:
        return 77
    packages.install([uploaders.PACKAGE])
    name = f"refusals{sys.argv[2]}"
    stack.down(name)  # of a run that was killed
    try:
        stack.up(name, int(sys.argv[2]), pathlib.Path(sys.argv[1]).resolve())
        return run(stack.Stack(name))
    finally:
        stack.down(name)


if __name__ == "__main__":
    sys.exit(main())
