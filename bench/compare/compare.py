#!/usr/bin/env python3
"""Measures Millrace and other brokers under the same loads, one after the other on this machine, and prints how they compare.

    bench/compare/run.sh [--seconds S] [--rounds N] [--brokers A,B] [--workloads A,B] [--kafka HOST:PORT] [--directory DIR] [--report DIR]

Each round starts every broker anew on an empty folder, runs the workload, and stops it; the order turns with each round. millrace-compare is the load for all
of them, and probes the disk after each run. A figure is the median of the rounds. README.md beside this file says how what is compared is made comparable.
"""
import argparse
import datetime
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import brokers

BENCH = f"{brokers.ROOT}/build/bench/millrace-compare"
RUN_SECONDS_MAX = 600
SLOW_RATE = 10_000  # what nearly every broker answers without a consumer: more would measure that limit
SLOW_CONSUME_US = 200  # for each message: at most half of what is published


def number(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", " ")


class Workload:
    """One table. `figures` are (heading, field of a result, digits)."""

    needs_process = False  # the broker's: one that others run is left out

    def __init__(self, name, says, arguments, figures):
        self.name, self.says, self.arguments, self.figures = name, says, arguments, figures

    def run(self, broker, running, options):
        return load(broker, running, options, self.arguments + ["--seconds", str(options.seconds)])


class SlowConsumer(Workload):
    """The same publishing twice, alone and with a consumer that falls behind: what differs is what the consumer costs the publisher."""

    def run(self, broker, running, options):
        publishing = ["--rate", str(SLOW_RATE), "--seconds", str(options.seconds)]
        alone = load(broker, running, options, ["publish"] + publishing)
        slow = load(broker, running, options, ["rate", "--consume-time", str(SLOW_CONSUME_US)] + publishing)
        return {**slow, "alone_per_second": alone["messages_per_second"], "alone_p99_ms": alone["p99_ms"]}


class Backlog(Workload):
    """A backlog is made, the broker is killed, comes back, and the backlog is drained."""

    needs_process = True

    def run(self, broker, running, options):
        backlog = ["--topic", "backlog", "--subscription", "backlog", "--count", str(options.backlog)]
        filled = load(broker, running, options, ["fill"] + backlog)
        memory = running.peak_memory_mib()
        running.kill()
        running.restart()
        drained = load(broker, running, options, ["drain"] + backlog)
        return {**drained, "fill_per_second": filled["messages_per_second"], "fill_memory_mib": memory, "restart_seconds": running.ready_seconds}


class Memory(Workload):
    """A backlog is made in steps, and the broker's memory noted after each."""

    needs_process = True

    def __init__(self, name, says, steps):
        super().__init__(name, says, [], [(f"MiB at {number(step, 0)}", f"memory_mib_at_{step}", 0) for step in steps])
        self.steps = steps

    def run(self, broker, running, options):
        result = {"memory_mib_at_0": running.memory_mib()}
        for before, step in zip(self.steps, self.steps[1:]):
            run = ["publish"] if before else ["fill", "--subscription", "memory"]  # the first makes what the others add to
            result.update(load(broker, running, options, run + ["--topic", "memory", "--count", str(step - before)]))
            result[f"memory_mib_at_{step}"] = running.memory_mib()
        return result


RATE = ("messages/s", "messages_per_second", 0)
CPU = ("CPU µs/message", "cpu_us_per_message", 1)
MEMORY = ("memory MiB", "memory_mib", 0)
LATENCY = [("p50 ms", "p50_ms", 2), ("p99 ms", "p99_ms", 2), ("p99.9 ms", "p999_ms", 2)]


def all_workloads(backlog):
    return [
        Workload("publish-1k", "Publish, 1 KiB", ["publish"], [RATE, CPU, MEMORY]),
        Workload("publish-100", "Publish, 100 B", ["publish", "--size", "100"], [RATE, CPU, MEMORY]),
        Workload("end-to-end-1k", "Publish, receive and ack at once, 1 KiB", ["end-to-end"], [RATE, CPU, MEMORY]),
        Workload("end-to-end-100", "Publish, receive and ack at once, 100 B", ["end-to-end", "--size", "100"], [RATE, CPU, MEMORY]),
        Workload("producers-1000", "A thousand producers with one message of 1 KiB in flight each, over ten connections",
                 ["publish", "--producers", "1000", "--connections", "10", "--in-flight", "1"], [RATE, CPU, MEMORY]),
        Workload("consumers-100", "Publish, receive and ack at once, 1 KiB, a hundred consumers", ["end-to-end", "--consumers", "100"], [RATE, CPU, MEMORY]),
        Workload("topics-1000", "Publish, receive and ack at once, 1 KiB, spread over a thousand topics, queues or streams",
                 ["end-to-end", "--topics", "1000", "--producers", "1000", "--connections", "1"], [RATE, MEMORY]),
        SlowConsumer("slow-consumer", f"{number(SLOW_RATE, 0)} messages of 1 KiB a second, alone and with a consumer that takes {SLOW_CONSUME_US} µs for each: how they are answered", [],
                     [("answers/s", "answers_per_second", 0), ("alone", "alone_per_second", 0), ("p99 ms", "answer_p99_ms", 2), ("alone", "alone_p99_ms", 2)]),
        Workload("one-in-flight", "One message of 1 KiB in flight", ["publish", "--in-flight", "1"], [RATE] + LATENCY),
        Workload("rate-5000", "5 000 messages of 1 KiB a second, from when each was due to its handler", ["rate", "--rate", "5000"], LATENCY + [CPU]),
        Backlog("backlog", "A backlog of 1 KiB messages: filled, the broker killed with -9 and started again, drained", [],
                [("fill/s", "fill_per_second", 0), ("memory MiB", "fill_memory_mib", 0), ("ready s", "restart_seconds", 2), ("drain/s", "messages_per_second", 0)]),
        Memory("memory", "What the broker keeps in memory at a backlog of 1 KiB messages", [0, backlog // 4, backlog // 2, backlog, 2 * backlog]),
    ]


def load(broker, running, options, arguments):
    command = [BENCH, "--peer", broker.peer, "--server", running.server, "--disk", options.directory, "--json"] + arguments
    before = running.cpu_seconds() if broker.is_ours else 0
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)
    if done.returncode != 0:
        raise brokers.BrokerFailed((done.stderr or done.stdout).strip()[-300:])
    result = json.loads(done.stdout)
    if broker.is_ours:
        result["cpu_us_per_message"] = (running.cpu_seconds() - before) * 1e6 / max(result["messages"], 1)
        result["memory_mib"] = running.peak_memory_mib()
    return result


def one_run(workload, broker, options):
    directory = tempfile.mkdtemp(prefix="compare-", dir=options.directory)
    running = None
    try:
        running = broker.start(directory)
        return workload.run(broker, running, options)
    except (brokers.BrokerFailed, subprocess.TimeoutExpired) as failed:
        return {"failed": " ".join(str(failed).split())}
    finally:
        if running:
            running.end()
        brokers.remove(directory)


def measure(workload, rows, options):
    """{row: [result of each round]}; tells each run as it ends."""
    results = {b.name: [] for b in rows}
    for turn in range(options.rounds):
        for b in rows[turn % len(rows):] + rows[:turn % len(rows)]:
            if workload.needs_process and not b.is_ours:
                continue
            result = one_run(workload, b, options)
            results[b.name].append(result)
            shown = result.get("failed") or ", ".join(f"{number(result.get(field), digits)} {heading}" for heading, field, digits in workload.figures)
            print(f"{time.strftime('%H:%M:%S')}  {workload.name}, round {turn + 1}, {b.name}: {shown}", file=sys.stderr, flush=True)
    return results


def median(results, field):
    values = [r[field] for r in results if field in r]
    return statistics.median(values) if values else None


def table(workload, rows, results):
    """Markdown."""
    rows = [b for b in rows if results[b.name]]
    every = [r for b in rows for r in results[b.name] if "failed" not in r]
    lines = [f"**{workload.says}**", ""]
    lines.append("| broker | an answer means | " + " | ".join(f[0] for f in workload.figures) + " |")
    lines.append("|---" * 2 + "|--:" * len(workload.figures) + "|")
    for b in rows:
        good = [r for r in results[b.name] if "failed" not in r]
        cells = [number(median(good, field), digits) for _, field, digits in workload.figures]
        lines.append(f"| {b.name} | {b.durability} | " + " | ".join(cells) + " |")
    for b in rows:
        failures = [r["failed"] for r in results[b.name] if "failed" in r]
        if failures:
            lines += ["", f"{b.name}, {len(failures)} of {len(results[b.name])} runs: {failures[0]}"]
    if every:
        lines += ["", f"The disk meanwhile: {number(median(every, 'disk_bytes_per_second') / 1e6, 0)} MB/s in 256 KiB with fdatasync each; "
                      f"fdatasync of 4 KiB p50 {number(median(every, 'fdatasync_p50_ms'), 2)}, p99 {number(median(every, 'fdatasync_p99_ms'), 2)} ms."]
    return "\n".join(lines) + "\n"


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} × {model}, Linux {platform.release().split('-')[0]}"


def chosen(wanted, all_there_are, name):
    if not wanted:
        return all_there_are
    found = [x for x in all_there_are if any(part.lower() in name(x).lower() for part in wanted.split(","))]
    if not found:
        sys.exit(f"compare.py: nothing is called '{wanted}': there is {', '.join(name(x) for x in all_there_are)}")
    return found


def results_so_far(about, options):
    """{workload: {row: [result of each round]}} of the report that is to be gone on with."""
    path = f"{options.report}/report.json"
    if not options.report or not os.path.exists(path):
        return {}
    with open(path) as file:
        report = json.load(file)
    differs = [f"{key} {report['about'].get(key)}, not {value}" for key, value in about.items() if key != "date" and report["about"].get(key) != value]
    if differs:
        sys.exit(f"compare.py: {path} is of another comparison: {'; '.join(differs)}: choose another folder for --report")
    return report["results"]


def text_of(workloads, rows, results, about):
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    begin = f"{about['date']}, {about['machine']}; medians of {about['rounds']} runs of {about['seconds']} s. {versions}.\n\n"
    return begin + "\n".join(table(w, rows, results[w.name]) for w in workloads if w.name in results)


def write_report(workloads, rows, results, about, options):
    os.makedirs(options.report, exist_ok=True)
    with open(f"{options.report}/report.json", "w") as file:
        json.dump({"about": about, "workloads": {w.name: w.says for w in workloads}, "results": results}, file, indent=1)
    with open(f"{options.report}/report.md", "w") as file:
        file.write(text_of(workloads, rows, results, about))


def main():
    parser = argparse.ArgumentParser(description="Measures Millrace and other brokers under the same loads.")
    parser.add_argument("--seconds", type=int, default=10, help="how long each run publishes (10)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run; the median counts (5)")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="messages of the backlog; memory is noted at up to twice as many (1 000 000)")
    parser.add_argument("--brokers", default="", help="parts of names; default: all")
    parser.add_argument("--workloads", default="", help="parts of names; default: all")
    parser.add_argument("--kafka", default="", help="HOST:PORT of a Kafka that is there, which is measured too; a topic of it is made and removed")
    parser.add_argument("--directory", default="/var/tmp", help="on whose disk the brokers keep what they store (/var/tmp)")
    parser.add_argument("--report", default="", help="a folder for report.json and report.md; a report that is there is gone on with: "
                        "what it has is not measured again; default: the tables are printed only")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("compare.py: ended by SIGTERM"))  # so that the broker of that moment is ended, too
    rows = chosen(options.brokers, brokers.all_brokers(options.kafka), lambda b: b.name)
    there_are = all_workloads(options.backlog)
    about = {"date": datetime.date.today().isoformat(), "machine": machine(), "seconds": options.seconds, "rounds": options.rounds, "backlog": options.backlog,
             "durability": {b.name: b.durability for b in rows}, "versions": {b.name: b.version() for b in rows}}
    results = results_so_far(about, options)
    for workload in chosen(options.workloads, there_are, lambda w: w.name):
        if workload.name not in results:
            results[workload.name] = measure(workload, rows, options)
            if options.report:
                write_report(there_are, rows, results, about, options)
    print(text_of(there_are, rows, results, about))


if __name__ == "__main__":
    main()
