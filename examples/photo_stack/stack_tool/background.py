"""What goes on beside something else, until it is told to end."""
import threading

END_SECONDS = 60  # that it has for what it has begun


class Background(threading.Thread):
    """With `with`: meanwhile. Its `run` is over soon after `ending` is set."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ending = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join(END_SECONDS)


class Several:
    """Of those, in `each`: they begin together, and end together."""

    def __enter__(self):
        for one in self.each:
            one.start()
        return self

    def __exit__(self, *_):
        for one in self.each:
            one.ending.set()
        for one in self.each:
            one.join(END_SECONDS)
