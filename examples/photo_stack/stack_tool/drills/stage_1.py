"""kill -9 the web server, then the database: the supervisor brings each back, and no answered upload is lost or doubled."""
import signal
import time

from stack_tool import processes, requests
from stack_tool.uploaders import Uploaders

BACK_SECONDS_MAX = 5.0
PATIENCE_SECONDS = 30


def kill(stack, process_name):
    """The moment of the kill, and who was killed."""
    who = stack.who(process_name)
    processes.send(who, signal.SIGKILL)
    return time.monotonic(), who


def run(stack, report):
    report.figure("photo pages a second, nothing broken", requests.measure(stack, "/", 3).per_second, "/s")
    with Uploaders(stack, count=2) as uploaders:
        time.sleep(2)
        for name in ("web", "postgres"):
            moment, who = kill(stack, name)
            answered = uploaders.first_answer_after(moment, PATIENCE_SECONDS)
            report.at_most(f"kill -9 {name}: until an upload that came later is answered", answered and answered - moment, BACK_SECONDS_MAX, "s")
            report.require(f"{name} is another process now", processes.lives(stack.who(name)) and stack.who(name) != who)
            time.sleep(2)
    report.figure("uploads answered", len(uploaders.acknowledged()), "")
    report.figure("attempts without an answer, sent again", sum(u.attempts_failed for u in uploaders.each), "")
    report.no_faults("of them lost, doubled or damaged", uploaders.faults())
