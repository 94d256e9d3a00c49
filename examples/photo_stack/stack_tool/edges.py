"""Edges and object stores, as who looks after them sees them: what is in them, and purges."""
import http.client
import os

from stack_tool import network as networks
from stack_tool.photo_client import Client
from stack_tool.shards import Shards

PURGE_PORT = 8080
ASK_SECONDS = 3


class Edges:
    def __init__(self, stack):
        self._stack = stack
        self.names = [process.name for process in stack.topology.of_component("edge")]

    def url(self, name):
        process = self._stack.topology.process(name)
        return f"https://{self._stack.network.address(process.host, process.network)}"

    def ask(self, name, path, method="GET"):
        """As a browser, each time by a connection of its own."""
        client = Client(self.url(name), certificate=self._stack.place.secrets / "site.crt")
        try:
            return client.ask(method, path)
        finally:
            client.close()

    def state(self, name, path):
        """Status and what became of it in the edge's cache: (200, "HIT"), (502, "MISS"), …"""
        answer = self.ask(name, path)
        return answer.status, answer.headers["X-Cache"]

    def purge(self, name, path):
        host = self._stack.topology.process(name).host
        address = self._stack.network.address(host, "private")
        with networks.inside(self._stack.network.namespace(host)):
            connection = http.client.HTTPConnection(address, PURGE_PORT, timeout=ASK_SECONDS)
            connection.connect()
        connection.request("GET", f"/purge{path}")
        return connection.getresponse().status

    def has_on_disk(self, name, path):
        """Whether a file of its cache is of that address: its head says so."""
        key = f"\nKEY: {path}\n".encode()
        return any(key in _head_of(file) for file in (self._stack.place.data(name) / "cache").rglob("*") if file.is_file())


def _head_of(file):
    try:
        with open(file, "rb") as content:
            return content.read(2048)
    except FileNotFoundError:  # it has just been forgotten
        return b""


def _listed(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


class ObjectStores:
    """Each one's folder."""

    def __init__(self, stack):
        self._stack = stack
        self.names = [process.name for process in stack.topology.of_component("object_store")]

    def file(self, name, path):
        return self._stack.place.data(name) / "objects" / path.lstrip("/")

    def names_of(self, photo_id):
        """Of its files, in whichever store."""
        return {name for store in self.names for name in _listed(self.file(store, f"/media/{photo_id}"))}

    def files_of(self, name, photo_id):
        """Name → content."""
        folder = self.file(name, f"/media/{photo_id}")
        return {file: (folder / file).read_bytes() for file in _listed(folder)}

    def differences(self, photo_ids, files_max=9):
        """Photos that are not whole in all of them, a sentence each."""
        for photo_id in photo_ids:
            there = [self.files_of(name, photo_id) for name in self.names]
            if any(files != there[0] for files in there) or len(there[0]) != files_max:
                yield f"photo {photo_id}: " + ", ".join(f"{name} has {len(files)} files" for name, files in zip(self.names, there))

    def open_repairs(self):
        return Shards(self._stack).count("store_repairs")
