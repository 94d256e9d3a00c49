"""The dashboard's page: alerts, charts, one trace, and the newest ones to choose from."""
import html
import pathlib
import re
import time
import tomllib
import urllib.error

from stack_tool.watch import chart, traces

SEEN_SECONDS = 300
STEPS = 100
NEWEST = 12
LOOKED_THROUGH = 300  # for the one to show


def _alerts(prometheus):
    firing = [alert for alert in prometheus.alerts() if alert["state"] == "firing"]
    if not firing:
        return '<p><b>No alert.</b> Everything that is watched is as it should be.</p>'
    told = sorted((alert["labels"]["alertname"], alert["annotations"].get("summary", "")) for alert in firing)
    return "".join(f'<p class="firing"><b>{html.escape(name)}</b> {html.escape(summary)}</p>' for name, summary in told)


def _legend(pattern, labels):
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), pattern)


def _panel(prometheus, panel, now):
    named = [(_legend(each["legend"], series.labels), series)
             for each in panel["queries"] for series in prometheus.range(each["query"], SEEN_SECONDS, STEPS)]
    drawn = chart.svg([series for _, series in named], panel["unit"], now, SEEN_SECONDS, STEPS)
    legend = chart.legend(named, panel["unit"]) if named else '<p class="quiet">nothing yet</p>'
    return f'<div class="panel"><h2>{html.escape(panel["title"])}</h2>{drawn}{legend}</div>'


def _trace(spans):
    if not spans:
        return '<p class="quiet">No log has a span of it.</p>'
    begin, end = min(s.start for s in spans), max(s.end for s in spans)
    whole = max(end - begin, 1e-6)
    colors = {name: chart.color(index) for index, name in enumerate(dict.fromkeys(s.process for _, s in traces.in_order(spans)))}
    rows = []
    for depth, s in traces.in_order(spans):
        facts = ", ".join(f"{key} {value}" for key, value in s.facts.items())
        left, width = 100 * (s.start - begin) / whole, 100 * s.seconds / whole
        rows.append(f'<tr><td>{html.escape(s.host)}/{html.escape(s.process)}</td><td style="padding-left:{depth}rem">{html.escape(s.name)}</td>'
                    f'<td class="bar"><div><i style="left:{left:.2f}%;width:{width:.2f}%;background:{colors[s.process]}"></i></div></td>'
                    f'<td class="number">{chart.number(s.start - begin, "s")}</td><td class="number">{chart.number(s.seconds, "s")}</td>'
                    f'<td class="facts" title="{html.escape(facts)}">{html.escape(facts)}</td></tr>')
    head = '<tr><th>host/process</th><th>what</th><th></th><th class="number">after</th><th class="number">took</th><th>facts</th></tr>'
    return f'<p class="quiet">trace <code>{html.escape(spans[0].trace)}</code></p><div class="scroll"><table>{head}{"".join(rows)}</table></div>'


def _recent(firsts):
    if not firsts:
        return '<p class="quiet">None yet.</p>'
    rows = [f'<tr><td><a href="?trace={html.escape(s.trace)}">{html.escape(s.trace[:16])}…</a></td><td>{time.strftime("%H:%M:%S", time.gmtime(s.start))}</td>'
            f'<td>{html.escape(s.name)}</td><td class="facts">{html.escape(s.facts.get("target", ""))}</td><td class="number">{html.escape(s.facts.get("status", ""))}</td>'
            f'<td class="number">{chart.number(s.seconds, "s")}</td></tr>' for s in firsts]
    return f'<div class="scroll"><table><tr><th>trace</th><th>at</th><th></th><th>address</th><th class="number">status</th><th class="number">took</th></tr>{"".join(rows)}</table></div>'


class Dashboard:
    """`components`: what this stage has; charts of other parts are not shown."""

    def __init__(self, title, config, components, prometheus, logs):
        self._title, self._prometheus, self._logs = title, prometheus, logs
        self._page, self._style = (pathlib.Path(config, name).read_text() for name in ("page.html", "style.css"))
        with open(pathlib.Path(config, "panels.toml"), "rb") as file:
            self._panels = [panel for panel in tomllib.load(file)["panels"] if panel["component"] in components]

    def page(self, trace):
        """`trace`: the one to show; None for one of the newest, that which most processes took part in."""
        now = time.time()
        newest = traces.recent(self._logs, LOOKED_THROUGH)
        longest = max(newest, key=lambda spans: len({s.process for s in spans}), default=None)
        shown = trace or longest and longest[0].trace
        parts = {"title": html.escape(self._title), "style": self._style, "when": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)),
                 "trace": _trace(list(traces.spans_of(self._logs, shown)) if shown else []), "recent": _recent([spans[0] for spans in newest[:NEWEST]])}
        try:
            parts["alerts"] = _alerts(self._prometheus)
            parts["panels"] = "".join(_panel(self._prometheus, panel, now) for panel in self._panels)
        except (OSError, urllib.error.URLError):
            parts["alerts"] = '<p class="firing"><b>Prometheus does not answer.</b> Nobody watches the stack at the moment.</p>'
            parts["panels"] = ""
        return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], self._page)
