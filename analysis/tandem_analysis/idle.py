"""Whether requests waited somewhere while a GPU had nothing to do: from the rows of requests, or from the time series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tandem_analysis.load import Result


@dataclass(frozen=True)
class Idle:
    """Of a pool's time: instances without any request (at most 1: not known); of that: its own pool queues, another does."""

    free: float
    own: float
    others: float



def cluster(result: Result) -> dict[str, Any]:
    """The resolved cluster of a run."""
    found = result.configuration.get("cluster")
    return found if isinstance(found, dict) else {}


def from_rows(result: Result) -> bool:
    """Whether every request has a row."""
    return result.has_requests and result.one_in == 1


def has_series(result: Result) -> bool:
    """Whether every pool has a time series."""
    return all(name in result.timeseries for name in result.pools["name"])


def beside_queues(result: Result) -> dict[str, Idle]:
    """By pool, of its free instances - those with requests neither running, waiting nor on their way - inside the window
    the shares of time: as many as requests wait in the pool itself; of the others as many as wait in other pools. From
    rows up to preemptions (a preempted request counts as running); without all rows from the bins of the time series, where
    it is the most that their means allow; 0 without those."""
    if from_rows(result):
        return _shares(result, *_of_rows(result))
    if not has_series(result):
        return {name: Idle(1, 0, 0) for name in result.pools["name"]}
    shares = _shares(result, *_of_bins(result))
    return {name: Idle(1, share.own, share.others) for name, share in shares.items()}


def _shares(
    result: Result, weight: np.ndarray, idle: dict[str, np.ndarray], waiting: dict[str, np.ndarray]
) -> dict[str, Idle]:
    """Of times of that weight: idle instances and waiting requests by pool."""
    shares = {}
    for name, count in zip(result.pools["name"], result.pools["instances"]):
        elsewhere = sum((waits for other, waits in waiting.items() if other != name), np.zeros(len(weight)))
        own = np.minimum(idle[name], waiting[name])
        others = np.minimum(idle[name] - own, elsewhere)
        whole = float((weight * idle[name]).sum())
        free, total = whole / (count * weight.sum()), whole if whole > 0 else 1.0
        shares[name] = Idle(free, float((weight * own).sum()) / total, float((weight * others).sum()) / total)
    return shares


def _inside(result: Result, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Lengths of what of intervals is inside the window."""
    low, high = result.value("window_start_ns"), result.value("window_end_ns")
    return np.clip(end, low, high) - np.clip(begin, low, high)


def _of_bins(result: Result) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    idle, waiting = {}, {}
    for name, count in zip(result.pools["name"], result.pools["instances"]):
        series = result.timeseries[name]
        busy = series[["busy_prefill", "busy_decode", "busy_mixed"]].sum(axis=1).to_numpy()
        idle[name] = count * (1 - busy).clip(min=0)
        waiting[name] = series["waiting"].to_numpy()
    start = series["start_ns"].to_numpy(dtype=float)
    return _inside(result, start, start + series["width_ns"].to_numpy(dtype=float)), idle, waiting


def _of_rows(result: Result) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    present, waits = _spans(result)
    pools = result.instances["pool"]
    edges = [result.value("window_start_ns"), result.value("window_end_ns")]
    times = [frame[["begin", "end"]].to_numpy().ravel() for frame in (present, waits)]
    grid = np.unique(np.concatenate([edges, *times]))
    idle, waiting = {}, {}
    for name, count in zip(result.pools["name"], result.pools["instances"]):
        busy = [_union(part) for _, part in present[present["instance"].map(pools) == name].groupby("instance")]
        idle[name] = count - _counts(grid, pd.concat(busy)) if busy else np.full(len(grid), float(count))
        waiting[name] = _counts(grid, waits[waits["instance"].map(pools) == name])
    ends = np.append(grid[1:], grid[-1:])
    return _inside(result, grid, ends), idle, waiting


def _spans(result: Result) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of each completed request and instance: from when it comes there until it leaves; while it waits there."""
    rows = result.requests()
    rows = rows[rows["status"] == 0]
    end = rows["arrival_ns"] + rows["e2e_ns"]
    prompt = rows["arrival_ns"] + rows["ttft_prefill_ns"]
    begin = prompt - rows["prefill_ns"] - rows["prefill_queue_ns"]
    moved = rows["decode_instance"] >= 0
    latency = 1e3 * (cluster(result).get("network") or {}).get("control_latency_us", 1000)
    asked = prompt + 2 * latency
    if (cluster(result).get("handoff") or {}).get("reserve") == "before-prefill":
        asked = begin - latency - rows["decode_queue_ns"]
    first = [rows["prefill_instance"], begin, prompt.where(moved, end), begin + rows["prefill_queue_ns"]]
    second = [rows["decode_instance"], asked, end, asked + rows["decode_queue_ns"]]
    spans = pd.concat(
        [
            pd.DataFrame(dict(zip(("instance", "begin", "end", "admitted"), columns)))
            for columns in (first, [column[moved] for column in second])
        ],
        ignore_index=True,
    )
    waits = spans[["instance", "begin", "admitted"]].rename(columns={"admitted": "end"})
    return spans[["instance", "begin", "end"]], waits


def _union(spans: pd.DataFrame) -> pd.DataFrame:
    """Of the spans of an instance those in which any is, apart from each other."""
    spans = spans.sort_values("begin")
    reach = spans["end"].cummax().to_numpy()
    apart = np.append(True, spans["begin"].to_numpy()[1:] > reach[:-1])
    last = np.append(np.flatnonzero(apart)[1:] - 1, len(spans) - 1)
    return pd.DataFrame({"begin": spans["begin"].to_numpy()[apart], "end": reach[last]})


def _counts(grid: np.ndarray, spans: pd.DataFrame) -> np.ndarray:
    """How many spans there are from each time of the grid to the next."""
    changes = np.zeros(len(grid))
    np.add.at(changes, np.searchsorted(grid, spans["begin"]), 1)
    np.add.at(changes, np.searchsorted(grid, spans["end"]), -1)
    return changes.cumsum()
