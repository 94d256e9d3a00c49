#!/usr/bin/env python3
"""Measures Millrace against its own goals, each beside what the disk did in the same minute, and prints which are reached.

    cmake --build build --target millraced millrace-compare && bench/compare/goals.py [--rounds N] [--seconds S] [--long-seconds S] [--directory DIR]

Each round runs every row once, on a fresh broker and an empty folder; a figure is the median of the rounds, and a share of the disk that of the shares. What a
backlog costs is measured by bench/backlog.sh.
"""
import argparse
import concurrent.futures
import statistics
import sys
import time

import brokers
import compare

KIB = 1024

RUNS = {
    "publish": ["publish"],
    "publish for long": ["publish"],
    "publish 100 B": ["publish", "--size", "100"],
    "thousand producers": ["publish", "--producers", "1000", "--connections", "10", "--in-flight", "1"],
    "end to end": ["end-to-end"],
    "end to end 100 B": ["end-to-end", "--size", "100"],
    "5 000 a second": ["rate", "--rate", "5000"],
    "one in flight": ["publish", "--in-flight", "1"],
    "10 000 topics": ["rate", "--rate", "10000", "--topics", "10000", "--producers", "10000", "--connections", "10"],
    "10 000 topics, few messages": ["rate", "--rate", "500", "--topics", "10000", "--producers", "10000", "--connections", "10"],
    "10 000 connections": ["rate", "--rate", "200", "--producers", "9999"],  # and that of the consumer
}


# What takes about as long as one sync, which is another one every few seconds: probed not only behind the run but between its turns of so many seconds.
IN_TURNS = {"5 000 a second", "one in flight"}
TURN_SECONDS = 2


def length(name, options):
    """Of a run, as the load is told it."""
    if name in IN_TURNS:
        return ["--seconds", str(TURN_SECONDS), "--turns", str(max(1, options.seconds // TURN_SECONDS))]
    return ["--seconds", str(options.long_seconds if name == "publish for long" else options.seconds)]


def rate(run):
    return lambda r: r[run]["messages_per_second"]


def of_disk(run):
    return lambda r: r[run]["bytes_per_second"] / r[run]["disk_bytes_per_second"]


def cores_of_topics(r):
    """Of the broker at 10 000 messages a second. Making and deleting the topics is the same in both runs."""
    many, few = r["10 000 topics"], r["10 000 topics, few messages"]
    used = [run["cpu_us_per_message"] * run["messages"] for run in (many, few)]
    return (used[0] - used[1]) / (many["messages"] - few["messages"]) / 100


# (row, figure of a round, unit, digits, goal, whether more is better)
GOALS = [
    ("1 KiB, a consumer keeping up, of the disk", of_disk("end to end"), "×", 2, 1.0, True),
    ("… messages", rate("end to end"), "/s", 0, 400_000, True),
    ("publish only, 1 KiB, retained, of the disk", of_disk("publish for long"), "×", 2, 0.8, True),
    ("publish 100 B", rate("publish 100 B"), "/s", 0, 3_000_000, True),
    ("a thousand producers with one in flight, of one with full batches", lambda r: rate("thousand producers")(r) / rate("publish")(r), "×", 2, 0.6, True),
    ("end to end with answered acks, 100 B", rate("end to end 100 B"), "/s", 0, 2_000_000, True),
    ("5 000/s, due → handler, p50 over fdatasync's", lambda r: r["5 000 a second"]["p50_ms"] - r["5 000 a second"]["fdatasync_p50_ms"], " ms", 2, 0.25, False),
    ("… p99 over fdatasync's", lambda r: r["5 000 a second"]["p99_ms"] - r["5 000 a second"]["fdatasync_p99_ms"], " ms", 2, 1.2, False),
    ("one in flight, of 1 / fdatasync", lambda r: rate("one in flight")(r) * r["one in flight"]["fdatasync_p50_ms"] / 1000, "×", 2, 0.85, True),
    ("10 000 topics, one message each a second: the latest", lambda r: r["10 000 topics"]["max_ms"], " ms", 0, 1000, False),
    ("… cores of the broker", cores_of_topics, "", 2, None, False),
    ("… memory of the broker", lambda r: r["10 000 topics"]["memory_mib"], " MiB", 0, None, False),
    ("two loads in memory, 1 KiB end to end, on two shards, of one", lambda r: rate("on two shards")(r) / rate("on one shard")(r), "×", 2, None, True),
    ("… messages, on one", rate("on one shard"), "/s", 0, None, True),
    ("an idle connection of 10 000", lambda r: (r["10 000 connections"]["memory_mib"] - r["10 000 connections"]["memory_before_mib"]) * KIB / 10_000, " KiB", 1, 16, False),
]


class Run(compare.Workload):
    """Keeps what the broker took before the first connection, too."""

    def run(self, broker, running, options):
        before = running.peak_memory_mib()
        return {**compare.load(broker, running, options, self.arguments), "memory_before_mib": before}


class TwoLoads(compare.Workload):
    def run(self, broker, running, options):
        return together(lambda: compare.load(broker, running, options, self.arguments))


def tell(turn, name, result):
    if "failed" in result:
        sys.exit(f"goals.py: {name}: {result['failed']}")
    print(f"{time.strftime('%H:%M:%S')}  round {turn + 1}, {name}: {result['messages_per_second']:,.0f}/s", file=sys.stderr, flush=True)


def together(run):
    """Twice at once; what both do."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = [running.result() for running in [pool.submit(run), pool.submit(run)]]
    failed = [r for r in results if "failed" in r]
    return failed[0] if failed else {**results[0], "messages_per_second": sum(r["messages_per_second"] for r in results)}


def measure(options):
    rounds = []
    for turn in range(options.rounds):
        results = {}
        for name, arguments in RUNS.items():
            results[name] = compare.one_run(Run(name, "", arguments + length(name, options), []), brokers.Millrace(), options)
            tell(turn, name, results[name])
        in_memory = ["end-to-end", "--seconds", str(options.seconds)]
        for name, shards in (("on one shard", 1), ("on two shards", 2)):
            results[name] = compare.one_run(TwoLoads("", "", in_memory, []), brokers.MillraceInMemory(shards), options)
            tell(turn, name, results[name])
        rounds.append(results)
    return rounds


def table(rounds):
    """Markdown."""
    lines = ["| | goal | measured | |", "|---|--:|--:|---|"]
    for row, figure, unit, digits, goal, more in GOALS:
        value = statistics.median(figure(r) for r in rounds)
        wanted = "stated" if goal is None else f"{'≥' if more else '≤'} {compare.number(goal, digits)}{unit}"
        verdict = "" if goal is None else "reached" if (value >= goal if more else value <= goal) else "**missed**"
        lines.append(f"| {row} | {wanted} | {compare.number(value, digits)}{unit} | {verdict} |")
    every = [r for results in rounds for r in results.values()]
    disk, p50, p99 = (statistics.median(r[f] for r in every) for f in ("disk_bytes_per_second", "fdatasync_p50_ms", "fdatasync_p99_ms"))
    lines += ["", f"The disk meanwhile: {disk / 1e6:,.0f} MB/s in 256 KiB with fdatasync each; fdatasync of 4 KiB p50 {p50:.2f}, p99 {p99:.2f} ms."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Measures Millrace against its own goals.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each row is run; the median counts (5)")
    parser.add_argument("--seconds", type=int, default=3, help="how long each run publishes (3)")
    parser.add_argument("--long-seconds", type=int, default=60, help="the one that flushes and compacts (60)")
    parser.add_argument("--directory", default="/var/tmp", help="on whose disk the broker keeps its store (/var/tmp)")
    options = parser.parse_args()
    print(f"{compare.machine()}; medians of {options.rounds} runs of {options.seconds} s\n\n{table(measure(options))}")


if __name__ == "__main__":
    main()
