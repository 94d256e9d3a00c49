"""What can happen to a host: it dies with all that runs on it, or its cables are pulled."""
import contextlib
import signal

from stack_tool import network, processes


class Hosts:
    """By the names of processes: each stands for the host that it is on."""

    def __init__(self, stack):
        self._stack = stack

    def of(self, process_name):
        return self._stack.topology.process(process_name).host

    def kill(self, process_name):
        """Everything on it at once, and nobody starts it again."""
        self._kill([self.of(process_name)])

    def kill_all_of(self, site):
        """A whole data centre."""
        self._kill([host for host in self._stack.topology.hosts if host.site == site])

    def _kill(self, hosts):
        there = [p.name for p in self._stack.topology.processes if p.host in hosts]
        self._stack.place.hold({*self._stack.place.held(), *there})
        for pid in network.pids_in([self._stack.network.namespace(host) for host in hosts]):
            processes.send(processes.identity(pid), signal.SIGKILL)

    def revive(self):
        self._stack.place.hold([])

    @contextlib.contextmanager
    def unplugged(self, process_names):
        hosts = [self.of(name) for name in process_names]
        for host in hosts:
            self._stack.network.unplug(host)
        try:
            yield
        finally:
            for host in hosts:
                self._stack.network.plug_in(host)
