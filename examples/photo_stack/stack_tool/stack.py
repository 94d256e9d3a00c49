"""One stack: brought up, looked at, taken down."""
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time

from stack_tool import cgroups, configuration, database, network, packages, processes, readiness, topology
from stack_tool.broker import Broker
from stack_tool.cluster import Cluster
from stack_tool.failure import StackFailed
from stack_tool.photo_client import Client
from stack_tool.place import Place, write_json
from stack_tool.region import SITE_NAME, Region
from stack_tool.shards import Shards
from stack_tool.session_store import SessionStore
from stack_tool.wan import Wan

READY_SECONDS = 60
ACCOUNTS = ("ann", "bob")  # for whoever looks around


def say(text):
    print(text, flush=True)


class Stack:
    """As it is written down in its place."""

    def __init__(self, name):
        self.place = Place(name)
        state = self.place.state()
        self.stage = state["stage"]
        self.build = state["build"]
        self.supervisor = state.get("supervisor")
        self.topology = topology.at_stage(self.stage)
        self.network = network.Network(name, state["subnet"], self.topology)
        self.wan = Wan(self.network) if self.topology.sites else None

    def _filled(self, text):
        return configuration.fill(text, configuration.values_of_stack(self.place, self.network, self.topology, self.build))

    @property
    def entry(self):
        return self._filled(self.topology.entry)

    @property
    def pages(self):
        return {what: self._filled(url) for what, url in self.topology.pages.items()}

    def here(self):
        """This machine's addresses where people come in: two, so that a drill can be two clients."""
        return self.network.outside_addresses("public", next(iter(self.topology.sites), ""))

    def outside_addresses(self):
        """Of the hosts that browsers, or who looks after the stack, can reach."""
        return [self.network.address(host, name) for host in self.topology.hosts for name in host.networks if self.topology.networks[name].outside]

    def value(self, name):
        """Of `values` in the topology."""
        return self._filled(f"${{values.{name}}}")

    def client(self, source=None):
        """From this machine; `source` is one of its addresses there."""
        return Client(self.entry, certificate=self.place.secrets / "site.crt", source=source)

    def region(self, site):
        """The people beside a data centre."""
        return Region(self, site)

    def psql(self, shard=None):
        """At the primary; of the first shard, unless another one is named."""
        alone = self.topology.of_component("postgres")
        primary = alone[0].name if alone else Cluster(self, shard).primary()
        if primary is None:
            raise StackFailed(f"shard {shard or self.topology.shards[0].name} has no primary now: try again in some seconds")
        return database.Psql(self.place.data(primary))

    def who(self, process_name):
        return processes.recorded(self.place, process_name)

    def group(self, host_name):
        return cgroups.group_of(self.place.name, host_name)

    def start(self, names):
        self.place.change_wanted(more=names)

    def stop(self, names):
        self.place.change_wanted(less=names)

    def wait_until_ready(self, names, seconds=READY_SECONDS):
        waiting = [self.topology.process(name) for name in names]
        until = time.monotonic() + seconds
        while waiting:
            for process in list(waiting):
                if readiness.is_ready(process, self.place, self.network):
                    waiting.remove(process)
                    say(f"  {process.name} is ready")
            if waiting and time.monotonic() > until:
                names = ", ".join(p.name for p in waiting)
                raise StackFailed(f"not ready after {seconds} s: {names} (their logs are in {self.place.log})")
            time.sleep(0.05)


# ---- up --------------------------------------------------------------------------------------------------------------------------


def up(name, stage, build):
    shape = topology.at_stage(stage)
    packages.install(shape.packages)
    say(f"building {', '.join(shape.targets)}, if they have changed")
    packages.build(build, shape.targets)
    place = Place(name)
    with place.alone():
        if place.exists():
            raise StackFailed(f"stack '{name}' is there already: see `stack status --name {name}`, or take it down")
        begun = time.monotonic()
        place.claim(stage, build)
        stack = Stack(name)
        _make_hosts(stack)
        _write_secrets(stack)
        _start_supervisor(stack)
        _start(stack, "wan_link")  # or nobody reaches another data centre
        _start_databases(stack)
        if shape.of_component("redis_sessions"):
            SessionStore(stack).start()
        _start(stack, "millrace")
        _make_topics(stack)
        rest = [p.name for p in shape.processes if not p.spare and p.name not in place.wanted()]
        say(f"starting {', '.join(rest)}")
        stack.start(rest)
        stack.wait_until_ready(rest)
        _make_accounts(stack)
        say(f"stage {stage} is ready after {time.monotonic() - begun:.1f} s")
    tell_where(stack)


def _make_hosts(stack):
    hosts = [stack.network.namespace(host) for host in stack.topology.hosts]
    say(f"making {len(hosts)} host(s), each a network namespace: {', '.join(hosts)}")
    stack.place.note(namespaces=hosts + (stack.wan.namespaces() if stack.wan else []))
    stack.network.make()
    if stack.wan:
        stack.wan.make()
    for host in stack.topology.hosts:
        cgroups.make(stack.place.name, host.name)
    for process in stack.topology.processes:
        data = stack.place.data(process.name)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.chown(data, process.data_user, process.data_user)
    stack.place.photos.mkdir(exist_ok=True)
    shutil.chown(stack.place.photos, "www-data", "www-data")


def _write_secrets(stack):
    place = stack.place
    place.secrets.chmod(0o711)
    for name, reader in stack.topology.secrets.items():
        file = place.secrets / name
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32) + "\n")
        shutil.chown(file, reader, reader)
    names = ",".join(["DNS:photo.test", f"DNS:{SITE_NAME}", *(f"IP:{address}" for address in stack.outside_addresses())])
    key, certificate = place.secrets / "site.key", place.secrets / "site.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=photo.test",
                    "-addext", f"subjectAltName={names}", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    (place.secrets / "site.pem").write_text(certificate.read_text() + key.read_text())
    (place.secrets / "site.pem").chmod(0o600)


def _start_supervisor(stack):
    program = topology.SOURCE / "stack"
    with open(stack.place.log / "supervisor.log", "ab") as log:
        subprocess.Popen([sys.executable, program, "supervise", "--name", stack.place.name], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True, cwd="/", preexec_fn=lambda: stack.place.note(supervisor=processes.identity(os.getpid())))


def _start_databases(stack):
    say("making and starting the database")
    shards = Shards(stack)
    first_ones = [shard.name for shard in stack.topology.shards if not shard.spare]
    for name, files in shards.start(first_ones):
        say(f"  {name} has {', '.join(files)}")
    shards.deal_out(first_ones)


def _start(stack, component):
    names = [p.name for p in stack.topology.of_component(component)]
    stack.start(names)
    stack.wait_until_ready(names)


def _make_topics(stack):
    for process in stack.topology.of_component("millrace"):
        Broker(stack, process.name).make_topics(stack.topology.topics)


def _make_accounts(stack):
    accounts = {name: secrets.token_urlsafe(9) for name in ACCOUNTS}
    for name, password in accounts.items():
        stack.client().sign_up_and_log_in(name, password)
    write_json(stack.place.secrets / "accounts", accounts)
    (stack.place.secrets / "accounts").chmod(0o600)


def tell_where(stack):
    say(f"\nopen {stack.entry}")
    for what, url in stack.pages.items():
        say(f"{what}: {url}")
    for name, password in json.loads((stack.place.secrets / "accounts").read_text()).items():
        say(f"log in as {name} with the password {password}, or sign up")
    say(f"logs: {stack.place.log}    more: stack status|drill|load|down --name {stack.place.name}")


# ---- status and down -------------------------------------------------------------------------------------------------------------


def status(name):
    """Whether all is well."""
    stack = Stack(name)
    say(f"stack {name}, stage {stack.stage}: {stack.entry}")
    supervised = processes.lives(stack.supervisor)
    say(f"  {'supervisor':12} {'lives' if supervised else 'IS NOT THERE: nothing that dies comes back'}")
    sound = supervised
    for process in stack.topology.processes:
        who, wanted = stack.who(process.name), process.name in stack.place.wanted()
        lives = processes.lives(who)
        ready = lives and readiness.is_ready(process, stack.place, stack.network)
        sound = sound and (ready or not wanted)
        state = "ready" if ready else "not ready" if lives else "dead" if wanted else "not started"
        where = " ".join(filter(None, [process.host.name, stack.network.address(process.host, process.network)]))
        pid = f"pid {who['pid']}" if lives else ""
        say(f"  {process.name:12} {state:12} {pid:12} on {where}")
    return sound


def down(name):
    place = Place(name)
    with place.alone():
        if not place.exists():
            say(f"stack '{name}' is not up")
            return
        state = place.state()
        say(f"stopping stack '{name}'")
        if state.get("supervisor"):
            processes.end(state["supervisor"], signal.SIGTERM, 40)
        for record in sorted(place.processes.glob("[!.]*")):  # without a supervisor they are still there
            processes.end(processes.recorded(place, record.name), signal.SIGTERM, 3)
        for pid in network.pids_in(state.get("namespaces", [])):  # and what they have started
            processes.end(processes.identity(pid), signal.SIGKILL, 1)
        network.remove(state.get("namespaces", []), state["subnet"])
        cgroups.remove(name)
        place.remove()
    say("nothing is left of it")
