"""What Millrace is told and asked by its own command line, as its operator, on its own host."""
import json
import subprocess

from stack_tool.failure import StackFailed

PORT = 7070


class Broker:
    def __init__(self, stack, name="broker"):
        process = stack.topology.process(name)
        address = stack.network.address(process.host, process.network)
        self._command = ["ip", "netns", "exec", stack.network.namespace(process.host), f"{stack.build}/client/millrace", "--json",
                         "--server", f"{address}:{PORT}", "--token-file", stack.place.secrets / "broker_operator"]

    def run(self, *words, text=None):
        done = subprocess.run([*self._command, *words], input=text, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise StackFailed(f"millrace {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def make_topics(self, topics):
        for topic, subscriptions in topics:
            self.run("topic", "create", topic)
            for subscription, settings in subscriptions.items():
                self.run("subscription", "create", topic, subscription, *settings)

    def progress(self, topic, subscription):
        """Counts of its messages by state: ready, leased, acked, …"""
        partitions = json.loads(self.run("subscription", "describe", topic, subscription))["partitions"]
        return {state: sum(p[state] for p in partitions) for state in ("ready", "leased", "delayed", "acked", "dead")}

    def unsettled(self, topic, subscription):
        progress = self.progress(topic, subscription)
        return progress["ready"] + progress["leased"] + progress["delayed"]
