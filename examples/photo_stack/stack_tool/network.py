"""Networks and hosts: a bridge for each network, a namespace for each host, a cable between them for each address."""
import contextlib
import ctypes
import os
import subprocess

from stack_tool.failure import StackFailed

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _ip(*lines, namespace=None):
    there = ["-n", namespace] if namespace else []
    done = subprocess.run(["ip", *there, "-batch", "-"], input="\n".join(lines) + "\n", text=True, capture_output=True)
    if done.returncode != 0:
        raise StackFailed(f"ip: {done.stderr.strip()}")


class Network:
    """The networks of one stack. All names are made from the subnet's number, which no other stack has."""

    def __init__(self, stack_name, subnet, topology):
        self.stack_name = stack_name
        self.subnet = subnet
        self.topology = topology
        self._third = {name: index for index, name in enumerate(sorted(topology.networks, reverse=True))}  # public 0, private 1

    def namespace(self, host):
        return f"{self.stack_name}-{host.name}"

    def bridge(self, network):
        return f"ps{self.subnet}-{network}"

    def _cable(self, host, network):
        """Of the machine's end; interface names have 15 characters."""
        return f"ps{self.subnet}-{self._third[network]}-{host.number}"

    def address(self, host, network):
        return f"10.{self.subnet}.{self._third[network]}.{host.number}"

    def outside_addresses(self, network):
        """This machine's: two, so that a drill can be two clients."""
        return [f"10.{self.subnet}.{self._third[network]}.{number}" for number in (1, 2)]

    def range(self, network):
        return f"10.{self.subnet}.{self._third[network]}.0/24"

    def make(self):
        for name, outside in self.topology.networks.items():
            _ip(f"link add {self.bridge(name)} type bridge", f"link set {self.bridge(name)} up")
            if outside:
                _ip(*(f"addr add {address}/24 dev {self.bridge(name)}" for address in self.outside_addresses(name)))
        for host in self.topology.hosts:
            _ip(f"netns add {self.namespace(host)}")
            _ip("link set lo up", namespace=self.namespace(host))
            for network in host.networks:
                self._connect(host, network)

    def _connect(self, host, network):
        namespace, cable = self.namespace(host), self._cable(host, network)
        _ip(f"link add {cable} type veth peer name {network} netns {namespace}",
            f"link set {cable} master {self.bridge(network)} up")
        _ip(f"addr add {self.address(host, network)}/24 dev {network}", f"link set {network} up", namespace=namespace)

    def unplug(self, host):
        for network in host.networks:
            _ip(f"link set {self._cable(host, network)} down")

    def plug_in(self, host):
        for network in host.networks:
            _ip(f"link set {self._cable(host, network)} up")

    def _to(self, hosts):
        return [self.address(host, name) for host in hosts for name in host.networks]

    def cut(self, host, others):
        """What it sends to the others is lost; everybody else hears it."""
        _ip(*(f"route add blackhole {address}" for address in self._to(others)), namespace=self.namespace(host))

    def mend(self, host, others):
        _ip(*(f"route del blackhole {address}" for address in self._to(others)), namespace=self.namespace(host))


def _that_exist(namespaces):
    return [name for name in namespaces if os.path.exists(f"/var/run/netns/{name}")]


def pids_in(namespaces):
    for namespace in _that_exist(namespaces):
        listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True).stdout
        yield from map(int, listed.split())


def remove(namespaces, subnet):
    for namespace in _that_exist(namespaces):
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
    for link in os.listdir("/sys/class/net"):
        if link.startswith(f"ps{subnet}-"):
            subprocess.run(["ip", "link", "delete", link], capture_output=True)  # the cables of a namespace go with it by themselves


@contextlib.contextmanager
def inside(namespace):
    """Sockets that this thread makes meanwhile are the namespace's."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(here)
        os.close(here)
        os.close(there)


def _enter(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
