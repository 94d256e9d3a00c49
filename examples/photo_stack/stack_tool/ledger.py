"""Rows that are written while something is broken, as fast as they are answered: which ones were, when, and whether they are still there."""
import time

from stack_tool import network as networks
from stack_tool.background import Background
from stack_tool.gaps import longest_gap
from stack_tool.shards import Shards
from stack_tool.waiting import awaited

PAUSE_SECONDS = 0.005


class Ledger(Background):
    """One client of the database, where the web servers are: it goes in by the balancer, and connects again when it is cut."""

    def __init__(self, stack, host_name):
        super().__init__()
        self._stack = stack
        here = stack.topology.host(host_name)
        balancer = next(host for host in stack.topology.in_each_data_centre("lb") if host.site == here.site)
        self._namespace = stack.network.namespace(here)
        self._address = Shards(stack).address(stack.topology.shards[0].name, balancer)
        self._connection = None
        self.answered = []  # (number, begun, answered)
        self.refused = 0
        stack.psql().run("set role photos; create table if not exists drill_ledger (number bigint primary key); truncate drill_ledger")

    def run(self):
        number = 0
        while not self.ending.is_set():
            number += 1
            self._write(number)
            time.sleep(PAUSE_SECONDS)

    def _write(self, number):
        import psycopg2  # comes with Patroni
        begun = time.monotonic()
        try:
            if self._connection is None:
                with networks.inside(self._namespace):
                    self._connection = psycopg2.connect(self._address)
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute("insert into drill_ledger values (%s)", (number,))
            self.answered.append((number, begun, time.monotonic()))
        except psycopg2.Error:
            self.refused += 1
            if self._connection:
                self._connection.close()
            self._connection = None

    def first_answer_after(self, moment, seconds):
        """Of a write that was begun after that moment; None when there was none in so many seconds."""
        return awaited(lambda: next((answered for _, begun, answered in self.answered[-1:] if begun >= moment), None), seconds, pause=0.01)

    def longest_gap_since(self, moment):
        """Between two answers, the last one before the moment included, and now."""
        return longest_gap([*(answered for _, _, answered in self.answered), time.monotonic()], moment)

    def lost(self):
        there = {int(number) for number in self._stack.psql().run("select number from drill_ledger").split()}
        return [f"row {number} was answered, and is LOST" for number, _, _ in self.answered if number not in there]
