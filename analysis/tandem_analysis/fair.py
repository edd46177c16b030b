"""Named points of a sweep on the same requests: whether that is fair, what each sustains, who serves more and how sure that is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from tandem_analysis import sweep, units
from tandem_analysis.load import Sweep

RATE = "request_rate_per_s"
SAME = (  # figures that only the workload, the warm-up and the SLO decide, and what they are called
    ("window_arrivals", "requests"),
    (RATE, "rates"),
    ("window_start_ns", "warm-ups"),
    ("slo_ttft_ms", "SLOs"),
    ("slo_tpot_ms", "SLOs"),
    ("slo_itl_ms", "SLOs"),
)
EQUAL = 0.01  # GPUs, prices and powers this close, relative to the larger, are called the same
WINDOW_RULE = (
    "Counted are requests that arrive from the warm-up to the last arrival, each until its end, also after the last "
    "arrival (drain); rates, tokens and cost are those of that window. Refused requests miss the SLO."
)


def rate_axis(points: Sweep) -> str | None:
    """The axis along which requests come faster, where there is one."""
    table = sweep.means(points, (RATE,))
    axes = sweep.axes_of(points)
    for path in axes:
        if not pd.api.types.is_numeric_dtype(table[path]):
            continue
        rest = [sweep.NAME, *(other for other in axes if other != path)]
        parts = [part.sort_values(path)[RATE].to_numpy() for _, part in sweep.groups(table, rest)]
        if all(np.all(np.diff(rates) > 0) for rates in parts) and max(map(len, parts)) > 1:
            return path
    return None


def limits(points: Sweep, x: str, target: float) -> pd.DataFrame:
    """A row a named point, place on the other axes and seed: the highest rate at which the share `target` of the
    requests meet the SLO and nothing piles up (rate_per_s, and per GPU and dollar). Rates ascend to the first that misses; between it
    and the one before, attainment is taken as linear in log(rate); of one that is saturated, the one before counts. bound: "" found;
    "below": the lowest rate misses (NaN); "beyond": the highest holds."""
    axes = [path for path in sweep.axes_of(points) if path != x]
    keys = [sweep.NAME, *map(sweep.column, axes)]
    seeded = sweep.SEED in points.parameters
    rows = []
    for key, part in sweep.groups(sweep.completed(points), keys + [sweep.column(sweep.SEED)] * seeded):
        part = part.sort_values(sweep.column(x))
        rate, bound = _limit(part, target)
        row: dict[str, Any] = dict(zip([sweep.NAME, *axes, sweep.SEED], key))
        row |= {"rate_per_s": rate, "bound": bound, "rate_per_s_per_gpu": rate / part["gpus"].iloc[0]}
        price = part["cost_usd_per_hour"].iloc[0]
        row["requests_per_usd"] = rate * 3600 / price if price > 0 else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _limit(part: pd.DataFrame, target: float) -> tuple[float, str]:
    rates, shares = part[RATE].to_numpy(dtype=float), part["slo_attainment"].to_numpy(dtype=float)
    misses = (shares < target) | (part["saturated"] > 0).to_numpy()
    if not misses.any():
        return rates[-1], "beyond"
    first = int(np.argmax(misses))
    if first == 0:
        return math.nan, "below"
    if shares[first] >= target or shares[first - 1] == shares[first]:
        return rates[first - 1], ""
    way = (shares[first - 1] - target) / (shares[first - 1] - shares[first])
    return float(rates[first - 1] * (rates[first] / rates[first - 1]) ** way), ""


def ratios(table: pd.DataFrame, baseline: str, figure: str = "rate_per_s_per_gpu") -> pd.DataFrame:
    """Of limits: how many times as much each named point sustains as the baseline at the same place and seed. A row a
    named point and place: seeds, means of both, ratio (geometric mean over seeds), low and high of its 95 %
    confidence interval (Student's t of the logarithms; NaN of one seed), told_apart, bound (of either, if any).
    """
    axes = [
        name
        for name in table.columns[: table.columns.get_loc("rate_per_s")]
        if name not in (sweep.NAME, sweep.SEED)
    ]
    keys = axes + [sweep.SEED] * (sweep.SEED in table)
    base = table[table[sweep.NAME] == baseline][[*keys, figure, "bound"]]
    rows = []
    for name in dict.fromkeys(table.loc[table[sweep.NAME] != baseline, sweep.NAME]):
        mine = table[table[sweep.NAME] == name][[*keys, figure, "bound"]]
        how = {"on": keys} if keys else {"how": "cross"}
        both = mine.merge(base, suffixes=("", "_base"), **how)
        for key, part in sweep.groups(both, axes):
            logs = np.log((part[figure] / part[f"{figure}_base"]).to_numpy(dtype=float))
            middle, half = sweep.interval(logs)
            bounds = {bound for side in ("bound", "bound_base") for bound in part[side] if bound}
            rows.append(
                {sweep.NAME: name, **dict(zip(axes, key)), "seeds": len(part), "mean": part[figure].mean(),
                 "baseline_mean": part[f"{figure}_base"].mean(), "ratio": math.exp(middle),
                 "low": math.exp(middle - half), "high": math.exp(middle + half),
                 "told_apart": bool(abs(middle) > half), "bound": " and ".join(sorted(bounds))}
            )  # fmt: skip
    return pd.DataFrame(rows)


def verdict(points: Sweep, x: str, baseline: str, target: float) -> list[str]:
    """A sentence a named point and place: who serves more at the target, by how much, with its interval."""
    table = limits(points, x, target)
    lines = [f"Highest rate at which {100 * target:g} % of the requests meet the SLO and nothing piles up:"]
    per_gpu, per_usd = ratios(table, baseline), ratios(table, baseline, "requests_per_usd")
    axes = [path for path in sweep.axes_of(points) if path != x]
    for row, paid in zip(per_gpu.to_dict("records"), per_usd.to_dict("records")):
        place = ", ".join(f"{path}={sweep.value_text(row[path])}" for path in axes)
        lines.append(f"  {place}{': ' * bool(place)}{sentence(row, baseline, 'requests/s per GPU')}")
        if not row["bound"] and abs(paid["ratio"] / row["ratio"] - 1) > EQUAL:
            lines.append(f"    per dollar: {sentence(paid, baseline, 'requests per dollar')}")
    return lines


def sentence(row: dict[str, Any], baseline: str, unit: str) -> str:
    """Of a row of ratios."""
    name, seeds = row[sweep.NAME], f"{row['seeds']} seed{'s' * (row['seeds'] != 1)}"
    if row["bound"]:
        words = {"below": "the lowest rate misses it", "beyond": "the highest rate holds it"}
        told = " and ".join(words[bound] for bound in row["bound"].split(" and "))
        return f"{name} and {baseline} are not compared: {told} at a seed; sweep other rates"
    against = f"{units.digits(row['mean'])} against {units.digits(row['baseline_mean'])} {unit}"
    if math.isnan(row["low"]):
        more = abs(100 * (row["ratio"] - 1))
        word = "more" if row["ratio"] >= 1 else "less"
        return f"{name} serves {more:.1f} % {word} than {baseline} ({against}; one seed: nothing says how sure that is)"
    low, high = (100 * (row[side] - 1) for side in ("low", "high"))
    if not row["told_apart"]:
        change = 100 * (row["ratio"] - 1)
        return f"{name} and {baseline} are not told apart: {change:+.1f} % (95 % CI {low:+.1f} to {high:+.1f} %), {against}, {seeds}"
    if row["ratio"] < 1:
        low, high = -high, -low
    return (
        f"{name} serves {abs(100 * (row['ratio'] - 1)):.1f} % (95 % CI {low:.1f} to {high:.1f} %) "
        f"{'more' if row['ratio'] > 1 else 'less'} than {baseline}: {against}, {seeds}"
    )


def fairness(points: Sweep, baseline: str) -> list[str]:
    """What a comparison with the baseline rests on; what makes it unfair comes first, in capitals. Raises ResultError."""
    sweep.check_name(points, baseline, "--baseline")
    done = sweep.completed(points)
    unlike, apart = _unlike(points, done, baseline)
    lines = [f"NOT A FAIR COMPARISON: {reason}" for reason in unlike]
    lines += [f"{name} and {baseline} were not completed at the same places and seeds." for name in apart]
    lines += _constraints(done)
    seeds = sorted(points.parameters[sweep.SEED].unique()) if sweep.SEED in points.parameters else []
    told = f"at seeds {', '.join(map(sweep.value_text, seeds))}" if len(seeds) > 1 else "at one seed"
    starts = sorted(done["window_start_ns"].unique())
    warm = " and ".join(units.time_text(start, trim=True) for start in starts)
    if not unlike:
        lines.append(
            f"Same requests for all {told}; differences are of pairs, intervals Student's t at 95 %."
        )
    lines.append(f"Warm-up {warm}. {WINDOW_RULE}")
    return lines


def _unlike(points: Sweep, done: pd.DataFrame, baseline: str) -> tuple[list[str], list[str]]:
    """Reasons why figures of a named point and the baseline cannot be compared; named points with other places."""
    keys = [sweep.column(path) for path in [*sweep.axes_of(points), sweep.SEED] if path in points.parameters]
    figures = tuple(figure for figure, _ in SAME)
    base, reasons, apart = done[done[sweep.NAME] == baseline], [], []
    for name, part in done.groupby(sweep.NAME, sort=False):
        both = sweep.merged(part, base, keys, figures)
        words = [word for figure, word in SAME if (both[figure] != both[f"{figure}_base"]).any()]
        if words:
            reasons.append(f"{name} and {baseline} have different {', '.join(dict.fromkeys(words))}")
        if len(both) < max(len(part), len(base)):
            apart.append(str(name))
    return reasons, apart


def _constraints(done: pd.DataFrame) -> list[str]:
    """GPUs, price and power of the named points: the same or not. Power is what points without queues take, each at the
    highest rate at which none of the named points is saturated."""
    names = list(dict.fromkeys(done[sweep.NAME]))
    lines = []
    for figure, noun, text in (
        ("gpus", "GPUs", units.count_text),
        ("cost_usd_per_hour", "price an hour", units.usd_text),
    ):
        parts = [done.loc[done[sweep.NAME] == name, figure] for name in names]
        lines.append(_same(noun, names, [(part.min(), part.max()) for part in parts], text))
    calm = done.groupby(RATE)["saturated"].max()
    common = done.groupby(RATE)[sweep.NAME].nunique()
    rates = [rate for rate in calm.index if not calm[rate] and common[rate] == len(names)]
    if rates:
        at = done[done[RATE] == max(rates)].groupby(sweep.NAME)["mean_power_watts"]
        noun = f"mean power at {units.digits(max(rates))} requests/s"
        lines.append(
            _same(noun, names, [(at.min()[name], at.max()[name]) for name in names], units.watts_text)
        )
    return lines


def _same(noun: str, names: list[str], ranges: list[tuple[float, float]], text: Any) -> str:
    least, most = min(low for low, _ in ranges), max(high for _, high in ranges)
    if most - least <= EQUAL * most:
        return f"Same {noun}: {text(most)}."
    told = ", ".join(
        f"{name} {text(low)}{f' to {text(high)}' if high > low else ''}"
        for name, (low, high) in zip(names, ranges)
    )
    return f"Not the same {noun}: {told}."
