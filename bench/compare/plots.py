#!/usr/bin/env python3
"""Draws what compare.py has measured: bench/compare/plots.py REPORT_DIR reads report.json there and writes throughput.svg, latency.svg and memory.svg beside it,
of what the report has."""
import json
import statistics
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "millrace"  # the same report gives the same file
import matplotlib.pyplot as plot  # noqa: E402

OURS, OTHERS = "#c1440e", "#7a8794"
THROUGHPUT = ["publish-1k", "publish-100", "end-to-end-1k", "end-to-end-100", "producers-1000", "consumers-100", "topics-1000", "backlog"]
OUR_LINE = ("o", OURS)
OTHER_LINES = list(zip("s^vD<>P", ["#1b6ca8", "#3a9d5d", "#7b5ea7", "#8a8d0f", "#2aa5a0", "#555555", "#b07aa1"]))
LATENCY = [("p50_ms", "o", "p50"), ("p99_ms", "D", "p99"), ("p999_ms", "|", "p99.9")]


def medians(results, field):
    found = {name: [r[field] for r in runs if field in r] for name, runs in results.items()}
    return {name: statistics.median(values) for name, values in found.items() if values}


def label(name, about):
    return f"{name}\n{about['durability'][name]}"


def throughput(report, path):
    shown = [w for w in THROUGHPUT if w in report["results"]]
    figure, axes = plot.subplots((len(shown) + 1) // 2, 2, figsize=(11, 2.9 * ((len(shown) + 1) // 2)), squeeze=False)
    for axis, workload in zip(axes.flat, shown):
        rates = medians(report["results"][workload], "messages_per_second")
        names = list(reversed(rates))
        bars = axis.barh([label(n, report["about"]) for n in names], [rates[n] for n in names], color=[OURS if n == "Millrace" else OTHERS for n in names])
        axis.bar_label(bars, [f" {rates[n] / 1000:,.1f} k" for n in names], fontsize=7)
        axis.set_title(report["workloads"][workload] + (": drain" if workload == "backlog" else ""), fontsize=8, loc="left", wrap=True)
        axis.set_xlim(0, 1.18 * max(rates.values()))
        axis.set_xlabel("messages a second", fontsize=7)
        axis.tick_params(labelsize=6)
    for axis in axes.flat[len(shown):]:
        axis.set_visible(False)
    save(figure, report, path)


def latency(report, path):
    results = report["results"]["rate-5000"]
    names = list(reversed(medians(results, "p50_ms")))
    figure, axis = plot.subplots(figsize=(8, 0.5 * len(names) + 1.2))
    for field, marker, text in LATENCY:
        values = medians(results, field)
        axis.scatter([values[n] for n in names], range(len(names)), marker=marker, label=text, color=[OURS if n == "Millrace" else OTHERS for n in names], zorder=3)
    axis.set_yticks(range(len(names)), [label(n, report["about"]) for n in names])
    axis.set_xscale("log")
    axis.set_xlabel("ms (log), from when a message was due to its handler", fontsize=7)
    axis.set_title(report["workloads"]["rate-5000"], fontsize=8, loc="left")
    axis.grid(axis="x", which="both", linewidth=0.3)
    axis.tick_params(labelsize=6)
    axis.legend(fontsize=7)
    save(figure, report, path)


def memory(report, path):
    field = "memory_mib_at_"
    results = report["results"]["memory"]
    steps = sorted({int(f.removeprefix(field)) for runs in results.values() for r in runs for f in r if f.startswith(field)})
    figure, axis = plot.subplots(figsize=(8, 4.5))
    other_lines = iter(OTHER_LINES)
    for name in medians(results, f"{field}{steps[-1]}"):
        marker, color = OUR_LINE if name == "Millrace" else next(other_lines)
        values = [medians(results, f"{field}{step}")[name] for step in steps]
        axis.plot(steps, values, marker=marker, markersize=4, label=label(name, report["about"]).replace("\n", ": "), color=color, linewidth=2 if name == "Millrace" else 1)
    axis.set_yscale("log")
    axis.set_xlabel("messages that nobody has consumed", fontsize=7)
    axis.set_ylabel("MiB resident (log)", fontsize=7)
    axis.set_title(report["workloads"]["memory"], fontsize=8, loc="left")
    axis.grid(which="both", linewidth=0.3)
    axis.tick_params(labelsize=6)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.legend(fontsize=6)
    save(figure, report, path)


def save(figure, report, path):
    about = report["about"]
    figure.text(0.01, 0.003, f"{about['date']}, {about['machine']}, medians of {about['rounds']} runs of {about['seconds']} s", fontsize=6, color=OTHERS)
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plot.close(figure)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(f"{sys.argv[1]}/report.json") as file:
        report = json.load(file)
    for draw, workloads in (throughput, THROUGHPUT), (latency, ["rate-5000"]), (memory, ["memory"]):
        if any(w in report["results"] for w in workloads):
            draw(report, f"{sys.argv[1]}/{draw.__name__}.svg")


if __name__ == "__main__":
    main()
