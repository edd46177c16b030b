"""A run beside a measurement: the JSON of `vllm bench serve` or of NVIDIA AIPerf (genai-perf).

What the fields mean: vllm/benchmarks/serve.py (calculate_metrics, process_one_metric) of github.com/vllm-project/vllm;
docs/metrics-reference.md and docs/reference/json-export-schema.md of github.com/ai-dynamo/aiperf. Both count every
successful request from the first sent to the last answered, and interpolate percentiles linearly (np.percentile;
src/aiperf/metrics/metric_dicts.py), where results.h5 has the nearest rank of window requests: so figures of the
simulation are computed from its rows where it kept them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tandem_analysis import units
from tandem_analysis.load import Result, ResultError

EXPECTED = (
    "expected the JSON of `vllm bench serve --save-result` or AIPerf's profile_export_aiperf.json"
)
BOUNDS = "the bounds that it was measured with are not in the file"
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
SAME = 0.01  # tokens of the two workloads that differ by more are not the same workload

# AIPerf's inter_token_latency is a mean of each request, (latency - TTFT) / (tokens - 1): what is TPOT elsewhere.
AIPERF = {
    "time_to_first_token": "ttft",
    "inter_token_latency": "tpot",
    "inter_chunk_latency": "itl",
    "request_latency": "e2e",
    "input_sequence_length": "prompt_tokens",
    "output_sequence_length": "output_tokens",
    "output_token_throughput_per_user": "tokens_per_s_per_user",
    "request_throughput": "completed_per_s",
    "output_token_throughput": "output_tokens_per_s",
    "total_token_throughput": "tokens_per_s",
    "request_count": "completed",
    "total_isl": "total_prompt_tokens",
    "total_osl": "total_output_tokens",
    "benchmark_duration": "duration",
}
VLLM = {
    "completed": "completed",
    "total_input_tokens": "total_prompt_tokens",
    "total_output_tokens": "total_output_tokens",
    "duration": "duration",
    "request_throughput": "completed_per_s",
    "output_throughput": "output_tokens_per_s",
    "total_token_throughput": "tokens_per_s",
}
VLLM_TIMES = re.compile(r"(mean|median|std|p[\d.]+)_(ttft|tpot|itl|e2el)_ms")
WHY_NOT = {
    "request_goodput": BOUNDS,
    "goodput": BOUNDS,
    "good_request_count": BOUNDS,
    "good_request_fraction": BOUNDS,
    "max_output_tokens_per_s": "the most in a second of the client's clock; a run has bins of its own",
    "max_concurrent_requests": "the most in a second of the client's clock; a run has bins of its own",
    "time_to_second_token": "a run does not keep when the second token came",
    "request_rate": "what was asked for, not what came of it",
}


@dataclass(frozen=True)
class Quantity:
    """A field of a measurement, in s, tokens, requests or 1/s."""

    field: str
    metric: str  # of Simulation
    statistic: str  # mean, std, min, max, pNN
    value: float
    unit: str


@dataclass(frozen=True)
class Measurement:
    """One file."""

    path: str
    tool: str
    quantities: list[Quantity]
    left_out: list[tuple[str, str]]  # field, why it is not compared


def load(path: str) -> Measurement:
    """Reads a file of either tool. Raises ResultError."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"{path}: cannot read it ({error.strerror}), {EXPECTED}") from None
    except ValueError as error:
        raise ResultError(
            f"{path}: not one JSON object ({error}), {EXPECTED}; of a file that several runs were "
            "appended to, take one line"
        ) from None
    if isinstance(content, dict) and "request_throughput" in content:
        if isinstance(content["request_throughput"], dict):
            return _aiperf(path, content)
        if "mean_ttft_ms" in content or "output_throughput" in content:
            return _vllm(path, content)
    raise ResultError(f"{path}: of neither tool, {EXPECTED}")


def _number(path: str, field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ResultError(f"{path}: {field} is no number, {EXPECTED}")
    return float(value)


def _vllm(path: str, content: dict[str, Any]) -> Measurement:
    found = []
    for field, value in content.items():
        times = VLLM_TIMES.fullmatch(field)
        if times:
            statistic, name = times[1].replace("median", "p50"), times[2].replace("e2el", "e2e")
            found.append(Quantity(field, name, statistic, _number(path, field, value) / 1e3, "s"))
        elif field in VLLM:
            unit = "s" if field == "duration" else "1/s" if field.endswith("throughput") else "1"
            found.append(Quantity(field, VLLM[field], "mean", _number(path, field, value), unit))
    have = {(quantity.metric, quantity.statistic) for quantity in found}
    found += [
        quantity
        for quantity in _detailed(path, content)
        if (quantity.metric, quantity.statistic) not in have
    ]
    return Measurement(path, "vllm bench serve", found, _left_out(content))


def _detailed(path: str, content: dict[str, Any]) -> Iterator[Quantity]:
    """From the lists of --save-detailed, in s: a request's latency is its TTFT and gaps together."""
    names = ("ttfts", "itls", "output_lens")
    if not all(isinstance(content.get(name), list) for name in names):
        return
    ttfts, itls, tokens = (content[name] for name in names)
    errors = content.get("errors") or [""] * len(ttfts)
    if len({len(ttfts), len(itls), len(tokens), len(errors)}) > 1:
        raise ResultError(
            f"{path}: ttfts, itls, output_lens and errors differ in length, {EXPECTED}"
        )
    good = [i for i, error in enumerate(errors) if not error]
    ttft = np.array([ttfts[i] for i in good], dtype=float)
    decode = np.array([sum(itls[i]) for i in good], dtype=float)
    gaps = np.array([tokens[i] - 1 for i in good])
    values = {
        "ttft": ttft,
        "tpot": decode[gaps > 0] / gaps[gaps > 0],
        "itl": np.array([gap for i in good for gap in itls[i]], dtype=float),
        "e2e": ttft + decode,
    }
    for metric, sample in values.items():
        for statistic in ("mean", "p50", "p90", "p99"):
            if len(sample):
                value = _statistic(sample, statistic)
                yield Quantity(
                    f"{statistic} of {metric}, from ttfts and itls", metric, statistic, value, "s"
                )


def _aiperf(path: str, content: dict[str, Any]) -> Measurement:
    found = []
    for field, metric in AIPERF.items():
        block = content.get(field)
        if not isinstance(block, dict):
            continue
        unit = str(block.get("unit", "")).lower()
        scale = SECONDS.get(unit, 1.0)
        if unit not in SECONDS and metric in ("ttft", "tpot", "itl", "e2e", "duration"):
            raise ResultError(f"{path}: {field} is in {unit or 'no unit'}, not a time, {EXPECTED}")
        kind = "s" if unit in SECONDS else "1/s" if "/s" in unit else "1"
        for name, value in block.items():
            if name in ("avg", "min", "max", "std") or re.fullmatch(r"p\d+", name):
                statistic = "mean" if name == "avg" else name
                value = _number(path, f"{field}.{name}", value) * scale
                found.append(Quantity(f"{field}.{name}", metric, statistic, value, kind))
    return Measurement(path, "AIPerf", found, _left_out(content))


def _left_out(content: dict[str, Any]) -> list[tuple[str, str]]:
    return [(field, why) for field, why in WHY_NOT.items() if content.get(field) is not None]


def _statistic(sample: np.ndarray, name: str) -> float:
    """As both tools have it: std of the population, percentiles interpolated."""
    if name.startswith("p"):
        return float(np.percentile(sample, float(name[1:])))
    return float(getattr(np, name)(sample))


class Simulation:
    """The same quantities of a run: from all its rows if it kept them, else from /summary where that means
    the same requests."""

    def __init__(self, result: Result):
        self.result = result
        self.samples: dict[str, np.ndarray] = {}
        self.whole = result.value("window_arrivals") == result.value("requests")
        rows = result.requests() if result.one_in == 1 else None
        if rows is not None:
            self._take(rows[rows["status"] == 0])

    def _take(self, rows: pd.DataFrame) -> None:
        several = rows["output_tokens"] > 1
        tpot = ((rows["e2e_ns"] - rows["ttft_ns"]) / (rows["output_tokens"] - 1.0))[several] / 1e9
        self.samples = {
            "ttft": rows["ttft_ns"].to_numpy() / 1e9,
            "tpot": tpot.to_numpy(),
            "e2e": rows["e2e_ns"].to_numpy() / 1e9,
            "prompt_tokens": rows["prompt_tokens"].to_numpy(dtype=float),
            "output_tokens": rows["output_tokens"].to_numpy(dtype=float),
            "tokens_per_s_per_user": 1 / tpot[tpot > 0].to_numpy(),
        }

    def value(self, metric: str, statistic: str) -> tuple[float | None, str]:
        """The figure and where it is from; None and why there is none."""
        total = self._total(metric)
        if total is not None:
            return total, "/summary"
        if metric == "itl":
            return self._gaps(statistic)
        if metric in self.samples:
            sample = self.samples[metric]
            return (
                (_statistic(sample, statistic), "/requests") if len(sample) else (None, "no values")
            )
        if metric in ("prompt_tokens", "output_tokens") and statistic == "mean":
            done = max(1, self.result.value("completed"))
            return self.result.value(metric) / done, "/summary"
        key = f"{metric}_{statistic}_ns"
        if key not in self.result.summary:
            return None, "the run kept no row of each request (output.requests)"
        if not self.whole:
            return None, "the run has a warm-up and no row of each request (output.requests)"
        source = "/summary" if statistic == "mean" else "/summary, nearest rank"
        return self.result.value(key) / 1e9, source

    def _total(self, metric: str) -> float | None:
        """Of the whole run, from time 0 to its end."""
        result = self.result
        duration = max(1, result.value("end_ns")) / 1e9
        prompt, output = result.value("prompt_tokens"), result.value("output_tokens")
        return {
            "completed": result.value("completed"),
            "total_prompt_tokens": prompt,
            "total_output_tokens": output,
            "duration": duration,
            "completed_per_s": result.value("completed") / duration,
            "output_tokens_per_s": output / duration,
            "tokens_per_s": (prompt + output) / duration,
        }.get(metric)

    def _gaps(self, statistic: str) -> tuple[float | None, str]:
        """Gaps between tokens are in a histogram only, of window requests."""
        frame, of = self.result.histograms["itl"], "" if self.whole else " of window requests"
        if frame.empty or statistic in ("std", "min"):
            return None, "the run keeps a histogram of gaps between tokens"
        if statistic in ("mean", "max"):
            return self.result.value(f"itl_{statistic}_ns") / 1e9, f"/summary{of}"
        rank = max(1, int(np.ceil(float(statistic[1:]) / 100 * frame["count"].sum() - 1e-9)))
        high = frame["high_ns"][frame["count"].cumsum() >= rank].iloc[0]
        high = min(high, self.result.value("itl_max_ns"))
        return high / 1e9, f"/histograms, nearest rank{of}"


def frame(result: Result, measurements: list[Measurement]) -> pd.DataFrame:
    """A row a field of each file: measured and simulated in s, tokens, requests or 1/s; relative difference
    (NaN: not compared, then source says why)."""
    simulation = Simulation(result)
    rows = []
    for number, measurement in enumerate(measurements, 1):
        for quantity in measurement.quantities:
            simulated, source = simulation.value(quantity.metric, quantity.statistic)
            change = np.nan
            if simulated is not None and quantity.value != 0:
                change = simulated / quantity.value - 1
            rows.append(
                (number, measurement.path, measurement.tool, quantity.field, quantity.metric,
                 quantity.statistic, quantity.unit, quantity.value, simulated, change, source)
            )  # fmt: skip
        rows += [
            (
                number,
                measurement.path,
                measurement.tool,
                field,
                "",
                "",
                "",
                np.nan,
                None,
                np.nan,
                why,
            )
            for field, why in measurement.left_out
        ]
    columns = ["file", "path", "tool", "field", "metric", "statistic", "unit", "measured",
               "simulated", "relative_difference", "source"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"simulated": float})


def render(result: Result, measurements: list[Measurement], table: pd.DataFrame) -> str:
    """The table and remarks, as text."""
    lines = []
    for number, measurement in enumerate(measurements, 1):
        mine = table[table["file"] == number]
        lines += [
            f"{measurement.path} ({measurement.tool}) and {result.label}",
            f"{'':<42}{'measured':>14}{'simulated':>14}{'difference':>12}  from",
        ]
        lines += map(_line, mine[mine["metric"] != ""].itertuples())
        lines += [
            f"  not compared: {row.field}: {row.source}."
            for row in mine[mine["metric"] == ""].itertuples()
        ]
        lines += _remarks(mine) + [""]
    return "\n".join(lines)


def _line(row: Any) -> str:
    measured = _text(row.measured, row.unit)
    if np.isnan(row.simulated):
        return f"  {units.shorten(row.field, 40):<40}{measured:>14}{'-':>14}{'':>12}  {row.source}"
    change = units.change_text(row.measured, row.simulated)
    simulated = _text(row.simulated, row.unit)
    return f"  {units.shorten(row.field, 40):<40}{measured:>14}{simulated:>14}{change:>12}  {row.source}"


def _text(value: float, unit: str) -> str:
    if unit == "s":
        return units.time_text(value * 1e9)
    return f"{units.digits(value, trim=True)}{'/s' if unit == '1/s' else ''}"


def _remarks(table: pd.DataFrame) -> list[str]:
    totals = {"completed": "requests", "total_prompt_tokens": "prompt tokens",
              "total_output_tokens": "output tokens"}  # fmt: skip
    told = [
        f"{totals[row.metric]} {units.digits(row.measured, trim=True)}, "
        f"{units.digits(row.simulated, trim=True)}"
        for row in table.itertuples()
        if row.metric in totals and not abs(row.relative_difference) <= SAME
    ]
    return [f"  NOT THE SAME WORKLOAD: {'; '.join(told)}."] if told else []
