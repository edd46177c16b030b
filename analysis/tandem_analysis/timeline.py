"""What each instance did, iteration by iteration: a Gantt figure, and a trace for Perfetto or chrome://tracing.

The trace is the Trace Event Format that chrome://tracing and ui.perfetto.dev read (linked from
catapult/docs/trace-event-format.md of Chromium): times in us; X complete events, M metadata, b and e
asynchronous ones, s and f flows, C counters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tandem_analysis import figures, units
from tandem_analysis.load import Result, ResultError

PHASES = {"prefill": figures.ORANGE, "decode": figures.BLUE, "mixed": figures.GREEN}
MOST_LANES = 64  # that the figure shows
PIXELS = 1000  # narrow iterations closer than one are drawn together
WIDE = 4  # pixels of an iteration that keeps its bar, with an edge
HAND_OFFS = 1  # pid of the requests on their way; pools have those after it


def frame(result: Result, begin_s: float | None = None, end_s: float | None = None) -> pd.DataFrame:
    """The records that run at any time of the range, with the name of each one's pool."""
    table = result.iterations()
    begin_ns = 0 if begin_s is None else begin_s * 1e9
    end_ns = np.inf if end_s is None else end_s * 1e9
    inside = (table["start_ns"] + table["duration_ns"] > begin_ns) & (table["start_ns"] < end_ns)
    table = table[inside].reset_index(drop=True)
    if table.empty:
        raise ResultError(
            f"{result.path}: no iteration is recorded in that time, choose another range"
        )
    pools = result.instances["pool"].to_numpy()
    table.insert(0, "pool", pools[table["instance"]])
    return table


def run(
    result: Result,
    begin_s: float | None,
    end_s: float | None,
    folder: Path | None,
    trace: str | None,
) -> str:
    """Writes figure and CSV into a folder, the trace into a file, where named; returns what is printed."""
    table = frame(result, begin_s, end_s)
    text = _summary(result, table)
    if folder:
        table.to_csv(folder / "timeline.csv", index=False)
        written = [
            "timeline.csv",
            *figures.save(folder, "timeline.png", lambda: draw(result, table)),
        ]
        text += f"written to {folder}: {', '.join(written)}\n"
    if trace:
        count = write_trace(result, table, Path(trace))
        text += f"{count:,} events in {trace}: open it at ui.perfetto.dev or chrome://tracing\n"
    return text


def _summary(result: Result, table: pd.DataFrame) -> str:
    lines = []
    for (pool, phase), part in table.groupby(["pool", "phase"], sort=False):
        mean = units.time_text(part["duration_ns"].mean())
        lines.append(f"{pool}, {phase}: {len(part):,} iterations, mean {mean}\n")
    if result.iterations_cut_ns is not None and result.iterations_cut_ns >= 0:
        lines.append(
            f"The records end at {units.time_text(result.iterations_cut_ns)} (output.iterations_max).\n"
        )
    return "".join(lines)


def _lanes(table: pd.DataFrame) -> dict[tuple[int, int], str]:
    """Instances and their micro-batches, in order, with a name."""
    several = set(table.loc[table["group"] > 0, "instance"])
    keys = table[["pool", "instance", "group"]].drop_duplicates().sort_values(["instance", "group"])
    return {
        (row.instance, row.group): f"{row.pool} {row.instance}"
        + (f" / {row.group}" if row.instance in several else "")
        for row in keys.itertuples()
    }


def merged(table: pd.DataFrame, pixel_ns: float) -> pd.DataFrame:
    """What the figure draws of one lane: narrow neighbours of a phase less than a pixel apart are one bar."""
    start = table["start_ns"].to_numpy(dtype=float)
    end = start + table["duration_ns"].to_numpy()
    phase = table["phase"].to_numpy()
    wide = end - start >= WIDE * pixel_ns
    first = np.ones(len(table), dtype=bool)
    first[1:] = (phase[1:] != phase[:-1]) | (start[1:] - end[:-1] > pixel_ns) | wide[1:] | wide[:-1]
    last = np.append(first[1:], True)
    return pd.DataFrame({"start_ns": start[first], "end_ns": end[last], "phase": phase[first]})


def draw(result: Result, table: pd.DataFrame) -> Figure:
    """A line an instance (and micro-batch), a bar an iteration, by phase."""
    lanes = dict(list(_lanes(table).items())[:MOST_LANES])
    left_out = len(_lanes(table)) - len(lanes)
    begin = table["start_ns"].min()
    end = (table["start_ns"] + table["duration_ns"]).max()
    handles = [Patch(facecolor=colour, label=phase) for phase, colour in PHASES.items()]
    more = f", the first {len(lanes)} of {len(lanes) + left_out}" if left_out else ""
    title = f"Iterations of {units.shorten(result.label, 40)}{more}"
    figure, axes = figures.grid(1, 1, 0.5 + 0.3 * len(lanes), title, handles, gap=0, left=1.9)
    axis = axes[0, 0]
    parts = dict(list(table.groupby(["instance", "group"])))
    for place, key in enumerate(lanes):
        pixel = (end - begin) / PIXELS
        bars = merged(parts[key], pixel)
        for phase, colour in PHASES.items():
            mine = bars[bars["phase"] == phase]
            spans = list(zip(mine["start_ns"] / 1e9, (mine["end_ns"] - mine["start_ns"]) / 1e9))
            edges = [0.6 if width * 1e9 >= WIDE * pixel else 0 for _, width in spans]
            axis.broken_barh(
                spans, (place - 0.4, 0.8), facecolor=colour, edgecolor="white", linewidth=edges
            )
    axis.set_yticks(range(len(lanes)), [units.shorten(name, 18) for name in lanes.values()])
    axis.set_ylim(len(lanes) - 0.4, -0.6)
    axis.set_xlim(begin / 1e9, end / 1e9)
    axis.set_xlabel("time since the start (s)")
    axis.set_ylabel("pool, instance")
    axis.grid(axis="y", visible=False)
    return figure


def write_trace(result: Result, table: pd.DataFrame, path: Path) -> int:
    """Writes the trace, an event a line; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit": "ms", "traceEvents": [\n')
        for event in events(result, table):
            file.write((",\n" if count else "") + json.dumps(event))
            count += 1
        file.write("\n]}\n")
    return count


def events(result: Result, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A process a pool, a thread an instance and micro-batch; hand-offs are a process of their own."""
    pids = {name: HAND_OFFS + 1 + i for i, name in enumerate(result.pools["name"])}
    lanes = _lanes(table)
    tids = {key: i + 1 for i, key in enumerate(lanes)}
    for pool, pid in pids.items():
        yield _metadata("process_name", pid, 0, {"name": f"pool {pool}"})
        yield _metadata("process_sort_index", pid, 0, {"sort_index": pid})
    for (instance, group), name in lanes.items():
        pid = pids[result.instances["pool"].iloc[instance]]
        yield _metadata("thread_name", pid, tids[instance, group], {"name": name})
    names = [
        name for name in table.columns if name not in ("pool", "start_ns", "duration_ns", "phase")
    ]
    for row in table.to_dict("records"):
        yield {
            "ph": "X",
            "cat": "iteration",
            "name": row["phase"],
            "pid": pids[row["pool"]],
            "tid": tids[row["instance"], row["group"]],
            "ts": row["start_ns"] / 1e3,
            "dur": row["duration_ns"] / 1e3,
            "args": {name: int(row[name]) for name in names},
        }
    begin, end = table["start_ns"].min(), (table["start_ns"] + table["duration_ns"]).max()
    yield from _hand_offs(result, begin, end, pids, tids)
    yield from _counters(result, begin, end, pids)


def _metadata(name: str, pid: int, tid: int, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": arguments}


def _hand_offs(
    result: Result,
    begin_ns: int,
    end_ns: int,
    pids: dict[str, int],
    tids: dict[tuple[int, int], int],
) -> Iterator[dict[str, Any]]:
    """From the end of a prompt until decoding began. Rows of preempted requests add several passes up, so that
    the times are not theirs: they are left out. Flows need the one lane that a request can be in.
    """
    rows = result.requests()
    if rows is None:
        return
    rows = rows[(rows["status"] == 0) & (rows["decode_instance"] >= 0) & (rows["preemptions"] == 0)]
    sent = rows["arrival_ns"] + rows["ttft_prefill_ns"]
    joined = rows["arrival_ns"] + rows["e2e_ns"] - rows["decode_ns"]
    rows = rows.assign(sent=sent, joined=joined)[(sent >= begin_ns) & (joined <= end_ns)]
    if rows.empty:
        return
    yield _metadata("process_name", HAND_OFFS, 0, {"name": "hand-offs of KV caches"})
    pools = result.instances["pool"]
    single = {instance for instance, group in tids if (instance, 1) not in tids}
    for identity, row in zip(rows.index, rows.to_dict("records")):
        common = {"cat": "hand-off", "name": f"request {identity}", "id": int(identity)}
        arguments = {
            name: int(row[name])
            for name in ("kv_transfer_bytes", "decode_queue_ns", "transfer_ns", "admission_ns")
        }
        at = {"pid": HAND_OFFS, "tid": 0}
        yield {**common, **at, "ph": "b", "ts": row["sent"] / 1e3, "args": arguments}
        yield {**common, **at, "ph": "e", "ts": row["joined"] / 1e3}
        source, target = int(row["prefill_instance"]), int(row["decode_instance"])
        if source in single and target in single:
            flow = {**common, "cat": "flow"}
            ours = {"pid": pids[pools.iloc[source]], "tid": tids[source, 0]}
            theirs = {"pid": pids[pools.iloc[target]], "tid": tids[target, 0]}
            # An arrow begins inside a bar: the last nanosecond of the prompt's.
            yield {**flow, **ours, "ph": "s", "ts": (row["sent"] - 1) / 1e3}
            yield {**flow, **theirs, "ph": "f", "bp": "e", "ts": row["joined"] / 1e3}


def _counters(
    result: Result, begin_ns: int, end_ns: int, pids: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Means of the time series' bins."""
    for pool, series in result.timeseries.items():
        inside = series[
            (series["start_ns"] + series["width_ns"] > begin_ns) & (series["start_ns"] < end_ns)
        ]
        for row in inside.to_dict("records"):
            at = {"ph": "C", "pid": pids[pool], "tid": 0, "ts": row["start_ns"] / 1e3}
            requests = {name: round(row[name], 6) for name in ("waiting", "running", "moving")}
            yield {**at, "name": "requests", "args": requests}
            yield {
                **at,
                "name": "KV blocks in use (%)",
                "args": {"used": round(100 * row["kv_used"], 4)},
            }
