"""Questions to Prometheus."""
import dataclasses
import json
import time
import urllib.parse
import urllib.request

ANSWER_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class Series:
    labels: dict
    points: tuple  # (time, value), in order


class Prometheus:
    def __init__(self, address):
        self._address = address

    def _ask(self, path, **parameters):
        url = f"{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)["data"]

    def range(self, query, seconds, points):
        """The last so many seconds, in so many steps."""
        now = time.time()
        found = self._ask("query_range", query=query, start=now - seconds, end=now, step=seconds / points)
        return [Series(each["metric"], tuple((at, float(value)) for at, value in each["values"])) for each in found["result"]]

    def value(self, query):
        """Of a query with one result; None when it has none."""
        found = self._ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def alerts(self):
        """Labels, state and summary of those that are pending or firing."""
        return self._ask("alerts")["alerts"]
