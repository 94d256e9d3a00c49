"""Runs the drill of a stage, and prints what it measured against what is promised."""
import http.client
import importlib
import os
import time

from stack_tool import packages
from stack_tool.failure import StackFailed
from stack_tool.photo_client import Refused
from stack_tool.shards import Shards
from stack_tool.uploaders import PACKAGE
from stack_tool.waiting import awaited

EARLIER_SECONDS_MAX = 600


class Report:
    """Figures with bounds. A fault is a wrong answer, or a lost or doubled write; a bound is a time, and stretched where a machine is shared."""

    def __init__(self):
        self.rows = []
        self.faults = []
        self.stretch = float(os.environ.get("STACK_DRILL_STRETCH", "1"))

    def figure(self, what, measured, unit):
        self.rows.append((what, self._text(measured, unit), "", ""))

    def at_most(self, what, measured, bound, unit):
        self._compare(what, measured, bound * self.stretch, unit, "<=", measured is not None and measured <= bound * self.stretch)

    def at_least(self, what, measured, bound, unit):
        self._compare(what, measured, bound, unit, ">=", measured is not None and measured >= bound)

    def require(self, what, holds):
        self.rows.append((what, "yes" if holds else "NO", "yes", "ok" if holds else "FAILED"))

    def no_faults(self, what, faults):
        faults = list(faults)
        self.faults += faults
        self._compare(what, len(faults), 0, "", "=", not faults)

    def _compare(self, what, measured, bound, unit, sign, holds):
        self.rows.append((what, self._text(measured, unit), f"{sign} {self._text(bound, unit)}", "ok" if holds else "FAILED"))

    @staticmethod
    def _text(number, unit):
        if number is None:
            return "never"
        return (f"{number:.2f}" if isinstance(number, float) else str(number)) + (f" {unit}" if unit else "")

    def passed(self):
        return all(verdict != "FAILED" for *_, verdict in self.rows)

    def print(self):
        widths = [max(len(row[i]) for row in self.rows) for i in range(3)]
        print()
        for what, measured, bound, verdict in self.rows:
            print(f"  {what:{widths[0]}}  {measured:>{widths[1]}}  {bound:{widths[2]}}  {verdict}")
        for fault in self.faults[:20]:
            print(f"  ! {fault}")
        if len(self.faults) > 20:
            print(f"  ! and {len(self.faults) - 20} more")


def _let_earlier_work_end(stack):
    """What was uploaded before the drill would delay what it uploads."""
    if not stack.topology.of_component("sizer"):
        return
    if photos := Shards(stack).count("outbox"):
        print(f"{photos} photos of before are in work; the drill begins when they are done")
    if not awaited(Shards(stack).nothing_in_work, EARLIER_SECONDS_MAX):
        raise StackFailed(f"photos of before are still in work after {EARLIER_SECONDS_MAX} s; look at the logs of the relay, the broker and the workers")


def run(stack):
    """Whether everything held."""
    packages.install([PACKAGE])
    module = importlib.import_module(f"stack_tool.drills.stage_{stack.stage}")
    report = Report()
    begun = time.monotonic()
    print(f"\ndrill of stage {stack.stage}: {module.__doc__.splitlines()[0]}")
    try:
        _let_earlier_work_end(stack)
        module.run(stack, report)
    except (OSError, http.client.HTTPException, Refused, StackFailed) as why:  # so broken that the rest cannot be tried
        report.no_faults("the drill came to its end", [f"it could not go on: {why!r}"])
    report.print()
    print(f"\nstage {stack.stage}: {'every bound held' if report.passed() else 'FAILED'} ({time.monotonic() - begun:.0f} s)")
    return report.passed()
