"""The alerts that began and ended, as they were written down on the watch host."""
import json

from stack_tool.waiting import awaited


class Alerts:
    def __init__(self, stack):
        self._file = stack.place.data("alert_log") / "alerts.jsonl"

    def _told(self):
        if not self._file.exists():
            return []
        return [json.loads(line) for line in self._file.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, status, alert, since, seconds, **labels):
        """How long after that moment (of time.time) it was told; None when it was not."""
        searched = {"alertname": alert, **labels}.items()
        told = awaited(lambda: next((t for t in self._told() if t["status"] == status and t["at"] >= since and searched <= t["labels"].items()), None), seconds)
        return told and told["at"] - since
