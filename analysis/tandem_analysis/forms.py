"""The operator forms of the roofline timer (src/hardware/README.md) in numpy, to fit their coefficients.

Coefficients are a group of a GPU file as it stands there: times in us, bandwidths in GB/s. Sizes may be
arrays; the result is in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

import numpy as np

Sizes = Union[float, np.ndarray]
Group = Mapping[str, float]

MICROSECOND = 1e-6
GIGA = 1e9
TERA = 1e12
EAGER_NORM = 4  # host and GPU work beside each other: nearly the longer of both


@dataclass(frozen=True)
class Datasheet:
    """What the coefficients are shares of."""

    peak_bf16: float  # dense, FLOP/s
    bandwidth: float  # of memory, bytes/s


def pnorm(p: float, *terms: Sizes) -> np.ndarray:
    """(x^p + y^p + ..)^(1/p), by the largest term so that no power leaves the range of a double."""
    top = np.maximum.reduce([np.asarray(term, dtype=float) for term in terms])
    scale = np.where(top > 0, top, 1.0)
    return scale * sum((term / scale) ** p for term in terms) ** (1 / p) * (top > 0)


def gemm(gpu: Datasheet, c: Group, m: Sizes, n: Sizes, k: Sizes) -> np.ndarray:
    """m x k by k x n. Form: src/hardware/README.md, `gemm`."""
    weight_bytes = c["weight_bytes"]
    act_bytes = c.get("act_bytes", weight_bytes)
    memory = gpu.bandwidth * c["em"]
    ko = c.get("ko", 0)
    overlapped = 0 if ko > 0 else 2 * m * n  # output that is written while others compute
    compute = 2 * m * n * k / (gpu.peak_bf16 * c["mul"] * c["ec"])
    moved = weight_bytes * n * k / memory + (act_bytes * m * k + overlapped) / (
        memory * c.get("r", 1)
    )
    apart = (c.get("kq", 0) * (2 + weight_bytes) * m * k + ko * 2 * m * n) / gpu.bandwidth
    fixed = (c["t0_us"] + c.get("tk_us", 0) * k) * MICROSECOND
    return fixed + pnorm(c["p"], compute, moved) + apart


def prefill_attention(
    gpu: Datasheet,
    c: Group,
    heads: Sizes,
    kv_heads: Sizes,
    head_dim: Sizes,
    tokens: Sizes,
    work: Sizes,
) -> np.ndarray:
    """work: sum over chunks c of c (kv_before + c/2). Form: src/hardware/README.md, `prefill attn`."""
    share = c["ec"] * head_dim / (head_dim + c["hh"])
    compute = 4 * head_dim * heads * work / (gpu.peak_bf16 * share)
    moved = 4 * tokens * head_dim * (heads + kv_heads)
    moved = moved + c.get("kw", 0) * 4 * tokens * head_dim * kv_heads
    return c["t0_us"] * MICROSECOND + compute + moved / (gpu.bandwidth * c["em"])


def decode_attention(
    gpu: Datasheet,
    c: Group,
    heads: Sizes,
    kv_heads: Sizes,
    head_dim: Sizes,
    sequences: Sizes,
    context: Sizes,
    kv_bytes: Sizes,
) -> np.ndarray:
    """context: sum over sequences, tokens. Form: src/hardware/README.md, `decode attn`."""
    compute = 4 * heads * head_dim * context / (gpu.peak_bf16 * c["ec"])
    moved = 2 * kv_bytes * context * kv_heads * head_dim / (gpu.bandwidth * c["em"])
    each = c.get("ts_us", 0) * MICROSECOND * sequences * kv_heads
    return c["t0_us"] * MICROSECOND + pnorm(c["p"], compute, moved, each)


def allreduce(c: Group, size: Sizes, gpus: Sizes) -> np.ndarray:
    """size: bytes. One-shot or two-shot, what is faster. Form: src/hardware/README.md, `allreduce`."""
    others = np.asarray(gpus, dtype=float) - 1
    hops = c["an_us"] * others
    one_shot = (c["a1_us"] + hops) * MICROSECOND + others * size / (c["b1_gb_per_s"] * GIGA)
    two_shot = (c["a2_us"] + hops) * MICROSECOND + 2 * others / gpus * size / (
        c["b2_gb_per_s"] * GIGA
    )
    return np.where(others > 0, np.minimum(one_shot, two_shot), 0.0)


def eager_host(c: Group, layers: Sizes, prefill: Sizes, sequences: Sizes) -> np.ndarray:
    """Time of the host of an engine without CUDA graphs. layers: times the architecture's factor;
    prefill: whether the iteration has prefill tokens; sequences: that decode. Form:
    src/hardware/README.md, `eager`."""
    constant = np.where(prefill, c["prefill_us"], c["decode_us"])
    return MICROSECOND * (constant + c["layer_us"] * layers + c["sequence_us"] * sequences)


def eager(gpu_seconds: Sizes, host_seconds: Sizes) -> np.ndarray:
    """Time of an iteration whose host and GPUs take so long."""
    return pnorm(EAGER_NORM, gpu_seconds, host_seconds)
