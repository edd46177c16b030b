"""Asks `tandem roofline` for the time of iterations and of their operators."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AGAIN = "build it from this version of Tandem"
# Operators whose time an eager host has a factor of.
MATRICES = (
    "QKV projection",
    "output projection",
    "MLP, up",
    "MLP, down",
    "latent projections",
    "query projection",
    "query and latent projections",
    "expansion of keys and values",
    "shared experts, up",
    "shared experts, down",
    "router",
    "output head",
)


class RooflineError(Exception):
    """Why there is no answer, and the remedy."""


@dataclass(frozen=True)
class Iteration:
    """One iteration of a replica: prompts of prefill_tokens each, sequences of a mean context each."""

    model: str
    tensor_parallel: int
    prefill_tokens: int
    prompts: int
    decode_sequences: int
    context_tokens: int


def group_of(operator: str) -> str:
    """The group of a GPU file that an operator is timed with: gemm, allreduce, or other."""
    if operator in MATRICES:
        return "gemm"
    return "allreduce" if operator == "all-reduce" else "other"


def group_seconds(
    iteration: Iteration, gpu: str, weight_dtype: str
) -> tuple[dict[str, float], int]:
    """Time of the GPUs by group of coefficients, in s, without a factor; and the layers of the model."""
    answer = ask(iteration, gpu, "cuda-graphs", weight_dtype)
    sums: dict[str, float] = {}
    for operator in answer["operators"]:
        group = group_of(operator["name"])
        sums[group] = sums.get(group, 0.0) + operator["seconds"]
    expected = answer["iteration"]["gpu_seconds"]
    if abs(sum(sums.values()) - expected) > 1e-6 * expected:
        raise RooflineError(
            f"{program()}: its operators do not add up to its iteration, {AGAIN}"
        )
    return sums, int(answer["stage"]["layers"])


def iteration_seconds(iteration: Iteration, gpu: str, host: str, weight_dtype: str) -> float:
    """Time of the iteration with a host (an engine), in s."""
    return float(ask(iteration, gpu, host, weight_dtype)["iteration"]["seconds"])


@functools.cache
def ask(iteration: Iteration, gpu: str, host: str, weight_dtype: str) -> dict:
    """What `tandem roofline` says; gpu: a name or a file."""
    words = ["roofline", "--model", iteration.model, "--gpu", gpu, "--host", host, "--json"]
    words += ["--weight-dtype", weight_dtype.replace("_", "-")]
    words += ["--tensor-parallel", iteration.tensor_parallel]
    if iteration.prefill_tokens * iteration.prompts > 0:
        words += ["--prefill", iteration.prefill_tokens, "--prompts", iteration.prompts]
    if iteration.decode_sequences > 0:
        words += ["--batch", iteration.decode_sequences, "--context", iteration.context_tokens]
    try:
        return json.loads(_run(words))
    except json.JSONDecodeError as error:
        raise RooflineError(
            f"{program()}: `tandem roofline --json` gave no JSON, {AGAIN}"
        ) from error


def program() -> str:
    """$TANDEM, build/tandem of the repository that this package is in, or tandem on PATH."""
    named = os.environ.get("TANDEM")
    if named:
        return named
    built = ROOT / "build/tandem"
    return str(built) if built.exists() else shutil.which("tandem") or str(built)


def _run(words: list[object]) -> str:
    command = [program(), *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RooflineError(
            f"{command[0]}: cannot run ({error.strerror}), build it (cmake --build build) or set "
            "TANDEM to it"
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RooflineError(f"{' '.join(command[:2])}: {said[-1]}")
    return done.stdout
