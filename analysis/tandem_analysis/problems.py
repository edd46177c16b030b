"""What is fitted: which figures, between which bounds, and what they predict for a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tandem_analysis import fit, forms, roofline
from tandem_analysis.fit import Parameter
from tandem_analysis.measurements import MeasurementError, Measurements

Values = dict[str, float]

TIME, SHARE, NORM = (1e-2, 1e4), (1e-2, 2.0), (1.0, 16.0)
BANDWIDTH = (1e-1, 1e5)
# Bounds. A term that the base file switches off (kq 0, r 1) stays off.
BOUNDS = {
    "gemm": {
        "ec": SHARE,
        "em": SHARE,
        "t0_us": TIME,
        "p": NORM,
        "r": (0.1, 10.0),
        "kq": (1e-3, 100.0),
        "tk_us": (1e-6, 1.0),
        "ko": (1e-3, 100.0),
    },
    "prefill_attention": {
        "t0_us": TIME,
        "ec": SHARE,
        "hh": (1e-2, 1e3),
        "em": SHARE,
        "kw": (1e-3, 100.0),
    },
    "decode_attention": {
        "t0_us": TIME,
        "ec": SHARE,
        "em": SHARE,
        "ts_us": (1e-5, 10.0),
        "p": NORM,
    },
    "allreduce": {
        "a1_us": TIME,
        "an_us": (1e-4, 1e3),
        "b1_gb_per_s": BANDWIDTH,
        "a2_us": TIME,
        "b2_gb_per_s": BANDWIDTH,
    },
}
MAY_BE_ZERO = ("kq", "kw", "tk_us", "ts_us", "an_us")
OFF = {"r": 1.0}  # 0 for the others
# Where a fit starts if the base file has no such group: a middling GPU. `mul` follows from the peaks.
STARTS = {
    "gemm": {
        "bf16": {"ec": 0.8, "em": 0.8, "t0_us": 5, "p": 2, "weight_bytes": 2},
        "fp8": {"ec": 0.8, "em": 0.8, "t0_us": 5, "p": 1.5, "kq": 2, "weight_bytes": 1},
        "fp4": {"ec": 0.6, "em": 0.7, "t0_us": 5, "p": 1.5, "kq": 2, "weight_bytes": 0.5625},
    },
    "prefill_attention": {"t0_us": 10, "ec": 0.75, "hh": 30, "em": 0.5, "kw": 0.5},
    "decode_attention": {"t0_us": 10, "ec": 0.5, "em": 0.8, "ts_us": 0.02, "p": 2},
    "allreduce": {"a1_us": 5, "an_us": 0.1, "b1_gb_per_s": 100, "a2_us": 10, "b2_gb_per_s": 100},
}
SIZES = {
    "gemm": ("m", "n", "k"),
    "prefill_attention": ("heads", "kv_heads", "head_dim", "prefill_tokens", "prefill_work"),
    "decode_attention": (
        "heads",
        "kv_heads",
        "head_dim",
        "sequences",
        "context_tokens",
        "kv_bytes",
    ),
    "allreduce": ("bytes", "gpus"),
    "iterations": (
        "model",
        "tensor_parallel",
        "prefill_tokens",
        "prompts",
        "decode_sequences",
        "context_tokens",
    ),
}
# Rows that differ in these are of another shape: held out together.
SHAPES = {
    "gemm": ("n", "k"),
    "prefill_attention": ("heads", "kv_heads", "head_dim", "prefill_tokens"),
    "decode_attention": ("heads", "kv_heads", "head_dim", "sequences"),
    "allreduce": ("bytes",),
    "iterations": SIZES["iterations"][:-1],
}
EAGER = {
    "layer_us": (400.0, 1e-1, 1e5, False),
    "prefill_us": (10000.0, 1.0, 1e7, True),
    "decode_us": (1000.0, 1.0, 1e7, True),
    "sequence_us": (300.0, 1e-2, 1e5, True),
}
# Groups of operators that an eager host has a factor of the time of: `gemm_factor`, `allreduce_factor`.
SCALED = ("gemm", "allreduce")
SCALES = {"none": (), "gemm": ("gemm",), "allreduce": ("allreduce",), "gemm,allreduce": SCALED}
FACTOR = (1.0, 0.1, 10.0)


@dataclass(frozen=True)
class Problem:
    """Figures of one group of a GPU file and the rows that they are fitted to."""

    group: str  # as in SIZES
    label: str  # as in messages: gemm.bf16
    frame: pd.DataFrame
    parameters: list[Parameter]
    predict: Callable[[pd.DataFrame, Values], np.ndarray]  # s
    remarks: list[str]

    def solve(self, frame: pd.DataFrame) -> Values:
        """Figures that are nearest to some rows."""
        names = [parameter.name for parameter in self.parameters]
        return fit.fit(
            lambda point: self.predict(frame, dict(zip(names, point))),
            frame["seconds"].to_numpy(),
            self.parameters,
        )


def of_operators(measured: Measurements, base: dict[str, Any]) -> list[Problem]:
    """One for each operator and data type that there are rows of."""
    found = []
    for operator in ("gemm", "prefill_attention", "decode_attention", "allreduce"):
        rows = measured.frame[measured.frame["operator"] == operator]
        if operator == "gemm" and not rows.empty:
            found += [
                _operator(measured.path, operator, str(dtype), part, base)
                for dtype, part in rows.groupby("dtype")
            ]
        elif not rows.empty:
            found.append(_operator(measured.path, operator, "", rows, base))
    return found


def group_of_base(base: dict[str, Any], operator: str, dtype: str) -> dict[str, float]:
    """The coefficients that a fit starts from: the base file's where it has them."""
    own = base.get(operator) or {}
    own = own.get(dtype) if dtype else own
    if own:
        return dict(own)
    if operator != "gemm":
        return dict(STARTS[operator])
    kind = dtype.split("_")[0]
    peak = float(base.get(f"peak_{kind}_tflops", 0))
    return {**STARTS["gemm"][kind], "mul": peak / float(base["peak_bf16_tflops"])}


def _operator(
    path: str, operator: str, dtype: str, rows: pd.DataFrame, base: dict[str, Any]
) -> Problem:
    label = f"{operator}.{dtype}" if dtype else operator
    start = group_of_base(base, operator, dtype)
    if start.get("mul", 1) <= 0:
        raise MeasurementError(
            f"{path}: rows of {dtype}, and {base['name']} has no peak_{dtype.split('_')[0]}_tflops: "
            "add it to the GPU's file or remove the rows"
        )
    parameters = [
        Parameter(name, float(start[name]), low, high, name in MAY_BE_ZERO)
        for name, (low, high) in BOUNDS[operator].items()
        if start.get(name, OFF.get(name, 0)) != OFF.get(name, 0)
    ]
    sheet = forms.Datasheet(
        base["peak_bf16_tflops"] * forms.TERA, base["bandwidth_gb_per_s"] * forms.GIGA
    )
    columns = SIZES[operator]

    def predict(frame: pd.DataFrame, values: Values) -> np.ndarray:
        sizes = [frame[column].to_numpy() for column in columns]
        group = {**start, **values}
        if operator == "allreduce":
            return forms.allreduce(group, *sizes)
        return getattr(forms, operator)(sheet, group, *sizes)

    problem = Problem(operator, label, rows, parameters, predict, [])
    _check_enough(path, problem)
    return problem


def of_iterations(
    measured: Measurements,
    base: dict[str, Any],
    gpu: str,
    scaled: tuple[str, ...],
    weight_dtype: str,
) -> Problem:
    """The host's figures, and a factor of the time of each scaled group of operators. gpu: base's file."""
    frame = _with_operators(measured, gpu, weight_dtype)
    free, kept, remarks = _host_parameters(frame, base.get("eager") or {})
    for group in scaled:
        reason = _no_factor(frame, group)
        if reason:
            remarks.append(f"{group}_factor is kept at 1: {reason}")
        else:
            free.append(Parameter(f"{group}_factor", *FACTOR))

    def predict(rows: pd.DataFrame, values: Values) -> np.ndarray:
        values = {**kept, **values}
        gpu_s = rows["other_s"].to_numpy() + sum(
            rows[f"{group}_s"].to_numpy() * values.get(f"{group}_factor", 1.0) for group in SCALED
        )
        host_s = forms.eager_host(
            values,
            rows["layers"].to_numpy(),
            rows["phase"].to_numpy() != "decode",
            rows["decode_sequences"].to_numpy(),
        )
        return forms.eager(gpu_s, host_s)

    problem = Problem("iterations", "eager", frame, free, predict, remarks)
    _check_enough(measured.path, problem)
    return problem


def apply(base: dict[str, Any], problem: Problem, values: Values, source: str) -> dict[str, Any]:
    """The GPU file with the fitted figures in it; the rest as it was."""
    content = dict(base)
    if problem.group != "iterations":
        operator, _, dtype = problem.label.partition(".")
        group = {**group_of_base(base, operator, dtype), **values}
        content[operator] = {**content.get(operator, {}), dtype: group} if dtype else group
        return content
    kept = base.get("eager") or {}
    eager = {name: values.get(name, kept.get(name, 0)) for name in EAGER}
    content["eager"] = {**eager, **values, "source": source}
    return content


def _with_operators(measured: Measurements, gpu: str, weight_dtype: str) -> pd.DataFrame:
    frame = measured.frame.copy()
    columns: dict[str, list[float]] = {f"{group}_s": [] for group in (*SCALED, "other")}
    layers = []
    for row in frame.itertuples():
        prefill = row.prefill_tokens if row.prompts > 0 else 0
        one = roofline.Iteration(
            row.model,
            int(row.tensor_parallel),
            int(prefill),
            int(row.prompts),
            int(row.decode_sequences),
            round(row.context_tokens),
        )
        try:
            seconds, depth = roofline.group_seconds(one, gpu, weight_dtype)
        except roofline.RooflineError as error:
            raise MeasurementError(f"{measured.path}:{row.line}: {error}") from error
        layers.append(row.eager_factor * depth)
        for group in (*SCALED, "other"):
            columns[f"{group}_s"].append(seconds.get(group, 0.0))
    frame = frame.assign(**columns, layers=layers)
    prefill = (frame["prefill_tokens"] * frame["prompts"]).to_numpy() > 0
    frame["phase"] = np.where(
        prefill, np.where(frame["decode_sequences"] > 0, "mixed", "prefill"), "decode"
    )
    return frame


def _host_parameters(
    frame: pd.DataFrame, base: dict[str, Any]
) -> tuple[list[Parameter], Values, list[str]]:
    """What the rows can tell apart is free, the rest keeps the base file's value (0 without)."""
    phases = set(frame["phase"])
    one_depth = frame["layers"].nunique() == 1
    constants = ["prefill_us"] * bool(phases & {"prefill", "mixed"})
    constants += ["decode_us"] * ("decode" in phases)
    reasons = {}
    if one_depth:
        reasons[constants[-1]] = "all rows have the same layers, whose time looks like a constant"
    for name in ("prefill_us", "decode_us"):
        if name not in constants:
            reasons[name] = "no rows of that phase"
    if not phases & {"decode", "mixed"}:
        reasons["sequence_us"] = "no rows with decode sequences"
    free = [
        Parameter(name, *bounds) for name, bounds in EAGER.items() if name not in reasons
    ]
    kept = {name: float(base.get(name, 0)) for name in reasons}
    remarks = [f"{name} is kept at {kept[name]:g}: {why}" for name, why in reasons.items()]
    return free, kept, remarks


def _no_factor(frame: pd.DataFrame, group: str) -> str:
    """Why the rows do not tell a group's factor; empty when they do."""
    if set(frame["phase"]) == {"decode"}:
        return "no rows with prefill tokens, and the time of the others is the host's"
    return "" if (frame[f"{group}_s"] > 0).any() else "no row has such operators"


def _check_enough(path: str, problem: Problem) -> None:
    there = len(problem.frame.drop_duplicates(list(SIZES[problem.group])))
    needed = len(problem.parameters) + 1
    if there < needed:
        raise MeasurementError(
            f"{path}: {problem.label} has {there} different sizes for {len(problem.parameters)} "
            f"coefficients, measure {needed} or more"
        )
