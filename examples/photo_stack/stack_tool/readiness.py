"""Whether a process does its work, asked as its users would: from its own host's namespace."""
import http.client
import socket
import ssl
import subprocess

from stack_tool import network as networks
from stack_tool import processes
from stack_tool.redis import Redis, RedisRefused

PROBE_SECONDS = 3


def _connect(namespace, address, port):
    with networks.inside(namespace):
        return socket.create_connection((address, port), timeout=PROBE_SECONDS)


def _http(namespace, address, port, path, tls):
    with _connect(namespace, address, port) as raw:
        if tls:
            unverified = ssl.create_default_context()  # whether it answers is asked here, not who it is
            unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
            raw = unverified.wrap_socket(raw)
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        return answer.status == 200


def _postgres(data):
    asked = subprocess.run(["/usr/lib/postgresql/15/bin/pg_isready", "-q", "-h", str(data)], timeout=PROBE_SECONDS)
    return asked.returncode == 0


def is_ready(process, place, network):
    kind, *rest = process.ready.split()
    try:
        if kind == "lives":  # nobody talks to it: what it does is seen elsewhere
            return processes.lives(processes.recorded(place, process.name))
        if kind == "postgres":
            return _postgres(place.data(process.name))
        if kind == "redis":
            return Redis(process, place, network, int(rest[0])).ask("PING") == "PONG"
        if kind == "file":
            return (place.data(process.name) / rest[0]).exists()
        if kind == "tcp":
            _connect(network.namespace(process.host), network.address(process.host, process.network), int(rest[0])).close()
            return True
        port, path = rest
        return _http(network.namespace(process.host), network.address(process.host, process.network), int(port), path, tls=kind == "https")
    except (OSError, http.client.HTTPException, subprocess.TimeoutExpired, RedisRefused):
        return False
