"""Draws what `tandem roofline --json` prints: operators under the roofs of a GPU."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from tandem_analysis import figures, units
from tandem_analysis.load import ResultError

EXPECTED = "expected what `tandem roofline --json` of this version prints"
KINDS = {
    "matrices": figures.BLUE,
    "attention": figures.VERMILLION,
    "experts": figures.GREEN,
    "output head": figures.PURPLE,
}
ROOF_DASHES = ("-", "--", "-.")
HEIGHT = 5.2  # inches of one report
LABEL_PIXELS = 17  # between the numbers of two points


@dataclass(frozen=True)
class Report:
    """One report as it was printed; times in s."""

    path: str
    content: dict[str, Any]

    @property
    def label(self) -> str:
        """Model, GPUs and batch in one line."""
        one, batch = self.content, self.content["iteration"]
        parts = []
        if batch["prefill_prompts"] > 0:
            parts.append(f"prefill of {batch['prefill_tokens']:,}")
        if batch["decode_sequences"] > 0:
            parts.append(f"{batch['decode_sequences']:,} x decode at {batch['context_tokens']:,}")
        return f"{one['model']} on {one['gpus']} x {one['gpu']}: {'; '.join(parts)}"

    def operators(self) -> pd.DataFrame:
        """Operators by share of time, the largest first; FLOP/s that they attain."""
        frame = pd.DataFrame(self.content["operators"])
        kinds = [_kind(name, bound) for name, bound in zip(frame["name"], frame["bound"])]
        frame.insert(1, "kind", kinds)
        frame["attained_flops_per_s"] = frame["flops"] / frame["seconds"]
        return frame.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def run(reports: list[Report], folder: Path | None) -> str:
    """Draws and writes CSV where there is a folder; returns what is printed."""
    text = "\n".join(_summary(report) for report in reports)
    if folder is None:
        return text
    with matplotlib.rc_context(figures.STYLE):
        FigureCanvasAgg(draw(reports)).print_png(str(folder / "roofline.png"))
    frame(reports).to_csv(folder / "roofline.csv", index=False)
    return f"{text}\nwritten to {folder}: roofline.png, roofline.csv\n"


def load_all(paths: list[str]) -> list[Report]:
    """Reads the reports; - is standard input."""
    return [_load(path) for path in paths]


def _load(path: str) -> Report:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        content = json.loads(text)
    except OSError as error:
        raise ResultError(
            f"{path}: cannot be read ({error.strerror or error}), {EXPECTED}"
        ) from error
    except ValueError as error:
        raise ResultError(f"{path}: not JSON, {EXPECTED}") from error
    report = Report(path, content)
    try:
        report.operators()
        _summary(report)
        for key in ("bandwidth_bytes_per_s", "peak_flops", "roofs", "classical"):
            content[key]
    except (KeyError, TypeError) as error:
        raise ResultError(f"{path}: {error} is missing, {EXPECTED}") from error
    return report


def frame(reports: list[Report]) -> pd.DataFrame:
    """All operators of all reports."""
    parts = []
    for report in reports:
        part = report.operators()
        part.insert(0, "report", report.label)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def draw(reports: list[Report]) -> Figure:
    """A row for each report: the roofline, and its operators by share of time."""
    top = 0.95
    total = top + HEIGHT * len(reports) + 0.3
    figure = Figure(figsize=(figures.WIDTH, total), dpi=100, facecolor="white")
    axes = figure.subplots(
        len(reports), 2, squeeze=False, gridspec_kw={"width_ratios": (2.15, 1), "wspace": 0.04}
    )
    figure.subplots_adjust(
        left=0.85 / figures.WIDTH,
        right=1 - 0.2 / figures.WIDTH,
        bottom=0.7 / total,
        top=1 - (top + 0.35) / total,
        hspace=1.1 / HEIGHT,
    )
    figure.text(
        0.3 / figures.WIDTH,
        1 - 0.38 / total,
        "Roofline: operators of one iteration",
        fontsize=15,
        fontweight="bold",
        va="center",
    )
    figure.legend(
        handles=_handles(reports),
        loc="upper left",
        bbox_to_anchor=(0.2 / figures.WIDTH, 1 - 0.52 / total),
        ncol=6,
        borderaxespad=0,
        borderpad=0.2,
        columnspacing=1.6,
    )
    for (left, right), report in zip(axes, reports):
        _draw_roofline(left, report)
        _list_operators(right, report)
    return figure


def _kind(name: str, bound: str) -> str:
    """Matrices, attention, experts, output head; communication, and other for what has no FLOPs."""
    if bound == "link":
        return "communication"
    if name in ("norms and activation", "sampler"):
        return "other"
    if name == "output head":
        return name
    if "attention" in name or name == "absorbed products":
        return "attention"
    return "experts" if name == "experts" else "matrices"


def _summary(report: Report) -> str:
    one, batch = report.content, report.content["iteration"]
    operators = report.operators()
    bounds = operators.groupby("bound")["share"].sum().sort_values(ascending=False)
    shares = [f"{bound} {units.percent_text(share)}" for bound, share in bounds.items()]
    return (
        f"{report.label}\n"
        f"  {units.time_text(1e9 * batch['seconds'])} an iteration, MFU {units.percent_text(batch['mfu'])}, "
        f"MBU {units.percent_text(batch['mbu'])}; bound by {', '.join(shares)}, "
        f"host {units.percent_text(1 - bounds.sum())}\n"
        f"  ridge {units.digits(one['ridge_flops_per_byte'])} FLOP/byte; "
        f"TTFT of {one['request']['prompt_tokens']:,} tokens {units.time_text(1e9 * one['request']['ttft_s'])}, "
        f"TPOT {units.time_text(1e9 * one['request']['tpot_s'])}\n"
    )


def _handles(reports: list[Report]) -> list[Line2D]:
    kinds = set(frame(reports)["kind"])
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=9, color=colour, label=kind)
        for kind, colour in KINDS.items()
        if kind in kinds
    ]
    handles.append(
        Line2D(
            [],
            [],
            linestyle="",
            marker="D",
            markersize=8,
            markerfacecolor="white",
            color=figures.BLACK,
            label="textbook, with KV cache",
        )
    )
    handles.append(
        Line2D([], [], color=figures.GREY, linestyle=":", label="ridge; area of a point: share of time")
    )
    return handles


def _drawn(report: Report) -> pd.DataFrame:
    """Operators that have a place under the roof, in order of the list."""
    operators = report.operators()
    return operators[operators["kind"].isin(KINDS) & (operators["flops"] > 0)]


def _number_points(axis: Axes, operators: pd.DataFrame) -> None:
    """Numbers on the points; to the right where one would hide another."""
    points = operators[["intensity_flops_per_byte", "attained_flops_per_s"]].to_numpy()
    taken: list[np.ndarray] = []
    for number, point in enumerate(points, 1):
        place = axis.transData.transform(point)
        while any(abs(place - other).max() < LABEL_PIXELS for other in taken):
            place = place + (LABEL_PIXELS, 0)
        taken.append(place)
        axis.annotate(
            str(number),
            point,
            axis.transData.inverted().transform(place),
            arrowprops={"arrowstyle": "-", "color": figures.GREY, "linewidth": 0.6, "shrinkA": 6},
            ha="center",
            va="center",
            fontsize=9,
            zorder=6,
        )


def _draw_roofline(axis: Axes, report: Report) -> None:
    one = report.content
    bandwidth, roofs = one["bandwidth_bytes_per_s"], one["roofs"]
    operators = _drawn(report)
    textbook = one["classical"]["weights_and_kv"]
    peaks = [roof["peak_flops"] for roof in roofs]
    found = [*operators["intensity_flops_per_byte"], textbook["intensity_flops_per_byte"]]
    low, high = min(found) / 4, max(*found, *(peak / bandwidth for peak in peaks)) * 6
    line = np.geomspace(low, high, 400)
    for roof, dashes in zip(roofs, ROOF_DASHES):
        peak = roof["peak_flops"]
        axis.plot(line, np.minimum(bandwidth * line, peak), color=figures.BLACK, linestyle=dashes)
        axis.text(
            high,
            peak * 1.06,
            f"{roof['dtype']}: {units.digits(peak / 1e12)} TFLOP/s ",
            ha="right",
            va="bottom",
        )
        axis.axvline(peak / bandwidth, color=figures.GREY, linestyle=":", linewidth=1.3, zorder=1)
    axis.scatter(
        operators["intensity_flops_per_byte"],
        operators["attained_flops_per_s"],
        s=40 + 2500 * operators["share"],
        c=[KINDS[kind] for kind in operators["kind"]],
        alpha=0.75,
        edgecolors="white",
        zorder=3,
    )
    x = textbook["intensity_flops_per_byte"]
    axis.plot(
        x,
        min(bandwidth * x, one["peak_flops"]),
        marker="D",
        markersize=8,
        markerfacecolor="white",
        color=figures.BLACK,
        zorder=5,
    )
    lowest = min(*operators["attained_flops_per_s"], bandwidth * min(found))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(low, high)
    axis.set_ylim(lowest / 3, max(peaks) * 2.5)
    _number_points(axis, operators)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.digits(value, trim=True)))
    axis.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: units.digits(value / 1e12, trim=True))
    )
    axis.set_xlabel(
        f"intensity (FLOP/byte); memory {units.digits(bandwidth / 1e9, trim=True)} GB/s"
    )
    axis.set_ylabel("attained on one GPU (TFLOP/s)")
    axis.set_title(units.shorten(report.label, 80))


def _list_operators(axis: Axes, report: Report) -> None:
    """Numbers of the points; what has no FLOPs is in the list alone."""
    operators = report.operators()
    numbers = {index: str(number) for number, index in enumerate(_drawn(report).index, 1)}
    axis.axis("off")
    lines = [
        (numbers.get(index, "-"), row["name"], row["share"], row["bound"])
        for index, row in operators.iterrows()
    ]
    lines.append(("-", "host", 1 - operators["share"].sum(), ""))
    step = min(0.055, 0.94 / len(lines))
    axis.text(0.07, 1, "operator", fontweight="bold", va="top", transform=axis.transAxes)
    axis.text(0.86, 1, "share %", fontweight="bold", ha="right", va="top", transform=axis.transAxes)
    axis.text(0.88, 1, "bound", fontweight="bold", va="top", transform=axis.transAxes)
    for place, (number, name, share, bound) in enumerate(lines):
        y = 1 - step * (place + 1.3)
        for x, word, side in (
            (0.05, number, "right"),
            (0.07, name, "left"),
            (0.86, f"{100 * share:.1f}", "right"),
            (0.88, bound, "left"),
        ):
            axis.text(x, y, word, ha=side, va="top", fontsize=9.5, transform=axis.transAxes)
