"""The brokers that are compared: how each is started on 127.0.0.1 with all that it keeps in one folder, and what its answers promise.

A broker that is named here is started with the settings its own makers advise for what the column says, and nothing that would make it slower than it needs to be.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
READY_SECONDS = 60


class BrokerFailed(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def first_line(*command, pattern):
    found = re.search(pattern, subprocess.run(command, capture_output=True, text=True).stdout)
    return found.group(1) if found else "?"


def package_version(name):
    return first_line("dpkg-query", "-W", "-f=${Version}", name, pattern=r"^([\d:.]+)").split(":")[-1]


class Process:
    """A program and all that it starts, in a session of their own."""

    def __init__(self, command, log, environment=None):
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, env={**os.environ, **(environment or {})})

    def members(self):
        """Of the session, as the fields of /proc/PID/stat after the name."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid:
                yield int(pid), fields

    def cpu_seconds(self):
        ticks = sum(int(fields[11]) + int(fields[12]) for _, fields in self.members())
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mib(self, field):
        """Resident: VmHWM at its highest, VmRSS now."""
        kib = 0
        for pid, _ in self.members():
            try:
                with open(f"/proc/{pid}/status") as status:
                    found = re.search(rf"{field}:\s*(\d+) kB", status.read())
            except OSError:
                continue
            kib += int(found.group(1)) if found else 0
        return kib / 1024

    def kill(self):
        """All of the session, with -9."""
        for pid, _ in list(self.members()):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def require_running(self):
        if self.process.poll() is not None:
            with open(self.log, errors="replace") as log:
                raise BrokerFailed(f"{self.process.args[0]} ended with {self.process.returncode}: {log.read()[-500:]}")


class Broker:
    """One row of the table. `start` gives a running one; its folder is the caller's."""

    name = ""        # of the row
    peer = ""        # of millrace-compare --peer
    durability = ""  # what has happened when a publish is answered
    is_ours = True   # started here, so that it can be killed and its memory is known

    def version(self):
        raise NotImplementedError

    def command(self, directory, port):
        raise NotImplementedError

    def environment(self, directory):
        return {}

    def beside(self, environment):
        """Programs that it needs, as commands."""
        return []

    def start(self, directory):
        os.makedirs(directory, exist_ok=True)
        return Running(self, directory)


class Running:
    def __init__(self, broker, directory):
        self.broker = broker
        self.directory = directory
        self.port = free_port()
        self.server = f"127.0.0.1:{self.port}"
        self.environment = broker.environment(directory)
        self.beside = [self.process(command) for command in broker.beside(self.environment)]
        self.restart()

    def process(self, command):
        return Process(command, os.path.join(self.directory, "log"), self.environment)

    def restart(self):
        """What was ended, on the same folder."""
        began = time.monotonic()
        self.broker_process = self.process(self.broker.command(self.directory, self.port))
        self.wait_until_ready(began)
        self.ready_seconds = time.monotonic() - began  # from its start until it greets

    def wait_until_ready(self, began):
        while not self.is_ready():
            self.broker_process.require_running()
            if time.monotonic() - began > READY_SECONDS:
                self.end()
                raise BrokerFailed(f"{self.broker.name} was not ready within {READY_SECONDS} s")
            time.sleep(0.01)

    def is_ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
                s.settimeout(1)
                return self.broker.greets(s)
        except OSError:
            return False

    def cpu_seconds(self):
        return self.broker_process.cpu_seconds()

    def peak_memory_mib(self):
        return self.broker_process.memory_mib("VmHWM")

    def memory_mib(self):
        return self.broker_process.memory_mib("VmRSS")

    def kill(self):
        self.broker_process.kill()

    def end(self):
        for process in [self.broker_process] + self.beside:
            process.kill()


class Millrace(Broker):
    name, peer = "Millrace", "millrace"
    durability = "fdatasync"

    def version(self):
        return first_line(f"{ROOT}/build/broker/millraced", "--version", pattern=r"(\d+\.\d+\.\d+)")

    def command(self, directory, port):
        return [f"{ROOT}/build/broker/millraced", "--store", self.store(directory), "--listen", f"127.0.0.1:{port}", "--admin", "none", "--log-level", "warn"]

    def store(self, directory):
        return f"rocksdb:{directory}/store"

    def greets(self, s):
        return True  # it listens when its store is open


class MillraceInMemory(Millrace):
    name, durability = "Millrace (memory)", "in memory"

    def __init__(self, shards=1):
        self.shards = shards

    def command(self, directory, port):
        return super().command(directory, port) + ["--shards", str(self.shards)]

    def store(self, directory):
        return "memory:"


class Redis(Broker):
    peer = "redis"

    def __init__(self, fsync, durability):
        self.fsync = fsync
        self.name = f"Redis Streams ({fsync})"
        self.durability = durability

    def version(self):
        return first_line("redis-server", "--version", pattern=r"v=(\S+)")

    def command(self, directory, port):
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", directory, "--appendonly", "yes", "--appendfsync", self.fsync,
                "--save", "", "--auto-aof-rewrite-percentage", "0"]

    def greets(self, s):
        s.sendall(b"PING\r\n")
        return s.recv(64).startswith(b"+PONG")  # not while it loads


class Nats(Broker):
    name, peer = "NATS JetStream", "nats"
    durability = "page cache"

    def version(self):
        return first_line("nats-server", "--version", pattern=r" v(\S+)")

    def command(self, directory, port):
        return ["nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", f"{directory}/jetstream"]

    def greets(self, s):
        return s.recv(4096).startswith(b"INFO")


class Beanstalkd(Broker):
    name, peer = "beanstalkd (-f0)", "beanstalkd"
    durability = "fsync, each"

    def version(self):
        return first_line("beanstalkd", "-v", pattern=r"(\d\S*)")

    def command(self, directory, port):
        os.makedirs(f"{directory}/binlog", exist_ok=True)
        return ["beanstalkd", "-l", "127.0.0.1", "-p", str(port), "-b", f"{directory}/binlog", "-f0", "-z", str(8 << 20)]

    def greets(self, s):
        s.sendall(b"stats\r\n")
        return s.recv(64).startswith(b"OK")


class RabbitMQ(Broker):
    def __init__(self, queue_type, durability):
        self.name = f"RabbitMQ {queue_type}"
        self.peer = f"rabbitmq-{queue_type}"
        self.durability = durability

    def version(self):
        return package_version("rabbitmq-server")

    def environment(self, directory):
        """The node, its name server and its cookie are of this folder alone."""
        with open(f"{directory}/enabled_plugins", "w") as plugins:
            plugins.write("[].")
        with open(f"{directory}/rabbitmq.conf", "w") as settings:
            settings.write("log.file.level = error\ndisk_free_limit.absolute = 100MB\n")
        return {"HOME": directory, "ERL_EPMD_PORT": str(free_port()), "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_NODENAME": "compare@localhost", "RABBITMQ_MNESIA_BASE": f"{directory}/mnesia", "RABBITMQ_LOG_BASE": f"{directory}/logs",
                "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq.conf", "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
                "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_PID_FILE": f"{directory}/pid"}

    def beside(self, environment):
        return [["epmd", "-port", environment["ERL_EPMD_PORT"], "-address", "127.0.0.1"]]

    def command(self, directory, port):
        return ["env", f"RABBITMQ_NODE_PORT={port}", "/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def greets(self, s):
        s.sendall(b"AMQP\x00\x00\x09\x01")
        return len(s.recv(64)) > 8  # connection.start


class Kafka(Broker):
    """One that somebody else runs."""

    name, peer = "Kafka (as configured by whoever runs it)", "kafka"
    durability = "acks=all, not known beyond"
    is_ours = False

    def __init__(self, server):
        self.server = server

    def version(self):
        return f"at {self.server}"

    def start(self, directory):
        return self

    def end(self):
        pass


def all_brokers(kafka):
    """`kafka` is HOST:PORT of one, or empty."""
    return [
        Millrace(),
        RabbitMQ("quorum", "fsync"),
        RabbitMQ("classic", "fsync, some 100 ms at most"),
        RabbitMQ("stream", "page cache"),
        Nats(),
        Redis("always", "fsync"),
        Redis("everysec", "page cache, fsync each second"),
        Beanstalkd(),
    ] + ([Kafka(kafka)] if kafka else [])


def remove(directory):
    shutil.rmtree(directory, ignore_errors=True)
