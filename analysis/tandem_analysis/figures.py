"""PNG figures, 1200 pixels wide, in the colour-blind-safe colours of Okabe and Ito."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from tandem_analysis import data, table, units
from tandem_analysis.load import Result

WIDTH = 12.0  # inches, of 100 pixels each
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, GREY, BLACK = "#E69F00", "#56B4E9", "#F0E442", "#8C8C8C", "#222222"
DEPLOYMENTS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":")
PHASES = (
    ("busy_prefill", "prefill", ORANGE),
    ("busy_decode", "decode", BLUE),
    ("busy_mixed", "mixed", GREEN),
)
LOADS = (
    ("waiting", "waiting", VERMILLION),
    ("running", "running", BLUE),
    ("moving", "KV moving", PURPLE),
)
STAGE_COLOURS = (GREY, GREEN, YELLOW, ORANGE, PURPLE, SKY, BLUE, VERMILLION)
METRIC_TITLES = {
    "ttft": ("TTFT: time to first token", "share of requests"),
    "tpot": ("TPOT: time per output token after the first", "share of requests"),
    "itl": ("ITL: gap between visible tokens", "share of gaps"),
    "e2e": ("E2E: send to last token", "share of requests"),
}
STYLE = {
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.9,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "svg.fonttype": "none",
}


def draw_all(results: list[Result], folder: Path) -> tuple[list[Path], list[str]]:
    """Draws every figure that has data: paths, and a sentence on each that is left out."""
    written, left_out = [], []
    jobs: tuple[tuple[str, Callable[[list[Result]], Figure | None], str], ...] = (
        ("latency_cdf.png", latency_cdf, "no request was completed"),
        (
            "utilization.png",
            utilization,
            "the runs have no time series, or nothing ran in them",
        ),
        (
            "load.png",
            load_over_time,
            "the runs have no time series, or nothing ran in them",
        ),
        ("stages.png", stages, "no request was completed"),
        (
            "latency_over_time.png",
            latency_over_time,
            "the runs have no rows of completed requests (output.requests)",
        ),
    )
    with matplotlib.rc_context(STYLE):
        for name, draw, reason in jobs:
            figure = draw(results)
            if figure is None:
                left_out.append(f"{name} is left out: {reason}.")
                continue
            FigureCanvasAgg(figure).print_png(str(folder / name))
            written.append(folder / name)
    return written, left_out


def save(folder: Path, name: str, draw: Callable[[], Figure]) -> list[str]:
    """Writes the figure that draw makes, in the style of all; its name, as a list."""
    with matplotlib.rc_context(STYLE):
        FigureCanvasAgg(draw()).print_png(str(folder / name))
    return [name]


class Picture:
    """A figure in the style of all, that notebooks show."""

    def __init__(self, figure: Callable[[], Figure]) -> None:
        png = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            FigureCanvasAgg(figure()).print_png(png)
        self.png = png.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png


def latency_cdf(results: list[Result]) -> Figure | None:
    """Cumulative distributions of the four latencies; dots: p50, p90 and p99 of /summary."""
    frame = data.cdf_frame(results)
    if frame.empty:
        return None
    handles = [Line2D([], [], label=result.label, **line_style(i)) for i, result in enumerate(results)]
    handles.append(Line2D([], [], color=BLACK, marker="o", linestyle="", label="p50, p90, p99"))
    bounds = any(table.has_slo(result) for result in results)
    if bounds:
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (4, 2)), label="SLO"))
    figure, axes = grid(2, 2, 3.4, "Latency: share of values up to a time", handles, gap=0.95)
    for axis, metric in zip(axes.flat, data.CDF_METRICS):
        title, ylabel = METRIC_TITLES[metric]
        axis.set_title(title)
        axis.set_ylabel(ylabel)
        axis.set_xlabel("time, log scale")
        part = frame[frame["metric"] == metric]
        if part.empty:
            nothing(axis, "no values")
            continue
        low, high = _draw_cdfs(axis, results, part, metric)
        bounds_ns = sorted(
            {
                result.value(f"slo_{metric}_ms") * 1e6
                for result in results
                if metric in ("ttft", "tpot") and result.value(f"slo_{metric}_ms") > 0
            }
        )
        for bound in bounds_ns:
            axis.axvline(bound, color=GREY, linestyle=(0, (4, 2)), linewidth=1.4, zorder=1)
        far = [bound for bound in bounds_ns if bound > 2 * high]
        high = max([high, *(bound for bound in bounds_ns if bound not in far)])
        if far:  # it would squeeze the curves
            axis.text(
                0.985,
                0.06,
                f"SLO {units.time_text(far[0], trim=True)} \u2192",
                transform=axis.transAxes,
                ha="right",
                color="#666666",
            )
        _log_time_axis(axis, low, high)
        _percent_axis(axis)
    return figure


def _draw_cdfs(
    axis: Axes, results: list[Result], part: pd.DataFrame, metric: str
) -> tuple[float, float]:
    """The curves of one metric; the range of x that they need (without the lowest 0.1 %)."""
    lows = []
    for i, result in enumerate(results):
        mine = part[part["deployment"] == result.label]
        if mine.empty:
            continue
        times = np.maximum(np.concatenate(([mine["low_ns"].iloc[0]], mine["high_ns"])), 1)
        shares = np.concatenate(([0.0], mine["cumulative_share"]))
        axis.plot(times, shares, drawstyle="steps-post", **line_style(i))
        percents = (50, 90, 99)
        axis.plot(
            [max(1, result.value(f"{metric}_p{percent}_ns")) for percent in percents],
            [percent / 100 for percent in percents],
            linestyle="",
            marker="o",
            markersize=6,
            color=line_style(i)["color"],
            markeredgecolor="white",
            zorder=4,
        )
        lows.append(times[min(np.searchsorted(shares, 0.001), len(times) - 1)])
    return min(lows), max(1, part["high_ns"].max())


def utilization(results: list[Result]) -> Figure | None:
    """Busy share by phase and KV blocks in use over time, one row per pool of each deployment."""
    handles = [Patch(facecolor=colour, label=f"busy: {name}") for _, name, colour in PHASES]
    handles.append(Line2D([], [], color=PURPLE, label="KV blocks used"))
    most = max(
        (series["kv_used"].max() for result in results for series in result.timeseries.values()),
        default=0,
    )
    kv_top = next((top for top in (0.02, 0.05, 0.1, 0.2, 0.5) if most <= top), 1.0)

    def draw(busy: Axes, kv: Axes, frame: pd.DataFrame) -> None:
        edges = (
            np.append(frame["start_ns"], frame["start_ns"].iloc[-1] + frame["width_ns"].iloc[-1])
            / 1e9
        )
        base = np.zeros(len(frame))
        for column, _, colour in PHASES:
            top = base + frame[column].to_numpy()
            busy.stairs(top, edges, baseline=base, fill=True, facecolor=colour, linewidth=0)
            base = top
        kv.stairs(
            frame["kv_used"].to_numpy(), edges, fill=True, facecolor=PURPLE, alpha=0.25, linewidth=0
        )
        kv.stairs(frame["kv_used"].to_numpy(), edges, baseline=None, color=PURPLE, linewidth=1.6)
        _percent_axis(busy)
        _percent_axis(kv, kv_top)

    return _over_time(
        results,
        "Utilization and KV cache over time",
        handles,
        ("share of time busy", "share of KV blocks"),
        draw,
    )


def load_over_time(results: list[Result]) -> Figure | None:
    """Requests and tokens per second over time, one row per pool of each deployment."""
    handles = [Line2D([], [], color=colour, label=name) for _, name, colour in LOADS]
    handles += [
        Line2D([], [], color=ORANGE, label="prompt tokens/s"),
        Line2D([], [], color=GREEN, label="output tokens/s"),
    ]

    def draw(load: Axes, tokens: Axes, frame: pd.DataFrame) -> None:
        edges = (
            np.append(frame["start_ns"], frame["start_ns"].iloc[-1] + frame["width_ns"].iloc[-1])
            / 1e9
        )
        for column, _, colour in LOADS:
            load.stairs(frame[column].to_numpy(), edges, baseline=None, color=colour, linewidth=1.6)
        for column, colour in (("prefill_tokens_per_s", ORANGE), ("output_tokens_per_s", GREEN)):
            tokens.stairs(
                frame[column].to_numpy(), edges, baseline=None, color=colour, linewidth=1.6
            )
        for axis in (load, tokens):
            axis.set_ylim(bottom=0)
            axis.yaxis.set_major_locator(MaxNLocator(4))
            axis.yaxis.set_major_formatter(
                FuncFormatter(lambda value, _: units.digits(value, trim=True))
            )

    return _over_time(
        results, "Requests and tokens over time", handles, ("requests", "tokens/s"), draw
    )


def _over_time(
    results: list[Result],
    title: str,
    handles: list,
    ylabels: tuple[str, str],
    draw: Callable[[Axes, Axes, pd.DataFrame], None],
) -> Figure | None:
    """Two columns over the same time axis; grey is outside the window that the metrics count."""
    rows = [(result, pool) for result in results for pool in data.pool_order(result)]
    if not rows:
        return None
    handles = [*handles, Patch(facecolor="#EDEDED", label="outside the window")]
    end = max(result.value("end_ns") for result, _ in rows) / 1e9
    figure, axes = grid(len(rows), 2, 1.75, title, handles, gap=0.5, sharex=True)
    for (left, right), (result, pool) in zip(axes, rows):
        draw(left, right, data.thinned(result.timeseries[pool]))
        hardware = table.pool_text(result.pools[result.pools["name"] == pool].iloc[0])
        left.set_title(units.shorten(f"{result.label}: {pool} ({hardware})", 60))
        for axis, ylabel in zip((left, right), ylabels):
            axis.set_ylabel(ylabel)
            axis.set_xlim(0, end)
            for start, stop in (
                (0, result.value("window_start_ns") / 1e9),
                (result.value("window_end_ns") / 1e9, end),
            ):
                if stop > start:
                    axis.axvspan(start, stop, color="#EDEDED", linewidth=0, zorder=0)
    for axis in axes[-1]:
        axis.set_xlabel("time since the start (s)")
    return figure


def stages(results: list[Result]) -> Figure | None:
    """Where the time of a mean request goes: stacked stages, whole and without decode."""
    frame = data.stages_frame(results)
    if not frame["mean_ns"].any():
        return None
    handles = [
        Patch(facecolor=colour, label=stage) for stage, colour in zip(data.STAGES, STAGE_COLOURS)
    ]
    figure, axes = grid(
        2,
        1,
        0.75 + 0.5 * len(results),
        "Where the time of a request goes (means)",
        handles,
        gap=1.0,
        left=_label_inches(results),
    )
    for axis, title, without in zip(
        axes.flat, ("Whole request", "Without decode"), ((), ("decode",))
    ):
        longest = 0.0
        drawn = []
        for y, result in enumerate(results):
            position = 0.0
            mine = frame[frame["deployment"] == result.label]
            for stage, colour, mean in zip(data.STAGES, STAGE_COLOURS, mine["mean_ns"]):
                if stage in without or mean <= 0:
                    continue
                axis.barh(
                    y,
                    mean,
                    left=position,
                    height=0.62,
                    color=colour,
                    edgecolor="white",
                    linewidth=0.4,
                )
                drawn.append((position + mean / 2, y, mean, colour))
                position += mean
            axis.text(position, y, f" {units.time_text(position)}", va="center", fontweight="bold")
            longest = max(longest, position)
        for x, y, mean, colour in drawn:
            if mean > 0.075 * longest:
                dark = colour in (BLUE, VERMILLION, GREY)
                axis.text(
                    x,
                    y,
                    units.time_text(mean),
                    ha="center",
                    va="center",
                    fontsize=9.5,
                    color="white" if dark else BLACK,
                )
        axis.set_title(title)
        axis.set_yticks(
            range(len(results)), [units.shorten(result.label, 30) for result in results]
        )
        axis.set_ylim(len(results) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
        axis.set_xlim(0, 1.12 * longest if longest else 1)
        _linear_time_axis(axis.xaxis, longest)
        axis.set_xlabel("mean time per completed request")
    return figure


def latency_over_time(results: list[Result]) -> Figure | None:
    """TTFT and E2E of requests by their time of arrival; a rising line is a growing queue."""
    frame = data.arrivals_frame(results)
    if frame.empty:
        return None
    handles = [
        Line2D([], [], label=data.sample_label(result), **line_style(i)) for i, result in enumerate(results)
    ]
    handles += [
        Line2D([], [], color=GREY, label="median"),
        Line2D([], [], color=GREY, linestyle=":", linewidth=1.4, label="90th percentile"),
    ]
    figure, axes = grid(2, 1, 2.6, "Latency by time of arrival", handles, gap=0.55, sharex=True)
    for axis, metric, title in zip(
        axes.flat, ("ttft", "e2e"), ("TTFT: time to first token", "E2E: send to last token")
    ):
        for i, result in enumerate(results):
            mine = frame[frame["deployment"] == result.label]
            if mine.empty:
                continue
            times = (mine["arrival_from_ns"] + mine["arrival_to_ns"]).to_numpy() / 2e9
            axis.plot(times, mine[f"{metric}_p50_ns"].to_numpy(), **line_style(i))
            axis.plot(
                times,
                mine[f"{metric}_p90_ns"].to_numpy(),
                color=line_style(i)["color"],
                linestyle=":",
                linewidth=1.4,
            )
        axis.set_title(title)
        axis.set_ylim(bottom=0)
        _linear_time_axis(axis.yaxis, axis.get_ylim()[1], 5)
        axis.set_ylabel(metric.upper())
    axes.flat[-1].set_xlabel("time of arrival (s)")
    axes.flat[-1].set_xlim(left=0)
    return figure


def grid(
    rows: int,
    columns: int,
    height: float,
    title: str,
    handles: list,
    gap: float,
    left: float = 1.0,
    sharex: bool = False,
) -> tuple[Figure, np.ndarray]:
    """Axes under a title and one legend; heights and gaps in inches: many rows squeeze nothing."""
    across = _legend_columns([str(handle.get_label()) for handle in handles])
    head = 0.95 + 0.25 * math.ceil(len(handles) / across)
    foot = 0.65
    total = head + foot + height * rows + gap * (rows - 1)
    figure = Figure(figsize=(WIDTH, total), dpi=100, facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex)
    figure.subplots_adjust(
        left=left / WIDTH,
        right=1 - 0.3 / WIDTH,
        bottom=foot / total,
        top=1 - head / total,
        hspace=gap / height,
        wspace=0.22,
    )
    figure.text(0.3 / WIDTH, 1 - 0.38 / total, title, fontsize=15, fontweight="bold", va="center")
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.2 / WIDTH, 1 - 0.52 / total),
        ncol=across,
        borderaxespad=0,
        borderpad=0.2,
        columnspacing=1.6,
    )
    return figure, axes


def _legend_columns(labels: list[str]) -> int:
    """As many as fit side by side, a letter being about 0.085 inch wide."""
    room = WIDTH - 0.5
    widths = [0.75 + 0.085 * len(label) for label in labels]
    return len(labels) if sum(widths) <= room else max(1, int(room / max(widths)))


def _label_inches(results: list[Result]) -> float:
    return 0.5 + 0.09 * max(len(units.shorten(result.label, 30)) for result in results)


def line_style(i: int) -> dict[str, object]:
    """Colour, then dashes; later lines are thinner, so that one below an equal one shows."""
    return {
        "color": DEPLOYMENTS[i % len(DEPLOYMENTS)],
        "linestyle": DASHES[i // len(DEPLOYMENTS) % len(DASHES)],
        "linewidth": max(1.3, 2.6 - 0.5 * i),
    }


def nothing(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color=GREY)
    axis.set_xticks([])
    axis.set_yticks([])


def _percent_axis(axis: Axes, top: float = 1.0) -> None:
    ticks = [top * i / 4 for i in range(5)]
    axis.set_ylim(0, 1.02 * top)
    axis.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])


def _log_time_axis(axis: Axes, low: float, high: float) -> None:
    """Ticks at 1, 2, 5 or only at powers of ten, whichever is readable; values are ns."""
    low, high = low / 1.08, max(high, low * 1.2) * 1.08
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    steps = next(
        (
            steps
            for most, steps in (
                (4, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)),
                (300, (1, 2, 5)),
                (3000, (1, 3)),
            )
            if high / low < most
        ),
        (1,),
    )
    ticks = [step * 10.0**power for power in range(20) for step in steps]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) < 2:
        inside = [low * 1.08, high / 1.08]
    axis.xaxis.set_major_locator(FixedLocator(inside))
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: units.time_text(float(f"{value:.3g}"), trim=True))
    )
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())


def _linear_time_axis(axis: matplotlib.axis.Axis, longest: float, ticks: int = 8) -> None:
    """Round steps in the unit of the longest value; values are ns."""
    unit = next((size for size in (1e9, 1e6, 1e3) if longest >= size), 1.0)
    top = max(longest, 1) / unit
    steps = MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]).tick_values(0, top)
    axis.set_major_locator(FixedLocator([step * unit for step in steps if 0 <= step <= 1.12 * top]))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: units.time_text(float(f"{value:.6g}"), trim=True))
    )
