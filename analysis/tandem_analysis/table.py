"""The table of deployments side by side, as text and as CSV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from tandem_analysis import units
from tandem_analysis.load import Result

WIDTH = 110
LABEL_WIDTH = 34
CHANGE_WIDTH = 11
LATENCIES = (
    ("ttft", "TTFT"),
    ("tpot", "TPOT"),
    ("itl", "ITL"),
    ("e2e", "E2E"),
    ("queue", "queue"),
    ("transfer", "KV transfer"),
)

Value = float | str | None  # None: not applicable to this deployment
Getter = Callable[[Result], Value]


@dataclass
class Row:
    """One line: key and unit name it in the CSV, label and text in the table."""

    key: str
    unit: str
    label: str
    values: list[Value]
    text: Callable[[float], str]
    change: str = "relative"  # or "points" for shares, "" for none


@dataclass
class Section:
    """A group of lines under a title."""

    title: str
    rows: list[Row]


def goodput_per_gpu(result: Result) -> float:
    """SLO-meeting requests per second and GPU."""
    return result.value("goodput_per_s_per_gpu")


def completed_per_gpu(result: Result) -> float:
    """Requests that end per second and GPU."""
    return _ratio(result.value("completed_per_s"), result.value("gpus"))


def usd_per_thousand_good(result: Result) -> float | None:
    """USD for a thousand requests that meet the SLO; None without a price or such a request."""
    return result.value("usd_per_thousand_good_requests") or None


def has_slo(result: Result) -> bool:
    """Whether any bound is set."""
    return any(result.value(f"slo_{name}_ms") > 0 for name in ("ttft", "tpot", "itl"))


def sections(results: list[Result]) -> list[Section]:
    """All lines of the table; None where a deployment has no such pool, price or transfer. A line
    without any value is left out."""
    parts = [
        Section("Deployment", _deployment(results)),
        Section("Requests", _requests(results)),
        Section("Throughput", _throughput(results)),
        Section("Goodput under the SLO", _goodput(results)),
        Section("Classes of priority", _classes(results)),
        Section(
            "Latency",
            [
                row
                for metric, noun in LATENCIES
                if any(result.counted(metric) for result in results)
                for row in _latency(results, metric, noun)
            ]
            + _contention(results),
        ),
        Section("Utilization", _utilization(results)),
        Section("Cost", _cost(results)),
        Section("Energy", _energy(results)),
    ]
    for part in parts:
        part.rows = [row for row in part.rows if any(value is not None for value in row.values)]
    return [part for part in parts if part.rows]


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else 0.0


def _row(
    results: list[Result],
    key: str,
    unit: str,
    label: str,
    text: Callable[[float], str],
    getter: Getter | None = None,
    change: str = "relative",
) -> Row:
    get = getter if getter else (lambda result: result.value(key))
    return Row(key, unit, label, [get(result) for result in results], text, change)


def _deployment(results: list[Result]) -> list[Row]:
    def words(key: str, label: str, getter: Getter) -> Row:
        return _row(results, key, "", label, str, getter, "")

    return [
        words("experiment", "experiment", lambda result: result.name),
        words("cluster", "cluster", lambda result: result.cluster or None),
        words("model", "model", lambda result: result.model or None),
        *[
            words(
                f"pools[{pool}]", f"pool {pool}", lambda result, name=pool: _hardware(result, name)
            )
            for pool in _pool_names(results)
        ],
        _row(results, "gpus", "GPUs", "GPUs", units.count_text),
        _row(
            results,
            "cost_usd_per_hour",
            "USD/h",
            "cost per hour",
            units.usd_text,
            _priced("cost_usd_per_hour"),
        ),
        words(
            "saturated", "saturated", lambda result: "YES" if result.value("saturated") else "no"
        ),
        words("checksum", "checksum", lambda result: result.checksum),
    ]


def _requests(results: list[Result]) -> list[Row]:
    def count(key: str, label: str) -> Row:
        return _row(results, key, "requests", label, units.count_text)

    return [
        count("requests", "requests"),
        count("completed", "completed"),
        count("refused", "refused"),
        count("moved_requests", "moved to a decode pool"),
        _row(results, "preemptions", "1", "preemptions", units.count_text),
        _row(
            results,
            "swaps",
            "1",
            "of them by swapping",
            units.count_text,
            lambda result: result.summary.get("swaps") or None,
        ),
        _row(
            results,
            "window_ns",
            "ns",
            "window",
            units.time_text,
            lambda result: result.value("window_end_ns") - result.value("window_start_ns"),
        ),
        _row(results, "request_rate_per_s", "1/s", "arriving requests/s", units.digits),
    ]


def _throughput(results: list[Result]) -> list[Row]:
    return [
        _row(results, "completed_per_s", "1/s", "completed requests/s", units.digits),
        _row(
            results,
            "completed_per_s_per_gpu",
            "1/s",
            "completed requests/s per GPU",
            units.digits,
            completed_per_gpu,
        ),
        _row(results, "output_tokens_per_s", "1/s", "output tokens/s", units.digits),
        _row(
            results, "output_tokens_per_s_per_gpu", "1/s", "output tokens/s per GPU", units.digits
        ),
        _row(
            results,
            "tokens_per_s_per_user",
            "1/s",
            "output tokens/s per user",
            units.digits,
            lambda result: (
                result.value("tokens_per_s_per_user") if result.counted("tpot") else None
            ),
        ),
    ]


def _goodput(results: list[Result]) -> list[Row]:
    def with_slo(name: str) -> Getter:
        return lambda result: result.value(name) if has_slo(result) else None

    rows = [
        _row(results, f"slo_{name}_ms", "ms", f"SLO: {noun} at most", units.bound_text, None, "")
        for name, noun in (("ttft", "TTFT"), ("tpot", "TPOT"), ("itl", "longest ITL"))
        if name != "itl" or any(result.value("slo_itl_ms") > 0 for result in results)
    ]
    for name, noun in (
        ("slo_attainment", "requests that meet the SLO"),
        ("slo_ttft_attainment", "requests that meet TTFT"),
        ("slo_tpot_attainment", "requests that meet TPOT"),
    ):
        rows.append(_row(results, name, "1", noun, units.percent_text, with_slo(name), "points"))
    rows.append(
        _row(
            results,
            "goodput_per_s",
            "1/s",
            "goodput, requests/s",
            units.digits,
            with_slo("goodput_per_s"),
        )
    )
    rows.append(
        _row(
            results,
            "goodput_per_s_per_gpu",
            "1/s",
            "goodput per GPU, requests/s",
            units.digits,
            lambda result: goodput_per_gpu(result) if has_slo(result) else None,
        )
    )
    return rows


def _classes(results: list[Result]) -> list[Row]:
    """Where a run has several."""

    def getter(priority: int, column: str) -> Getter:
        def get(result: Result) -> float | None:
            several = 1 < len(result.classes) and priority < len(result.classes)
            return result.classes[column].iloc[priority] if several else None

        return get

    rows = []
    for priority in range(max(len(result.classes) for result in results)):
        for column, unit, noun, text, change in (
            ("window_arrivals", "requests", "requests", units.count_text, "relative"),
            ("slo_attainment", "1", "meet their SLO", units.percent_text, "points"),
            ("ttft_p90_ns", "ns", "TTFT p90", units.time_text, "relative"),
            ("tpot_p90_ns", "ns", "TPOT p90", units.time_text, "relative"),
        ):
            rows.append(
                _row(
                    results,
                    f"classes[{priority}].{column}",
                    unit,
                    f"class {priority}: {noun}",
                    text,
                    getter(priority, column),
                    change,
                )
            )
    return rows


def _latency(results: list[Result], metric: str, noun: str) -> list[Row]:
    statistics = (
        ("p50", "p90", "p99")
        if metric not in ("queue", "transfer")
        else ("mean", "p50", "p90", "p99")
    )
    return [
        _row(
            results,
            f"{metric}_{name}_ns",
            "ns",
            f"{noun} {name}",
            units.time_text,
            lambda result, key=f"{metric}_{name}_ns": (
                result.value(key) if result.counted(metric) else None
            ),
        )
        for name in statistics
    ]


def _contention(results: list[Result]) -> list[Row]:
    return [
        _row(
            results,
            key,
            "ns",
            label,
            units.time_text,
            lambda result, key=key: result.value(key) or None,
        )
        for key, label in (
            ("mean_interference_ns", "interference of prefills, mean"),
            ("mean_blocked_ns", "head-of-line blocking, mean"),
            ("mean_congestion_ns", "congestion of KV transfers, mean"),
        )
    ]


def _utilization(results: list[Result]) -> list[Row]:
    rows = [_row(results, "utilization", "1", "all GPUs busy", units.percent_text, None, "points")]
    for pool in _pool_names(results):
        for column, noun in (
            ("utilization", "busy"),
            ("utilization_prefill", "in prefill"),
            ("utilization_decode", "in decode"),
            ("utilization_mixed", "in mixed iterations"),
            ("mfu", "MFU"),
            ("hfu", "HFU"),
            ("mbu", "MBU"),
            ("kv_mean_utilization", "KV blocks used, mean"),
            ("kv_peak_utilization", "KV blocks used, peak"),
            ("kv_mean_cached", "KV cached, mean"),
            ("kv_internal_fragmentation", "KV fragmented in blocks"),
            ("kv_external_fragmentation", "KV free but unusable"),
        ):
            row = _row(
                results,
                f"pools[{pool}].{column}",
                "1",
                f"{pool}: {noun}",
                units.percent_text,
                lambda result, name=pool, key=column: pool_value(result, name, key),
                "points",
            )
            seldom = column.startswith("utilization_") or column == "kv_external_fragmentation"
            if not seldom or any(row.values):  # a phase that no deployment has
                rows.append(row)
    return rows


def _cost(results: list[Result]) -> list[Row]:
    rows = [
        _row(
            results,
            "effective_usd_per_hour",
            "USD/h",
            "effective $/h (busy GPUs)",
            units.usd_text,
            _priced("effective_usd_per_hour"),
        ),
        _row(
            results,
            "usd_per_million_input_tokens",
            "USD",
            "$ per million input tokens",
            units.usd_text,
            _priced("usd_per_million_input_tokens"),
        ),
        _row(
            results,
            "usd_per_million_output_tokens",
            "USD",
            "$ per million output tokens",
            units.usd_text,
            _priced("usd_per_million_output_tokens"),
        ),
        _row(
            results,
            "usd_per_thousand_requests",
            "USD",
            "$ per thousand requests",
            units.usd_text,
            _priced("usd_per_thousand_requests"),
        ),
        _row(
            results,
            "usd_per_thousand_good_requests",
            "USD",
            "$ per thousand within the SLO",
            units.usd_text,
            lambda result: usd_per_thousand_good(result) if has_slo(result) else None,
        ),
    ]
    for pool in _pool_names(results):
        for column, noun in (
            ("usd_per_million_prefill_tokens", "$ per million prompt"),
            ("usd_per_million_output_tokens", "$ per million output"),
        ):
            row = _row(
                results,
                f"pools[{pool}].{column}",
                "USD",
                f"{pool}: {noun}",
                units.usd_text,
                lambda result, name=pool, key=column: pool_value(result, name, key) or None,
            )
            if any(row.values):
                rows.append(row)
    return rows


def _energy(results: list[Result]) -> list[Row]:
    rows = [
        _row(results, key, unit, label, text, _known(key))
        for key, unit, label, text in (
            ("mean_power_watts", "W", "mean power", units.watts_text),
            ("joules_per_output_token", "J", "per output token", units.joules_text),
            (
                "kwh_per_million_output_tokens",
                "kWh",
                "per million output tokens",
                units.kwh_text,
            ),
            ("kwh_per_million_tokens", "kWh", "per million tokens, input too", units.kwh_text),
        )
    ]
    for pool in _pool_names(results):
        for column, unit, noun, text, change in (
            ("mean_power_watts", "W", "mean power", units.watts_text, "relative"),
            ("power_capped", "1", "busy time at its cap", units.percent_text, "points"),
            ("joules_per_prefill_token", "J", "per prompt token", units.joules_text, "relative"),
            ("joules_per_output_token", "J", "per output token", units.joules_text, "relative"),
        ):
            row = _row(
                results,
                f"pools[{pool}].{column}",
                unit,
                f"{pool}: {noun}",
                text,
                lambda result, name=pool, key=column: pool_value(result, name, key),
                change,
            )
            if any(row.values):
                rows.append(row)
    return rows


def _priced(name: str) -> Getter:
    return lambda result: result.value(name) or None


def _known(name: str) -> Getter:
    """Of /summary; None where it is 0, and in files from before there was energy."""
    return lambda result: result.summary.get(name) or None


def _pool_names(results: list[Result]) -> list[str]:
    return list(dict.fromkeys(name for result in results for name in result.pools["name"]))


def pool_value(result: Result, pool: str, column: str) -> Value:
    """A figure of a pool by its name; None where the deployment has no such pool, or its file no
    such column (files from before there was energy, or more than one allocator)."""
    rows = result.pools[result.pools["name"] == pool]
    return rows[column].iloc[0].item() if len(rows) and column in rows else None


def _hardware(result: Result, pool: str) -> Value:
    rows = result.pools[result.pools["name"] == pool]
    return pool_text(rows.iloc[0]) if len(rows) else None


def pool_text(row: pd.Series) -> str:
    """Instances x GPUs, their type and layout, for example 2x4 h100-sxm tp4; files of before lack the layout."""
    each = int(row["gpus"]) // max(1, int(row["instances"]))
    sizes = {"tp": "tensor_parallel", "pp": "pipeline_parallel", "dp": "attention_data_parallel",
             "ep": "expert_parallel"}
    layout = [f" {short}{int(row[name])}" for short, name in sizes.items() if int(row.get(name, 1)) > 1]
    return f"{int(row['instances'])}x{each} {row['gpu']}" + "".join(layout)


def render(results: list[Result]) -> str:
    """The table as aligned text; for two deployments with the change from the first."""
    parts = sections(results)
    compared = len(results) == 2
    room = (WIDTH - LABEL_WIDTH - (CHANGE_WIDTH if compared else 0)) // len(results) - 2
    cells = [
        [[cell(row, value, max(room, 14)) for value in row.values] for row in part.rows]
        for part in parts
    ]
    labels = [units.shorten(result.label, max(room, 14)) for result in results]
    label_width = max(LABEL_WIDTH, *(len(row.label) + 2 for part in parts for row in part.rows))
    label_width = min(label_width, LABEL_WIDTH + 6)
    widths = [
        max(14, len(label), *(len(line[i]) for block in cells for line in block))
        for i, label in enumerate(labels)
    ]

    def line(label: str, texts: list[str], change: str) -> str:
        columns = "".join(f"  {text:>{width}}" for text, width in zip(texts, widths))
        label = units.shorten(label, label_width)
        return f"{label:<{label_width}}{columns}{change:>{CHANGE_WIDTH}}".rstrip()

    lines = [line("", labels, "change" if compared else "")]
    for part, block in zip(parts, cells):
        lines.append(part.title)
        lines += [
            line(f"  {row.label}", texts, _change(row) if compared else "")
            for row, texts in zip(part.rows, block)
        ]
    return "\n".join(lines) + "\n"


def cell(row: Row, value: Value, room: int) -> str:
    """A value as text, words cut to the room that there is."""
    if value is None:
        return "-"
    return units.shorten(value, room) if isinstance(value, str) else row.text(value)


def _change(row: Row) -> str:
    first, other = row.values
    if (
        not row.change
        or first is None
        or other is None
        or isinstance(first, str)
        or isinstance(other, str)
    ):
        return ""
    if row.change == "points":
        points = 100 * (other - first)
        return "=" if abs(points) < 0.005 else f"{points:+.2f} pt"
    return units.change_text(first, other)


def frame(results: list[Result]) -> pd.DataFrame:
    """The table for a CSV: names and units as in results.h5, values as stored."""
    lines = [
        [part.title, row.key, row.unit, *row.values]
        for part in sections(results)
        for row in part.rows
    ]
    return pd.DataFrame(
        lines, columns=["section", "metric", "unit", *(result.label for result in results)]
    )
