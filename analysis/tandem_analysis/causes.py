"""What a request costs by cause: each has its part of the mean E2E time, and its part of the GPUs' time and price."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tandem_analysis import idle
from tandem_analysis.load import Result, ResultError

# What GPUs do, in the order of tables: part, its cause, whether its size is an estimate.
PARTS = (
    ("prefill", "prefill compute", False),
    ("prefill beside decodes", "interference", False),
    ("decode", "decode compute", False),
    ("decode, queue blocked", "KV limit", False),
    ("recomputation", "KV limit", True),
    ("idle, queue blocked", "KV limit", False),
    ("idle, KV on its way", "KV transfer", False),
    ("idle, with requests", "bubbles", True),
    ("idle, its pool queues", "queue", True),
    ("idle, another pool queues", "idle imbalance", True),
    ("idle, prefill has to come", "idle imbalance", True),
    ("idle", "no load", True),
)
CAUSES = (
    "front end, control",
    "queue",
    "prefill compute",
    "KV transfer",
    "KV limit",
    "decode compute",
    "interference",
    "idle imbalance",
    "bubbles",
    "no load",
)
NEEDED = ("interference_ns", "decoding_ns", "blocked_ns", "blocked_decoding_ns", "blocked_idle_ns", "moving_idle_ns")


def check(result: Result) -> None:
    """Raises ResultError where the run is of a Tandem that did not say what GPU time was for."""
    if not set(NEEDED) <= set(result.instances):
        raise ResultError(f"{result.path}: /instances has no {NEEDED[0]}, repeat the run with this version of Tandem")


def window_ns(result: Result) -> float:
    """Length of the window."""
    return result.value("window_end_ns") - result.value("window_start_ns")


def requests(result: Result) -> float:
    """Requests completed inside the window: what GPU time and price are divided by."""
    return result.value("completed_per_s") * window_ns(result) / 1e9


def gpu_frame(result: Result) -> pd.DataFrame:
    """GPU time and USD of the window over the requests completed in it, a row a pool and part; a pool's shares
    sum up to 1, all rows to the cost of all GPUs."""
    check(result)
    rows = []
    count, shares = requests(result), idle.beside_queues(result)
    for _, pool in result.pools.iterrows():
        whole = pool["gpus"] * window_ns(result)
        seconds = whole / 1e9 / count if count > 0 else np.nan
        usd = seconds * pool["price_usd_per_gpu_hour"] / 3600
        times = _times(result, pool, whole, shares)
        for part, cause, estimated in PARTS:
            share = times[part] / whole if whole > 0 else 0.0
            rows.append((result.label, pool["name"], part, cause, estimated, share, share * seconds, share * usd))
    columns = ["deployment", "pool", "part", "cause", "estimated", "share", "gpu_s_per_request", "usd_per_request"]
    return pd.DataFrame(rows, columns=columns)


def _times(result: Result, pool: pd.Series, whole: float, shares: dict[str, idle.Idle]) -> dict[str, float]:
    """GPU-ns of a pool by part; they sum up to the whole."""
    mine = result.instances[result.instances["pool"] == pool["name"]]

    def total(values: pd.Series) -> float:
        return float((mine["gpus"] * values).sum())

    busy = mine["busy_prefill_ns"] + mine["busy_decode_ns"] + mine["busy_mixed_ns"]
    lost = _recomputed(mine)
    decoding, waiting = (
        (0.0, 0.0)
        if pool["name"] in _static(result)
        else (total(mine["blocked_decoding_ns"]), total(mine["blocked_idle_ns"]))
    )
    prefill = busy - mine["interference_ns"] - mine["decoding_ns"]
    times = {
        "prefill": total(prefill * (1 - lost)),
        "prefill beside decodes": total(mine["interference_ns"] * (1 - lost)),
        "decode": total(mine["decoding_ns"]) - decoding,
        "decode, queue blocked": decoding,
        "recomputation": total((prefill + mine["interference_ns"]) * lost),
        "idle, queue blocked": waiting,
    }
    moving, ahead = total(mine["moving_idle_ns"]), _prefill_ahead(result)
    times |= {"idle, KV on its way": moving * (1 - ahead), "idle, prefill has to come": moving * ahead}
    rest = whole - total(busy) - waiting - moving
    share = shares[pool["name"]]
    free = min(rest, share.free * whole)
    times |= {"idle, with requests": rest - free, "idle, its pool queues": free * share.own}
    times |= {"idle, another pool queues": free * share.others, "idle": free * (1 - share.own - share.others)}
    return times


def _recomputed(instances: pd.DataFrame) -> pd.Series:
    """Share of what prefills compute that was lost in preemptions, by tokens of the whole run."""
    tokens = instances["prefill_tokens"].astype(float)
    lost = (instances["preemptions"] > 0) & (instances["kv_capacity_blocks"] > 0) & (tokens > 0)
    return (instances["recomputed_tokens"] / tokens.where(lost, 1.0)).where(lost, 0.0)


def _prefill_ahead(result: Result) -> float:
    """Where blocks are reserved before the prefill: share of the time from then to the end of the transfer that is
    not the transfer's."""
    handoff = idle.cluster(result).get("handoff") or {}
    if handoff.get("reserve") != "before-prefill":
        return 0.0
    before = result.value("mean_prefill_queue_ns") + result.value("mean_prefill_ns")
    after = result.value("mean_transfer_ns")
    return before / (before + after) if before + after > 0 else 0.0


def times(result: Result) -> dict[str, float]:
    """ns of a mean completed window request by cause; they sum up to the mean E2E time."""

    def mean(*stages: str) -> float:
        return sum(result.value(f"mean_{stage}_ns") for stage in stages)

    waits, stalled = mean("router_queue", "prefill_queue", "decode_queue", "admission"), mean("stalled")
    behind = mean("blocked") * waits / (waits + stalled) if waits + stalled > 0 and not _static(result) else 0.0
    heads = min(_heads(result), waits - behind)
    return {
        "front end, control": mean("router", "control"),
        "queue": waits - behind - heads,
        "prefill compute": mean("prefill"),
        "KV transfer": mean("transfer"),
        "KV limit": stalled + behind + heads,
        "decode compute": mean("decode") - mean("interference"),
        "interference": mean("interference"),
        "idle imbalance": 0.0,
        "bubbles": 0.0,
        "no load": 0.0,
    }


def _heads(result: Result) -> float:
    """Waits of those that did not fit themselves, which blocked_ns of requests leaves out: while a queue is blocked,
    one of them waits in it."""
    check(result)
    queues = result.pools.set_index("name")[["pipeline_parallel", "attention_data_parallel"]].prod(axis=1)
    mine = result.instances[~result.instances["pool"].isin(_static(result))]
    blocked = float((mine["blocked_ns"] * mine["pool"].map(queues)).sum())
    count = requests(result)
    return blocked / count if count > 0 else 0.0


def _static(result: Result) -> set[str]:
    """Pools of static batches: their queues are blocked by slots that have ended, not for want of KV blocks."""
    pools = idle.cluster(result).get("pools", [])
    return {pool["name"] for pool in pools if (pool.get("scheduler") or {}).get("policy") == "static"}


def causes_frame(first: Result, other: Result) -> pd.DataFrame:
    """A row a cause: ns of a mean request, GPU-seconds and USD for one of both runs, and their differences. ns sum up to
    the mean E2E time, the others to all GPUs of the window over the requests completed in it."""
    table = pd.DataFrame({"cause": CAUSES})
    for unit, figure in (("ns", None), ("gpu_s", "gpu_s_per_request"), ("usd", "usd_per_request")):
        for result in (first, other):
            values = times(result) if figure is None else gpu_frame(result).groupby("cause")[figure].sum().to_dict()
            table[f"{result.label}_{unit}"] = [float(values.get(cause, 0.0)) for cause in CAUSES]
        table[f"difference_{unit}"] = table[f"{other.label}_{unit}"] - table[f"{first.label}_{unit}"]
    return table


def remarks(result: Result) -> list[str]:
    """How well a run's idle time is known."""
    if idle.from_rows(result):
        return []
    if not idle.has_series(result):
        return [
            f"{result.label} has neither rows nor a time series (output.requests, output.timeseries_interval_ms): its "
            "idle GPUs are all counted as no load."
        ]
    return [
        f"{result.label} has no rows of all requests (output.requests): idle GPUs while requests wait are the most that "
        "the means of its time series allow."
    ]
