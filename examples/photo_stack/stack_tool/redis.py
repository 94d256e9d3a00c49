"""Redis, asked from its own host's namespace."""
import socket

from stack_tool import network as networks

ASK_SECONDS = 3
SENTINEL_PORT = 26379  # they have no password


class RedisRefused(Exception):
    """An answer, but an error."""


class Redis:
    def __init__(self, process, place, network, port=6379):
        with networks.inside(network.namespace(process.host)):
            self._socket = socket.create_connection((network.address(process.host, process.network), port), timeout=ASK_SECONDS)
        self._answers = self._socket.makefile("rb")
        if port != SENTINEL_PORT:
            self.ask("AUTH", (place.secrets / "redis").read_text().strip())

    def ask(self, *words):
        """Texts and numbers, or lists of them."""
        self.send(words)
        return self.answer()

    def send(self, words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))

    def answer(self):
        line = self._answers.readline()
        if not line:
            raise ConnectionError("Redis has closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RedisRefused(rest)
        if kind == b"$":
            return self._answers.read(int(rest) + 2)[:-2].decode() if rest != "-1" else None
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))] if rest != "-1" else None
        return int(rest) if kind == b":" else rest

    def facts(self, section):
        """What INFO says."""
        return dict(line.split(":", 1) for line in self.ask("INFO", section).splitlines() if ":" in line)
