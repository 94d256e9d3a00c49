"""kill -9 a web server behind the balancer, flood it, and add a third one: nobody who reads notices, and only the flooder is refused."""
import http.client
import signal
import time

from stack_tool import processes, requests
from stack_tool.balancer import Balancer
from stack_tool.uploaders import Uploaders
from stack_tool.waiting import awaited, seconds_until

EJECTED_SECONDS_MAX = 2.0
BACK_SECONDS_MAX = 5.0
POLITE = {"clients": 4, "pause": 0.03}  # some 100 requests a second
FLOOD = {"clients": 8, "pause": 0}
PATIENCE_SECONDS = 30
FORGETS_SECONDS = 10  # over which the balancer counts requests


def _kill_one(stack, report, balancer):
    took = {}

    def kill():
        time.sleep(1)
        stack.place.hold(["web1"])  # its host is gone, and the supervisor with it
        processes.send(stack.who("web1"), signal.SIGKILL)
        took["out"] = seconds_until(lambda: balancer.state("web1").startswith("DOWN"), PATIENCE_SECONDS, pause=0.02)
        time.sleep(2)
        stack.place.hold([])
        took["in"] = seconds_until(lambda: balancer.state("web1") == "UP", PATIENCE_SECONDS, pause=0.02)

    reads = requests.measure(stack, "/", 10, **POLITE, during=kill)
    report.at_most("kill -9 web1: until the balancer sends it nothing more", took["out"], EJECTED_SECONDS_MAX, "s")
    report.at_most("  it is started again: until it takes requests", took["in"], BACK_SECONDS_MAX, "s")
    report.no_faults(f"  of {sum(reads.statuses.values())} pages read meanwhile failed", [f"answers: {reads.statuses}"] * reads.failed)
    report.figure("  the slowest of them", reads.slowest_seconds, "s")


def _stop_one(stack, report, balancer):
    """As for a new version: it is asked to end, and answers what it has begun."""
    def stop():
        time.sleep(1)
        stack.stop(["web2"])
        awaited(lambda: balancer.state("web2").startswith("DOWN"), PATIENCE_SECONDS, pause=0.02)
        stack.start(["web2"])
        awaited(lambda: balancer.state("web2") == "UP", PATIENCE_SECONDS, pause=0.02)

    reads = requests.measure(stack, "/", 8, **POLITE, during=stop)
    report.no_faults(f"SIGTERM to web2: of {sum(reads.statuses.values())} pages read meanwhile failed", [f"answers: {reads.statuses}"] * reads.failed)


def _flood(stack, report):
    polite_address, flooder_address = stack.here()
    flood = {}

    def begin():
        flood["measured"] = requests.measure(stack, "/style.css", 12, **FLOOD, source=flooder_address)

    polite = requests.measure(stack, "/", 12, **POLITE, source=polite_address, during=begin)
    report.at_least("a flood: requests of the flooder refused with 429", flood["measured"].statuses.get(429, 0), 1, "")
    report.no_faults(f"  of {sum(polite.statuses.values())} requests of somebody else failed", [f"answers: {polite.statuses}"] * polite.failed)


def _add_third(stack, report, balancer):
    before = balancer.requests("web3")
    begun = time.monotonic()
    stack.start(["web3"])
    stack.wait_until_ready(["web3"])
    balancer.enable("web3")
    awaited(lambda: balancer.state("web3") == "UP", PATIENCE_SECONDS, pause=0.02)
    reads = requests.measure(stack, "/", 4, **POLITE, during=lambda: report.figure("a third web server: until it takes requests", time.monotonic() - begun, "s"))
    report.at_least("  requests that it has taken since", balancer.requests("web3") - before, 1, "")
    report.no_faults(f"  of {sum(reads.statuses.values())} pages read meanwhile failed", [f"answers: {reads.statuses}"] * reads.failed)


def _is_reachable(stack, name):
    """Whether the web server itself answers from this machine; who else has its private address out there does not matter."""
    address = stack.network.address(stack.topology.process(name).host, "private")
    connection = http.client.HTTPConnection(address, 8080, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().read() == b"ok\n"
    except (OSError, http.client.HTTPException):
        return False


def run(stack, report):
    balancer = Balancer(stack.place)
    report.require("the web servers cannot be reached from outside", not any(_is_reachable(stack, name) for name in ("web1", "web2")))
    with Uploaders(stack, count=2) as uploaders:
        time.sleep(1)
        _kill_one(stack, report, balancer)
        _stop_one(stack, report, balancer)
    report.figure("uploads answered", len(uploaders.acknowledged()), "")
    report.figure("attempts without an answer, sent again", sum(u.attempts_failed for u in uploaders.each), "")
    report.no_faults("of them lost, doubled or damaged", uploaders.faults())
    time.sleep(FORGETS_SECONDS)  # the requests of that proof
    _flood(stack, report)
    _add_third(stack, report, balancer)
