"""Draws what `tandem memory` writes: memory as batches and contexts grow, and a batch step by step."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from tandem_analysis import figures, units
from tandem_analysis.load import ResultError

EXPECTED = "expected the memory.json or memory.h5 that `tandem memory -o DIR` of this version writes"
GIB, MIB = 2**30, 2**20
SCALARS = ("summary", "padding", "allocation")
TABLES = {  # and what the figures need of them
    "growth": (
        "batch_sequences",
        "length_tokens",
        "kv_bytes",
        "kv_fraction",
        "total_bytes",
        "fits",
    ),
    "max_context": ("gpu", "tensor_parallel", "batch_sequences", "max_context_tokens"),
    "max_batch": ("gpu", "tensor_parallel", "length_tokens", "max_batch_sequences"),
    "evolution": (
        "step",
        "sequences",
        "kv_tokens",
        "longest_tokens",
        "kv_bytes",
        "packed_activation_bytes",
        "padded_activation_bytes",
        "score_bytes",
    ),
}
SUMMARY = (
    "model",
    "gpu",
    "gpus",
    "weight_bytes",
    "memory_bytes",
    "usable_bytes",
    "cache_bytes",
    "kv_bytes_per_token",
    "capacity_tokens",
)
LINES = (  # of the evolution: column, label, colour, dashes
    ("kv_bytes", "KV cache", figures.BLUE, "-"),
    ("packed_activation_bytes", "activations, packed", figures.GREEN, "-"),
    ("padded_activation_bytes", "activations, padded", figures.ORANGE, "--"),
    ("score_bytes", "scores of a layer, padded", figures.VERMILLION, ":"),
)


@dataclass(frozen=True)
class Report:
    """One report; bytes are of a GPU. Tables that it has not are empty."""

    path: str
    summary: dict[str, Any]
    tables: dict[str, pd.DataFrame]

    @property
    def label(self) -> str:
        """Model and GPUs."""
        return f"{self.summary['model']} on {self.summary['gpus']} x {self.summary['gpu']}"


def load_all(paths: list[str]) -> list[Report]:
    """Reads the reports: JSON, HDF5, or the folder with both; - is JSON on standard input."""
    return [_load(path) for path in paths]


def run(reports: list[Report], folder: Path | None) -> str:
    """Draws and writes CSV where there is a folder; returns what is printed."""
    text = "\n".join(map(_summary, reports))
    if folder is None:
        return text
    moving = [report for report in reports if len(report.tables["evolution"]) > 1]
    drawn = [("memory_growth", draw_growth, reports), ("memory_evolution", draw_evolution, moving)]
    written = []
    with matplotlib.rc_context(figures.STYLE):
        for name, draw, which in drawn:
            if which:
                written.append(f"{name}.png")
                FigureCanvasAgg(draw(which)).print_png(str(folder / written[-1]))
    for name in TABLES:
        if not all(report.tables[name].empty for report in reports):
            written.append(f"memory_{name}.csv")
            frame(reports, name).to_csv(folder / written[-1], index=False)
    return f"{text}\nwritten to {folder}: {', '.join(written)}\n"


def frame(reports: list[Report], name: str) -> pd.DataFrame:
    """A table of all reports."""
    parts = []
    for report in reports:
        part = report.tables[name].copy()
        part.insert(0, "report", report.label)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def draw_growth(reports: list[Report]) -> Figure:
    """A row for each report: KV cache, all memory, and the cache's share, by length and batch."""
    batches = sorted({int(batch) for batch in frame(reports, "growth")["batch_sequences"]})
    colours = {
        batch: figures.DEPLOYMENTS[i % len(figures.DEPLOYMENTS)] for i, batch in enumerate(batches)
    }
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=5, label=f"batch {batch:,}")
        for batch, colour in colours.items()
    ]
    handles += [
        Line2D(
            [], [], color=figures.GREY, marker="o", markersize=5, markerfacecolor="white", linestyle=""
        ),
        Line2D([], [], color=figures.BLACK, linestyle="--"),
        Line2D([], [], color=figures.BLACK, linestyle=":"),
    ]
    for handle, label in zip(handles[-3:], ("does not fit", "memory of the GPU", "usable")):
        handle.set_label(label)
    figure, axes = figures.grid(
        len(reports), 3, 3.6, "Memory of one GPU by context and batch", handles, gap=1.0
    )
    figure.subplots_adjust(wspace=0.3)
    for row, report in zip(axes, reports):
        for axis, column, title in zip(
            row,
            ("kv_bytes", "total_bytes", "kv_fraction"),
            (
                report.label,
                "weights, KV cache, kept free",
                "KV cache / (weights + KV cache)",
            ),
        ):
            _draw_by_length(axis, report.tables["growth"], column, colours)
            axis.set_title(units.shorten(title, 42))
        for axis, ylabel in zip(row, ("KV cache (GiB)", "memory (GiB)", "share of KV cache")):
            axis.set_ylabel(ylabel)
        row[1].axhline(report.summary["memory_bytes"] / GIB, color=figures.BLACK, linestyle="--")
        row[1].axhline(report.summary["usable_bytes"] / GIB, color=figures.BLACK, linestyle=":")
    return figure


def _draw_by_length(
    axis: Axes, growth: pd.DataFrame, column: str, colours: dict[int, str]
) -> None:
    """A line for each batch; hollow where it does not fit."""
    share = column == "kv_fraction"
    for batch, part in growth.groupby("batch_sequences"):
        part = part.sort_values("length_tokens")
        values = part[column] if share else part[column] / GIB
        axis.plot(part["length_tokens"], values, color=colours[int(batch)])
        for fits, face in ((True, colours[int(batch)]), (False, "white")):
            inside = part["fits"].astype(bool) == fits
            axis.plot(
                part["length_tokens"][inside],
                values[inside],
                linestyle="",
                marker="o",
                markersize=5,
                markerfacecolor=face,
                markeredgecolor=colours[int(batch)],
            )
    lengths = sorted(set(growth["length_tokens"]))
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(FixedLocator(lengths[:: 1 + len(lengths) // 7]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tokens_text(value)))
    axis.set_xlabel("tokens of a sequence")
    if share:
        axis.set_ylim(0, 1.02)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    else:
        _log_axis(axis)


def draw_evolution(reports: list[Report]) -> Figure:
    """A row for each report: memory of its batch, and its sequences and tokens, step by step."""
    handles = [
        Line2D([], [], color=colour, linestyle=dashes, label=label)
        for _, label, colour, dashes in LINES
    ]
    handles += [
        Line2D([], [], color=figures.PURPLE, label="tokens cached"),
        Line2D([], [], color=figures.SKY, linestyle="--", label="longest sequence"),
        Line2D([], [], color=figures.BLACK, linestyle=":", label="sequences"),
    ]
    figure, axes = figures.grid(
        len(reports), 2, 3.4, "A batch step by step (step 0: prefill)", handles, gap=1.0
    )
    for (left, right), report in zip(axes, reports):
        steps = report.tables["evolution"]
        for column, _, colour, dashes in LINES:
            left.plot(steps["step"], steps[column] / MIB, color=colour, linestyle=dashes, drawstyle="steps-post")
        _log_axis(left)
        left.set_ylabel("on one GPU (MiB)")
        left.set_title(units.shorten(report.label, 60))
        for column, colour, dashes in (
            ("kv_tokens", figures.PURPLE, "-"),
            ("longest_tokens", figures.SKY, "--"),
            ("sequences", figures.BLACK, ":"),
        ):
            right.plot(steps["step"], steps[column], color=colour, linestyle=dashes, drawstyle="steps-post")
        _log_axis(right)
        right.set_ylabel("tokens, sequences")
        right.set_title("tokens and sequences")
        for axis in (left, right):
            axis.set_xlabel("step")
            axis.set_xlim(0, int(steps["step"].iloc[-1]))
    return figure


def _log_axis(axis: Axes) -> None:
    """Ticks at 1, 2, 5 where the values are near each other, else at powers of ten."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    near = high < 300 * low
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if near else (1,)))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.digits(value, trim=True)))


def _tokens_text(tokens: float) -> str:
    """1024 as 1K."""
    return f"{tokens / 1024:g}K" if tokens >= 1024 and tokens % 1024 == 0 else f"{tokens:g}"


def _summary(report: Report) -> str:
    one, contexts = report.summary, report.tables["max_context"]
    best = contexts[contexts["gpu"] == one["gpu"]]
    if one["cache_bytes"] < 0:
        room = f"{units.bytes_text(-one['cache_bytes'])} are missing for weights and what is kept free"
    else:
        room = (
            f"{units.bytes_text(one['cache_bytes'])} for the KV cache: {one['capacity_tokens']:,} tokens "
            f"of {units.bytes_text(one['kv_bytes_per_token'])}"
        )
    alone = best[best["batch_sequences"] == best["batch_sequences"].min()]
    limits = ", ".join(
        f"{row.max_context_tokens:,} (tensor {row.tensor_parallel})" for row in alone.itertuples()
    )
    return (
        f"{report.label}\n"
        f"  of {units.bytes_text(one['memory_bytes'])} weights take {units.bytes_text(one['weight_bytes'])}; "
        f"{room}\n"
        f"  longest context of batch {alone['batch_sequences'].min():,}: {limits}\n"
    )


def _load(path: str) -> Report:
    where = Path(path, "memory.h5") if path != "-" and Path(path).is_dir() else Path(path)
    try:
        content = _read_h5(where) if path != "-" and _is_h5(where) else _read_json(path, where)
        summary = dict(content["summary"])
        tables = {name: pd.DataFrame(content.get(name, {})) for name in TABLES}
        report = Report(str(where), summary, tables)
        for key in SUMMARY:
            summary[key]
        for name, columns in TABLES.items():
            if name != "evolution" or not tables[name].empty:
                tables[name][list(columns)]
        _summary(report)
    except OSError as error:
        raise ResultError(
            f"{where}: cannot be read ({error.strerror or error}), {EXPECTED}"
        ) from error
    except (KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()).strip("\"'")
        raise ResultError(f"{where}: {reason} is missing, {EXPECTED}") from error
    except ValueError as error:
        raise ResultError(f"{where}: not JSON or HDF5 of a report, {EXPECTED}") from error
    return report


def _is_h5(path: Path) -> bool:
    return path.is_file() and h5py.is_hdf5(path)


def _read_json(path: str, where: Path) -> Any:
    return json.loads(sys.stdin.read() if path == "-" else where.read_text(encoding="utf-8"))


def _read_h5(path: Path) -> dict[str, Any]:
    """As the JSON is: a dictionary for each group, of scalars or columns."""
    content: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        for name in (*SCALARS, *TABLES):
            if name in file:
                content[name] = {key: _values(item) for key, item in file[name].items()}
    return content


def _values(dataset: h5py.Dataset) -> Any:
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[()]
    values = dataset[()]
    return values if dataset.ndim else values.item()
