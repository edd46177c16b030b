"""Predicted against measured iterations: compare.py MEASURED.csv DIR. Settings: compared.json."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullFormatter

from tandem_analysis import cli, figures
from tandem_analysis.calibrate import errors
from tandem_analysis.roofline import Iteration, RooflineError, iteration_seconds

HERE = Path(__file__).resolve().parent
PHASES = (("prefill", figures.ORANGE), ("decode", figures.BLUE))
MARKERS = {2: "o", 4: "s", 8: "^"}
TICKS_MS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
BAND = 0.1


class Refused(Exception):
    """What calibrate said."""


def main(measured: str, folder: Path) -> None:
    settings = json.loads((HERE / "compared.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    rows = pd.concat([of_gpu(gpu, settings, measured, folder) for gpu in settings["gpus"]])
    names = [prediction["name"] for prediction in settings["predictions"]]
    table = pd.DataFrame([line for name in names for line in summary(name, rows)])
    rows.to_csv(folder / "rows.csv", index=False)
    table.to_csv(folder / "table.csv", index=False)
    draw(rows, settings["drawn"], folder / "predicted.png")
    for prediction in settings["predictions"]:
        print(f"\n{prediction['name']}: {prediction['what']}")
        lines = table[table["prediction"] == prediction["name"]].drop(columns="prediction")
        print(lines.to_string(index=False, float_format="%.1f"))
    print(f"\nwritten to {folder}: table.csv, rows.csv, predicted.png and the fitted GPU files")


def of_gpu(gpu: str, settings: dict, measured: str, folder: Path) -> pd.DataFrame:
    """The measured iterations of a GPU, in s, with a column for each prediction."""
    rows = None
    for prediction in settings["predictions"]:
        if "scale" in prediction:
            found = calibrated(gpu, prediction, settings["hold_out"], measured, folder)
            if rows is None:
                rows = found[["line", "phase", "measured_s"]].copy()
                rows.insert(0, "gpu", gpu)
                for size in Iteration.__dataclass_fields__:
                    rows[size] = found[size]
            rows[prediction["name"]] = found[prediction["time"]]
    for prediction in settings["predictions"]:
        if "host" in prediction:
            rows[prediction["name"]] = [
                iteration_seconds(iteration_of(row), gpu, prediction["host"], "bf16")
                for row in rows.itertuples()
            ]
    return rows


def iteration_of(row: tuple) -> Iteration:
    sizes = [int(round(getattr(row, s))) for s in list(Iteration.__dataclass_fields__)[1:]]
    return Iteration(row.model, *sizes)


def calibrated(
    gpu: str, prediction: dict, hold_out: str, measured: str, folder: Path
) -> pd.DataFrame:
    """Runs calibrate; what it prints goes beside the fitted file."""
    stem = folder / f"{gpu}-{prediction['name']}"
    words = ["calibrate", measured, "--format", "splitwise", "--gpu", gpu]
    words += ["--hold-out", hold_out, "--scale", prediction["scale"]]
    words += ["-o", f"{stem}.json", "--rows", f"{stem}.csv", "--force"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        if cli.main(words) != 0:
            raise Refused
    Path(f"{stem}.txt").write_text(said.getvalue())
    return pd.read_csv(f"{stem}.csv")


def summary(name: str, rows: pd.DataFrame) -> list[dict]:
    """Errors by GPU and phase, over all tensor parallelisms and for each."""
    lines = []
    for (gpu, phase), part in rows.groupby(["gpu", "phase"], sort=False):
        parts = [("all", part), *((str(n), one) for n, one in part.groupby("tensor_parallel"))]
        for tensor_parallel, one in parts:
            error = errors(one[name], one["measured_s"])
            line = {"prediction": name, "gpu": gpu, "phase": phase}
            line |= {"tensor_parallel": tensor_parallel, "n": len(one)}
            lines.append(line | {f"{key}_percent": value for key, value in error.items()})
    return lines


def draw(rows: pd.DataFrame, name: str, path: Path) -> None:
    """Predicted over measured, a panel a GPU; the band is 10 % to either side."""
    gpus = list(rows["gpu"].unique())
    low = 1e3 * rows[["measured_s", name]].min().min() / 1.2
    high = 1e3 * rows[["measured_s", name]].max().max() * 1.2
    line = np.array([low, high])
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(figures.WIDTH, 6.6), dpi=100, facecolor="white")
        axes = figure.subplots(1, len(gpus), squeeze=False)[0]
        figure.subplots_adjust(left=0.07, right=0.98, bottom=0.1, top=0.79, wspace=0.18)
        for axis, gpu in zip(axes, gpus):
            axis.fill_between(line, line * (1 - BAND), line * (1 + BAND), color="#E3E3E3", zorder=1)
            axis.plot(line, line, color=figures.GREY, linewidth=1, zorder=2)
            mine = rows[rows["gpu"] == gpu]
            for (phase, gpus_each), part in mine.groupby(["phase", "tensor_parallel"]):
                axis.plot(
                    1e3 * part["measured_s"],
                    1e3 * part[name],
                    linestyle="",
                    marker=MARKERS[gpus_each],
                    markersize=6,
                    color=dict(PHASES)[phase],
                    markerfacecolor="none",
                    zorder=3,
                )
            for scale, limit, ruler in (
                (axis.set_xscale, axis.set_xlim, axis.xaxis),
                (axis.set_yscale, axis.set_ylim, axis.yaxis),
            ):
                scale("log")
                limit(low, high)
                ruler.set_major_locator(FixedLocator(TICKS_MS))
                ruler.set_major_formatter("{x:,.0f}")
                ruler.set_minor_formatter(NullFormatter())
            axis.set_title(f"{gpu}, Llama-2-70B")
            axis.set_xlabel("measured, ms (log scale)")
            axis.set_ylabel("predicted, ms (log scale)")
        handles = [Line2D([], [], color=c, linestyle="", marker="o", label=p) for p, c in PHASES]
        hollow = {"color": figures.BLACK, "linestyle": "", "markerfacecolor": "none"}
        handles += [Line2D([], [], marker=m, label=f"TP {n}", **hollow) for n, m in MARKERS.items()]
        handles.append(Patch(color="#E3E3E3", label="within 10 %"))
        title = "One iteration, predicted and measured: each tensor parallelism by a fit to the others"
        figure.text(0.025, 0.95, title, fontsize=15, fontweight="bold", va="center")
        figure.legend(handles=handles, loc="center left", bbox_to_anchor=(0.018, 0.89), ncol=7)
        FigureCanvasAgg(figure).print_png(str(path))


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except Refused:
        sys.exit(2)
    except RooflineError as error:
        sys.exit(f"compare.py: {error}")
