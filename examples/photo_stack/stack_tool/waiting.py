"""Waiting for what comes by itself, and no longer than so many seconds."""
import time


def awaited(look, seconds, pause=0.05):
    """What `look` gives as soon as that is something; what it gave last when it was never."""
    until = time.monotonic() + seconds
    while not (there := look()) and time.monotonic() < until:
        time.sleep(pause)
    return there


def seconds_until(holds, seconds, pause=0.05):
    """How long it took; None when it did not come."""
    begun = time.monotonic()
    return time.monotonic() - begun if awaited(holds, seconds, pause) else None
