"""Unified or disaggregated? Expands a question into sweeps, runs them, and says who serves more requests at the SLO.

Scout: every unified deployment and P:D split that fills the budget, at one seed. Measure: the best of each kind, at other
seeds. Map: both kinds, chosen anew, where prompts and outputs have other lengths. Network: the best of each kind over
rates and bandwidths of the KV link."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import network
import numpy as np
import pandas as pd

from tandem_analysis import fair, figures, html_report, load, sweep, sweep_figures, units
from tandem_analysis.load import ResultError, Sweep
from tandem_analysis.page import Page

HERE = Path(__file__).parent
UNIFIED, DISAGGREGATED = "unified", "disaggregated"
RATE = "workload.rate_scale"  # arrivals are at 1/s: requests/s
TARGET = 0.9  # without --target
TOKEN_BUDGETS = (512, 1024, 2048, 8192)  # of unified instances: what they can be tuned by
SHARES = 8  # splits in eighths of the budget, where it has more instances than that
DOUBLINGS = [2.0**k for k in range(-5, 12)]
REQUESTS = "workload.synthetic.requests"
MOST, MOST_OF_MAP = 100_000, 8000  # requests of a run
METRIC = "requests/s per GPU at the SLO"
X, Y = "mean prompt tokens", "mean output tokens"


@dataclass
class Effort:
    """How much is simulated; times are of the arrivals."""

    scout_s: float
    measure_s: float
    seeds: list[int]  # of the measurement; seed 1 is for choosing
    steps: int
    map_s: float
    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    map_seeds: list[int]
    map_steps: int
    layouts: int  # of each kind, in the map


WHOLE = Effort(60, 240, [2, 3, 4, 5, 6], 12, 30, (256, 1024, 4096), (32, 128, 512), [2, 3, 4, 5], 12, 2)
QUICK = Effort(20, 60, [2, 3, 4], 9, 12, (512, 4096), (32, 256), [2, 3, 4], 9, 1)
WARM_UP = 0.15  # of the time that the requests of a run take at the highest rate


@dataclass
class Question:
    """What question.json has."""

    path: str
    model: Any
    budget: dict[str, Any]
    workload: dict[str, Any]
    slo: dict[str, Any]

    @property
    def gpus(self) -> int:
        """The budget."""
        return int(self.budget["gpus"])


KEYS = {
    "model": None,
    "budget": {"gpu": str, "gpus": int, "tensor_parallel": list, "kv_link": str},
    "workload": {"prompt_tokens": None, "output_tokens": None, "arrival_cv": (int, float)},
    "slo": None,
}


def read(path: str) -> Question:
    """Checks what the sweeps do not: that the keys are there, and of their kind. Raises ResultError."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: {error}, write it like experiments/question/question.json") from None
    _check(path, content, KEYS)
    for key, inside in KEYS.items():
        if inside:
            _check(f"{path}: {key}", content[key], inside)
    parallel = content["budget"]["tensor_parallel"]
    if not parallel:
        raise ResultError(f"{path}: budget: tensor_parallel is empty, name at least one number of GPUs")
    for key, value in (("gpus", content["budget"]["gpus"]), *(("tensor_parallel", tp) for tp in parallel)):
        if not isinstance(value, int) or value < 1:
            raise ResultError(
                f"{path}: budget: {key} has {json.dumps(value)}, write a whole number from 1 on"
            )
    return Question(path, *(content[key] for key in KEYS))


def _check(where: str, node: Any, keys: dict[str, Any]) -> None:
    names = ", ".join(keys)
    if not isinstance(node, dict) or set(node) != set(keys):
        raise ResultError(f"{where}: it has to have exactly {names}")
    for key, kind in keys.items():
        if kind is not None and not isinstance(kind, dict) and not isinstance(node[key], kind):
            raise ResultError(
                f"{where}: {key} is {json.dumps(node[key])}, write it as in experiments/question/question.json"
            )


def candidates(question: Question) -> dict[str, dict[str, Any]]:
    """Every deployment that fills the budget: what its named point sets, by its name. Unified ones with each token budget."""
    points: dict[str, dict[str, Any]] = {}
    for tp in question.budget["tensor_parallel"]:
        for tokens in TOKEN_BUDGETS if question.gpus % tp == 0 else ():
            pool = {"name": UNIFIED, "role": UNIFIED, **_instances(question, question.gpus // tp, tp)}
            pool["scheduler"] = {"max_num_batched_tokens": tokens}
            points[f"{question.gpus // tp} x TP{tp}, {tokens} tokens"] = _cluster(question, [pool])
    for tp, other in itertools.product(question.budget["tensor_parallel"], repeat=2):
        for prefill in splits(question.gpus, tp, other):
            decode = (question.gpus - prefill * tp) // other
            pools = [
                {"name": "prefill", "role": "prefill", **_instances(question, prefill, tp)},
                {"name": "decode", "role": "decode", **_instances(question, decode, other)},
            ]
            points[f"{prefill}P TP{tp} + {decode}D TP{other}"] = _cluster(question, pools)
    return points


def splits(gpus: int, tp: int, other: int) -> list[int]:
    """Prefill instances of tp GPUs that leave a multiple of `other` for decode; at most SHARES - 1 of them."""
    fitting = [p for p in range(1, gpus // tp + 1) if gpus > p * tp and (gpus - p * tp) % other == 0]
    if len(fitting) < SHARES:
        return fitting
    wanted = np.linspace(0, len(fitting) - 1, SHARES - 1).round().astype(int)
    return [fitting[i] for i in dict.fromkeys(wanted)]


def _instances(question: Question, count: int, tp: int) -> dict[str, Any]:
    return {"gpu": question.budget["gpu"], "instances": count, "tensor_parallel": tp}


def _cluster(question: Question, pools: list[dict[str, Any]]) -> dict[str, Any]:
    network = {"kv_link": question.budget["kv_link"]}
    return {"cluster": {"name": "+".join(pool["name"] for pool in pools), "pools": pools, "network": network}}


def kind_of(name: str) -> str:
    """Of a candidate."""
    return DISAGGREGATED if "P TP" in name else UNIFIED


class Sweeps:
    """Runs sweeps into a folder."""

    def __init__(self, question: Question, folder: Path, target: float = TARGET) -> None:
        self.question, self.folder, self.target, self.points = question, folder, target, 0

    def rough(self, name: str, points: dict[str, dict[str, Any]]) -> pd.DataFrame:
        """The limits of the named points at seed 1, by factors of two; each run lasts about as long."""
        requests = [requests_of(rate, 15, MOST_OF_MAP) for rate in DOUBLINGS]
        axes = {RATE: DOUBLINGS, REQUESTS: requests, "seed": [1] * len(DOUBLINGS)}
        swept = self.execute(name, points, {"mode": "zip", "axes": axes}, requests[0], 0)
        swept.parameters.drop(columns=REQUESTS, inplace=True)  # goes with the rate
        return limits(swept, self.target)

    def run(
        self,
        name: str,
        points: dict[str, dict[str, Any]],
        rates: list[float],
        seeds: list[int],
        requests: int,
    ) -> Sweep:
        """The named points, each at every rate (requests/s, or times its own rate_per_s) and seed; points may set requests and
        warm-up themselves."""
        return self.execute(
            name, points, {"axes": {RATE: rates, "seed": seeds}}, requests, warm_up(requests, max(rates))
        )

    def execute(
        self,
        name: str,
        points: dict[str, dict[str, Any]],
        axes: dict[str, Any],
        requests: int,
        warm_up_s: float,
    ) -> Sweep:
        """One sweep, from its file NAME.json into NAME/."""
        arrivals = {"gamma": {"rate_per_s": 1, "cv": self.question.workload["arrival_cv"]}}
        lengths = {key: self.question.workload[key] for key in ("prompt_tokens", "output_tokens")}
        experiment = {
            "name": f"question-{name}",
            "model": self.question.model,
            "cluster": next(iter(points.values()))["cluster"],
            "workload": {"synthetic": {**lengths, "arrivals": arrivals, "requests": requests}},
            "slo": self.question.slo,
            "warm_up_s": warm_up_s,
            "output": {"requests": False},
            "sweep": {
                "points": [{"name": point, "set": settings} for point, settings in points.items()],
                **axes,
                "where": f"gpus_total == {self.question.gpus}",
            },
        }
        file, out = self.folder / f"{name}.json", self.folder / name
        file.write_text(json.dumps(experiment, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)  # of an earlier question
        ranks = os.cpu_count() or 1
        mpirun = ["mpirun", "-n", str(ranks)] if shutil.which("mpirun") and ranks > 1 else []
        command = [*mpirun, os.environ["TANDEM"], "sweep", str(file), "--quiet", "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not (out / "results.h5").exists() or done.returncode > 1:
            raise ResultError(f"{self.question.path}: the sweep {file} ended with:\n{done.stderr.strip()}")
        result = load.load_sweep(out)
        self.points += len(result.points)
        shutil.rmtree(out / "points", ignore_errors=True)  # stays where points are invalid
        return result


def best_of(table: pd.DataFrame, kind: str, seed: int = 1) -> str | None:
    """Of limits: the candidate of a kind that sustains most at a seed; None where none meets the SLO."""
    mine = table[(table["name"].map(kind_of) == kind) & (table["seed"] == seed)]
    mine = mine[mine["rate_per_s"] > 0]
    return None if mine.empty else str(mine.loc[mine["rate_per_s"].idxmax(), "name"])


def requests_of(rate: float, seconds: float, most: int = MOST) -> int:
    """So many that a run lasts about so long."""
    return int(min(most, max(500, rate * seconds)))


def warm_up(requests: int, rate: float) -> float:
    """Seconds, where requests come no faster than that."""
    return float(f"{WARM_UP * requests / rate:.2g}")


def around(low: float, high: float, steps: int) -> list[float]:
    """Rates from below the lower to above the higher limit, evenly in their logarithm, of four digits."""
    return [float(f"{rate:.4g}") for rate in np.geomspace(0.85 * low, 1.3 * high, steps)]


def scout(sweeps: Sweeps, points: dict[str, dict[str, Any]], effort: Effort) -> tuple[pd.DataFrame, Sweep]:
    """The limit of every candidate at seed 1: first of unified ones by factors of two, then of all around the best."""
    first = {name: settings for name, settings in points.items() if kind_of(name) == UNIFIED} or points
    rough = sweeps.rough("scout-rough", first)
    top = rough["rate_per_s"].max()
    if not top > 0:
        raise ResultError(
            f"{sweeps.question.path}: slo: no unified deployment meets it even at {DOUBLINGS[0]:g} requests/s, loosen it"
        )
    swept = sweeps.run(
        "scout", points, [float(f"{top * 2**k:.4g}") for k in (-3, -2, *np.arange(-1.5, 0.6, 0.25))], [1],
        requests_of(top, effort.scout_s),
    )  # fmt: skip
    return limits(swept, sweeps.target), swept


def limits(swept: Sweep, target: float) -> pd.DataFrame:
    """Of every point that can run; target: share of the requests that has to meet the SLO."""
    if not (swept.points["status"] == "completed").any():
        raise ResultError(f"{swept.path}: nothing can run: {swept.points['error'].iloc[0]}")
    return fair.limits(swept, RATE, target)


def measure(
    sweeps: Sweeps,
    points: dict[str, dict[str, Any]],
    chosen: dict[str, str],
    found: pd.DataFrame,
    effort: Effort,
) -> Sweep:
    """The chosen ones, named by their kind, at the seeds that chose nothing."""
    rates = found.set_index("name")["rate_per_s"][list(chosen.values())]
    named = {kind: points[name] for kind, name in chosen.items()}
    grid = around(rates.min(), rates.max(), effort.steps)
    return sweeps.run("measure", named, grid, effort.seeds, requests_of(rates.max(), effort.measure_s))


def over_links(
    sweeps: Sweeps,
    points: dict[str, dict[str, Any]],
    chosen: dict[str, str],
    found: pd.DataFrame,
    effort: Effort,
) -> pd.DataFrame:
    """The chosen ones over rates and bandwidths of the KV link, as network.compare has it."""
    limit = found.set_index("name")["rate_per_s"][list(chosen.values())]
    rates = network.rates_of(limit.min(), limit.max())
    requests = requests_of(max(rates), effort.map_s)
    swept = sweeps.execute(
        "network",
        {kind: points[name] for kind, name in chosen.items()},
        {"axes": {network.LINK: network.BANDWIDTHS, RATE: rates, "seed": effort.map_seeds}},
        requests,
        warm_up(requests, max(rates)),
    )
    return network.compare(swept, DISAGGREGATED, UNIFIED, TARGET)


def lengths_of(mean: int) -> dict[str, Any]:
    """Tokens of that mean."""
    return {"uniform": {"min": mean // 2, "max": mean + mean // 2}}


def break_even(
    sweeps: Sweeps, points: dict[str, dict[str, Any]], found: pd.DataFrame, effort: Effort
) -> pd.DataFrame:
    """A row a pair of mean lengths, as sweep.breakeven has it: the best of each kind, of those with the tensor
    parallelisms that did best in the scout, by seed 1, compared at the others."""
    cells = list(itertools.product(effort.prompts, effort.outputs))
    kinds = (UNIFIED, DISAGGREGATED)
    best = [name for name in (best_of(found, kind) for kind in kinds) if name]
    rough = sweeps.rough("map-rough", {n: _lengths(at) for n, at in _places(points, best, cells).items()})
    base = rough.groupby(rough["name"].map(_cell_of))["rate_per_s"].max().to_dict()
    base = {cell: base[_text(cell)] for cell in cells if base[_text(cell)] > 0}
    if not base:
        return pd.DataFrame([place(cell, {}, {}) for cell in cells])
    layouts = {layout for kind in kinds for layout in best_layouts(found, kind, effort.layouts)}
    names = [name for name in points if _layout(name) in layouts]
    steps = [float(f"{2**k:.4g}") for k in np.arange(-1.25, 0.8, 0.25)]
    scouted = {
        name: _lengths(at) | _load(base[at[1]], base[at[1]], effort.map_s, steps[-1])
        for name, at in _places(points, names, list(base)).items()
    }
    at_one = limits(sweeps.run("map-scout", scouted, steps, [1], 500), sweeps.target)
    at_one[["name", "cell"]] = at_one["name"].str.split(" @ ", expand=True).to_numpy()
    at_one["kind"] = at_one["name"].map(kind_of)
    at_one = at_one[at_one["rate_per_s"] > 0].sort_values("rate_per_s", kind="stable", ascending=False)
    chosen = at_one.drop_duplicates(["cell", "kind"]).set_index(["cell", "kind"])
    steps = [float(f"{step:.4g}") for step in np.geomspace(0.65, 1.3, effort.map_steps)]
    close = {
        f"{kind} @ {cell}": _lengths((points[one["name"]], _cell(cell)))
        | _load(one["rate_per_s"], chosen.loc[cell]["rate_per_s"].max(), effort.map_s, steps[-1])
        for (cell, kind), one in chosen.to_dict("index").items()
    }
    table = limits(sweeps.run("map", close, steps, effort.map_seeds, 500), sweeps.target)
    sides = {
        name: part["rate_per_s_per_gpu"].to_numpy()
        for name, part in table.sort_values("seed").groupby("name")
    }
    return pd.DataFrame(
        [
            place(
                cell,
                {
                    kind: sides[f"{kind} @ {_text(cell)}"]
                    for kind in kinds
                    if f"{kind} @ {_text(cell)}" in sides
                },
                {
                    kind: str(chosen.loc[_text(cell), kind]["name"])
                    for kind in kinds
                    if (_text(cell), kind) in chosen.index
                },
            )
            for cell in cells
        ]
    )


def best_layouts(found: pd.DataFrame, kind: str, count: int) -> list[tuple[str, ...]]:
    """Of limits: tensor parallelisms of a kind, those whose best candidate sustains most first."""
    mine = found[found["name"].map(kind_of) == kind].sort_values("rate_per_s", ascending=False)
    return list(dict.fromkeys(mine["name"].map(_layout)))[:count]


def _layout(name: str) -> tuple[str, ...]:
    """Kind and tensor parallelisms of a candidate."""
    return (kind_of(name), *(word.strip(",") for word in name.split() if word.startswith("TP")))


def _places(
    points: dict[str, dict[str, Any]], names: list[str], cells: list[tuple[int, int]]
) -> dict[str, tuple[dict[str, Any], tuple[int, int]]]:
    """Each of the names at each place of the map: what it sets, and the place."""
    return {
        f"{name} @ {cell[0]}x{cell[1]}": (points[name], cell)
        for name, cell in itertools.product(names, cells)
    }


def _lengths(at: tuple[dict[str, Any], tuple[int, int]]) -> dict[str, Any]:
    settings, cell = at
    keys = ("prompt_tokens", "output_tokens")
    return settings | {f"workload.synthetic.{key}": lengths_of(mean) for key, mean in zip(keys, cell)}


def _load(rate: float, fastest: float, seconds: float, most: float) -> dict[str, Any]:
    """Requests come at multiples of a rate, up to `most`; as many as the fastest at this place gets."""
    requests = requests_of(fastest, seconds, MOST_OF_MAP)
    return {
        "workload.synthetic.arrivals.gamma.rate_per_s": rate,
        REQUESTS: requests,
        "warm_up_s": warm_up(requests, rate * most),
    }


def _text(cell: tuple[int, int]) -> str:
    return f"{cell[0]}x{cell[1]}"


def _cell(text: str) -> tuple[int, int]:
    prompt, _, output = text.partition("x")
    return int(prompt), int(output)


def _cell_of(name: str) -> str:
    return name.rpartition(" @ ")[2]


def place(cell: tuple[int, int], sides: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, Any]:
    """What the map shows at one place: of what each kind sustains per GPU at each seed (none: it never meets the SLO;
    NaN: less than the lowest rate) and of its candidate's name."""
    row: dict[str, Any] = {X: cell[0], Y: cell[1], "seeds": 0, DISAGGREGATED: 0.0, UNIFIED: 0.0}
    row |= {"ratio": np.nan, "winner": "", "told_apart": False}
    row |= {f"best {kind}": names.get(kind, "") for kind in (DISAGGREGATED, UNIFIED)}
    sides = {kind: rates for kind, rates in sides.items() if not np.isnan(rates).any()}
    row |= {kind: float(rates.mean()) for kind, rates in sides.items()}
    if len(sides) == 2:
        logs = np.log(sides[DISAGGREGATED] / sides[UNIFIED])
        middle, half = sweep.interval(logs)
        row |= {"seeds": len(logs), "ratio": float(np.exp(middle)), "told_apart": bool(abs(middle) > half)}
    elif len(names) == 1 and sides:  # the other kind never meets the SLO
        row |= {
            "seeds": len(*sides.values()),
            "ratio": np.inf if DISAGGREGATED in sides else 0.0,
            "told_apart": True,
        }
    row["winner"] = "" if np.isnan(row["ratio"]) else DISAGGREGATED if row["ratio"] > 1 else UNIFIED
    return row


def table_text(found: pd.DataFrame, chosen: dict[str, str | None]) -> tuple[list[str], list[list[str]]]:
    """The candidates, best first: heads and rows."""
    rows = []
    for row in found.sort_values("rate_per_s", ascending=False, na_position="last").to_dict("records"):
        rate, each = "never", "-"
        if row["rate_per_s"] > 0:
            rate, each = (units.digits(row[figure], 3) for figure in ("rate_per_s", "rate_per_s_per_gpu"))
        rate += " or more" * (row["bound"] == "beyond")
        name = row["name"]
        rows.append([name, kind_of(name), rate, each, "chosen" if name in chosen.values() else ""])
    return ["deployment", "kind", "requests/s at the SLO", "per GPU", ""], rows


def answer(question: Question, sweeps: Sweeps, effort: Effort) -> str:
    """Runs everything and writes the report; what is printed."""
    points = candidates(question)
    kinds = {kind_of(name) for name in points}
    if kinds != {UNIFIED, DISAGGREGATED}:
        raise ResultError(
            f"{question.path}: budget: {question.gpus} GPUs with tensor_parallel {question.budget['tensor_parallel']} make no "
            f"{({UNIFIED, DISAGGREGATED} - kinds).pop()} deployment, give more GPUs or another tensor_parallel"
        )
    found, scouted = scout(sweeps, points, effort)
    chosen = {kind: best_of(found, kind) for kind in (UNIFIED, DISAGGREGATED)}
    heads, rows = table_text(found, chosen)
    text = [sweep_figures.aligned(heads, rows), *_unable(scouted)]
    if None in chosen.values():
        lacking = " and no ".join(kind for kind, name in chosen.items() if name is None)
        return "\n".join([*text, f"No {lacking} deployment of these meets the SLO: nothing to compare.", ""])
    measured = measure(sweeps, points, chosen, found, effort)
    sentences = fair.verdict(measured, RATE, UNIFIED, sweeps.target)
    table = break_even(sweeps, points, found, effort)
    links = over_links(sweeps, points, chosen, found, effort)
    told = [*map_lines(table), *network.lines(links, DISAGGREGATED, UNIFIED)]
    page = Page(f"Unified or disaggregated? {_title(question)}")
    page.heading("Answer")
    page.lines([*sentences, *told])
    page.heading("The question")
    page.code(Path(question.path).read_text(encoding="utf-8"))
    page.heading("Deployments that fill the budget, at one seed")
    page.table(heads, rows)
    page.lines(_unable(scouted))
    choice = html_report.Choice(RATE, None, UNIFIED, sweeps.target)
    html_report.add_sweep(page, measured, choice, sweeps.folder)
    add_map(page, table, sweeps.folder)
    network.add(page, links, DISAGGREGATED, UNIFIED, sweeps.folder)
    html_report.add_notes(page)
    page.write(sweeps.folder / "report.html")
    grounds = fair.fairness(measured, UNIFIED)
    grounds.append(f"Chosen by seed 1: {chosen[UNIFIED]} and {chosen[DISAGGREGATED]}.")
    return "\n".join([*text, "", *map(_wrapped, [*sentences, *grounds, "", *told]), ""])


def add_map(page: Page, table: pd.DataFrame, folder: Path) -> None:
    """Figure and CSV of the break-even, in the folder too."""
    page.heading("Where it breaks even")
    page.lines([*map_lines(table), MAP_NOTE])
    csv, png = folder / "breakeven.csv", folder / "breakeven.png"
    table.to_csv(csv, index=False)
    figures.save(
        folder,
        png.name,
        lambda: sweep_figures.draw_breakeven(table, X, Y, DISAGGREGATED, UNIFIED, METRIC),
    )
    page.figure(png, "Requests/s per GPU at the SLO, disaggregated / unified", csv)


MAP_NOTE = (
    "Lengths are uniform from half to one and a half times their mean, the SLO is the question's. At each place the best "
    "deployment of each kind is chosen by seed 1 and compared at other seeds, as a ratio. White: none meets the SLO."
)


def map_lines(table: pd.DataFrame) -> list[str]:
    """Who wins where."""
    lines = []
    for kind in (DISAGGREGATED, UNIFIED):
        sure = table[(table["winner"] == kind) & table["told_apart"]]
        cells = ", ".join(f"{row[X]}x{row[Y]}" for row in sure.to_dict("records"))
        lines.append(f"With other lengths (prompt x output tokens) {kind} serves more at: {cells or 'none'}.")
    rest = table[~table["told_apart"]]
    if len(rest):
        cells = ", ".join(f"{row[X]}x{row[Y]}" for row in rest.to_dict("records"))
        lines.append(f"Not told apart, or none meets the SLO: {cells}.")
    return lines


def _unable(swept: Sweep) -> list[str]:
    """A sentence a reason."""
    bad = swept.points[swept.points["status"] != "completed"].drop_duplicates("name")
    lines = []
    for error, part in bad.groupby("error", sort=False):
        more = f" and {len(part) - 3} more" * (len(part) > 3)
        lines.append(f"{', '.join(part['name'][:3])}{more} cannot run: {error}")
    return lines


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 110, subsequent_indent="    ")


def _title(question: Question) -> str:
    model = question.model if isinstance(question.model, str) else question.model.get("name", "")
    return f"{model} on {question.gpus} {question.budget['gpu']}"


def main() -> int:
    """Exit status 0 answered, 2 the question is wrong."""
    parser = argparse.ArgumentParser(prog="experiments/question/run", description=__doc__)
    parser.add_argument("file", nargs="?", default=str(HERE / "question.json"))
    parser.add_argument("--quick", action="store_true", help="shorter runs, fewer seeds, a smaller map")
    parser.add_argument(
        "--target", type=float, default=TARGET, metavar="SHARE", help="of the requests that have to meet the SLO (0.9)"
    )
    options = parser.parse_args()
    if not 0 < options.target <= 1:
        parser.error(f"--target {options.target:g}: a share is above 0, at most 1: 0.99 for 99 %")
    effort = QUICK if options.quick else WHOLE
    folder = Path(os.environ["OUT"]) / "question"
    try:
        question = read(options.file)
        folder.mkdir(parents=True, exist_ok=True)
        sweeps = Sweeps(question, folder, options.target)
        print(answer(question, sweeps, effort), end="")
    except ResultError as error:
        print(f"question: error: {error}", file=sys.stderr)
        return 2
    print(f"\n{sweeps.points} runs; report, figures and CSV are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
