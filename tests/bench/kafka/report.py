"""What the runs of a bench on Kafka come to: a table, its CSV, a chart, and which targets are missed.

`tests/bench/kafka/report.py tests/bench/results/kafka.jsonl` tells it again from the runs that were kept.
"""

import csv
import json
import sys
from pathlib import Path
from statistics import median

import chart

PIPELINES = ("passthrough", "json-filter-map", "windowed-count", "stream-table")
GUARANTEES = ("at_least_once", "exactly_once_v2")
# Headwater with state in RocksDB: with memory to spare, and with what it takes unless told otherwise.
ON_DISK = ("headwater-rocksdb", "headwater-default")
# The most that Headwater may cost, as a multiple of the floor of librdkafka and as a part of Kafka Streams.
OF_FLOOR = {"passthrough": 1.15, "json-filter-map": 1.2, "windowed-count": 1.3, "stream-table": 1.25}
OF_KSTREAMS = {"passthrough": 0.4, "json-filter-map": 1 / 4, "windowed-count": 1 / 12}
# Whom it is held against, by which cost of theirs, and how that is called.
OTHERS = (("floor", "cpu_ns", OF_FLOOR, "the librdkafka floor"), ("kstreams", "cpu_ns", OF_KSTREAMS, "Kafka Streams"),
          ("kstreams", "without_jit_ns", OF_KSTREAMS, "Kafka Streams without its JIT compiler"))
# By how much exactly once may raise it.
OF_AT_LEAST_ONCE = 1.05
# Resident memory as a part of Kafka Streams' on the same job, seconds from exec to the first output, and records restored.
OF_KSTREAMS_RSS = 1 / 4
FIRST_OUTPUT_S = 0.5
FIRST_OUTPUT_EMBEDDED_S = 0.3
RESTORE_PER_S = 1_000_000
# State on disk is measured where there is state.
STORES = {"windowed-count": "counts", "stream-table": "rows"}
STATEFUL = tuple(STORES)
COLUMNS = ("pipeline", "guarantee", "system", "rounds", "cpu_ns", "cpu_ns_min", "cpu_ns_max", "times_wire", "times_floor",
           "times_kstreams", "without_jit_ns", "times_kstreams_without_jit", "broker_cpu_ns", "records_per_s", "rss_mb",
           "first_output_s", "first_output_3000_s", "p50_ms", "p99_ms", "p99.9_ms", "latency_at_most", "restore_records_per_s", "disk_bytes_per_update", "load_max")
# What the table on the terminal calls them.
SHOWN = {"cpu_ns": "CPU ns", "times_wire": "x wire", "times_floor": "x floor", "times_kstreams": "x KStreams",
         "times_kstreams_without_jit": "no JIT",
         "broker_cpu_ns": "broker", "records_per_s": "records/s", "rss_mb": "RSS MB", "first_output_s": "start s",
         "first_output_3000_s": "at 3000", "p50_ms": "p50 ms", "p99_ms": "p99", "p99.9_ms": "p99.9",
         "restore_records_per_s": "restore/s", "disk_bytes_per_update": "disk B"}


class Runs:
    def __init__(self, runs):
        self.runs = runs

    def of(self, kind, system, pipeline, guarantee):
        wanted = {"kind": kind, "system": system, "pipeline": pipeline, "guarantee": guarantee}
        return [run for run in self.runs if wanted.items() <= run.items()]

    def middle(self, name, *which):
        values = [run[name] for run in self.of(*which) if run.get(name) is not None]
        return median(values) if values else None

    def ratio(self, one, other, pipeline, cost="cpu_ns"):
        """The median of what one took in terms of the other, each a system under a guarantee, over the rounds that had both.
        `cost` is what counts of the other."""
        kind = "wire" if other[0] == "wire" else "run"
        there = {run["round"]: run.get(cost) for run in self.of(kind, other[0], pipeline, other[1])}
        pairs = [(run.get("cpu_ns"), there.get(run["round"])) for run in self.of("run", one[0], pipeline, one[1])]
        ratios = [one / two for one, two in pairs if one and two]
        return median(ratios) if ratios else None

    def row(self, system, pipeline, guarantee):
        case = (system, pipeline, guarantee)
        runs = self.of("run", *case)
        costs = [run["cpu_ns"] for run in runs if run.get("cpu_ns") is not None]
        disk = [run["written_mb"] * (1 << 20) / run["records"] for run in runs]
        row = dict(zip(COLUMNS[:3], (pipeline, guarantee, system)), rounds=len(runs))
        row |= {"cpu_ns_min": min(costs, default=None), "cpu_ns_max": max(costs, default=None)}
        row |= {name: self.middle(name, "run", *case) for name in
                ("cpu_ns", "without_jit_ns", "broker_cpu_ns", "records_per_s", "rss_mb", "first_output_s")}
        row |= {f"times_{other}": self.ratio((system, guarantee), (other, guarantee), pipeline)
                for other in ("wire", "floor", "kstreams")}
        java = ("kstreams", guarantee)
        row["times_kstreams_without_jit"] = self.ratio((system, guarantee), java, pipeline, "without_jit_ns")
        # A record's time counts from when it was due: where the generator fell behind, but all records came, it was less.
        row["latency_at_most"] = any(run["void"] for run in self.of("latency", *case)) or None
        lost = any(run["seen"] < run["sent"] for run in self.of("latency", *case))
        row |= {name: None if lost else self.middle(name, "latency", *case) for name in ("p50_ms", "p99_ms", "p99.9_ms")}
        row["first_output_3000_s"] = self.middle("first_output_s", "start-3000", *case)
        row["restore_records_per_s"] = self.middle("restore_records_per_s", "restore", *case)
        row["disk_bytes_per_update"] = median(disk) if pipeline == "windowed-count" else None
        row["load_max"] = max(run["load"] for run in runs)
        return row

    def rows(self):
        found = []
        for pipeline in PIPELINES:
            for guarantee in GUARANTEES:
                systems = dict.fromkeys(run["system"] for run in self.runs if run["kind"] == "run")
                found += [self.row(system, pipeline, guarantee) for system in systems
                          if self.of("run", system, pipeline, guarantee)]
        return found


def differing(runs):
    """Pipelines of which not all runs have computed the same."""
    found = []
    for pipeline in PIPELINES:
        told = {}
        for run in runs:
            if run["kind"] == "run" and run["pipeline"] == pipeline:
                told.setdefault((run["out_records"], run["out_digest"]), set()).add(run["system"])
        if len(told) > 1:
            found.append(f"{pipeline}: " + "; ".join(f"{', '.join(sorted(who))} wrote {what}" for what, who in told.items()))
    return found


def targets(runs):
    """Every target that was measured: what is said of it, the value, and the most that it may be."""
    for pipeline in PIPELINES:
        for system in ("headwater", *ON_DISK):
            for guarantee in GUARANTEES:
                for other, cost, limits, name in OTHERS:
                    value = runs.ratio((system, guarantee), (other, guarantee), pipeline, cost)
                    if value is not None and pipeline in limits:
                        yield f"{pipeline}, {guarantee}: CPU of {system}, times that of {name}", value, limits[pipeline]
            value = runs.ratio((system, GUARANTEES[1]), (system, GUARANTEES[0]), pipeline)
            if value is not None:
                yield f"{pipeline}: CPU of {system} under exactly once, times that under at least once", value, OF_AT_LEAST_ONCE
    yield from others(runs)


def others(runs):
    """The targets beside processor time. What has to be reached at least is told as a share of itself."""
    for pipeline in PIPELINES:
        systems = ("headwater", *ON_DISK) if pipeline in STATEFUL else ("headwater",)
        for system, guarantee in ((system, guarantee) for system in systems for guarantee in GUARANTEES):
            ours, theirs = (runs.middle("rss_mb", "run", who, pipeline, guarantee) for who in (system, "kstreams"))
            if ours and theirs:
                yield f"{pipeline}, {guarantee}: RSS of {system}, times Kafka Streams'", ours / theirs, OF_KSTREAMS_RSS
            restored = runs.middle("restore_records_per_s", "restore", system, pipeline, guarantee)
            if restored:
                said = f"{pipeline}, {guarantee}: {restored:.0f} records/s restored by {system}; {RESTORE_PER_S} as a share of that"
                yield said, RESTORE_PER_S / restored, 1
    for guarantee in GUARANTEES:
        first = runs.middle("first_output_s", "run", "headwater", "passthrough", guarantee)
        if first is not None:
            yield f"passthrough, {guarantee}: seconds from exec to the first output", first, FIRST_OUTPUT_S
        first = runs.middle("first_output_s", "embedded", "headwater", "passthrough", guarantee)
        if first is not None:
            yield f"the same on the in-process broker, {guarantee}", first, FIRST_OUTPUT_EMBEDDED_S


def cell(name, value):
    if value is None:
        return "-"
    if not isinstance(value, float) or isinstance(value, bool):
        return str(value)
    small = name.startswith("times") or name.endswith("_s") and "records" not in name or name.endswith("_ms")
    return f"{value:.3f}" if name == "times_kstreams" else f"{value:.2f}" if small else f"{value:.0f}"


def table(rows):
    names = ["pipeline", "guarantee", "system", *[name for name in SHOWN if any(row[name] is not None for row in rows)]]
    mark = lambda name, row: "<=" if name.endswith("_ms") and row[name] is not None and row["latency_at_most"] else ""
    lines = [[SHOWN.get(name, name) for name in names],
             *[[mark(name, row) + cell(name, row[name]) for name in names] for row in rows]]
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    for line in lines:
        words = [word.ljust(width) if at < 3 else word.rjust(width) for at, (word, width) in enumerate(zip(line, widths))]
        print("  ".join(words).rstrip())


def tell(kept, folder):
    """Prints the table and the targets, writes CSV and chart into the folder; returns what the bench ends with."""
    runs = Runs(kept)
    rows = runs.rows()
    print()
    table(rows)
    wire = [run["cpu_ns"] for run in kept if run["kind"] == "wire"]
    if wire:
        print(f"\nwire: {median(wire):.0f} ns a record ({min(wire)} to {max(wire)}), passthrough by hand on sockets")
    if folder:
        with open(folder / "kafka.csv", "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(COLUMNS)
            out.writerows([cell(name, row[name]).replace("-", "", row[name] is None) for name in COLUMNS] for row in rows)
        (folder / "kafka.svg").write_text(chart.draw(rows, median(wire) if wire else None))
    print()
    for said, value, limit in targets(runs):
        verdict = "reached" if value <= limit else "MISSED "
        print(f"{verdict}  {said}: {value:.3f}, to reach {limit:.3f}")
    for run in kept:
        if run["kind"] == "latency" and run["void"]:
            what = "is the most that it can have been" if run["seen"] == run["sent"] else "is void: records were lost"
            print(f"LATE     {run['pipeline']}, {run['guarantee']}: the generator fell behind, so the latency of {run['system']} {what}")
    noisy = max((run["load"] for run in kept), default=0)
    if noisy > 3:
        print(f"\nThe machine had other work meanwhile (load up to {noisy:.1f}): only ratios say something.")
    wrong = differing(kept)
    for line in wrong:
        print(f"NOT THE SAME RESULT  {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    path = Path(sys.argv[1])
    sys.exit(tell([json.loads(line) for line in path.read_text().splitlines()], path.parent))
