"""What the supervisor tells Prometheus: whom to ask for numbers, and in a file for each host's node exporter how the processes there are."""
import json
import os
import urllib.parse

from stack_tool import configuration


def _numbers(process, child):
    """In Prometheus's text format."""
    labels = f'process="{process.name}",component="{process.component}",host="{process.host.name}"'
    return f"supervised_process_up{{{labels}}} {int(child.handle is not None)}\nsupervised_process_starts_total{{{labels}}} {child.starts}\n"


class SupervisedMetrics:
    def __init__(self, place, network, topology, build):
        self._place, self._network, self._topology, self._build = place, network, topology, build
        self._wanted = None
        self._written = {}  # path → text

    def tell(self, wanted, children):
        if wanted != self._wanted:
            self._write(self._place.metrics / "targets.json", json.dumps([self._target(p) for p in self._topology.processes if p.metrics and p.name in wanted], indent=1))
            self._wanted = wanted
        for host in self._topology.hosts:
            here = [_numbers(p, children[p.name]) for p in self._topology.processes if p.host == host and p.name in children]
            self._write(self._place.metrics / host.name / "processes.prom", "".join(here))

    def _target(self, process):
        """In the form of Prometheus's file_sd_configs."""
        values = configuration.values_of(process, self._place, self._network, self._topology, self._build)
        where = urllib.parse.urlsplit("//" + configuration.fill(process.metrics, values))
        labels = {"process": process.name, "component": process.component, "host": process.host.name, "__metrics_path__": where.path}
        asked = {f"__param_{name}": value for name, value in urllib.parse.parse_qsl(where.query)}
        return {"targets": [where.netloc], "labels": {**labels, **asked}}

    def _write(self, path, text):
        """Whole or not at all, and only what has changed."""
        if self._written.get(path) == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        draft.write_text(text)
        os.replace(draft, path)
        self._written[path] = text
