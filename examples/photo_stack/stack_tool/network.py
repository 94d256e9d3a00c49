"""Networks and hosts: a bridge for each network, a namespace for each host, a cable between them for each address."""
import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess

from stack_tool.failure import StackFailed

CLONE_NEWNET = 0x40000000
NETWORKS_OF_A_SITE = 16
RESOLVERS = pathlib.Path("/etc/netns")  # whom a namespace asks for addresses, as `ip netns exec` shows it in /etc
_libc = ctypes.CDLL(None, use_errno=True)


def ip(*lines, namespace=None):
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

    def namespace(self, host):
        return f"{self.stack_name}-{host.name}"

    def third(self, site, network):
        """Of an address's numbers."""
        return NETWORKS_OF_A_SITE * self.topology.sites.get(site, 0) + self.topology.networks[network].number

    def bridge(self, site, network):
        return f"ps{self.subnet}-{self.third(site, network)}"

    def cable(self, host, network):
        """Of the machine's end; interface names have 15 characters."""
        return f"{self.bridge(host.site, network)}-{host.number}"

    def address(self, host, network):
        """Nothing for a host that is not on it."""
        if network not in host.networks:
            return ""
        return f"10.{self.subnet}.{self.third(host.site, network)}.{host.number}"

    def outside_addresses(self, network, site=""):
        """This machine's: two, so that a drill can be two clients."""
        return [f"10.{self.subnet}.{self.third(site, network)}.{number}" for number in (1, 2)]

    def range(self, site, network):
        return f"10.{self.subnet}.{self.third(site, network)}.0/24"

    def neighbourhood(self, network):
        """Who may be on the network: with several data centres whoever the routers let there."""
        return f"10.{self.subnet}.0.0/16" if self.topology.sites else self.range("", network)

    def places(self):
        """Each network of each data centre, once."""
        return list(dict.fromkeys((host.site, network) for host in self.topology.hosts for network in host.networks))

    def make(self):
        for site, name in self.places():
            ip(f"link add {self.bridge(site, name)} type bridge", f"link set {self.bridge(site, name)} up")
            if self.topology.networks[name].outside:
                ip(*(f"addr add {address}/24 dev {self.bridge(site, name)}" for address in self.outside_addresses(name, site)))
        for host in self.topology.hosts:
            make_namespace(self.namespace(host))
            for network in host.networks:
                self.connect(self.namespace(host), self.cable(host, network), host.site, network, self.address(host, network))

    def connect(self, namespace, cable, site, network, address):
        ip(f"link add {cable} type veth peer name {network} netns {namespace}",
           f"link set {cable} master {self.bridge(site, network)} up")
        ip(f"addr add {address}/24 dev {network}", f"link set {network} up", namespace=namespace)

    def unplug(self, host):
        for network in host.networks:
            ip(f"link set {self.cable(host, network)} down")

    def plug_in(self, host):
        for network in host.networks:
            ip(f"link set {self.cable(host, network)} up")

    def _to(self, hosts):
        return [self.address(host, name) for host in hosts for name in host.networks]

    def cut(self, host, others):
        """What it sends to the others is lost; everybody else hears it."""
        ip(*(f"route add blackhole {address}" for address in self._to(others)), namespace=self.namespace(host))

    def mend(self, host, others):
        ip(*(f"route del blackhole {address}" for address in self._to(others)), namespace=self.namespace(host))


def make_namespace(name):
    ip(f"netns add {name}")
    ip("link set lo up", namespace=name)


def _that_exist(namespaces):
    return [name for name in namespaces if os.path.exists(f"/var/run/netns/{name}")]


def pids_in(namespaces):
    for namespace in _that_exist(namespaces):
        listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True).stdout
        yield from map(int, listed.split())


def remove(namespaces, subnet):
    for namespace in _that_exist(namespaces):
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
        shutil.rmtree(RESOLVERS / namespace, ignore_errors=True)
    with contextlib.suppress(OSError):  # somebody else's are in it
        RESOLVERS.rmdir()
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
