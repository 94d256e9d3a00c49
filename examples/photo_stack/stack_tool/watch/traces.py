"""Spans, as they stand in the logs (../../spans/span.hpp), and the traces that they are put together to."""
import dataclasses
import json
import pathlib
import subprocess

MARK = "span {"
RECENT_BYTES = 512 * 1024  # of the end of each log: what happened last
KNOWN = {"trace", "span", "parent", "name", "start", "start_us", "seconds", "milliseconds", "parts"}  # a balancer counts in other units


@dataclasses.dataclass(frozen=True)
class Span:
    trace: str
    id: str
    parent: str
    host: str
    process: str
    name: str
    start: float
    seconds: float
    facts: dict

    @property
    def end(self):
        return self.start + self.seconds


def spans_in(line, host, process):
    """That of the line, and its parts as its children; nothing when the line is none, or was cut."""
    _, mark, rest = line.partition(MARK)
    try:
        told = json.loads("{" + rest) if mark else {}
        seconds = float(told["seconds"]) if "seconds" in told else told["milliseconds"] / 1000
        start = float(told["start"]) if "start" in told else told["start_us"] / 1e6
        own = Span(str(told["trace"]), str(told["span"]), str(told.get("parent", "")), host, process, str(told["name"]), start, seconds,
                   {key: str(value) for key, value in told.items() if key not in KNOWN})
        yield own
        for number, part in enumerate(told.get("parts", [])):
            yield Span(own.trace, f"{own.id}.{number}", own.id, host, process, str(part["name"]), own.start + part["after"], float(part["seconds"]), {})
    except (ValueError, KeyError, TypeError):
        return


def _of_file(file, lines):
    for line in lines:
        yield from spans_in(line, file.parent.name, file.stem)


def spans_of(logs, trace):
    """All of that trace: every log is searched from its beginning."""
    if not (trace.isalnum() and trace.isascii()):
        return
    for file in sorted(pathlib.Path(logs).glob("*/*.log")):
        found = subprocess.run(["grep", "-aF", trace, file], capture_output=True).stdout.decode(errors="replace")
        yield from (span for span in _of_file(file, found.splitlines()) if span.trace == trace)


def _end_of(file):
    with open(file, "rb") as log:
        log.seek(0, 2)
        log.seek(max(0, log.tell() - RECENT_BYTES))
        return log.read().decode(errors="replace").splitlines()


def recent(logs, count):
    """The newest traces in which more than one process took part, newest first; the spans of each as they began."""
    traces = {}
    for file in pathlib.Path(logs).glob("*/*.log"):
        for span in _of_file(file, _end_of(file)):
            traces.setdefault(span.trace, []).append(span)
    several = [sorted(spans, key=lambda s: s.start) for spans in traces.values() if len({s.process for s in spans}) > 1]
    return sorted(several, key=lambda spans: spans[0].start, reverse=True)[:count]


def in_order(spans):
    """(depth, span): each one's children follow it, in the order in which they began."""
    ids = {s.id for s in spans}
    children = {}
    for span in sorted(spans, key=lambda s: s.start):
        children.setdefault(span.parent if span.parent in ids else None, []).append(span)

    def below(parent, depth):
        for span in children.get(parent, []):
            yield depth, span
            yield from below(span.id, depth + 1)

    return list(below(None, 0))
