"""The numbers behind the figures; the figures draw these frames and the CSV files hold them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tandem_analysis.load import Result

CDF_METRICS = ("ttft", "tpot", "itl", "e2e")
DRAWN_COLUMNS = (
    "busy_prefill",
    "busy_decode",
    "busy_mixed",
    "kv_used",
    "waiting",
    "running",
    "moving",
)
SERIES_COLUMNS = (
    "start_ns",
    "width_ns",
    *DRAWN_COLUMNS,
    "kv_cached",
    "kv_stranded",
    "prefill_tokens",
    "output_tokens",
    "sent_bytes",
    "power_watts",
)
# Stages in the order in which a request goes through them, as the figure groups them.
STAGES = {
    "router + control": ("router", "control"),
    "router queue": ("router_queue",),
    "prefill queue": ("prefill_queue",),
    "prefill": ("prefill",),
    "KV transfer": ("transfer",),
    "decode wait": ("decode_queue", "admission"),
    "decode": ("decode",),
    "stalled": ("stalled",),
}
ARRIVAL_BINS = 60


def cdf_frame(results: list[Result]) -> pd.DataFrame:
    """Histograms with the share of values up to high_ns (which is cut at the exact maximum)."""
    frames = []
    for result in results:
        for metric in CDF_METRICS:
            if not result.counted(metric):
                continue
            histogram = result.histograms[metric]
            count = histogram["count"].to_numpy(dtype=np.float64)
            maximum = int(result.value(f"{metric}_max_ns"))
            frames.append(
                pd.DataFrame(
                    {
                        "deployment": result.label,
                        "metric": metric,
                        "low_ns": histogram["low_ns"],
                        "high_ns": histogram["high_ns"].clip(upper=maximum),
                        "count": histogram["count"],
                        "cumulative_share": np.cumsum(count) / count.sum(),
                    }
                )
            )
    columns = ["deployment", "metric", "low_ns", "high_ns", "count", "cumulative_share"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def series_frame(results: list[Result]) -> pd.DataFrame:
    """Time series of all pools: one row per deployment, pool and bin."""
    frames = []
    for result in results:
        for pool in pool_order(result):
            frame = result.timeseries[pool].reindex(columns=SERIES_COLUMNS)
            frame.insert(0, "pool", pool)
            frame.insert(0, "deployment", result.label)
            frames.append(frame)
    columns = ["deployment", "pool", *SERIES_COLUMNS]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def pool_order(result: Result) -> list[str]:
    """Pools that have a time series, in the order of /pools."""
    return [name for name in result.pools["name"] if name in result.timeseries]


def stages_frame(results: list[Result]) -> pd.DataFrame:
    """Mean time of a completed request in each stage (ns), and its share of the whole."""
    rows = []
    for result in results:
        times = {
            stage: sum(result.value(f"mean_{part}_ns") for part in parts)
            for stage, parts in STAGES.items()
        }
        total = sum(times.values())
        rows += [
            (result.label, stage, time, time / total if total else 0.0)
            for stage, time in times.items()
        ]
    return pd.DataFrame(rows, columns=["deployment", "stage", "mean_ns", "share"])


def arrivals_frame(results: list[Result]) -> pd.DataFrame:
    """TTFT and E2E (ns) of completed requests by time of arrival, of runs that kept rows; rows: how
    many requests the percentiles are of, which are one in one_in of all."""
    frames = []
    for result in results:
        requests = result.requests()
        if requests is None:
            continue
        requests = requests[requests["status"] == 0]
        if requests.empty:
            continue
        width = max(1, -(-(int(requests["arrival_ns"].max()) + 1) // ARRIVAL_BINS))
        groups = requests.groupby(requests["arrival_ns"] // width)
        starts = np.array(list(groups.groups)) * width
        frame = pd.DataFrame({"arrival_from_ns": starts, "arrival_to_ns": starts + width})
        frame.insert(0, "deployment", result.label)
        frame["rows"] = groups.size().to_numpy()
        frame["one_in"] = result.one_in
        for metric in ("ttft", "e2e"):
            for percent in (50, 90):
                name = f"{metric}_p{percent}_ns"
                frame[name] = [
                    np.percentile(times, percent, method="inverted_cdf")  # nearest rank
                    for _, times in groups[f"{metric}_ns"]
                ]
        frames.append(frame)
    columns = [
        "deployment",
        "arrival_from_ns",
        "arrival_to_ns",
        "rows",
        "one_in",
        "ttft_p50_ns",
        "ttft_p90_ns",
        "e2e_p50_ns",
        "e2e_p90_ns",
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def sample_label(result: Result) -> str:
    """The label where only rows are drawn: says when they are not of all requests."""
    return f"{result.label} (1 request in {result.one_in})" if result.one_in > 1 else result.label


def sample_remarks(results: list[Result]) -> list[str]:
    """A sentence on each run that kept the rows of a sample."""
    return [
        f"latency_over_time shows a sample of {result.label}: the run kept the rows of 1 request in "
        f"{result.one_in}; everything else is of all requests."
        for result in results
        if result.has_requests and result.one_in > 1
    ]


def thinned(series: pd.DataFrame, most: int = 300) -> pd.DataFrame:
    """What figures draw of one pool's time series: at most that many bins (means of neighbours,
    weighted by their width), and tokens as rates."""
    width = series["width_ns"].to_numpy(dtype=np.float64)
    full = np.maximum(
        width, width[0]
    )  # in a short last bin the tokens of one iteration would be a spike
    frame = series[list(DRAWN_COLUMNS)].astype(np.float64)
    for name in ("prefill_tokens", "output_tokens"):
        frame[f"{name}_per_s"] = series[name] / (full / 1e9)
    group = np.arange(len(frame)) // -(-len(frame) // most)
    total = pd.Series(width).groupby(group).sum()
    means = frame.multiply(width, axis=0).groupby(group).sum().div(total, axis=0)
    means.insert(0, "width_ns", total)
    means.insert(0, "start_ns", series["start_ns"].groupby(group).first())
    return means
