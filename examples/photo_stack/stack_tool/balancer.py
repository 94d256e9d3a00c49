"""What HAProxy says of its servers, and is told, by its socket."""
import contextlib
import csv
import io
import socket
import threading

FORGET_SECONDS = 0.5


class Balancer:
    def __init__(self, place, process_name="haproxy"):
        self._socket = str(place.data(process_name) / "admin.sock")

    def _ask(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(3)
            s.connect(self._socket)
            s.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()

    def _rows(self):
        table = csv.DictReader(io.StringIO(self._ask("show stat").lstrip("# ")))
        return {row["svname"]: row for row in table if row["pxname"] == "web" and row["svname"] != "BACKEND"}

    def _row(self, server):
        return self._rows()[server]

    def up(self):
        """The servers that take requests."""
        return [name for name, row in self._rows().items() if row["status"] == "UP"]

    def state(self, server):
        """ "UP", "DOWN", "MAINT", "UP 1/2", … """
        return self._row(server)["status"]

    def requests(self, server):
        """Sent to it so far."""
        return int(self._row(server)["stot"])

    @contextlib.contextmanager
    def without_limit(self):
        """Nobody asks too often meanwhile: what they have asked is forgotten again and again."""
        def forget():
            while not ending.wait(FORGET_SECONDS):
                self._ask("clear table www")

        ending = threading.Event()
        forgetting = threading.Thread(target=forget, daemon=True)
        forgetting.start()
        try:
            yield
        finally:
            ending.set()
            forgetting.join()

    def enable(self, server):
        self._ask(f"enable server web/{server}")
