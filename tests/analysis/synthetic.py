"""Writes results.h5 files as src/output does, from made-up requests, by src/metrics/columns.c."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    "router",
    "control",
    "router_queue",
    "prefill_queue",
    "prefill",
    "decode_queue",
    "transfer",
    "admission",
    "decode",
    "stalled",
)
METRICS = ("ttft", "ttft_prefill", "tpot", "itl", "e2e", "queue", "transfer")
REQUEST_TYPES = {
    "prompt_tokens": "u4",
    "output_tokens": "u4",
    "kv_transfer_bytes": "u8",
    "prefill_instance": "i4",
    "decode_instance": "i4",
    "preemptions": "u4",
    "swaps": "u4",
    "swapped_bytes": "u8",
    "cached_prompt_tokens": "u4",
    "host_prompt_tokens": "u4",
    "ssd_prompt_tokens": "u4",
    "turn": "u4",
    "status": "u1",
    "reason": "u1",
    "priority": "u1",
}


@functools.cache
def declared_columns() -> dict[str, list[str]]:
    """Names of the columns of each table in src/metrics/columns.c."""
    source = (ROOT / "src/metrics/columns.c").read_text()
    tables = {}
    for name, body in re.findall(
        r"static const struct column (\w+)\[\] = \{(.*?)\n\};", source, re.DOTALL
    ):
        names = []
        for kind, argument in re.findall(r"\b(COLUMN|MEAN|PERCENTILES|NAMED)\(\s*\"?(\w+)", body):
            names += (
                [f"{argument}_{part}_ns" for part in ("mean", "p50", "p90", "p99", "max")]
                if kind == "PERCENTILES"
                else [argument]
            )
        tables[name] = names
    return tables


def bucket(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each value's bucket: 1,024 per power of two above 2,048."""
    shift = np.zeros(len(values), dtype=np.int64)
    big = values >= 2048
    shift[big] = np.floor(np.log2(values[big])).astype(np.int64) - 10
    low = values >> shift << shift
    return low, low + (np.int64(1) << shift) - 1


class Synthetic:
    """One made-up run; arguments are what tests vary. Pools: name, role, instances, GPUs each."""

    def __init__(
        self,
        name: str = "unified",
        pools: tuple = (("unified", "unified", 4, 4),),
        count: int = 2000,
        seed: int = 1,
        slow: float = 1.0,
        price: float = 3.0,
        slo: tuple = (500.0, 60.0, 0.0),
        rate: float = 20.0,
        rows: bool = True,
        series: bool = True,
        saturated: bool = False,
        refused: int = 0,
        workload: dict | None = None,
        checksum: str | None = None,
        schema_version: int = 1,
        model: str = "llama-2-70b",
        one_token: bool = False,
        capped: float = 0.0,
        stranded: float = 0.0,
        classes: int = 1,
    ):
        self.arguments = dict(locals())
        self.rows, self.series, self.schema_version = rows, series, schema_version
        self.random = np.random.default_rng(seed)
        self.pools, self.price, self.slo, self.capped = pools, price, slo, capped
        self.stranded, self.classes = stranded, classes
        self.moved = any(role == "decode" for _, role, _, _ in pools)
        self.requests = self._requests(count, rate, slow, saturated, refused, one_token)
        self.summary = self._summary(saturated)
        if workload is None:
            workload = {
                "synthetic": {
                    "prompt_tokens": "azure-conv",
                    "output_tokens": "azure-conv",
                    "arrivals": {"poisson": {"rate_per_s": rate}},
                    "requests": count,
                }
            }
        self.configuration = {
            "name": name,
            "model": {"name": model, "layers": 80},
            "seed": seed,
            "cluster": {
                "name": f"{name}-cluster",
                "pools": [
                    {
                        "name": pool,
                        "role": role,
                        "gpu": {"name": "h100-sxm"},
                        "instances": instances,
                        "tensor_parallel": gpus,
                    }
                    for pool, role, instances, gpus in pools
                ],
            },
            "slo": {"ttft_ms": slo[0], "tpot_ms": slo[1]},
            "workload": workload,
        }
        self.checksum = (
            checksum
            if checksum is not None
            else f"{abs(hash((name, count, seed, slow))):016x}"[:16]
        )

    def _requests(
        self, count: int, rate: float, slow: float, saturated: bool, refused: int, one_token: bool
    ) -> dict[str, np.ndarray]:
        random = self.random
        arrival = np.cumsum(random.exponential(1e9 / rate, count)).astype(np.int64)
        prompt = np.clip(random.lognormal(6.7, 1.0, count), 8, 8192).astype(np.int64)
        output = (
            np.ones(count, np.int64)
            if one_token
            else np.clip(random.lognormal(5.0, 0.7, count), 1, 1500).astype(np.int64)
        )
        growth = 1 + (40.0 * arrival / arrival[-1] if saturated else 0)
        stages = {
            "router": 1_000_000 + 500 * prompt,
            "control": np.full(count, 5_000_000 if self.moved else 1_000_000),
            "router_queue": np.zeros(count),
            "prefill_queue": random.exponential(30e6 * slow * growth, count),
            "prefill": (15e6 + prompt * 60e3) * slow,
            "decode_queue": random.exponential(4e6, count) * self.moved,
            "transfer": (5e5 + prompt * 9e3) * self.moved,
            "admission": random.exponential(8e6, count) * self.moved,
            "decode": (output - 1)
            * random.normal(28e6, 3e6, count).clip(18e6)
            * (1.0 if self.moved else 1.4)
            * slow,
            "stalled": (random.random(count) < 0.01) * 4e8,
        }
        stages = {name: np.asarray(values).astype(np.int64) for name, values in stages.items()}
        ttft_prefill = (
            stages["router"] + stages["control"] + stages["router_queue"]
            + stages["prefill_queue"] + stages["prefill"]
        )
        late = stages["decode_queue"] + stages["transfer"] + stages["admission"]
        e2e = sum(stages.values())
        columns = {
            "arrival_ns": arrival,
            "prompt_tokens": prompt,
            "output_tokens": output,
            "ttft_ns": ttft_prefill + late,
            "ttft_prefill_ns": ttft_prefill,
            "e2e_ns": e2e,
            "max_itl_ns": np.where(
                output > 1, (stages["decode"] // np.maximum(output - 1, 1) * 3), 0
            ),
            **{f"{name}_ns": values for name, values in stages.items()},
            "interference_ns": stages["decode"] // 8,
            "blocked_ns": stages["prefill_queue"] // 4,
            "congestion_ns": stages["transfer"] // 5,
            "kv_transfer_bytes": prompt * 327_680 * self.moved,
            "prefill_instance": np.arange(count) % 2,
            "decode_instance": np.where(self.moved, np.arange(count) % 2 + 2, -1),
            "preemptions": (stages["stalled"] > 0).astype(np.int64),
            "swaps": np.zeros(count, np.int64),
            "swapped_bytes": np.zeros(count, np.int64),
            "cached_prompt_tokens": np.zeros(count, np.int64),
            "host_prompt_tokens": np.zeros(count, np.int64),
            "ssd_prompt_tokens": np.zeros(count, np.int64),
            "session": np.full(count, -1),
            "turn": np.zeros(count, np.int64),
            "status": np.zeros(count, np.int64),
            "reason": np.zeros(count, np.int64),
            "priority": np.zeros(count, np.int64),
        }
        for name in columns:
            if refused and name not in ("arrival_ns", "prompt_tokens", "output_tokens"):
                columns[name][:refused] = {"status": 1, "reason": 2}.get(
                    name, -1 if "instance" in name else 0
                )
        return columns

    def values(self, metric: str) -> np.ndarray:
        """What goes into a histogram (ns)."""
        done = {
            name: values[self.requests["status"] == 0] for name, values in self.requests.items()
        }
        gaps = done["output_tokens"] - 1
        times = done["e2e_ns"] - done["ttft_ns"]
        if metric == "tpot":
            return ((times + gaps // 2) // np.maximum(gaps, 1))[gaps > 0]
        if metric == "itl":
            return np.repeat(times[gaps > 0] // gaps[gaps > 0], gaps[gaps > 0] // 10 + 1)
        if metric == "queue":
            return done["router_queue_ns"] + done["prefill_queue_ns"] + done["decode_queue_ns"] + done["admission_ns"]
        if metric == "transfer":
            return done["transfer_ns"][done["decode_instance"] >= 0]
        return done[f"{metric}_ns"]

    def histogram(self, metric: str) -> dict[str, np.ndarray]:
        """Buckets that are not empty."""
        low, high = bucket(self.values(metric))
        low, index, count = np.unique(low, return_index=True, return_counts=True)
        return {"low_ns": low, "high_ns": high[index], "count": count.astype(np.uint64)}

    def _summary(self, saturated: bool) -> dict[str, float]:
        requests = self.requests
        done = requests["status"] == 0
        window = int(requests["arrival_ns"][-1])
        gpus = sum(instances * each for _, _, instances, each in self.pools)
        tokens = int(requests["output_tokens"][done].sum())
        prompts = int(requests["prompt_tokens"][done].sum())
        hour = self.price * gpus
        ttft_met = done & (requests["ttft_ns"] <= self.slo[0] * 1e6 if self.slo[0] else True)
        gaps = np.maximum(requests["output_tokens"] - 1, 1)
        tpot_met = done & (
            (requests["e2e_ns"] - requests["ttft_ns"]) / gaps <= self.slo[1] * 1e6
            if self.slo[1]
            else True
        )
        count = len(done)
        cost = hour * window / 3.6e12
        summary = {
            "requests": count,
            "completed": int(done.sum()),
            "refused": int((~done).sum()),
            "refused_model_length": 0,
            "refused_kv_capacity": int((~done).sum()),
            "refused_queue_full": 0,
            "refused_deadline": 0,
            "refused_session": 0,
            "sessions": 0,
            "mean_turns": 0.0,
            "window_arrivals": count,
            "window_completed": int(done.sum()),
            "window_start_ns": 0,
            "window_end_ns": window,
            "end_ns": int((requests["arrival_ns"] + requests["e2e_ns"]).max()),
            "request_rate_per_s": count * 1e9 / window,
            "completed_per_s": done.sum() * 0.99e9 / window,
            "prompt_tokens": int(requests["prompt_tokens"][done].sum()),
            "output_tokens": tokens,
            "output_tokens_per_s": tokens * 1e9 / window,
            "output_tokens_per_s_per_gpu": tokens * 1e9 / window / gpus,
            "tokens_per_s_per_user": 0.0,
            "slo_ttft_ms": self.slo[0],
            "slo_tpot_ms": self.slo[1],
            "slo_itl_ms": self.slo[2],
            "slo_attainment": (ttft_met & tpot_met).mean(),
            "slo_ttft_attainment": ttft_met.mean(),
            "slo_tpot_attainment": tpot_met.mean(),
            "goodput_per_s": (ttft_met & tpot_met).sum() * 1e9 / window,
            "goodput_per_s_per_gpu": (ttft_met & tpot_met).sum() * 1e9 / window / gpus,
        }
        for metric in METRICS:
            summary.update(self._percentiles(metric))
        summary["tokens_per_s_per_user"] = (
            1e9 / summary["tpot_mean_ns"] if summary["tpot_mean_ns"] else 0.0
        )
        for stage in STAGES:
            summary[f"mean_{stage}_ns"] = float(requests[f"{stage}_ns"][done].mean())
        for name in ("interference", "blocked", "congestion"):
            summary[f"mean_{name}_ns"] = float(requests[f"{name}_ns"][done].mean())
        summary |= {
            "gpus": gpus,
            "moved_requests": int((requests["decode_instance"] >= 0).sum()),
            "kv_transfer_bytes": int(requests["kv_transfer_bytes"].sum()),
            "preemptions": int(requests["preemptions"].sum()),
            "swaps": int(requests["swaps"].sum()),
            "swapped_bytes": int(requests["swapped_bytes"].sum()),
            "cached_prompt_tokens": int(requests["cached_prompt_tokens"].sum()),
            "host_prompt_tokens": int(requests["host_prompt_tokens"].sum()),
            "ssd_prompt_tokens": int(requests["ssd_prompt_tokens"].sum()),
            "prefix_hit_share": requests["cached_prompt_tokens"].sum() / requests["prompt_tokens"].sum(),
            "kv_allocated_blocks": 1000,
            "kv_freed_blocks": 1000,
            "utilization": 0.7,
            "cost_usd_per_hour": hour,
            "cost_usd": cost,
            "usd_per_million_input_tokens": cost * 1e6 / prompts,
            "usd_per_million_output_tokens": cost * 1e6 / tokens,
            "usd_per_million_tokens": cost * 1e6 / (prompts + tokens),
            "usd_per_thousand_requests": cost * 1e3 / count,
            "usd_per_thousand_good_requests": cost * 1e3 / max(1, (ttft_met & tpot_met).sum()),
            "gpu_hours": gpus * window / 3.6e12,
            "idle_gpu_hours": 0.3 * gpus * window / 3.6e12,
            "idle_cost_usd": 0.3 * cost,
            "effective_usd_per_hour": hour / 0.7,
            "energy_joules": 400.0 * gpus * window / 1e9,
            "mean_power_watts": 400.0 * gpus,
            "joules_per_output_token": 400.0 * gpus * window / 1e9 / tokens,
            "joules_per_token": 400.0 * gpus * window / 1e9 / (prompts + tokens),
            "kwh_per_million_output_tokens": 400.0 * gpus * window / 3.6e9 / tokens,
            "kwh_per_million_tokens": 400.0 * gpus * window / 3.6e9 / (prompts + tokens),
            "saturated": int(saturated),
        }
        return summary

    def _percentiles(self, metric: str) -> dict[str, float]:
        values = np.sort(self.values(metric))
        names = [f"{metric}_{part}_ns" for part in ("mean", "p50", "p90", "p99", "max")]
        if not len(values):
            return dict.fromkeys(names, 0)
        ranks = [int(np.ceil(percent * len(values) / 100)) - 1 for percent in (50, 90, 99)]
        high = np.minimum(bucket(values[ranks])[1], values[-1])
        return dict(zip(names, [float(values.mean()), *map(int, high), int(values[-1])]))

    def pool_rows(self) -> dict[str, list]:
        """/pools by column."""
        rows: dict[str, list] = {name: [] for name in declared_columns()["pools"]}
        for i, (name, role, instances, each) in enumerate(self.pools):
            busy = {"unified": (0.1, 0.3, 0.35), "prefill": (0.62, 0, 0), "decode": (0, 0.81, 0)}[
                role
            ]
            row = {
                "name": name,
                "role": role,
                "gpu": "h100-sxm",
                "instances": instances,
                "gpus": instances * each,
                "tensor_parallel": each,
                "pipeline_parallel": 1,
                "attention_data_parallel": 1,
                "expert_parallel": 1,
                "kv_allocator": "paged",
                "kv_block_tokens": 16,
                "kv_capacity_blocks": 20_000,
                "price_usd_per_gpu_hour": self.price,
                "cost_usd_per_hour": self.price * instances * each,
                "utilization": sum(busy),
                "utilization_prefill": busy[0],
                "utilization_decode": busy[1],
                "utilization_mixed": busy[2],
                "mfu": 0.41 - 0.3 * i,
                "hfu": 0.43 - 0.3 * i,
                "mbu": 0.25 + 0.3 * i,
                "kv_mean_utilization": 0.3 + 0.1 * i,
                "kv_peak_utilization": 0.6 + 0.1 * i,
                "kv_mean_cached": 0.24 + 0.08 * i,
                "kv_internal_fragmentation": 0.2,
                "kv_external_fragmentation": self.stranded,
                "kv_allocations": 1000,
                "kv_copies": 0,
                "kv_compactions": 0,
                "kv_copied_bytes": 0,
                "kv_allocation_ns": 0,
                "mean_running": 30.0,
                "mean_waiting": 2.0,
                "prefill_tokens": 10**6,
                "padding_tokens": 0,
                "output_tokens": 10**5,
                "preemptions": 3,
                "swaps": 0,
                "swapped_out_bytes": 0,
                "swapped_in_bytes": 0,
                "cached_tokens": 0,
                "cached_host_tokens": 0,
                "cached_ssd_tokens": 0,
                "evicted_blocks": 0,
                "sent_bytes": 10**9 * i,
                "received_bytes": 10**9 * i,
                "role_switches": 0,
                "drain_ns": 0,
                "switched_ns": 0,
                "usd_per_million_prefill_tokens": 0.0 if role == "decode" else 0.21,
                "usd_per_million_output_tokens": 0.0 if role == "prefill" else 1.5,
                "gpu_hours": 1.0 * instances * each,
                "idle_cost_usd": 0.25 * instances * each,
                "effective_usd_per_hour": 4.0 * instances * each,
                "energy_joules": 1e6,
                "mean_power_watts": 400.0 * instances * each,
                "power_capped": self.capped,
                "joules_per_prefill_token": 0.0 if role == "decode" else 0.35,
                "joules_per_output_token": 0.0 if role == "prefill" else 2.25,
            }
            for column, value in row.items():
                rows[column].append(value)
        return rows

    def instance_rows(self) -> dict[str, list]:
        """/instances by column; only what names an instance, and what it does, differs between them."""
        rows: dict[str, list] = {name: [] for name in declared_columns()["instances"]}
        window = self.summary["window_end_ns"]
        for name, role, instances, each in self.pools:
            shares = {
                "busy_prefill_ns": {"unified": 0.1, "prefill": 0.62},
                "busy_decode_ns": {"unified": 0.3, "decode": 0.81},
                "busy_mixed_ns": {"unified": 0.35},
                "interference_ns": {"unified": 0.2},
                "decoding_ns": {"unified": 0.45, "decode": 0.81},
                "blocked_ns": {"unified": 0.12, "prefill": 0.3},
                "blocked_decoding_ns": {"unified": 0.08},
                "blocked_idle_ns": {"prefill": 0.09},
                "moving_idle_ns": {"decode": 0.04},
            }
            doing = {column: int(share.get(role, 0) * window) for column, share in shares.items()}
            for _ in range(instances):
                for column, values in rows.items():
                    values.append(
                        {
                            "pool": name,
                            "role": role,
                            "gpu": "h100-sxm",
                            "gpus": each,
                            "utilization": 0.7,
                            "kv_mean_utilization": 0.3,
                            "cost_usd": 1.5,
                            "preemptions": 2,
                            "prefill_tokens": 1000,
                            "recomputed_tokens": 50,
                            **doing,
                        }.get(column, 7)
                    )
        return rows

    def class_rows(self) -> dict[str, list]:
        """/classes by column: each has its share of the window's requests."""
        rows: dict[str, list] = {name: [] for name in declared_columns()["classes"]}
        for priority in range(self.classes):
            for column, values in rows.items():
                values.append(
                    {
                        "priority": priority,
                        "window_arrivals": self.summary["window_arrivals"] // self.classes,
                        "slo_attainment": 0.9 - 0.1 * priority,
                    }.get(column, 10**6 * (priority + 1))
                )
        return rows

    def series_rows(self, i: int) -> dict[str, np.ndarray]:
        """/timeseries of pool i: bins of a second, the last one cut at the end of the run."""
        end_s = self.summary["end_ns"] / 1e9
        count = int(np.ceil(end_s))
        time = np.arange(count)
        active = np.where(
            time < self.summary["window_end_ns"] / 1e9,
            1.0,
            np.exp(-(time - time[-1] / 2) / time[-1]) / 2,
        )
        noise = 0.8 + 0.2 * np.sin(time / 7.0) + 0.05 * self.random.random(count)
        busy = [
            self.pool_rows()[f"utilization_{phase}"][i] * active * noise
            for phase in ("prefill", "decode", "mixed")
        ]
        return {
            "start_ns": time * 1_000_000_000,
            "waiting": 2 * active * noise,
            "running": 30 * active * noise,
            "moving": 1.5 * active * noise * self.moved,
            "kv_used": (0.3 + 0.1 * i) * active * noise,
            "kv_cached": (0.24 + 0.08 * i) * active * noise,
            "kv_stranded": self.stranded * active,
            "busy_prefill": busy[0],
            "busy_decode": busy[1],
            "busy_mixed": busy[2],
            "prefill_tokens": (20_000 * active * noise).astype(np.uint64),
            "output_tokens": (3_000 * active * noise).astype(np.uint64),
            "sent_bytes": (10**8 * active * noise).astype(np.uint64),
            "power_watts": 180.0 + 500.0 * sum(busy),
        }

    def write(self, folder: Path) -> Path:
        """Writes FOLDER/results.h5 and returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "results.h5"
        with h5py.File(path, "w", track_order=True, libver=("v108", "v108")) as file:
            file.attrs["schema_version"] = self.schema_version
            file.attrs["tandem_version"] = "0.1.0"
            file.attrs["checksum"] = self.checksum
            file.attrs["configuration"] = json.dumps(self.configuration)
            if self.rows:
                _table(
                    file,
                    "requests",
                    {
                        name: self.requests[name].astype(REQUEST_TYPES.get(name, "i8"))
                        for name in declared_columns()["requests"]
                    },
                )
            _table(file, "instances", self.instance_rows())
            _table(file, "classes", self.class_rows())
            _table(file, "pools", self.pool_rows())
            for i, pool in enumerate(self.pools):
                rows = self.series_rows(i)
                rows = rows if self.series else {name: values[:0] for name, values in rows.items()}
                _table(file, f"timeseries/{pool[0]}", rows)
                file[f"timeseries/{pool[0]}"].attrs["interval_ns"] = (
                    1_000_000_000 if self.series else 0
                )
            for metric in METRICS:
                _table(file, f"histograms/{metric}", self.histogram(metric))
            for name in declared_columns()["summary"]:
                file[f"summary/{name}"] = self.summary[name]
        return path


def _table(file: h5py.File, name: str, columns: dict) -> None:
    group = file.create_group(name, track_order=True)
    for column, values in columns.items():
        values = np.array(values)
        if values.dtype.kind == "U":
            longest = max(len(value) for value in values)
            values = np.array(
                [value.encode() for value in values], dtype=h5py.string_dtype("utf-8", longest)
            )
        packed = {"compression": 1, "shuffle": True} if len(values) else {}
        group.create_dataset(column, data=values, **packed).attrs.update(
            {"unit": "ns", "description": "made up"}
        )
