"""kill -9 the web server, then the database: the supervisor brings each back, and no answered upload or edit is lost or doubled."""
import os
import signal
import time

from stack_tool import processes, requests
from stack_tool.editors import Editors, sweep
from stack_tool.uploaders import Uploaders
from stack_tool.waiting import awaited

BACK_SECONDS_MAX = 5.0
PATIENCE_SECONDS = 30
EDIT_PAUSE_SECONDS = 0.5


def kill(stack, process_name):
    """The moment of the kill, and who was killed."""
    who = stack.who(process_name)
    processes.send(who, signal.SIGKILL)
    return time.monotonic(), who


def _files_without_rows(stack):
    """And rows without files; once everything that is loose was swept."""
    rows = {*stack.psql().run("select id || '/' || original from photos union all select photo_id || '/' || file from renditions").split()}
    there = {f"{file.parent.name}/{file.name}" for file in stack.place.photos.glob("kept/*/*/*")}
    yield from (f"{file}: nobody asks for it" for file in sorted(there - rows))
    yield from (f"{file}: IS NOT THERE" for file in sorted(rows - there))


def _sweep(stack, report):
    drafts = list(stack.place.photos.glob("drafts/*"))
    for draft in drafts:
        os.utime(draft, (0, 0))
    report.figure("left behind: photos or versions of photos that were not committed, or were replaced", sweep(stack), "")
    awaited(lambda: not any(draft.exists() for draft in drafts), PATIENCE_SECONDS)
    report.figure("  and drafts", len(drafts), "")
    report.no_faults("  once they are swept: drafts, files without a row, rows without a file",
                     [*(f"{draft} is still there" for draft in drafts if draft.exists()), *_files_without_rows(stack)])


def run(stack, report):
    report.figure("photo pages a second, nothing broken", requests.measure(stack, "/", 3).per_second, "/s")
    with Uploaders(stack, count=2) as uploaders, Editors(stack, 1, EDIT_PAUSE_SECONDS) as editors:
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
    report.no_faults(f"of {editors.asked_for()} edits of a photo the last one is not shown as it was answered", editors.faults())
    _sweep(stack, report)
    report.no_faults("  sizes of versions that are not shown any more", editors.left_behind())
