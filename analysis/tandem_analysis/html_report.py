"""`report --html`: runs and sweeps as one page: verdict, tables, figures, and what all of it rests on."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tandem_analysis import data, fair, figures, load, sweep, sweep_figures, table, units, verdict
from tandem_analysis.load import Result, ResultError, Sweep
from tandem_analysis.page import Page

CAPTIONS = {
    "latency_cdf": "Share of requests (of gaps: ITL) up to a time; dots: p50, p90, p99",
    "utilization": "Busy time by phase and KV blocks in use, over time (and the next figure's data)",
    "load": "Requests waiting, running and moving, and tokens, over time",
    "stages": "Where the time of a completed request goes (mean)",
    "latency_over_time": "TTFT and E2E by time of arrival",
}
SERIES = ("utilization", "load")  # whose data is timeseries.csv
ASSUMED = (
    "Everything here is simulated. Times of operators are fits to measurements or to data sheets (tandem list gpus says which), "
    "prices are list prices of their date or assumed, energy is of the GPUs alone. TTFT is from the client's send to the first token "
    "visible, TPOT (E2E - TTFT) / (output tokens - 1), ITL the gap between two visible tokens; percentiles are nearest rank."
)
SATURATION = (
    "Saturated: requests pile up as long as they arrive, so latencies depend on the length of the run; such points are hollow or "
    "absent in figures and in no comparison of latencies."
)


@dataclass
class Choice:
    """What of a sweep is drawn."""

    x: str | None  # axis of the curves; None: the one along which requests come faster
    group: str | None  # axis of which each value has a curve; None: the only other one
    baseline: str | None  # named point that others are compared with; None: the first
    target: float  # SLO attainment


def write(paths: list[str], file: Path, choice: Choice, where: list[str]) -> str:
    """Writes the page, of sweeps only points where parameters have those values; what is printed. Raises ResultError."""
    sweeps = [sweep.where(load.load_sweep(path), where) for path in paths if load.is_sweep(path)]
    results = load.load_all([path for path in paths if not load.is_sweep(path)])
    names = [result.label for result in results] + [_name(points) for points in sweeps]
    page = Page(" and ".join(names))
    with tempfile.TemporaryDirectory(prefix="tandem-report-") as folder:
        if results:
            add_runs(page, results, Path(folder))
        for points in sweeps:
            add_sweep(page, points, choice, Path(folder))
    add_notes(page)
    page.write(file)
    return f"written to {file}: {', '.join(names)}\n"


def add_notes(page: Page) -> None:
    """What holds for all of it."""
    page.heading("How to read this")
    page.lines([ASSUMED, SATURATION])


def _name(points: Sweep) -> str:
    return str(points.configuration.get("name") or Path(points.path).parent.name)


def add_runs(page: Page, results: list[Result], folder: Path) -> None:
    """One run, or several side by side."""
    page.heading("Verdict" if len(results) > 1 else results[0].label)
    page.lines(verdict.compare(results) if len(results) > 1 else verdict.report(results[0]))
    page.heading("Figures side by side" if len(results) > 1 else "Figures", 3)
    rows = []
    for part in table.sections(results):
        rows.append([part.title])
        rows += [[line.label, *(table.cell(line, value, 40) for value in line.values)] for line in part.rows]
    page.table(["", *(result.label for result in results)], rows)
    frames = {
        "latency_cdf": data.cdf_frame(results),
        "timeseries": data.series_frame(results),
        "stages": data.stages_frame(results),
        "latency_over_time": data.arrivals_frame(results),
    }
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    written, left_out = figures.draw_all(results, folder)
    linked: set[str] = set()  # two figures have the same data: once is enough
    for png in written:
        csv = "timeseries" if png.stem in SERIES else png.stem
        page.figure(png, CAPTIONS[png.stem], None if csv in linked else folder / f"{csv}.csv")
        linked.add(csv)
    page.lines([*left_out, *data.sample_remarks(results)])
    page.heading("Method", 3)
    for result in results:
        bounds = ", ".join(
            f"{m.upper()} {units.bound_text(result.value(f'slo_{m}_ms'))}" for m in ("ttft", "tpot", "itl")
        )
        page.lines(
            [f"{result.label}: Tandem {result.tandem_version}, checksum {result.checksum}, seed {result.configuration.get('seed', 1)}, "
             f"SLO {bounds}, warm-up {units.time_text(result.value('window_start_ns'), trim=True)}."]
        )  # fmt: skip
        page.code(json.dumps(result.configuration, indent=1), f"Configuration of {result.label}")
    page.lines(
        [
            fair.WINDOW_RULE,
            "One seed each: how far another would be from this, nothing here says; sweep over seeds for that.",
        ]
    )


def add_sweep(page: Page, points: Sweep, choice: Choice, folder: Path) -> None:
    """A sweep: who serves more, whether that is fair, means, paired differences, curves, frontiers."""
    for path, option in ((choice.x, "--x"), (choice.group, "--group")):
        if path:
            sweep.check_axis(points, path, option)
    done = sweep.means(points)
    names = list(dict.fromkeys(sweep.completed(points)[sweep.NAME]))
    baseline = choice.baseline or names[0]
    page.heading(_name(points))
    if len(names) > 1:
        page.heading("Verdict", 3)
        page.lines(sweep_figures.fair_verdict(points, baseline, choice.target))
        page.heading("What it rests on", 3)
        page.lines(fair.fairness(points, baseline))
    page.lines(sweep.problems(points))
    page.heading("Means over seeds, +- half of the 95 % confidence interval", 3)
    page.table(*sweep_figures.cells(points, done))
    if len(names) > 1:
        page.heading(f"Differences from {baseline} at the same seeds, 95 % confidence interval", 3)
        page.table(*sweep_figures.paired_cells(points, sweep.paired(points, baseline)))
    _draw(page, points, choice, folder)
    page.heading("Method", 3)
    page.lines([fair.WINDOW_RULE] * (len(names) < 2))
    page.code(json.dumps(points.configuration, indent=1), "Configuration of all points")


def _draw(page: Page, points: Sweep, choice: Choice, folder: Path) -> None:
    x, group = sweep_figures.choose_axes(points, choice.x, choice.group)
    if x is None:
        page.lines([sweep_figures.NO_CURVES])
    else:
        curves = sweep_figures.curves(points, sweep.means(points), x, group)
        best = sweep_figures.bars_frame(curves, choice.target)
        for name, frame, draw, caption in (
            ("sweep_attainment", curves, lambda: sweep_figures.draw_curves(curves, x, choice.target),
             f"SLO attainment and goodput against {x}"),
            ("sweep_goodput", best, lambda: sweep_figures.draw_bars(best, x, choice.target),
             "The most goodput per GPU of each curve at the points that were run"),
        ):  # fmt: skip
            frame.to_csv(folder / f"{name}.csv", index=False)
            figures.save(folder, f"{name}.png", draw)
            page.figure(folder / f"{name}.png", caption, folder / f"{name}.csv")
    try:
        frontier = sweep_figures.pareto_frame(points)
    except ResultError:
        return  # all are saturated, which the problems say
    frontier.to_csv(folder / "pareto.csv", index=False)
    figures.save(folder, "pareto.png", lambda: sweep_figures.draw_pareto(frontier))
    page.figure(
        folder / "pareto.png",
        "What no other point beats in both (saturated ones left out)",
        folder / "pareto.csv",
    )
