"""Why one deployment lost, drawn: stacked parts of a mean request's time and cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from tandem_analysis import explain, figures, units
from tandem_analysis.load import Result

COLOURS = {
    "router": "#BBBBBB",
    "control": figures.GREY,
    "router queue": figures.GREEN,
    "prefill queue": figures.YELLOW,
    "prefill compute": figures.ORANGE,
    "decode queue": "#7F3C8D",
    "KV transfer": figures.PURPLE,
    "admission": figures.SKY,
    "decode compute": figures.BLUE,
    "interference": figures.VERMILLION,
    "stalled": figures.BLACK,
}
RESOURCES = {
    "prefill only": figures.ORANGE,
    "decode only": figures.BLUE,
    "both (interference)": figures.GREEN,
    "idle": "#DDDDDD",
}


def run(results: list[Result], folder: Path | None) -> str:
    """Explains, draws and writes CSV where there is a folder; returns what is printed."""
    first, other = results
    explain.check(first, other)
    text = explain.render(first, other)
    told = "".join(f"{sentence}\n" for sentence in explain.sentences(first, other))
    if folder is None:
        return f"{text}\n{told}"
    frames = {
        "explain_latency.csv": explain.latency_frame(first, other),
        "explain_waits.csv": explain.waits_frame(first, other),
        "explain_resources.csv": explain.resources_frame(first, other),
    }
    for name, frame in frames.items():
        frame.to_csv(folder / name, index=False)
    written = [*frames, *figures.save(folder, "explain.png", lambda: draw(first, other))]
    (folder / "explain.txt").write_text(f"{text}\n{told}", encoding="utf-8")
    return f"{text}\n{told}\nwritten to {folder}: {', '.join([*written, 'explain.txt'])}\n"


def draw(first: Result, other: Result) -> Figure:
    """Mean E2E by part, and what a request costs by what the GPUs did for it."""
    latency, cost = explain.latency_frame(first, other), explain.resources_frame(first, other)
    priced = bool(first.value("cost_usd_per_hour") and other.value("cost_usd_per_hour"))
    column = "usd_per_request" if priced else "gpu_s_per_request"
    labels = [first.label, other.label]
    parts = latency[latency["metric"] == "E2E"].set_index("part")
    parts = parts[[f"{label}_ns" for label in labels]].set_axis(labels, axis=1) / 1e9
    money = 1e3 * cost.groupby(["part", "deployment"])[column].sum().unstack()
    money = money.reindex(index=list(RESOURCES))
    handles = [Patch(facecolor=colour, label=name) for name, colour in COLOURS.items()]
    handles += [
        Patch(facecolor=colour, label=f"GPUs: {name}") for name, colour in RESOURCES.items()
    ]
    figure, axes = figures.grid(
        2, 1, 1.5, "Where time and money of a request go (means)", handles, gap=0.95, left=2.2
    )
    _bars(axes[0, 0], parts, COLOURS, "E2E time", "mean time of a completed request (s)")
    noun = f"{'USD' if priced else 'GPU-seconds'} for 1,000 completed requests"
    _bars(axes[1, 0], money[labels], RESOURCES, "All GPUs over the window", noun)
    return figure


def _bars(axis: Axes, table: pd.DataFrame, colours: dict[str, str], title: str, label: str) -> None:
    """One bar a deployment (column), a piece a part (row)."""
    for place, name in enumerate(table.columns):
        ends = np.cumsum(table[name].to_numpy())
        starts = np.concatenate(([0.0], ends[:-1]))
        axis.barh(
            [place] * len(ends),
            ends - starts,
            left=starts,
            height=0.62,
            color=[colours[part] for part in table.index],
            edgecolor="white",
            linewidth=0.4,
        )
        axis.text(ends[-1], place, f" {units.digits(ends[-1])}", va="center", fontweight="bold")
    axis.set_title(title)
    axis.set_xlabel(label)
    axis.set_ylabel("deployment")
    axis.set_yticks(range(len(table.columns)), [units.shorten(name, 20) for name in table.columns])
    axis.set_ylim(len(table.columns) - 0.4, -0.6)
    axis.set_xlim(0, 1.15 * max(table.sum().max(), 1e-12))
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: units.digits(value, 3, trim=True))
    )
    axis.grid(axis="y", visible=False)
