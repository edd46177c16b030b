"""Figures and tables of sweeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from tandem_analysis import fair, figures, sweep, units
from tandem_analysis.load import ResultError, Sweep

MOST_LINES = 60  # of paired differences that are printed
SHOWN = (  # of the printed table: figure, heading, text
    ("slo_attainment", "meet SLO", units.percent_text),
    ("goodput_per_s_per_gpu", "goodput/s/GPU", units.digits),
    ("ttft_p99_ns", "TTFT p99", units.time_text),
    ("tpot_p99_ns", "TPOT p99", units.time_text),
    ("usd_per_million_output_tokens", "$/M output", units.usd_text),
    ("usd_per_thousand_good_requests", "$/1000 in SLO", units.usd_text),
)
ERRORS = "bar: 95 % of means over seeds"
SEARCH = "These are the runs of a search; its answer is in the tables deployments, candidates, seeds and cheapest: export -o DIR."
NO_CURVES = (
    "No curves: choose an axis (--x) and at most one other (--group, or --where for one value)."
)


def run_sweep(
    points: Sweep,
    x: str | None,
    group: str | None,
    baseline: str | None,
    target: float,
    folder: Path | None,
) -> str:
    """The command `sweep`: table, paired differences, curves against an axis, bars."""
    for path, option in ((x, "--x"), (group, "--group")):
        if path:
            sweep.check_axis(points, path, option)
    unnamed = x is None
    if unnamed:
        x, group = choose_axes(points, None, group)
    table = sweep.means(points)
    paired = sweep.paired(points, baseline) if baseline else None
    lines = [aligned(*cells(points, table)), *sweep.problems(points)]
    if "search" in points.configuration:
        lines.append(SEARCH)
    if baseline is not None and paired is not None:
        lines += ["", *_paired_lines(points, paired, baseline), "", *fair.fairness(points, baseline)]
        lines += ["", *fair_verdict(points, baseline, target)]
    text = "\n".join(lines) + "\n"
    if unnamed and x is None and sweep.axes_of(points):
        text += NO_CURVES + "\n"
    if folder is None:
        return text
    written = ["sweep.csv"]
    table.to_csv(folder / written[0], index=False)
    if paired is not None:
        written.append("sweep_paired.csv")
        paired.to_csv(folder / written[-1], index=False)
    if x:
        drawn = curves(points, table, x, group)
        best = bars_frame(drawn, target)
        best.to_csv(folder / "sweep_goodput.csv", index=False)
        written.append("sweep_goodput.csv")
        written += figures.save(
            folder, "sweep_attainment.png", lambda: draw_curves(drawn, x, target)
        )
        written += figures.save(folder, "sweep_goodput.png", lambda: draw_bars(best, x, target))
    return f"{text}\nwritten to {folder}: {', '.join(written)}\n"


def fair_verdict(points: Sweep, baseline: str, target: float) -> list[str]:
    """Who serves more at the target, or why nobody can say."""
    x = fair.rate_axis(points)
    if x is None:
        return ["No verdict: along no axis do requests come faster."]
    if not any((points.points[f"slo_{metric}_ms"] > 0).any() for metric in ("ttft", "tpot", "itl")):
        return ["No verdict: no SLO is set."]
    return fair.verdict(points, x, baseline, target)


def choose_axes(points: Sweep, x: str | None, group: str | None) -> tuple[str | None, str | None]:
    """What is drawn where it is not said: against the only axis or the one along which requests come faster, a curve a value of the
    only other one. No x: there are too many."""
    axes = sweep.axes_of(points)
    x = x or (axes[0] if len(axes) == 1 else fair.rate_axis(points))
    rest = [path for path in axes if path != x]
    group = group or (rest[0] if len(rest) == 1 else None)
    return (None, None) if x is None or set(rest) - {group} else (x, group)


def cells(points: Sweep, table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Of means: heads and rows as text."""
    axes = sweep.axes_of(points)
    shown = [
        (name, head, text) for name, head, text in SHOWN if name in table and table[name].any()
    ]
    heads = ["point", *axes, "seeds", *(head for _, head, _ in shown), ""]
    rows = [
        [str(row["name"]), *(sweep.value_text(row[path]) for path in axes), str(row["seeds"])]
        + [_with_interval(row, name, text) for name, _, text in shown]
        + ["saturated" if row["saturated"] else ""]
        for _, row in table.iterrows()
    ]
    return heads, rows


def aligned(heads: list[str], rows: list[list[str]]) -> str:
    """Lines of text with columns to the right."""
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(heads))]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths)).rstrip()
        for line in [heads, *rows]
    )


def _with_interval(row: pd.Series, name: str, text: Callable[[float], str]) -> str:
    if math.isnan(row[name]):
        return "none"
    half = row[f"{name}_ci95"]
    told = text(row[name])
    if math.isnan(half) or half <= 1e-4 * abs(row[name]):
        return told
    return f"{told} +-{text(half)}"


def paired_cells(points: Sweep, table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A row a named point, place and shown metric: heads and rows as text."""
    texts = {name: (head, text) for name, head, text in SHOWN}
    axes = sweep.axes_of(points)
    rows = []
    for row in table.to_dict("records"):
        if row["metric"] not in texts or not (row["baseline_mean"] or row["difference"]):
            continue
        head, text = texts[row["metric"]]
        sign = "-" if row["difference"] < 0 else "+"
        half = row["difference_ci95"]
        told = f"{sign}{text(abs(row['difference']))} ({'one seed' if math.isnan(half) else f'+-{text(half)}'})"
        apart = "" if row["told_apart"] or math.isnan(half) else "not told apart"
        if not row["difference"] and not half:
            told, apart = "equal at every seed", ""
        rows.append([row["name"], *(sweep.value_text(row[path]) for path in axes), head, told, apart])
    return ["point", *axes, "figure", "difference", ""], rows


def _paired_lines(points: Sweep, table: pd.DataFrame, baseline: str) -> list[str]:
    """The same as sentences."""
    lines = [f"against {baseline}, same seeds (difference, 95 % confidence interval):"]
    axes = sweep.axes_of(points)
    for name, *values, head, told, apart in paired_cells(points, table)[1]:
        place = ", ".join([name, *(f"{path}={value}" for path, value in zip(axes, values) if value != "-")])
        lines.append(f"  {place}: {head} {told}{': ' * bool(apart)}{apart}")
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"  and {len(lines) - MOST_LINES} more: sweep_paired.csv (-o DIR)"]
    return lines


def curves(points: Sweep, table: pd.DataFrame, x: str, group: str | None) -> pd.DataFrame:
    """The means with a column curve: the named point and the value of the group; other axes must be fixed."""
    rest = [path for path in sweep.axes_of(points) if path not in (x, group)]
    if rest:
        raise ResultError(
            f"{points.path}: other axes: {', '.join(rest)}; draw one value of each (--where PATH=VALUE) or one "
            "curve a value (--group PATH)"
        )
    drawn = table.copy()
    if x not in drawn:
        raise ResultError(
            f"{points.path}: --x {x} has one value at each named point, choose another axis"
        )
    words = drawn["name"].astype(str)
    if group and group in drawn:
        values = drawn[group].map(sweep.value_text)
        words = words.where(words == "", words + ", ") + f"{group}=" + values
    drawn.insert(0, "curve", words.where(words != "", "all points"))
    return drawn


def bars_frame(curves: pd.DataFrame, target: float) -> pd.DataFrame:
    """Of each curve the place with the most goodput per GPU of those that are not saturated and meet the target."""
    rows = []
    for name, part in curves.groupby("curve", sort=False):
        good = part[(part["saturated"] == 0) & (part["slo_attainment"] >= target)]
        if good.empty:
            rows.append(
                {
                    "curve": name,
                    "goodput_per_s_per_gpu": 0.0,
                    "goodput_per_s_per_gpu_ci95": math.nan,
                }
            )
        else:
            rows.append(good.loc[good["goodput_per_s_per_gpu"].idxmax()].to_dict())
    return pd.DataFrame(rows)


def _places(values: pd.Series) -> tuple[list, dict]:
    """Values of an axis in order, and their places: numbers are their own, words are counted."""
    order = (
        sorted(dict.fromkeys(values))
        if pd.api.types.is_numeric_dtype(values)
        else list(dict.fromkeys(values))
    )
    numeric = pd.api.types.is_numeric_dtype(values)
    return order, {value: value if numeric else i for i, value in enumerate(order)}


def _error_bars(axis: Axes, x: np.ndarray, part: pd.DataFrame, metric: str, style: dict) -> None:
    """A curve with intervals; saturated places are hollow."""
    y, half = part[metric].to_numpy(), part[f"{metric}_ci95"].fillna(0).to_numpy()
    axis.errorbar(x, y, yerr=half, capsize=3, elinewidth=1, **style)
    for hollow in (False, True):
        which = (part["saturated"] > 0).to_numpy() == hollow
        colour = "white" if hollow else style["color"]
        axis.plot(x[which], y[which], "o", color=style["color"], markerfacecolor=colour, zorder=4)


def draw_curves(curves: pd.DataFrame, x: str, target: float) -> Figure:
    """SLO attainment and goodput of each curve against an axis."""
    names = list(dict.fromkeys(curves["curve"]))
    styles = {name: figures.line_style(i) for i, name in enumerate(names)}
    handles = [Line2D([], [], label=name, **style) for name, style in styles.items()]
    handles.append(
        Line2D(
            [],
            [],
            color=figures.BLACK,
            marker="o",
            markerfacecolor="white",
            linestyle="",
            label="saturated",
        )
    )
    handles.append(Line2D([], [], color=figures.GREY, linestyle=":", label=f"target; {ERRORS}"))
    figure, axes = figures.grid(
        2, 1, 2.8, "SLO attainment and goodput", handles, gap=0.6, sharex=True
    )
    order, places = _places(curves[x])
    for axis, metric, label in zip(
        axes[:, 0],
        ("slo_attainment", "goodput_per_s"),
        ("requests within the SLO (%)", "goodput (requests/s)"),
    ):
        for name in names:
            part = curves[curves["curve"] == name].sort_values(
                x, key=lambda values: values.map(places)
            )
            _error_bars(axis, part[x].map(places).to_numpy(dtype=float), part, metric, styles[name])
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    axes[0, 0].axhline(target, color=figures.GREY, linestyle=":")
    axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    axes[1, 0].set_xlabel(x)
    if not pd.api.types.is_numeric_dtype(curves[x]):
        axes[1, 0].set_xticks(range(len(order)), order)
    return figure


def draw_bars(best: pd.DataFrame, x: str, target: float) -> Figure:
    """The most goodput per GPU of each curve."""
    handle = Patch(facecolor=figures.BLUE, label=f"most goodput per GPU, not saturated; {ERRORS}")
    title = f"Goodput where {100 * target:g} % of the requests meet the SLO"
    longest = max(len(name) for name in best["curve"])
    left = 0.6 + 0.09 * min(longest, 40)
    figure, axes = figures.grid(1, 1, 0.5 + 0.45 * len(best), title, [handle], gap=0, left=left)
    axis, values = axes[0, 0], best["goodput_per_s_per_gpu"]
    axis.barh(
        range(len(best)),
        values,
        xerr=best["goodput_per_s_per_gpu_ci95"].fillna(0),
        color=figures.BLUE,
        capsize=3,
    )
    for place, row in enumerate(best.to_dict("records")):
        at = f"{units.digits(row['goodput_per_s_per_gpu'])} at {x} {sweep.value_text(row.get(x))}"
        axis.text(
            row["goodput_per_s_per_gpu"], place - 0.28,
            f" {at if row['goodput_per_s_per_gpu'] else 'never'}", va="bottom",
        )  # fmt: skip
    axis.set_yticks(range(len(best)), [units.shorten(name, 40) for name in best["curve"]])
    axis.set_ylim(len(best) - 0.3, -0.8)
    axis.set_xlim(0, 1.6 * max(values.max(), 1e-9))
    axis.set_xlabel("goodput per GPU (requests/s)")
    axis.set_ylabel("curve")
    axis.grid(axis="y", visible=False)
    return figure


PARETO = (  # x, y, larger is better, title, labels, factors
    ("tokens_per_s_per_user", "output_tokens_per_s_per_gpu", True, "Throughput against interactivity",
     "output tokens/s per user", "output tokens/s per GPU", 1, 1),
    ("ttft_p99_ns", "usd_per_million_output_tokens", False, "Cost against time to first token",
     "TTFT p99 (s)", "USD per million output tokens", 1e-9, 1),
)  # fmt: skip


def pareto_frame(points: Sweep) -> pd.DataFrame:
    """The means of places that are not saturated, and whether each is on the two frontiers."""
    table = sweep.means(points)
    table = table[table["saturated"] == 0].reset_index(drop=True)
    if table.empty:
        raise ResultError(f"{points.path}: every point is saturated, sweep lower rates")
    for x, y, larger, *_ in PARETO:
        known = table[y].to_numpy() > 0
        on = sweep.frontier(table[x].to_numpy(), np.where(known, table[y], np.nan), larger)
        table[f"frontier[{y}]"] = on
    return table


def run_pareto(points: Sweep, folder: Path | None) -> str:
    """The command `pareto`."""
    table = pareto_frame(points)
    lines = []
    for x, y, _, title, xlabel, ylabel, xfactor, yfactor in PARETO:
        if not (table[y] > 0).any():
            lines.append(f"{title}: no price is set.")
            continue
        lines.append(f"{title}: {xlabel}, {ylabel} on the frontier")
        for _, row in table[table[f"frontier[{y}]"]].sort_values(x).iterrows():
            words = sweep.place_of(row["name"], {path: row[path] for path in sweep.axes_of(points)})
            lines.append(
                f"  {units.digits(row[x] * xfactor)}, {units.digits(row[y] * yfactor)}: {words}"
            )
    text = "\n".join(lines + sweep.problems(points)) + "\n"
    if folder is None:
        return text
    table.to_csv(folder / "pareto.csv", index=False)
    written = ["pareto.csv", *figures.save(folder, "pareto.png", lambda: draw_pareto(table))]
    return f"{text}\nwritten to {folder}: {', '.join(written)}\n"


def draw_pareto(table: pd.DataFrame) -> Figure:
    """Both planes side by side."""
    names = list(dict.fromkeys(table["name"]))
    colours = {
        name: figures.DEPLOYMENTS[i % len(figures.DEPLOYMENTS)] for i, name in enumerate(names)
    }
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=name or "all points")
        for name, colour in colours.items()
    ]
    handles.append(Line2D([], [], color=figures.BLACK, label="frontier"))
    figure, axes = figures.grid(1, 2, 4.2, "What no other point beats in both", handles, gap=0)
    for axis, (x, y, _, title, xlabel, ylabel, xfactor, yfactor) in zip(axes[0], PARETO):
        axis.set_title(title)
        axis.set_xlabel(xlabel)
        axis.set_ylabel(ylabel)
        known = table[table[y] > 0]
        if known.empty:
            figures.nothing(axis, "no price is set")
            continue
        for name, part in known.groupby("name", sort=False):
            axis.errorbar(
                xfactor * part[x], yfactor * part[y],
                xerr=xfactor * part[f"{x}_ci95"].fillna(0), yerr=yfactor * part[f"{y}_ci95"].fillna(0),
                fmt="o", color=colours[name], elinewidth=0.8,
            )  # fmt: skip
        best = known[known[f"frontier[{y}]"]].sort_values(x)
        axis.plot(xfactor * best[x], yfactor * best[y], color=figures.BLACK, zorder=1)
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
    return figure


def run_breakeven(
    points: Sweep, x: str, y: str, first: str, other: str, metric: str, folder: Path | None
) -> str:
    """The command `breakeven`."""
    table = sweep.breakeven(points, x, y, first, other, metric)
    rest = sweep.further_axes(points, x, y)
    lines = [f"{metric} over {x} and {y}:"] * bool(rest)
    for key, part in sweep.groups(table, rest):
        place = ", ".join(f"{path}={sweep.value_text(value)}" for path, value in zip(rest, key))
        lines += _counts(part, first, other, f"  {place}" if rest else f"{metric} over {x} and {y}")
    best = table.replace(math.inf, np.nan)["ratio"]
    lines.append(
        f"{first} is {units.digits(best.min(), 3)} to {units.digits(best.max(), 3)} times as good as {other}."
    )
    if (table["seeds"] < 2).any():
        lines.append("With one seed nothing says how sure that is: sweep over several.")
    text = "\n".join(lines + sweep.problems(points)) + "\n"
    if folder is None:
        return text
    table.to_csv(folder / "breakeven.csv", index=False)
    drawn = figures.save(
        folder, "breakeven.png", lambda: draw_breakeven(table, x, y, first, other, metric, rest)
    )
    return f"{text}\nwritten to {folder}: {', '.join(['breakeven.csv', *drawn])}\n"


def _counts(table: pd.DataFrame, first: str, other: str, what: str) -> list[str]:
    """A sentence for each of both: at how many places of a map it is better."""
    wins = table["winner"].value_counts()
    sure = table[table["told_apart"]]["winner"].value_counts()
    return [
        f"{what}: {name} is better at {wins.get(name, 0)} of {len(table)} places, told apart at {sure.get(name, 0)}"
        for name in (first, other)
    ]


def draw_breakeven(
    table: pd.DataFrame,
    x: str,
    y: str,
    first: str,
    other: str,
    metric: str,
    rest: list[str] | None = None,
    largest: float = 16,
) -> Figure:
    """A map of the ratio over both axes, the line where it is 1; a cross where seeds do not tell the two apart; white where
    there is none. Of further axes a map a value, side by side for the first, below each other for the second. Ratios
    beyond the largest have its colour."""
    rest = rest or []
    values = [_places(table[path])[0] for path in rest] + [[None]] * (2 - len(rest))
    handles = [
        Patch(facecolor="#2166AC", label=f"{first} is better"),
        Patch(facecolor="#B2182B", label=f"{other} is better"),
        Line2D([], [], color=figures.BLACK, label="break-even"),
        Line2D([], [], color=figures.BLACK, marker="x", linestyle="", label="not told apart"),
    ]
    rows, columns = len(values[1]), len(values[0])
    height = max(3.0 if columns == 1 else 1.8, 0.5 * table[y].nunique() + (1.5 if columns == 1 else 0.3))
    figure, axes = figures.grid(
        rows, columns, height, f"Break-even of {metric}", handles, gap=0.5, left=1.3
    )
    ratio = np.log2(table["ratio"].clip(1 / largest, largest))
    known = ratio[np.isfinite(ratio)].abs()
    most = max(0.1, float(known.max())) if len(known) else 0.1
    for row, column in np.ndindex(rows, columns):
        chosen = dict(zip(rest, (values[0][column], values[1][row])))
        part = table[np.logical_and.reduce([table[path] == value for path, value in chosen.items()] or [table.index >= 0])]
        axis = axes[row, column]
        image = _map(axis, part.assign(ratio=ratio[part.index]), table, x, y, most)
        words = [f"{units.shorten(path, 44)} {sweep.value_text(value)}" for path, value in chosen.items()]
        axis.set_title("\n".join(words), fontsize=8)
        axis.set_xlabel(x if row == rows - 1 else "")
        axis.set_ylabel(units.shorten(y, 44) if column == 0 and row == rows // 2 else "")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"x {2**value:.3g}"))
    bar.set_label(f"how many times better {units.shorten(first, 20)} is")
    return figure


def _map(axis: Axes, part: pd.DataFrame, table: pd.DataFrame, x: str, y: str, most: float) -> AxesImage:
    """One map; its places are those of the whole table, ratios are logarithms."""
    columns, rows = (_places(table[path])[0] for path in (x, y))
    grid = part.pivot(index=y, columns=x, values="ratio").reindex(index=rows, columns=columns)
    ratio = grid.to_numpy(dtype=float)
    image = axis.imshow(ratio, origin="lower", aspect="auto", cmap="RdBu", norm=TwoSlopeNorm(0, -most, most))
    if min(ratio.shape) > 1 and np.isfinite(ratio).all() and ratio.min() < 0 < ratio.max():
        axis.contour(ratio, levels=[0], colors=figures.BLACK, linewidths=2)
    unsure = part[~part["told_apart"] & (part["seeds"] > 1) & part["ratio"].notna()]
    axis.plot(
        [columns.index(value) for value in unsure[x]], [rows.index(value) for value in unsure[y]],
        "x", color=figures.BLACK,
    )  # fmt: skip
    axis.set_xticks(range(len(columns)), [sweep.value_text(value) for value in columns])
    axis.set_yticks(range(len(rows)), [sweep.value_text(value) for value in rows])
    axis.grid(visible=False)
    return image
