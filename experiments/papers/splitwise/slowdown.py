"""Splitwise's SLO: nine percentiles of slowdowns against the same requests, each alone on a DGX-A100.

usage: slowdown.py REFERENCE FOLDER [NAME]

REFERENCE and FOLDER are results of `tandem run` of the same requests. Prints a line, with NAME first if there is one: rate, USD and power
(authors' unit) of the cluster, the nine slowdowns, those over their bound with a *. Exit status 0 where all hold, 3 where not."""

import json
import pathlib
import sys

import h5py
import numpy

# Table 6 of the paper; `get_slo` of splitwise-sim's notebooks/plots.ipynb has the same.
QUANTILES = (0.5, 0.9, 0.99)
BOUNDS = {"TTFT": (2, 3, 6), "TBT": (1.25, 1.5, 5), "E2E": (1.25, 1.5, 5)}

# Of a machine, as splitwise-sim's notebooks/utils.py has it; a capped H100 machine has 0.7 of it.
POWER = {"a100-sxm-80gb": 24.8, "h100-sxm": 44.0}
CAPPED = 0.7
GPUS_PER_MACHINE = 8


def latencies(folder):
    """TTFT, mean time between tokens (NaN where there is one token only) and E2E of each request, in ns."""
    with h5py.File(pathlib.Path(folder) / "results.h5") as file:
        rows = file["requests"]
        ttft, e2e, outputs = (rows[name][:].astype(float) for name in ("ttft_ns", "e2e_ns", "output_tokens"))
    gaps = numpy.where(outputs > 1, outputs - 1, numpy.nan)
    return {"TTFT": ttft, "TBT": (e2e - ttft) / gaps, "E2E": e2e}, outputs


def power(folder):
    """Provisioned power of the cluster that FOLDER's results are of."""
    cluster = json.loads((pathlib.Path(folder) / "config.used.json").read_text())["cluster"]
    total = 0.0
    for pool in cluster["pools"]:
        machines = pool["instances"] * pool["tensor_parallel"] / GPUS_PER_MACHINE
        capped = pool.get("power", {}).get("cap_watts", 0) > 0
        total += machines * POWER[pool["gpu"]["name"]] * (CAPPED if capped else 1)
    return total


def main(reference, folder, name=""):
    alone, outputs = latencies(reference)
    loaded, same = latencies(folder)
    if len(outputs) != len(same) or (outputs != same).any():
        sys.exit(f"slowdown.py: {reference} and {folder} are not of the same requests")
    cells, held = [], True
    for metric, bounds in BOUNDS.items():
        slowdowns = numpy.nanquantile(loaded[metric] / alone[metric], QUANTILES)
        for slowdown, bound in zip(slowdowns, bounds):
            held &= bool(slowdown < bound)
            cells.append(f"{slowdown:.2f}{' ' if slowdown < bound else '*'}")
    with h5py.File(pathlib.Path(folder) / "results.h5") as file:
        rate, usd = (file["summary"][column][()] for column in ("request_rate_per_s", "cost_usd_per_hour"))
    print(f"{name:28s} {float(rate):7.1f} {float(usd):7.0f} {power(folder):7.0f} ", *(f"{cell:>7s}" for cell in cells))
    return 0 if held else 3


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
