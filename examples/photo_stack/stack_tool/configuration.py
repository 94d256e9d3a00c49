"""${…} in commands and templates, and the files that are made from a component's folder."""
import shutil
import string

from stack_tool.topology import SOURCE


class _Text(string.Template):
    idpattern = r"[a-z0-9_.]+"


def fill(text, values):
    """Throws KeyError for a name that nothing has."""
    return _Text(text).substitute(values)


def values_of_stack(place, network, topology, build):
    values = {"stack.name": place.name, "folder": place.folder, "source": SOURCE, "build": build, "photos": place.photos, "stage": topology.stage}
    for host in topology.hosts:
        for name in host.networks:
            values[f"{host.name}.{name}"] = network.address(host, name)
    for name, text in topology.values.items():
        values[f"values.{name}"] = fill(text, values)
    return values


def values_of(process, place, network, topology, build):
    return {**values_of_stack(place, network, topology, build), "address": network.address(process.host, process.network),
            "network.subnet": network.range(process.network), "config": place.config / process.name, "data": place.data(process.name)}


def write_files(process, place, values):
    """Everything in the component's folder, filled in, where the process's user can read it."""
    templates = SOURCE / process.component
    target = place.config / process.name
    target.mkdir(parents=True, exist_ok=True)
    if process.component == "web":
        return  # its folder is its source: it is told everything on its command line
    for template in templates.iterdir():
        file = target / template.name
        file.write_text(fill(template.read_text(), values))
        shutil.chown(file, process.user, process.user)
