"""Fits coefficients of a GPU file to measurements, and tells how good that is on rows it did not see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tandem_analysis import gpufile, measurements, problems
from tandem_analysis.measurements import MeasurementError, Measurements
from tandem_analysis.problems import Problem, Values

FOLDS = 5


@dataclass(frozen=True)
class Options:
    """Of the command `calibrate`."""

    csv: str
    gpu: str
    form: str | None = None
    hardware: str | None = None
    scale: str | None = None  # of problems.SCALES: what iterations find a factor of; None: of both
    weight_dtype: str = "bf16"
    hold_out: str | None = None
    output: str | None = None
    rows: str | None = None
    name: str | None = None
    date: str | None = None
    force: bool = False


@dataclass
class Fitted:
    """A problem, its figures, and its rows with the times that they give (`fitted_s`) and that figures
    fitted without the row give (`held_out_s`, NaN where none are held out)."""

    problem: Problem
    values: Values
    rows: pd.DataFrame


def calibrate(options: Options) -> str:
    """Fits, writes the files that are named, and returns what is printed."""
    path = gpufile.find(options.gpu)
    base = gpufile.load(path)
    _check_files(options)
    measured = measurements.read(options.csv, options.form, options.hardware, str(base["name"]))
    _check_hold_out(options, measured)
    fitted = [_fit(problem, options) for problem in _problems(options, measured, base, path)]
    content = _content(options, measured, base, fitted)
    text = _report(options, measured, base, fitted)
    if options.output:
        gpufile.write(Path(options.output), gpufile.text(content))
        text += f"\nwritten to {options.output}\n"
    if options.rows:
        gpufile.write(Path(options.rows), _rows(fitted).to_csv(index=False))
        text += f"rows: {options.rows}\n"
    return text


def errors(predicted: pd.Series, measured: pd.Series) -> dict[str, float]:
    """Relative errors in %: mean and 95th percentile of their size, mean with sign; NaN without any."""
    error = 100 * (predicted / measured - 1).dropna()
    if error.empty:
        return {"mape": np.nan, "p95": np.nan, "bias": np.nan}
    size = error.abs()
    return {"mape": size.mean(), "p95": size.quantile(0.95), "bias": error.mean()}


def _check_files(options: Options) -> None:
    for name in filter(None, (options.output, options.rows)):
        if Path(name).exists() and not options.force:
            raise MeasurementError(
                f"{name}: exists, choose another name or replace it with --force"
            )


def _problems(
    options: Options, measured: Measurements, base: dict[str, Any], path: Path
) -> list[Problem]:
    if measured.kind == "operators":
        if options.scale is not None:
            raise MeasurementError(
                f"{options.csv}: --scale is of iterations; operators fit what there are rows of"
            )
        return problems.of_operators(measured, base)
    scaled = problems.SCALES[options.scale or "gemm,allreduce"]
    return [problems.of_iterations(measured, base, str(path), scaled, options.weight_dtype)]


def _fit(problem: Problem, options: Options) -> Fitted:
    rows = problem.frame.copy()
    values = problem.solve(rows)
    rows["fitted_s"] = problem.predict(rows, values)
    rows["held_out_s"] = np.nan
    for part in _parts(problem, options):
        inside = rows.index.isin(part)
        others = problem.solve(rows[~inside])
        rows.loc[inside, "held_out_s"] = problem.predict(rows[inside], others)
    return Fitted(problem, values, rows)


def _check_hold_out(options: Options, measured: Measurements) -> None:
    """The column is a size of some of the rows; the others are split by shape."""
    kinds = measured.frame["operator"].unique() if measured.kind == "operators" else [measured.kind]
    known = list(dict.fromkeys(size for kind in kinds for size in problems.SIZES[kind]))
    if options.hold_out is not None and options.hold_out not in known:
        raise MeasurementError(
            f"{options.csv}: --hold-out {options.hold_out} is not a size of these rows, "
            f"choose one of {', '.join(known)}"
        )


def _parts(problem: Problem, options: Options) -> list[pd.Index]:
    """Rows that are held out together: those of one value of a column, or a fifth of the shapes."""
    frame, column = problem.frame, options.hold_out
    if column not in problems.SIZES[problem.group]:
        shapes = frame.groupby(list(problems.SHAPES[problem.group]), sort=True).ngroup()
        parts = frame.groupby(shapes % FOLDS).groups
        return list(parts.values()) if len(parts) > 1 else []
    parts = frame.groupby(column).groups
    if len(parts) < 2:
        raise MeasurementError(
            f"{options.csv}: --hold-out {column} leaves no rows of {problem.label} to fit, all have "
            "one value: choose another column"
        )
    return list(parts.values())


def _content(
    options: Options, measured: Measurements, base: dict[str, Any], fitted: list[Fitted]
) -> dict[str, Any]:
    date = f", {options.date}" if options.date else ""
    file = f"{Path(measured.path).name} (sha256 {measured.sha256}{date})"
    source = f"fitted by tandem_analysis calibrate to {file}"
    content, labels = dict(base), []
    for one in fitted:
        labels.append(one.problem.label)
        content = problems.apply(content, one.problem, one.values, source)
    rest = base.get("coefficients_source", "universal set")
    if "borrowed_from" in content and any(label.startswith("gemm") for label in labels):
        rest += f", borrowed from {content.pop('borrowed_from')}"
    if options.output:
        content["name"] = options.name or Path(options.output).stem
    text = f"{', '.join(labels)}: {source}; the rest: {rest}"
    content["coefficients_source"] = text
    return content


def _rows(fitted: list[Fitted]) -> pd.DataFrame:
    frames = [one.rows.assign(group=one.problem.label) for one in fitted]
    rows = pd.concat(frames, ignore_index=True).rename(columns={"seconds": "measured_s"})
    first = ["line", "group"]
    last = ["measured_s", "fitted_s", "held_out_s"]
    return rows[first + [c for c in rows.columns if c not in first + last] + last]


def _report(
    options: Options, measured: Measurements, base: dict[str, Any], fitted: list[Fitted]
) -> str:
    count = sum(len(one.rows) for one in fitted)
    lines = [f"{base['name']}: {count} {measured.kind} of {measured.path}"]
    lines += [f"  {remark}" for remark in measured.remarks]
    lines += [f"  {remark}" for one in fitted for remark in one.problem.remarks]
    held = f"one {options.hold_out} at a time" if options.hold_out else f"{FOLDS} parts by shape"
    lines += ["", f"relative errors in %; held out: {held}"]
    head = f"{'p95':>8}{'bias':>8}"
    lines.append(f"{'':28}{'rows':>6}{'MAPE':>10}{head}{'held out':>10}{head}")
    for one in fitted:
        lines += [_line(label, rows) for label, rows in _parts_shown(one)]
    lines += ["", f"{'coefficient':28}{'fitted':>12}{'was':>12}"]
    for one in fitted:
        lines += _values_shown(one, base)
    return "\n".join(lines) + "\n"


def _parts_shown(one: Fitted) -> list[tuple[str, pd.DataFrame]]:
    if one.problem.group != "iterations":
        return [(one.problem.label, one.rows)]
    shown = []
    for phase in ("prefill", "mixed", "decode"):
        rows = one.rows[one.rows["phase"] == phase]
        if rows.empty:
            continue
        shown.append((phase, rows))
        by_gpus = rows.groupby("tensor_parallel")
        if len(by_gpus) > 1:
            shown += [(f"  tensor_parallel {int(gpus)}", part) for gpus, part in by_gpus]
    return shown


def _line(label: str, rows: pd.DataFrame) -> str:
    cells = f"{label:28}{len(rows):6}"
    for column in ("fitted_s", "held_out_s"):
        for value, width in zip(errors(rows[column], rows["seconds"]).values(), (10, 8, 8)):
            cells += f"{value:{width}.1f}" if np.isfinite(value) else f"{'-':>{width}}"
    return cells


def _values_shown(one: Fitted, base: dict[str, Any]) -> list[str]:
    operator, _, dtype = one.problem.label.partition(".")
    if one.problem.group == "iterations":
        was: dict[str, Any] = base.get("eager") or {}
    else:
        was = problems.group_of_base(base, operator, dtype)
    lines = []
    for name, value in one.values.items():
        before = f"{was[name]:12g}" if name in was else f"{'-':>12}"
        lines.append(f"{one.problem.label + '.' + name:28}{value:12g}{before}")
    return lines
