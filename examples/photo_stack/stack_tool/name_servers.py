"""Those who tell people where the product is: by what they find out themselves, or are told."""
import contextlib


class NameServers:
    def __init__(self, stack):
        self._states = [stack.place.data(process.name) / "state/admin_state" for process in stack.topology.of_component("gdnsd")]

    @contextlib.contextmanager
    def sending_nobody_to(self, site):
        """As before its data centre is worked at: people go elsewhere, a few seconds later all of them."""
        self._tell(f"geoip/www/{site} => DOWN\n")
        try:
            yield
        finally:
            self._tell("")

    def _tell(self, text):
        for state in self._states:
            state.write_text(text)
