"""Writes the results.h5 of a sweep as `tandem sweep` does: made-up deployments over rates, prompts and seeds."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import h5py
import numpy as np
from synthetic import declared_columns

RATES, PROMPTS, SEEDS = (1.0, 2.0, 4.0), (256, 2048), (1, 2, 3)
STATUS = ("completed", "invalid", "failed")


def summary(name: str, rate: float, prompt: int, seed: int) -> dict[str, float]:
    """Figures by formulas that tests can repeat: b is better with long prompts, a with short ones; seeds shift
    both alike."""
    shift = 0.01 * seed
    factor = 1.0 if name == "a" else 0.8 if prompt < 1000 else 1.25
    attainment = max(0.0, min(1.0, 1.3 - 0.1 * rate / factor))
    return {
        "request_rate_per_s": rate,
        "slo_attainment": attainment,
        "goodput_per_s": attainment * rate,
        "goodput_per_s_per_gpu": attainment * rate / 8 * factor + shift,
        "output_tokens_per_s_per_gpu": 100 * rate * factor + seed,
        "tokens_per_s_per_user": 60 * factor - 5 * rate + shift,
        "ttft_p99_ns": int(1e8 * rate / factor) + seed,
        "tpot_p99_ns": 20_000_000 + seed,
        "e2e_mean_ns": 2e9 * rate / factor + seed,
        "usd_per_million_output_tokens": 10 / rate / factor + shift,
        "saturated": int(name == "a" and rate == 4 and prompt == 2048),
    }


def write(folder: Path, names: tuple[str, ...] = ("a", "b"), broken: bool = True) -> Path:
    """FOLDER/results.h5; with broken the last point failed."""
    folder.mkdir(parents=True, exist_ok=True)
    points = list(itertools.product(names, RATES, PROMPTS, SEEDS))
    status = np.zeros(len(points), np.uint8)
    status[-1] = STATUS.index("failed") if broken else 0
    rows = [summary(*point) for point in points]
    path = folder / "results.h5"
    words = h5py.string_dtype("utf-8", 64)
    with h5py.File(path, "w", track_order=True) as file:
        file.attrs["kind"] = "sweep"
        file.attrs["schema_version"] = 1
        file.attrs["tandem_version"] = "0.1.0"
        file.attrs["checksum"] = "0" * 16
        file.attrs["configuration"] = json.dumps({"name": "swept", "sweep": {}})
        table = file.create_group("points", track_order=True)
        table["name"] = np.array([point[0].encode() for point in points], words)
        table["status"] = status
        table["status"].attrs["names"] = list(STATUS)
        errors = [b"it ended early" if failed else b"" for failed in status]
        table["error"] = np.array(errors, words)
        table["warnings"] = np.array([b""] * len(points), words)
        table["checksum"] = np.array([b"12" * 8] * len(points), words)
        for column in declared_columns()["summary"]:
            values = np.array([row.get(column, 1) for row in rows], dtype=float)
            values[status > 0] = np.nan
            table[column] = values
        file["parameters/workload.rate_scale"] = np.array([point[1] for point in points])
        file["parameters/workload.prompt"] = np.array([float(point[2]) for point in points])
        file["parameters/seed"] = np.array([float(point[3]) for point in points])
        clusters = [f"cluster-{point[0]}".encode() for point in points]
        file["parameters/cluster"] = np.array(clusters, words)
        file["pools/point"] = np.arange(len(points), dtype=np.uint64)
        file["pools/name"] = np.array([b"unified"] * len(points), words)
        file["classes/point"] = np.arange(len(points), dtype=np.uint64)
    return path
