"""Plain sentences: which deployment is better in what, by how much, and whether that is fair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tandem_analysis import data, table, units
from tandem_analysis.load import Result

TIE = 0.01  # values this close, relative to the larger one, are called equal


@dataclass
class Criterion:
    """What deployments are judged by."""

    name: str
    lower: bool  # lower is better
    text: Callable[[float], str]
    value: Callable[[Result], float | None]  # None: says nothing about this deployment
    share: bool = False  # differences are told in points


def _time(metric: str, percentile: str) -> Callable[[Result], float | None]:
    return lambda r: r.value(f"{metric}_{percentile}_ns") if r.counted(metric) else None


def _slo(get: Callable[[Result], float | None]) -> Callable[[Result], float | None]:
    return lambda result: get(result) if table.has_slo(result) else None


def _rate(value: float) -> str:
    return f"{units.digits(value)}/s"


CRITERIA = (
    Criterion("TTFT p90", True, units.time_text, _time("ttft", "p90")),
    Criterion("TPOT p90", True, units.time_text, _time("tpot", "p90")),
    Criterion("ITL p99", True, units.time_text, _time("itl", "p99")),
    Criterion("E2E p90", True, units.time_text, _time("e2e", "p90")),
    Criterion(
        "SLO attainment", False, units.percent_text, _slo(lambda r: r.value("slo_attainment")), True
    ),
    Criterion("goodput", False, _rate, _slo(lambda r: r.value("goodput_per_s"))),
    Criterion("goodput per GPU", False, _rate, _slo(table.goodput_per_gpu)),
    Criterion(
        "output tokens per GPU", False, _rate, lambda r: r.value("output_tokens_per_s_per_gpu")
    ),
    Criterion(
        "$ per million output tokens",
        True,
        units.usd_text,
        lambda r: r.value("usd_per_million_output_tokens") or None,
    ),
    Criterion(
        "$ per thousand requests within the SLO",
        True,
        units.usd_text,
        _slo(table.usd_per_thousand_good),
    ),
    Criterion(
        "energy per output token",
        True,
        units.joules_text,
        lambda r: r.summary.get("joules_per_output_token") or None,
    ),
)


def equal(first: float, other: float) -> bool:
    """Within 1 % of the larger one."""
    return abs(first - other) <= TIE * max(abs(first), abs(other))


def compare(results: list[Result]) -> list[str]:
    """The verdict on two or more results; doubts about fairness come first."""
    unfair = fairness(results)
    lines = ["NOT A FAIR COMPARISON:"] if unfair else []
    lines += [f"  - {reason}" for reason in unfair]
    lines += remarks(results)
    details: list[str] = []
    wins: dict[str, list[str]] = {result.label: [] for result in results}
    ties: list[str] = []
    for criterion in CRITERIA:
        values = [value for value in map(criterion.value, results) if value is not None]
        if len(values) < len(results):
            continue
        best, sentence = _judge(criterion, [result.label for result in results], values)
        details.append(f"  {criterion.name}: {sentence}")
        if len(best) == len(results):
            ties.append(criterion.name)
        elif len(best) == 1:
            wins[best[0]].append(criterion.name)
    lines += _overall(wins, ties)
    return lines + details


def _overall(wins: dict[str, list[str]], ties: list[str]) -> list[str]:
    winners = [label for label, names in wins.items() if names]
    lines = [
        f"{label} is {'better' if len(wins) == 2 else 'best'} in {_list(wins[label])}."
        for label in winners
    ]
    if ties:
        lines.append(f"Equal (within {100 * TIE:g} %) in {_list(ties)}.")
    return lines


def _judge(criterion: Criterion, labels: list[str], values: list[float]) -> tuple[list[str], str]:
    """Labels of the best (all that equal the best one), and a sentence."""
    order = sorted(range(len(values)), key=lambda i: values[i] if criterion.lower else -values[i])
    top = values[order[0]]
    best = [i for i in order if equal(values[i], top)]
    rest = [i for i in order if i not in best]
    names = " and ".join(labels[i] for i in best)
    if not rest:
        told = ", ".join(f"{label} {criterion.text(value)}" for label, value in zip(labels, values))
        return labels, f"equal ({told})"
    against = ", ".join(
        f"{labels[i]} {criterion.text(values[i])}{_gap(criterion, top, values[i])}" for i in rest
    )
    return [labels[i] for i in best], f"{names} {criterion.text(top)} against {against}"


def _gap(criterion: Criterion, best: float, other: float) -> str:
    word = "lower" if criterion.lower else "higher"
    if criterion.share:
        return f" ({100 * abs(best - other):.2f} points {word})"
    if other == 0:
        return ""
    if best >= 2 * other:
        return f" ({units.digits(best / other, 3)} times)"
    return f" ({100 * abs(best / other - 1):.1f} % {word})"


def fairness(results: list[Result]) -> list[str]:
    """Reasons for which the figures cannot be put side by side."""
    first = results[0]
    reasons = []
    for other in results[1:]:
        reasons += _differences(first, other)
    for result in results:
        if result.value("saturated"):
            reasons.append(
                f"{result.label} is saturated: its queues grow as long as requests arrive, so its "
                "latencies depend on the length of the run; compare at a rate that it sustains"
            )
    shares = [result.value("refused") / max(1, result.value("requests")) for result in results]
    if max(shares) - min(shares) > 0.001:
        told = ", ".join(
            f"{result.label} {units.percent_text(share)}" for result, share in zip(results, shares)
        )
        reasons.append(
            f"different shares of requests are refused ({told}): the latencies leave them out"
        )
    return reasons


def _differences(first: Result, other: Result) -> list[str]:
    pair = f"{first.label} and {other.label}"
    reasons = []
    if first.model != other.model:
        reasons.append(
            f"{pair} serve different models ({first.model or '?'}, {other.model or '?'})"
        )
    workload = workload_differences(first, other)
    if workload:
        reasons.append(f"{pair} have different workloads: {'; '.join(workload)}")
    slo = [
        f"{noun} {units.bound_text(first.value(key))}, {units.bound_text(other.value(key))}"
        for key, noun in (
            ("slo_ttft_ms", "TTFT"),
            ("slo_tpot_ms", "TPOT"),
            ("slo_itl_ms", "longest ITL"),
        )
        if first.value(key) != other.value(key)
    ]
    if slo:
        reasons.append(
            f"{pair} have different SLOs ({'; '.join(slo)}): goodput and attainment do not compare"
        )
    if first.tandem_version != other.tandem_version:
        reasons.append(
            f"{pair} were simulated by different versions of Tandem ({first.tandem_version}, "
            f"{other.tandem_version})"
        )
    return reasons


def workload_differences(first: Result, other: Result) -> list[str]:
    """What differs in trace, options, seed, requests and warm-up, as name first, other."""
    ours, theirs = _flat(first.configuration.get("workload")), _flat(
        other.configuration.get("workload")
    )
    both = bool(first.trace_sha256 and other.trace_sha256)
    skip = {"trace.sha256"} | ({"trace.path"} if both else set())
    differences = []
    if both and first.trace_sha256 != other.trace_sha256:
        differences.append(f"trace sha256 {first.trace_sha256[:12]}, {other.trace_sha256[:12]}")
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        if key not in skip and ours.get(key) != theirs.get(key):
            differences.append(f"{key} {_brief(ours.get(key))}, {_brief(theirs.get(key))}")
    if first.configuration.get("seed") != other.configuration.get("seed"):
        differences.append(
            f"seed {_brief(first.configuration.get('seed'))}, "
            f"{_brief(other.configuration.get('seed'))}"
        )
    if first.value("requests") != other.value("requests"):
        differences.append(
            f"requests {units.count_text(first.value('requests'))}, "
            f"{units.count_text(other.value('requests'))}"
        )
    if first.value("window_start_ns") != other.value("window_start_ns"):
        differences.append(
            f"warm-up {units.time_text(first.value('window_start_ns'))}, "
            f"{units.time_text(other.value('window_start_ns'))}"
        )
    return differences


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    """Scalars and lists of an object by their dotted path."""
    if not isinstance(node, dict):
        return {path: node} if path else {}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat.update(_flat(value, f"{path}.{key}" if path else key))
    return flat


def _brief(value: Any) -> str:
    return "none" if value is None else units.shorten(str(value), 40)


def remarks(results: list[Result]) -> list[str]:
    """What else a reader must know: sizes, equal checksums, a missing SLO or price."""
    lines = []
    gpus = [result.value("gpus") for result in results]
    if len(set(gpus)) > 1:
        told = ", ".join(
            f"{result.label} {units.count_text(count)}" for result, count in zip(results, gpus)
        )
        lines.append(f"GPUs differ ({told}): look at the values per GPU and per dollar.")
    checksums = [result.checksum for result in results]
    if checksums[0] and len(set(checksums)) == 1:
        lines.append(
            f"All have the same checksum ({checksums[0]}): every request took the same course."
        )
    without = [result.label for result in results if not table.has_slo(result)]
    if without:
        lines.append(f"No SLO is set for {_list(without)}: goodput is not judged.")
    free = [result.label for result in results if not result.value("cost_usd_per_hour")]
    if free:
        lines.append(f"No price is set for {_list(free)}: cost is not judged.")
    return lines + [line for result in results for line in _capped(result, f" of {result.label}")]


def report(result: Result) -> list[str]:
    """Plain sentences on one result."""
    lines = []
    if result.value("saturated"):
        lines.append(
            "SATURATED: queues grow as long as requests arrive; latencies depend on the length of "
            "the run. Lower the rate or add instances."
        )
    if result.value("refused"):
        lines.append(_refused(result))
    if table.has_slo(result):
        share = units.percent_text(result.value("slo_attainment"))
        goodput, rate = _rate(result.value("goodput_per_s")), _rate(
            result.value("request_rate_per_s")
        )
        lines.append(f"{share} of the requests meet the SLO: goodput {goodput} of {rate} arriving.")
    stages = data.stages_frame([result])
    if stages["mean_ns"].max() > 0:
        top = stages.loc[stages["mean_ns"].idxmax()]
        mean, share = units.time_text(top["mean_ns"]), units.percent_text(top["share"])
        lines.append(
            f"A request spends most time in {top['stage']}: {mean}, {share} of its E2E time."
        )
    return lines + [_pool(pool) for _, pool in result.pools.iterrows()] + _capped(result)


def _capped(result: Result, of: str = "") -> list[str]:
    """A sentence on each pool whose power a cap cuts for more than 1 % of its busy time."""
    shares = result.pools.get("power_capped", pd.Series(dtype=float))
    return [
        f"GPUs of pool {name}{of} take all the power they may in {units.percent_text(share)} of their "
        "busy time: there they would clock down, which times do not know."
        for name, share in zip(result.pools["name"], shares)
        if share > 0.01
    ]


def _refused(result: Result) -> str:
    words = {
        "model_length": "too long for the model",
        "kv_capacity": "for the KV cache",
        "queue_full": "by a full queue",
        "deadline": "not scheduled in time",
        "session": "later turns of their sessions",
    }
    refused, requests = (units.count_text(result.value(name)) for name in ("refused", "requests"))
    counts = {word: result.summary.get(f"refused_{reason}", 0) for reason, word in words.items()}
    reasons = [f"{units.count_text(count)} {word}" for word, count in counts.items() if count > 0]
    return (
        f"{refused} of {requests} requests were refused ({', '.join(reasons)}); "
        "the latencies leave them out."
    )


def _pool(pool: pd.Series) -> str:
    busy = units.percent_text(pool["utilization"])
    mean, peak = (units.percent_text(pool[f"kv_{name}_utilization"]) for name in ("mean", "peak"))
    power = pool.get("mean_power_watts", 0)
    swaps = pool.get("swaps", 0)
    swapped = f", {units.count_text(swaps)} of them by swapping" if swaps else ""
    return (
        f"Pool {pool['name']} ({table.pool_text(pool)}) is busy {busy} of the time"
        f"{f' and takes {units.watts_text(power)}' if power else ''}; "
        f"KV blocks in use: mean {mean}, peak {peak}; "
        f"preemptions {units.count_text(pool['preemptions'])}{swapped}."
    )


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
