"""The points of a sweep: means over seeds with confidence intervals, paired differences, frontiers, break-even."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from tandem_analysis.load import ResultError, Sweep

SEED = "seed"
NAME = "name"
GOOD = "usd_per_thousand_good_requests"
METRICS = (  # of the table: figure of /summary
    "slo_attainment",
    "goodput_per_s",
    "goodput_per_s_per_gpu",
    "output_tokens_per_s_per_gpu",
    "tokens_per_s_per_user",
    "ttft_p99_ns",
    "tpot_p99_ns",
    "e2e_mean_ns",
    "usd_per_million_output_tokens",
    GOOD,
)
LOWER = (
    "_ns",
    "usd_",
    "cost_",
    "idle_",
    "joules_",
    "kwh_",
    "refused",
    "preemptions",
    "energy_",
)  # is better
LATENCIES = ("tokens_per_s_per_user",)  # and all times: say nothing where queues grow
CONFIDENCE = 0.95


def student_t(degrees: int, confidence: float = CONFIDENCE) -> float:
    """The value that |t| stays below with that probability (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    if degrees < 1:
        return math.nan
    low, high = 0.0, 1.0
    while _within(high, degrees) < confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if _within(middle, degrees) >= confidence else (middle, high)
    return high


def _within(t: float, degrees: int) -> float:
    """P(|T| <= t)."""
    angle = math.atan(t / math.sqrt(degrees))
    square = math.cos(angle) ** 2
    term = 1.0 if degrees % 2 == 0 else math.cos(angle)
    total = 0.0
    for k in range(degrees % 2, degrees - 1, 2):
        total += term
        term *= square * (k + 1) / (k + 2)
    if degrees % 2 == 0:
        return math.sin(angle) * total
    return 2 / math.pi * (angle + math.sin(angle) * total)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval; NaN of fewer than two."""
    count = len(values)
    if count == 0:
        return math.nan, math.nan
    mean = float(np.mean(values))
    if count == 1:
        return mean, math.nan
    return mean, student_t(count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)


def is_lower_better(metric: str) -> bool:
    """Latencies, costs, energy."""
    return any(part in metric for part in LOWER)


def axes_of(sweep: Sweep) -> list[str]:
    """Parameters, but for the seed, that take several values at one named point; without named points all that
    do."""
    several = []
    for path in sweep.parameters:
        values = sweep.parameters[path].astype(str).groupby(sweep.points[NAME]).nunique()
        if path != SEED and values.max() > 1:
            several.append(str(path))
    return several


def is_unset(value: Any) -> bool:
    """Of a parameter: others' deployments have it."""
    return isinstance(value, float) and math.isnan(value)


def value_text(value: Any) -> str:
    """Of a parameter."""
    if is_unset(value):
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def place_of(name: str, values: dict[str, Any]) -> str:
    """A named point and its parameters in words."""
    words = [f"{path}={value_text(value)}" for path, value in values.items() if not is_unset(value)]
    return ", ".join([name] * bool(name) + words)


def label_of(sweep: Sweep, point: int) -> str:
    """A point in words."""
    paths = [path for path in axes_of(sweep) + [SEED] if path in sweep.parameters]
    values = {path: sweep.parameters[path].iloc[point] for path in paths}
    return place_of(sweep.points[NAME].iloc[point], values) or f"point {point}"


def check_axis(sweep: Sweep, path: str, option: str) -> None:
    """Raises ResultError unless the parameter is one of the sweep's."""
    if path not in sweep.parameters:
        known = ", ".join(map(str, sweep.parameters.columns)) or "none"
        raise ResultError(f"{sweep.path}: {option} {path}: no such parameter, there are {known}")


def check_metric(sweep: Sweep, metric: str) -> None:
    """Raises ResultError unless points have such a figure."""
    if metric not in sweep.points or not pd.api.types.is_numeric_dtype(sweep.points[metric]):
        raise ResultError(
            f"{sweep.path}: --metric {metric}: no such figure of /points (OUTPUT.md lists them)"
        )


def check_name(sweep: Sweep, name: str, option: str) -> None:
    """Raises ResultError unless there is such a named point."""
    known = [str(known) for known in dict.fromkeys(sweep.points[NAME]) if known]
    if name not in known:
        raise ResultError(
            f"{sweep.path}: {option} {name}: no such named point, there are {', '.join(known) or 'none'}"
        )


def completed(sweep: Sweep) -> pd.DataFrame:
    """Points with results, with their parameters as columns set[PATH]; the index is the point. The price of a request
    within the SLO is NaN where there is none (0 in the file)."""
    table = pd.concat([sweep.points, sweep.parameters.add_prefix("set[").add_suffix("]")], axis=1)
    table = table[table["status"] == "completed"]
    if GOOD in table:
        nobody = (table[GOOD] == 0) & (table["cost_usd_per_hour"] > 0)
        table = table.assign(**{GOOD: table[GOOD].mask(nobody)})
    return table


def column(path: str) -> str:
    """Of completed."""
    return f"set[{path}]"


def groups(table: pd.DataFrame, keys: list[str]) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Rows of equal keys, in order of first appearance; without keys all rows."""
    if len(keys) < 2:
        groups = table.groupby(keys[0], sort=False, dropna=False) if keys else [((), table)]
        yield from (((key,) if keys else key, part) for key, part in groups)
        return
    yield from table.groupby(keys, sort=False, dropna=False)


def means(sweep: Sweep, metrics: tuple[str, ...] = METRICS) -> pd.DataFrame:
    """A row a named point and values of the axes: seeds, how many of them are saturated; of each metric its mean
    and half the width of the 95 % confidence interval over seeds (METRIC_ci95)."""
    axes = axes_of(sweep)
    metrics = tuple(metric for metric in metrics if metric in sweep.points)
    rows = []
    for key, part in groups(completed(sweep), [NAME, *map(column, axes)]):
        row: dict[str, Any] = dict(zip([NAME, *axes], key))
        row |= {"seeds": len(part), "saturated": int((part["saturated"] > 0).sum())}
        for metric in metrics:
            row[metric], row[f"{metric}_ci95"] = interval(part[metric].to_numpy(dtype=float))
        rows.append(row)
    if not rows:
        raise ResultError(f"{sweep.path}: no point was completed, see /points/error")
    return pd.DataFrame(rows)


def paired(sweep: Sweep, baseline: str, metrics: tuple[str, ...] = METRICS) -> pd.DataFrame:
    """Differences from the named point `baseline` with the same axes and seed: a row a named point, axes and
    metric; mean, half the width of its 95 % confidence interval, and whether that leaves 0 out. Latencies are of
    seeds at which neither is saturated; where there is none, there is no row."""
    check_name(sweep, baseline, "--baseline")
    axes, table = axes_of(sweep), completed(sweep)
    metrics = tuple(metric for metric in metrics if metric in table)
    keys = [column(path) for path in axes + ([SEED] if SEED in sweep.parameters else [])]
    base = table[table[NAME] == baseline]
    rows = []
    for name in dict.fromkeys(table.loc[table[NAME] != baseline, NAME]):
        mine = table[table[NAME] == name]
        both = merged(mine, base, keys, (*metrics, "saturated"))
        for key, part in groups(both, keys[: len(axes)]):
            place = dict(zip(axes, key))
            calm = part[(part["saturated"] == 0) & (part["saturated_base"] == 0)]
            for metric in metrics:
                counted = calm if is_latency(metric) else part
                counted = counted.dropna(subset=[metric, f"{metric}_base"])
                if len(counted):
                    rows.append({NAME: name, **place, "metric": metric, **_difference(counted, metric)})
    return pd.DataFrame(rows, columns=None if rows else [NAME, *axes, "metric"])


def is_latency(metric: str) -> bool:
    """Times of requests, which depend on the length of the run where queues grow."""
    return metric.endswith("_ns") or metric in LATENCIES


def _difference(pairs: pd.DataFrame, metric: str) -> dict[str, Any]:
    mean, half = interval((pairs[metric] - pairs[f"{metric}_base"]).to_numpy(dtype=float))
    return {
        "seeds": len(pairs),
        "baseline_mean": pairs[f"{metric}_base"].mean(),
        "difference": mean,
        "difference_ci95": half,
        "told_apart": bool(abs(mean) > half),
    }


def merged(
    mine: pd.DataFrame, base: pd.DataFrame, keys: list[str], metrics: tuple[str, ...]
) -> pd.DataFrame:
    """Rows of both with equal keys, METRIC and METRIC_base."""
    ours, theirs = mine[[*keys, *metrics]], base[[*keys, *metrics]]
    if not keys:
        return ours.merge(theirs, how="cross", suffixes=("", "_base"))
    return ours.merge(theirs, on=keys, suffixes=("", "_base"))


def problems(sweep: Sweep, most: int = 5) -> list[str]:
    """Sentences on points that have no results, and on saturated ones."""
    told = []
    for status, part in sweep.points.groupby("status", sort=False):
        if status == "completed":
            continue
        told.append(f"{len(part)} of {len(sweep.points)} points are {status} and left out:")
        told += [
            f"  {label_of(sweep, point)}: {part['error'].loc[point]}" for point in part.index[:most]
        ]
        told += [f"  and {len(part) - most} more"] * (len(part) > most)
    done = completed(sweep)
    saturated = done[done["saturated"] > 0]
    if len(saturated):
        told.append(
            f"{len(saturated)} of {len(done)} points are saturated: their latencies depend on the length of "
            "the run (hollow in figures):"
        )
        told += [f"  {label_of(sweep, point)}" for point in saturated.index[:most]]
        told += [f"  and {len(saturated) - most} more"] * (len(saturated) > most)
    return told


def frontier(x: np.ndarray, y: np.ndarray, larger: bool) -> np.ndarray:
    """Which points no other beats in both (larger: more is better; else less)."""
    sign = 1 if larger else -1
    x, y = sign * x, sign * y
    beaten = [
        bool(np.any((x >= x[i]) & (y >= y[i]) & ((x > x[i]) | (y > y[i])))) for i in range(len(x))
    ]
    return ~np.array(beaten, dtype=bool) & np.isfinite(x) & np.isfinite(y)


def breakeven(sweep: Sweep, x: str, y: str, first: str, other: str, metric: str) -> pd.DataFrame:
    """A row a place on two axes and at most two others (further_axes): how many times better the first named point is
    than the other (ratio of means over seeds, of the other to the first where less is better), the winner, and whether
    the paired difference's 95 % confidence interval leaves 0 out. Places are in the order of the points."""
    for path, option in ((x, "--x"), (y, "--y")):
        check_axis(sweep, path, option)
        if path == SEED or x == y:
            raise ResultError(f"{sweep.path}: {option} {path}: the map needs two axes other than {SEED}")
    for name, option in ((first, "--a"), (other, "--b")):
        check_name(sweep, name, option)
    check_metric(sweep, metric)
    rest = further_axes(sweep, x, y)
    if len(rest) > 2:
        raise ResultError(
            f"{sweep.path}: {', '.join(rest)} vary too, maps side by side take two of them: choose one value of others with "
            "--where PATH=VALUE"
        )
    kept = completed(sweep)
    sides = [kept[kept[NAME] == name] for name in (first, other)]
    keys = [*map(column, rest), column(x), column(y)]
    both = merged(
        *sides, keys + [column(SEED)] * (SEED in sweep.parameters), (metric, "saturated")
    )
    rows = []
    for key, part in groups(both, keys):
        a, b = (part[side].fillna(math.inf).to_numpy(dtype=float) for side in (metric, f"{metric}_base"))
        top, bottom = (b.mean(), a.mean()) if is_lower_better(metric) else (a.mean(), b.mean())
        ratio = _quotient(top, bottom)
        rows.append(
            {**dict(zip([*rest, x, y], key)), "seeds": len(part), first: a.mean(), other: b.mean(), "ratio": ratio,
             "winner": "" if math.isnan(ratio) or ratio == 1 else first if ratio > 1 else other,
             "told_apart": _told_apart(a, b),
             "saturated": int((part["saturated"] > 0).sum() + (part["saturated_base"] > 0).sum())}
        )  # fmt: skip
    if not rows:
        raise ResultError(f"{sweep.path}: {first} and {other} have no completed point in common")
    return pd.DataFrame(rows)


def further_axes(sweep: Sweep, x: str, y: str) -> list[str]:
    """Those of which each pair of values has a map of its own."""
    return [path for path in axes_of(sweep) if path not in (x, y)]


def _quotient(top: float, bottom: float) -> float:
    """NaN where both are nothing or both without bound."""
    if math.isinf(top) and math.isinf(bottom):
        return math.nan
    return top / bottom if bottom > 0 else math.nan if top == 0 else math.inf


def _told_apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Of pairs: the interval of their difference leaves 0 out; or one side is without bound at every seed, the other at none."""
    endless = np.isinf(a), np.isinf(b)
    if endless[0].any() or endless[1].any():
        return bool(len(a) > 1 and (endless[0] != endless[1]).all())
    mean, half = interval(a - b)
    return bool(abs(mean) > half)


def where(sweep: Sweep, conditions: list[str]) -> Sweep:
    """The points with those values of parameters (PATH=VALUE)."""
    keep = pd.Series(True, index=sweep.points.index)
    for condition in conditions:
        path, _, value = condition.partition("=")
        check_axis(sweep, path, "--where")
        values = sweep.parameters[path]
        if pd.api.types.is_numeric_dtype(values):
            try:
                keep &= np.isclose(values, float(value), rtol=1e-9, atol=0)
            except ValueError:
                raise ResultError(
                    f"{sweep.path}: --where {condition}: {value} is no number"
                ) from None
        else:
            keep &= values.astype(str) == value
    if not keep.any():
        raise ResultError(f"{sweep.path}: no point has {', '.join(conditions)}")
    parts = [part[keep].reset_index(drop=True) for part in (sweep.points, sweep.parameters)]
    return Sweep(sweep.path, sweep.configuration, *parts, sweep.pools, sweep.classes)
