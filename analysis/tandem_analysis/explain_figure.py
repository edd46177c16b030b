"""Why one deployment lost, drawn: causes of a mean request's time and cost, stacked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from tandem_analysis import causes, explain, figures, units
from tandem_analysis.load import Result

COLOURS = {
    "front end, control": figures.GREY,
    "queue": figures.YELLOW,
    "prefill compute": figures.ORANGE,
    "KV transfer": figures.PURPLE,
    "KV limit": figures.BLACK,
    "decode compute": figures.BLUE,
    "interference": figures.VERMILLION,
    "idle imbalance": figures.SKY,
    "bubbles": "#7F3C8D",
    "no load": "#DDDDDD",
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
        "explain_causes.csv": causes.causes_frame(first, other),
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
    """Mean E2E time, and what a request costs, by cause."""
    table = causes.causes_frame(first, other).set_index("cause")
    priced = explain.priced(first, other)
    labels = [first.label, other.label]

    def part(unit: str, factor: float) -> pd.DataFrame:
        return factor * table[[f"{label}_{unit}" for label in labels]].set_axis(labels, axis=1)

    handles = [Patch(facecolor=colour, label=name) for name, colour in COLOURS.items()]
    figure, axes = figures.grid(
        2, 1, 1.5, "Where time and money of a request go (means)", handles, gap=0.95, left=2.2
    )
    _bars(axes[0, 0], part("ns", 1e-9), "E2E time", "mean time of a completed request (s)")
    noun = f"{'USD' if priced else 'GPU-seconds'} for 1,000 completed requests"
    _bars(axes[1, 0], part("usd" if priced else "gpu_s", 1e3), "All GPUs over the window", noun)
    return figure


def _bars(axis: Axes, table: pd.DataFrame, title: str, label: str) -> None:
    """One bar a deployment (column), a piece a part (row)."""
    for place, name in enumerate(table.columns):
        ends = np.cumsum(table[name].to_numpy())
        starts = np.concatenate(([0.0], ends[:-1]))
        axis.barh(
            [place] * len(ends),
            ends - starts,
            left=starts,
            height=0.62,
            color=[COLOURS[part] for part in table.index],
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
