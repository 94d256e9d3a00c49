"""One request on its way through the processes; or, without an id, the newest ones to choose from."""
import time

from stack_tool.failure import StackFailed
from stack_tool.watch import traces

NEWEST = 10
BAR_WIDTH = 40


def _logs(stack):
    if not stack.topology.of_component("log_center"):
        raise StackFailed("traces are put together from stage 9 on: before it, nobody collects the logs")
    return stack.place.data("log_center") / "logs"


def _bar(span, begin, whole):
    first = int(BAR_WIDTH * (span.start - begin) / whole)
    length = max(1, round(BAR_WIDTH * span.seconds / whole))
    return (" " * first + "=" * length)[:BAR_WIDTH].ljust(BAR_WIDTH)


def _tell(spans):
    begin, end = min(s.start for s in spans), max(s.end for s in spans)
    whole = max(end - begin, 1e-6)
    rows = [(f"{s.host}/{s.process}", "  " * depth + s.name, s) for depth, s in traces.in_order(spans)]
    where, what = (max(len(row[i]) for row in rows) for i in (0, 1))
    for place, name, s in rows:
        facts = " ".join(f"{key}={value}" for key, value in s.facts.items())
        print(f"  {place:{where}}  {name:{what}}  |{_bar(s, begin, whole)}|  {1000 * (s.start - begin):8.1f} + {1000 * s.seconds:8.1f} ms  {facts}")


def run(stack, trace):
    logs = _logs(stack)
    if trace:
        spans = list(traces.spans_of(logs, trace))
        if not spans:
            raise StackFailed(f"no log has a span of trace {trace}")
        _tell(spans)
        return 0
    for first, *_ in traces.recent(logs, NEWEST):
        at = time.strftime("%H:%M:%S", time.localtime(first.start))
        print(f"  {first.trace}  {at}  {1000 * first.seconds:8.1f} ms  {first.facts.get('status', '')}  {first.name} {first.facts.get('target', '')}")
    return 0
