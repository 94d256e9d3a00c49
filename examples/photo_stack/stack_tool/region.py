"""The people of a region: they know the product by its name, ask the region's name servers for an address, the near one first, and go there."""
import socket

from stack_tool import network as networks
from stack_tool.photo_client import Client
from stack_tool.waiting import seconds_until

SITE_NAME = "www.photo.test"
ASK_SECONDS, PATIENCE_SECONDS = 1, 4  # of one name server; of all
ANSWER_SECONDS, UPLOAD_SECONDS = 4, 15  # a data centre that is gone says nothing


class Region:
    def __init__(self, stack, site):
        self._stack, self._site = stack, site
        visitor = next(host for host in stack.topology.hosts if host.resolvers and host.site == site)
        self.namespace = stack.network.namespace(visitor)

    def client(self, source=None):
        return Client(f"https://{SITE_NAME}", certificate=self._stack.place.secrets / "site.crt", line=Line(self.namespace))

    def data_centre(self):
        """Where its people are sent now."""
        address = Line(self.namespace).address(SITE_NAME)
        return next(host.site for host in self._stack.topology.hosts if self._stack.network.address(host, "public") == address)

    def until_sent_to(self, site, seconds):
        """How long until its people are; None when they were not in so many seconds."""
        return seconds_until(lambda: self.data_centre() == site, seconds, pause=0.1)


class Line:
    """A client's way into the network."""

    def __init__(self, namespace):
        self._namespace = namespace
        self._resolver = None

    def address(self, name):
        """For as long as its time to live the same. What is an address already stays."""
        if name.replace(".", "").isdigit():
            return name
        import dns.exception  # python3-dnspython, which comes with the stack
        import dns.resolver
        if self._resolver is None:
            self._resolver = dns.resolver.Resolver(filename=str(networks.RESOLVERS / self._namespace / "resolv.conf"))
            self._resolver.cache = dns.resolver.Cache()
            self._resolver.timeout, self._resolver.lifetime = ASK_SECONDS, PATIENCE_SECONDS
        try:
            with networks.inside(self._namespace):
                return self._resolver.resolve(name, "A", search=False)[0].address
        except dns.exception.DNSException as why:
            raise OSError(f"nobody says where {name} is: {why}") from why

    @staticmethod
    def patience(method):
        return ANSWER_SECONDS if method == "GET" else UPLOAD_SECONDS

    def connected(self, address, port):
        with networks.inside(self._namespace):
            return socket.create_connection((address, port), timeout=ANSWER_SECONDS)
