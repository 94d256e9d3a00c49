#!/usr/bin/python3
"""Holds topology.toml at each stage to what is made of it: every ${…} has a value, and no two hosts, processes or cables are taken for each other. Needs no stack."""
import collections
import pathlib
import re
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples/photo_stack"))

from stack_tool import configuration, network, place, topology  # noqa: E402  (the path comes first)

INTERFACE_NAME_MAX = 15
NAME, SUBNET = "sixteenletters00", 119  # the longest ones that there are


class EachStage(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = place.Place(NAME)
        self.place.secrets = pathlib.Path(folder.name)

    def at_each_stage(self):
        for stage in topology.stages_there_are():
            with self.subTest(stage=stage):
                shape = topology.at_stage(stage)
                yield shape, network.Network(NAME, SUBNET, shape)

    def require_distinct(self, what, names):
        self.assertEqual([name for name, count in collections.Counter(names).items() if count > 1], [], f"more than one {what}")

    def test_commands_and_templates_can_be_filled(self):
        for shape, networks in self.at_each_stage():
            for name in shape.secrets:
                (self.place.secrets / name).write_text("a secret\n")
            for process in shape.processes:
                values = configuration.values_of(process, self.place, networks, shape, "/build")
                for word in (*process.command, process.metrics):
                    configuration.fill(word, values)
                for file in (file for folder in process.templates for file in (topology.SOURCE / folder).rglob("*") if file.is_file()):
                    configuration.fill(file.read_text(), values)

    def test_names_and_addresses_are_of_one_alone(self):
        for shape, networks in self.at_each_stage():
            self.require_distinct("host of that name", [host.name for host in shape.hosts])
            self.require_distinct("process of that name", [process.name for process in shape.processes])
            self.require_distinct("host of that address", [networks.address(host, name) for host in shape.hosts for name in host.networks])

    def test_processes_are_where_their_network_is(self):
        for shape, _ in self.at_each_stage():
            for process in shape.processes:
                self.assertIn(process.network, (*process.host.networks, ""), f"{process.name} on {process.host.name}")

    def test_interfaces_have_names_that_linux_takes(self):
        for shape, networks in self.at_each_stage():
            cables = [networks.cable(host, name) for host in shape.hosts for name in host.networks]
            self.require_distinct("cable of that name", cables)
            for name in [*cables, *(networks.bridge(*where) for where in networks.places())]:
                self.assertLessEqual(len(name), INTERFACE_NAME_MAX, name)

    def test_nobody_is_alarmed_by_what_waits_for_a_web_server_that_is_not_running(self):
        """And by all that waits for others: the alert and the dashboard pass over the same subscriptions."""
        watched = [topology.SOURCE / "prometheus/alerts.yml", topology.SOURCE / "dashboard/panels.toml"]
        passed_over = {found for file in watched for found in re.findall(r'subscription!~"([^"]+)"', file.read_text())}
        self.assertEqual(len(passed_over), 1, passed_over)
        for shape, _ in self.at_each_stage():
            web_servers = {process.name for process in shape.processes if process.component == "web"}
            for subscription in (name for _, subscriptions in shape.topics for name in subscriptions):
                self.assertEqual(re.fullmatch(*passed_over, subscription) is not None, subscription in web_servers, subscription)


if __name__ == "__main__":
    unittest.main()
