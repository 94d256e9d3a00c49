"""topology.toml, as it is at one stage."""
import dataclasses
import pathlib
import tomllib

from stack_tool.failure import StackFailed

SOURCE = pathlib.Path(__file__).resolve().parent.parent
STAGES = range(1, 11)


@dataclasses.dataclass(frozen=True)
class Network:
    number: int  # of its addresses
    outside: bool  # this machine is on it


@dataclasses.dataclass(frozen=True)
class Host:
    name: str
    number: int
    networks: tuple
    site: str = ""  # its data centre, where there are several
    role: str = ""  # its name without that
    resolvers: str = ""  # the role of those who tell it addresses by names


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
    spare: bool  # there, but not started until somebody asks for it
    shard: str  # whose database it is of; empty: it is of none


@dataclasses.dataclass(frozen=True)
class Shard:
    name: str
    address: str  # what a connection string has instead of the first one's; so for its replicas
    replicas: str
    synchronous_replicas: str  # how many have a commit on their disks before it is answered; empty: there are none
    spare: bool  # there once somebody adds it


@dataclasses.dataclass(frozen=True)
class Topology:
    stage: int
    networks: dict  # name → Network
    sites: dict  # name of a data centre → its number; none where all is in one
    hosts: tuple
    processes: tuple
    entry: str  # where people come in, still with ${…}
    packages: tuple
    targets: tuple  # of the build
    topics: tuple  # (name, {subscription → its settings as words of a command line})
    values: dict  # for ${values.…}, still with ${…}
    secrets: dict  # name → who may read it
    pages: dict  # what people may look at beside the product → its address, still with ${…}
    shards: tuple

    def host(self, name):
        return next(h for h in self.hosts if h.name == name)

    def process(self, name):
        return next(p for p in self.processes if p.name == name)

    def shard(self, name):
        return next(s for s in self.shards if s.name == name)

    def in_each_data_centre(self, role):
        """The hosts of that role: one, where all is in one."""
        return [h for h in self.hosts if h.role == role]

    def of_component(self, component):
        return [p for p in self.processes if p.component == component]


def _first_and_last(stages):
    first, dash, last = stages.partition("-")
    return int(first), (int(last) if last else STAGES[-1]) if dash else int(first)


def _is_in(stage, stages):
    return any(first <= stage <= last for first, last in map(_first_and_last, stages.split(",")))


def _at(stage, rows):
    return [row for row in rows if _is_in(stage, row["stages"])]


def _hosts(row, sites):
    """One, or one in each of its data centres, whose names then begin with that."""
    rest = {"number": row["number"], "networks": tuple(row["networks"]), "role": row["name"], "resolvers": row.get("resolvers", "")}
    if sites and "each_of" in row:
        return [Host(f"{site}-{row['name']}", site=site, **rest) for site in row["each_of"]]
    return [Host(row["name"], site=row.get("site", "") if sites else "", **rest)]


def _process(name, row, host, components, arguments):
    component = components[row["component"]]
    its = [each for each in arguments if each["component"] == row["component"] and each.get("site", host.site) == host.site]
    more, templates = ([word for each in its for word in each.get(kind, [])] for kind in ("words", "templates"))
    metrics = next((each["metrics"] for each in its if "metrics" in each), component.get("metrics", ""))
    return Process(name=name, component=row["component"], host=host, network=row.get("network", ""), user=component["user"],
                   data_user=component.get("data_user", component["user"]),
                   templates=tuple(component["templates"] + templates), keeps_configuration=component.get("keeps_configuration", False),
                   command=tuple(component["command"] + row.get("words", []) + more), stop_signal=component["stop_signal"],
                   ready=component["ready"], metrics=metrics, spare=row.get("spare", False), shard=row.get("shard", ""))


def _names_and_hosts(row, hosts):
    """Where a process is: on its host, in each data centre that has one, or on every host of its network."""
    if row.get("every_host"):
        return [(f"{row['name']}-{host.name}", host) for host in hosts if row["network"] in host.networks]
    there = [host for host in hosts if host.role == row["host"]]
    return [(row["name"] if host.name == host.role else f"{host.site}-{row['name']}", host) for host in there]


def _subscriptions(row, processes):
    """Those with names of their own, and one for each process of some components, by its name."""
    of_processes = {p.name: settings for component, settings in row.get("each_of_component", {}).items() for p in processes if p.component == component}
    return {**row["subscriptions"], **of_processes}


def _value(stage, value):
    """The same at all stages, or by stages."""
    return value if isinstance(value, str) else next((text for stages, text in value.items() if _is_in(stage, stages)), "")


def _read():
    with open(SOURCE / "topology.toml", "rb") as file:
        return tomllib.load(file)


def stages_there_are():
    return [stage for stage in STAGES if any(_at(stage, _read()["entries"]))]


def at_stage(stage):
    whole = _read()
    entry = next(iter(_at(stage, whole["entries"])), None)
    if entry is None:
        raise StackFailed(f"there is no stage {stage}: choose one of {', '.join(map(str, stages_there_are()))}")
    sites = {row["name"]: row["number"] for row in _at(stage, whole["sites"])}
    hosts = tuple(host for row in _at(stage, whole["hosts"]) for host in _hosts(row, sites))
    arguments = list(_at(stage, whole["arguments"]))
    processes = tuple(_process(name, row, host, whole["components"], arguments) for row in _at(stage, whole["processes"]) for name, host in _names_and_hosts(row, hosts))
    used = {p.component for p in processes}
    packages, targets = (sorted({word for name in used for word in whole["components"][name].get(kind, [])}) for kind in ("packages", "targets"))
    topics = tuple((row["name"], _subscriptions(row, processes)) for row in _at(stage, whole["topics"]))
    networks = {name: Network(row["number"], row["outside"]) for name, row in whole["networks"].items()}
    pages = {row["what"]: row["url"] for row in _at(stage, whole["pages"])}
    values = {name: _value(stage, value) for name, value in whole["values"].items()}
    shards = tuple(Shard(row["name"], row["address"], row["replicas"], _value(stage, row["synchronous_replicas"]), row.get("spare", False)) for row in _at(stage, whole["shards"]))
    return Topology(stage, networks, sites, hosts, processes, entry["url"], tuple(packages), tuple(targets), topics, values, whole["secrets"], pages, shards)
