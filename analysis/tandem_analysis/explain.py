"""Why one deployment lost: the time and the money of a mean request, part by part, of two runs of the same
requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tandem_analysis import causes, units, verdict
from tandem_analysis.load import Result, ResultError

# Parts of the E2E time, in the order in which a request goes through them: name, stages that they are.
STAGES = (
    ("router", ("router",)),
    ("control", ("control",)),
    ("router queue", ("router_queue",)),
    ("prefill queue", ("prefill_queue",)),
    ("prefill compute", ("prefill",)),
    ("decode queue", ("decode_queue",)),
    ("KV transfer", ("transfer",)),
    ("admission", ("admission",)),
)


@dataclass(frozen=True)
class Part:
    """A part of a mean: metric, part, and its value in ns for each of the two runs."""

    metric: str
    part: str
    first: float
    other: float


def check(first: Result, other: Result) -> None:
    """Raises ResultError unless both ran the same requests."""
    differences = verdict.workload_differences(first, other) or _row_differences(first, other)
    if differences:
        raise ResultError(
            f"{first.path} and {other.path}: not the same requests ({'; '.join(differences)}); explain "
            "needs two runs of one workload, seed and warm-up"
        )


def _row_differences(first: Result, other: Result) -> list[str]:
    """Of the rows that both kept. In a closed loop, and in sessions, arrivals follow from answers."""
    ours, theirs = first.requests(), other.requests()
    workload = str(first.configuration.get("workload"))
    if ours is None or theirs is None or first.one_in != other.one_in:
        return []
    if "closed_loop" in workload or "sessions" in workload:
        return []
    names = ("arrival_ns", "prompt_tokens", "output_tokens")
    return [f"other {name}" for name in names if not np.array_equal(ours[name], theirs[name])]


def latency_frame(first: Result, other: Result) -> pd.DataFrame:
    """Parts of the mean E2E, TTFT and TPOT of completed window requests: a row a part, ns."""
    rows = []
    for metric, parts in (("E2E", _e2e), ("TTFT", _ttft), ("TPOT", _tpot)):
        ours, theirs = parts(first), parts(other)
        if ours is None or theirs is None:
            continue
        rows += [Part(metric, name, ours[name], theirs[name]) for name in ours]
    table = pd.DataFrame(rows, columns=["metric", "part", "first", "other"])
    table["difference"] = table["other"] - table["first"]
    return table.rename(
        columns={
            "first": f"{first.label}_ns",
            "other": f"{other.label}_ns",
            "difference": "difference_ns",
        }
    )


def _e2e(result: Result) -> dict[str, float]:
    """All stages; decoding with and without what prefills of others add to it. They sum up to the mean."""
    parts = {
        name: sum(result.value(f"mean_{stage}_ns") for stage in stages) for name, stages in STAGES
    }
    interference = result.value("mean_interference_ns")
    parts["decode compute"] = result.value("mean_decode_ns") - interference
    parts["interference"] = interference
    parts["stalled"] = result.value("mean_stalled_ns")
    return parts


def _ttft(result: Result) -> dict[str, float]:
    """To the end of the prompt by stages; what of that is in none of them (control, and stalls before it);
    and from there to the first token."""
    prompt = {
        name: result.value(f"mean_{stages[0]}_ns")
        for name, stages in STAGES
        if name in ("router", "router queue", "prefill queue", "prefill compute")
    }
    done = result.value("ttft_prefill_mean_ns")
    return {
        **prompt,
        "control, stalls": done - sum(prompt.values()),
        "hand-off until the token": result.value("ttft_mean_ns") - done,
    }


def _tpot(result: Result) -> dict[str, float] | None:
    """Means over the rows of window requests with two tokens or more, of each one's time by its gaps."""
    rows = result.requests()
    if rows is None:
        return None
    begin, end = result.value("window_start_ns"), result.value("window_end_ns")
    rows = rows[(rows["status"] == 0) & (rows["output_tokens"] > 1)]
    rows = rows[(rows["arrival_ns"] >= begin) & (rows["arrival_ns"] <= end)]
    if rows.empty:
        return None
    gaps = rows["output_tokens"] - 1.0
    shown = rows["ttft_ns"] == rows["ttft_prefill_ns"]  # before the hand-off, if there is one
    moved = rows["decode_queue_ns"] + rows["transfer_ns"] + rows["admission_ns"]
    times = {
        "interference": rows["interference_ns"],
        "stalled": rows["stalled_ns"],
        "hand-off": moved.where(shown, 0),
    }
    times["decode compute, control"] = rows["e2e_ns"] - rows["ttft_ns"] - sum(times.values())
    return {name: float((time / gaps).mean()) for name, time in times.items()}


def waits_frame(first: Result, other: Result) -> pd.DataFrame:
    """What is in no stage of its own, ns of a mean request: part of the waits and of the transfer."""
    rows = [
        (name, first.value(f"mean_{key}_ns"), other.value(f"mean_{key}_ns"))
        for name, key in (
            ("waiting for KV blocks of others (blocked)", "blocked"),
            ("congestion of KV transfers", "congestion"),
        )
    ]
    table = pd.DataFrame(rows, columns=["part", f"{first.label}_ns", f"{other.label}_ns"])
    table["difference_ns"] = table[f"{other.label}_ns"] - table[f"{first.label}_ns"]
    return table


def resources_frame(first: Result, other: Result) -> pd.DataFrame:
    """What a request costs: GPU-seconds and USD of the window over the requests completed in it, by pool and
    by what the GPUs did. A run's rows sum up to all its GPUs over the window."""
    return pd.concat([causes.gpu_frame(first), causes.gpu_frame(other)], ignore_index=True)


def sentences(first: Result, other: Result) -> list[str]:
    """Who lost in what and by what; what makes that uncertain."""
    latency = latency_frame(first, other)
    told = [
        _latency_sentence(first, other, latency[latency["metric"] == metric], metric)
        for metric in dict.fromkeys(latency["metric"])
    ]
    told.append(_cost_sentence(first, other))
    for result in (first, other):
        told += causes.remarks(result)
        if result.value("saturated"):
            told.append(f"{result.label} is saturated: its waits depend on the length of the run.")
        if result.one_in > 1:
            told.append(f"TPOT of {result.label} is of 1 request in {result.one_in}.")
    if len(latency["metric"].unique()) < 3:
        told.append(
            "TPOT is left out: a run has no rows of requests with two tokens (output.requests)."
        )
    if first.model != other.model:
        told.append(f"The models differ: {first.model or '?'}, {other.model or '?'}.")
    return told


def _latency_sentence(first: Result, other: Result, table: pd.DataFrame, metric: str) -> str:
    ours, theirs = table[f"{first.label}_ns"].sum(), table[f"{other.label}_ns"].sum()
    return f"{metric}: " + _judge(
        (first.label, other.label),
        (ours, theirs),
        list(zip(table["part"], table["difference_ns"])),
        units.time_text,
        "slower",
    )


def priced(first: Result, other: Result) -> bool:
    """Whether both runs have prices."""
    return bool(first.value("cost_usd_per_hour") and other.value("cost_usd_per_hour"))


def _cost_sentence(first: Result, other: Result) -> str:
    table = causes.causes_frame(first, other)
    unit = "usd" if priced(first, other) else "gpu_s"
    columns = [f"{label}_{unit}" for label in (first.label, other.label, "difference")]
    ours, theirs, differences = (1e3 * table[name] for name in columns)

    def text(value: float) -> str:
        return units.usd_text(value) if unit == "usd" else f"{units.digits(value)} GPU-s"

    noun = "Cost of 1,000 requests" if unit == "usd" else "GPU time of 1,000 requests (no price)"
    labels, totals = (first.label, other.label), (ours.sum(), theirs.sum())
    return f"{noun}: " + _judge(labels, totals, list(zip(table["cause"], differences)), text, "dearer")


def _judge(labels, totals, differences, text, word: str) -> str:
    """Loser, by how much, and the parts that make it, the largest first."""
    if verdict.equal(*totals):
        return f"equal within 1 % ({text(totals[0])}, {text(totals[1])})."
    lost = int(totals[1] > totals[0])
    sign = 1 if lost else -1
    parts = sorted(((sign * value, name) for name, value in differences), reverse=True)
    gap = abs(totals[1] - totals[0])
    worse = [f"{name} +{text(value)}" for value, name in parts if value > 0.05 * gap][:3]
    better = [f"{name} -{text(-value)}" for value, name in reversed(parts) if value < -0.05 * gap][
        :2
    ]
    won = f"; it is better in {', '.join(better)}" if better else ""
    return (
        f"{labels[lost]} is {word}, {text(totals[lost])} against {text(totals[1 - lost])}, mostly by "
        f"{', '.join(worse)}{won}."
    )


def render(first: Result, other: Result) -> str:
    """The tables, as text."""
    latency, waits = latency_frame(first, other), waits_frame(first, other)
    labels = [units.shorten(label, 24) for label in (first.label, other.label)]
    widths = [max(14, len(label)) for label in labels]

    def line(name: str, texts: list[str], change: str) -> str:
        cells = "".join(f"  {text:>{width}}" for text, width in zip(texts, widths))
        return f"{units.shorten(name, 44):<44}{cells}{change:>14}".rstrip()

    def times(name: str, row: pd.Series) -> str:
        values = [row[f"{first.label}_ns"], row[f"{other.label}_ns"]]
        return line(
            name, [_signed(value).lstrip("+") for value in values], _signed(values[1] - values[0])
        )

    lines = [*_cause_lines(first, other), "", line("", labels, "difference")]
    for metric, part in latency.groupby("metric", sort=False):
        lines.append(f"{metric}, mean")
        lines += [times(f"  {row['part']}", row) for _, row in part.iterrows()]
        lines.append(times("  together", part.sum(numeric_only=True)))
    lines.append("Of these, in no stage of their own")
    lines += [times(f"  {row['part']}", row) for _, row in waits.iterrows()]
    return "\n".join([*lines, "", *_resource_lines(first, other)]) + "\n"


def _cause_lines(first: Result, other: Result) -> list[str]:
    """Time and money of a request by cause."""
    table = causes.causes_frame(first, other)
    unit = "usd" if priced(first, other) else "gpu_s"
    total = table.drop(columns="cause").sum()
    labels = [units.shorten(label, 16) for label in (first.label, other.label)]
    of = "USD for 1,000" if unit == "usd" else "GPU-s for 1,000"
    lines = [
        f"{'Causes':<20}{'mean time of a request':>52}{f'{of} requests':>48}",
        f"{'':<20}" + "".join(f"{text:>{width}}" for text, width in zip((*labels, "difference") * 2, (18, 18, 16) * 2)),
    ]

    def line(name: str, row: pd.Series) -> str:
        ns = [row[f"{label}_ns"] for label in (first.label, other.label, "difference")]
        money = [1e3 * row[f"{label}_{unit}"] for label in (first.label, other.label, "difference")]
        cells = [
            *(f"{_signed(value).lstrip('+'):>18}" for value in ns[:2]), f"{_signed(ns[2]):>16}",
            *(f"{_signed_digits(value).lstrip('+'):>18}" for value in money[:2]), f"{_signed_digits(money[2]):>16}",
        ]  # fmt: skip
        return f"  {name:<18}" + "".join(cells)

    lines += [line(row["cause"], row) for _, row in table.iterrows()]
    return [*lines, line("together", total)]


def _signed_digits(value: float) -> str:
    if abs(value) < 1e-12:  # of sums of doubles
        return "0"
    return f"{'-' if value < 0 else '+'}{units.digits(abs(value))}"


def _signed(ns: float) -> str:
    text = units.time_text(abs(ns))
    if abs(ns) < 1e-3:  # of sums of doubles
        return "0"
    return f"{'-' if ns < 0 else '+'}{text}"


def _resource_lines(first: Result, other: Result) -> list[str]:
    lines = [f"{'GPUs, for 1,000 completed requests (~: estimated)':<55}{'share':>10}{'GPU-s':>14}{'USD':>14}"]
    table = resources_frame(first, other)
    for result in (first, other):
        mine = table[table["deployment"] == result.label]
        lines += [
            f"{units.shorten(f'  {result.label}: {row.pool}, {row.part}', 52) + ' ~' * row.estimated:<55}"
            f"{units.percent_text(row.share):>10}{units.digits(1e3 * row.gpu_s_per_request):>14}"
            f"{units.digits(1e3 * row.usd_per_request):>14}"
            for row in mine.itertuples()
            if row.share > 1e-9
        ]
        total = 1e3 * mine[["gpu_s_per_request", "usd_per_request"]].sum()
        lines.append(
            f"{units.shorten(f'  {result.label}: together', 52):<55}{'':>10}"
            f"{units.digits(total['gpu_s_per_request']):>14}{units.digits(total['usd_per_request']):>14}"
        )
    return lines
