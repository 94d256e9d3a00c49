"""topology.toml, as it is at one stage."""
import dataclasses
import pathlib
import tomllib

from stack_tool.failure import StackFailed

SOURCE = pathlib.Path(__file__).resolve().parent.parent
STAGES = range(1, 11)


@dataclasses.dataclass(frozen=True)
class Host:
    name: str
    number: int
    networks: tuple


@dataclasses.dataclass(frozen=True)
class Process:
    name: str
    component: str
    host: Host
    network: str
    user: str
    data_user: str  # whose its data folder is
    templates: tuple  # folders whose files are filled in for it
    keeps_configuration: bool  # it writes into them: they are filled in once
    command: tuple
    stop_signal: str
    ready: str
    metrics: str  # the address where Prometheus finds its numbers, still with ${…}; empty: it has none
    spare: bool  # there, but not started until a drill asks for it


@dataclasses.dataclass(frozen=True)
class Topology:
    stage: int
    networks: dict  # name → whether this machine is on it
    hosts: tuple
    processes: tuple
    entry: str  # where people come in, still with ${…}
    packages: tuple
    targets: tuple  # of the build
    topics: tuple  # (name, {subscription → its settings as words of a command line})
    values: dict  # for ${values.…}, still with ${…}
    secrets: dict  # name → who may read it
    pages: dict  # what people may look at beside the product → its address, still with ${…}

    def host(self, name):
        return next(h for h in self.hosts if h.name == name)

    def process(self, name):
        return next(p for p in self.processes if p.name == name)

    def of_component(self, component):
        return [p for p in self.processes if p.component == component]


def _first_and_last(stages):
    first, dash, last = stages.partition("-")
    return int(first), (int(last) if last else STAGES[-1]) if dash else int(first)


def _at(stage, rows):
    for row in rows:
        first, last = _first_and_last(row["stages"])
        if first <= stage <= last:
            yield row


def _process(row, components, arguments, hosts):
    component = components[row["component"]]
    given = [each for each in arguments if each["component"] == row["component"]]
    more, templates = ([word for each in given for word in each.get(kind, [])] for kind in ("words", "templates"))
    metrics = next((each["metrics"] for each in given if "metrics" in each), component.get("metrics", ""))
    return Process(name=row["name"], component=row["component"], host=hosts[row["host"]], network=row["network"], user=component["user"],
                   data_user=component.get("data_user", component["user"]),
                   templates=tuple(component["templates"] + templates), keeps_configuration=component.get("keeps_configuration", False),
                   command=tuple(component["command"] + more), stop_signal=component["stop_signal"],
                   ready=component["ready"], metrics=metrics, spare=row.get("spare", False))


def _on_every_host(row, hosts):
    """A row for each host, where it has the word `every_host`."""
    if not row.get("every_host"):
        return [row]
    return [{**row, "name": f"{row['name']}-{host}", "host": host} for host in hosts]


def _read():
    with open(SOURCE / "topology.toml", "rb") as file:
        return tomllib.load(file)


def stages_there_are():
    return [stage for stage in STAGES if any(_at(stage, _read()["entries"]))]


def at_stage(stage):
    whole = _read()
    entry = next(_at(stage, whole["entries"]), None)
    if entry is None:
        raise StackFailed(f"there is no stage {stage}: choose one of {', '.join(map(str, stages_there_are()))}")
    hosts = {row["name"]: Host(row["name"], row["number"], tuple(row["networks"])) for row in _at(stage, whole["hosts"])}
    arguments = list(_at(stage, whole["arguments"]))
    processes = tuple(_process(row, whole["components"], arguments, hosts) for each in _at(stage, whole["processes"]) for row in _on_every_host(each, hosts))
    used = {p.component for p in processes}
    packages, targets = (sorted({word for name in used for word in whole["components"][name].get(kind, [])}) for kind in ("packages", "targets"))
    topics = tuple((row["name"], row["subscriptions"]) for row in _at(stage, whole["topics"]))
    networks = {name: row["outside"] for name, row in whole["networks"].items()}
    pages = {row["what"]: row["url"] for row in _at(stage, whole["pages"])}
    return Topology(stage, networks, tuple(hosts.values()), processes, entry["url"], tuple(packages), tuple(targets), topics, whole["values"], whole["secrets"], pages)
