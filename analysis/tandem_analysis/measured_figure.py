"""How far a simulation is from measurements, field by field."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from tandem_analysis import figures, measured, units
from tandem_analysis.load import Result

MOST = 1.0  # that the figure shows


def run(result: Result, paths: list[str], folder: Path | None) -> str:
    """Compares, draws and writes CSV where there is a folder; returns what is printed."""
    measurements = [measured.load(path) for path in paths]
    table = measured.frame(result, measurements)
    text = measured.render(result, measurements, table)
    if folder is None:
        return text
    written = ["measured.csv"]
    table.to_csv(folder / written[0], index=False)
    if table["relative_difference"].notna().any():
        written += figures.save(folder, "measured.png", lambda: draw(result, table))
    return f"{text}\nwritten to {folder}: {', '.join(written)}\n"


def draw(result: Result, table: pd.DataFrame) -> Figure:
    """A line a field, a dot a file."""
    table = table[table["relative_difference"].notna()]
    fields = list(dict.fromkeys(table["metric"] + " " + table["statistic"]))
    files = list(dict.fromkeys(table["path"]))
    styles = [
        {
            "color": figures.DEPLOYMENTS[i % len(figures.DEPLOYMENTS)],
            "marker": "os^Dv"[i % 5],
            "linestyle": "",
            "label": units.shorten(path, 60),
        }
        for i, path in enumerate(files)
    ]
    figure, axes = figures.grid(
        1,
        1,
        0.4 + 0.26 * len(fields),
        f"{units.shorten(result.label, 40)}: simulated against measured",
        [Line2D([], [], **style) for style in styles],
        gap=0,
        left=2.6,
    )
    axis = axes[0, 0]
    for path, style in zip(files, styles):
        mine = table[table["path"] == path]
        places = [fields.index(name) for name in mine["metric"] + " " + mine["statistic"]]
        axis.plot(100 * mine["relative_difference"].clip(upper=MOST), places, **style)
    axis.axvline(0, color=figures.GREY)
    axis.set_yticks(range(len(fields)), fields)
    axis.set_ylim(len(fields) - 0.4, -0.6)
    beyond = f"; more than {100 * MOST:g} %: at the edge" * bool(
        (table["relative_difference"] > MOST).any()
    )
    axis.set_xlabel(f"simulated / measured - 1 (%{beyond})")
    axis.set_ylabel("figure")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g} %"))
    return figure
