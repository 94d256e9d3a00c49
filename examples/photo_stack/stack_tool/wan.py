"""What is between data centres: a router at each, a long line from it to what they have in common, and who may go where.

    region (people) ─┐                                                     ┌─ region (people)
    public          ─┼─ router ── tunnel ═ photo-wan-link ═ tunnel ─ wan ─ … ─┼─ public
    private         ─┘                                                     └─ private

A region is beside its data centre, not in it: its people are there still when that is gone, and get to another one.
"""
import contextlib
import pathlib

from stack_tool.network import NETWORKS_OF_A_SITE, RESOLVERS, inside, ip, make_namespace

ROUTER_NUMBER = 254
NETWORKS_INSIDE = 8  # of a data centre: the first ones; the others are beside it
PACKETS_WAITING = 10_000
SETTINGS = pathlib.Path("/proc/sys/net/ipv4")


class Wan:
    def __init__(self, network):
        self._network = network
        self._topology = network.topology
        self._common = network.namespace(self._topology.host("wan"))

    def _router(self, site):
        return f"{self._network.stack_name}-{site}-router"

    def namespaces(self):
        return [self._router(site) for site in self._topology.sites]

    def _first(self, site):
        return f"10.{self._network.subnet}.{NETWORKS_OF_A_SITE * self._topology.sites[site]}.0"

    def _all_of(self, site):
        return f"{self._first(site)}/20"

    def _data_centre(self, site):
        return f"{self._first(site)}/21"

    def _gateway(self, site, network):
        return f"10.{self._network.subnet}.{self._network.third(site, network)}.{ROUTER_NUMBER}"

    def make(self):
        for site in self._topology.sites:
            self._make_router(site)
        _forward(self._common)
        for host in self._topology.hosts:
            if host.site:
                ip(f"route add default via {self._gateway(host.site, host.networks[-1])}", namespace=self._network.namespace(host))
                _answer_on_another_way(self._network.namespace(host))
            if host.resolvers:
                self._tell_resolvers(host)

    def _make_router(self, site):
        router = self._router(site)
        make_namespace(router)
        _forward(router)
        for network in self._networks_at(site):
            self._network.connect(router, f"{self._network.bridge(site, network)}-{ROUTER_NUMBER}", site, network, self._gateway(site, network))
        for namespace, device, beyond in ((router, "wan", "default"), (self._common, site, self._all_of(site))):
            ip(f"tuntap add dev {device} mode tun", f"link set {device} txqueuelen {PACKETS_WAITING} up", f"route add {beyond} dev {device}", namespace=namespace)
        _answer_on_another_way(router)
        ip(*(f"rule add from {people} to {self._network.range(site, name)} prohibit"
             for name in self._networks_at(site) if self._is_for_hosts_alone(name) for people in self._regions()), namespace=router)

    def _networks_at(self, site):
        return [network for where, network in self._network.places() if where == site]

    def _is_for_hosts_alone(self, network):
        return not self._topology.networks[network].outside and self._topology.networks[network].number < NETWORKS_INSIDE

    def _regions(self):
        return [self._network.range(site, name) for site, name in self._network.places() if self._topology.networks[name].number >= NETWORKS_INSIDE and site]

    def _tell_resolvers(self, host):
        """The near one first."""
        they = sorted((each for each in self._topology.hosts if each.role == host.resolvers), key=lambda each: each.site != host.site)
        folder = RESOLVERS / self._network.namespace(host)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"nameserver {self._network.address(each, each.networks[0])}" for each in they]
        (folder / "resolv.conf").write_text("\n".join([*lines, "options timeout:1 attempts:2"]) + "\n")

    # ---- what can happen to it -------------------------------------------------------------------------------------------------

    def cut(self, one, other):
        """Between two data centres nothing gets through; to everybody else both have their way, and people to both."""
        pairs = [(self._data_centre(a), self._data_centre(b)) for a, b in ((one, other), (other, one))]
        return _rules(self._common, [f"from {a} to {b} blackhole" for a, b in pairs])

    def dark(self, site):
        """Nothing gets out of a data centre, and nothing in."""
        return _rules(self._router(site), [f"from {self._data_centre(site)} blackhole", f"to {self._data_centre(site)} blackhole"])


@contextlib.contextmanager
def _rules(namespace, rules):
    ip(*(f"rule add {rule}" for rule in rules), namespace=namespace)
    try:
        yield
    finally:
        ip(*(f"rule del {rule}" for rule in rules), namespace=namespace)


def _forward(namespace):
    with inside(namespace):
        (SETTINGS / "ip_forward").write_text("1")


def _answer_on_another_way(namespace):
    """Than what was asked has come; Linux may take that for a fraud."""
    with inside(namespace):
        for setting in SETTINGS.glob("conf/*/rp_filter"):
            setting.write_text("0")
