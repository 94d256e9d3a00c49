"""${…} in commands and templates, and the files that are made from the templates' folders."""
import contextlib
import shutil
import string

from stack_tool.topology import SOURCE


class _Text(string.Template):
    idpattern = r"[a-z0-9_.-]+"


def fill(text, values):
    """Throws KeyError for a name that nothing has."""
    return _Text(text).substitute(values)


def values_of_stack(place, network, topology, build, site=""):
    """Hosts of the same data centre go by their names there, too."""
    values = {"stack.name": place.name, "folder": place.folder, "source": SOURCE, "build": build, "photos": place.photos, "stage": topology.stage}
    for host in topology.hosts:
        values[f"{host.name}.backup"] = "" if host.site == site else "backup"
        for name in host.networks:
            values[f"{host.name}.{name}"] = network.address(host, name)
            if host.site == site:
                values[f"{host.role}.{name}"] = network.address(host, name)
    for where, name in network.places():
        if where:
            values[f"{where}.{name}"] = network.range(where, name)
    for name in topology.secrets:
        values[f"secrets.{name}"] = (place.secrets / name).read_text().strip()
    for name, text in topology.values.items():
        with contextlib.suppress(KeyError):  # it names hosts of later stages
            values[f"values.{name}"] = fill(text, values)
    return values


def values_of(process, place, network, topology, build):
    here = {f"here.{each}": network.address(process.host, each) for each in process.host.networks}
    synchronous_replicas = topology.shard(process.shard).synchronous_replicas if process.shard else ""
    return {**values_of_stack(place, network, topology, build, process.host.site), **here, "name": process.name, "host": process.host.name, "site": process.host.site,
            "shard": process.shard, "shard.synchronous_replicas": synchronous_replicas, "address": network.address(process.host, process.network),
            "network.subnet": network.neighbourhood(process.network),
            "config": place.config / process.name, "data": place.data(process.name)}


def write_files(process, place, values):
    """Filled in, where the process's user can read them, and nobody else: there are passwords in some."""
    target = place.config / process.name
    target.mkdir(parents=True, exist_ok=True)
    shutil.chown(target, process.user, process.user)
    for folder, template in ((SOURCE / folder, file) for folder in process.templates for file in (SOURCE / folder).rglob("*") if file.is_file()):
        file = target / template.relative_to(folder)
        if process.keeps_configuration and file.exists():
            continue
        file.parent.mkdir(exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(fill(template.read_text(), values))
        shutil.chown(file, process.user, process.user)
