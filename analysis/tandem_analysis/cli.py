"""The command line. Exit status 0 done, 2 the input is wrong."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tandem_analysis.load import Result

PROGRAM = "tandem_analysis"
MODULES = ("h5py", "numpy", "pandas", "matplotlib")
PACKAGES = "python3-h5py python3-numpy python3-pandas python3-matplotlib"


class Parser(argparse.ArgumentParser):
    """One line for a wrong command line, as for every other error."""

    def error(self, message: str) -> NoReturn:
        print(f"{PROGRAM}: {message} (see python3 -m {PROGRAM} --help)", file=sys.stderr)
        sys.exit(2)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    missing = _missing_module()
    if missing:
        return _fail(
            f"{sys.executable}: {missing}, install them with apt-get install {PACKAGES} "
            "or use the Python that analysis/find-python prints"
        )
    from tandem_analysis.load import ResultError
    from tandem_analysis.measurements import MeasurementError

    try:
        text = _calibrate(options) if options.command == "calibrate" else _run(options)
    except (ResultError, MeasurementError) as error:
        return _fail(str(error))
    except OSError as error:
        where = error.filename or options.folder
        return _fail(
            f"{where}: cannot write ({error.strerror or error}), choose another folder with -o"
        )
    return _print(text)


def _parser() -> Parser:
    parser = Parser(
        prog=f"python3 -m {PROGRAM}",
        description="Tables, verdicts and figures on results of Tandem; coefficients from measurements.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compare = commands.add_parser(
        "compare", help="deployments side by side: table, verdict, figures, CSV"
    )
    compare.add_argument(
        "files", nargs="+", metavar="results.h5", help="two or more; the first is the reference"
    )
    compare.add_argument(
        "--measured",
        nargs="+",
        metavar="FILE.json",
        help="one run beside what `vllm bench serve` or AIPerf measured",
    )
    report = commands.add_parser(
        "report", help="one result: table, remarks, figures, CSV; or runs and sweeps as one HTML page"
    )
    report.add_argument("files", nargs="+", metavar="results.h5", help="one; with --html any number, sweeps too")
    report.add_argument(
        "--html", metavar="FILE", help="a page with tables, figures and data in it, readable without network"
    )
    _add_curves(report)
    _add_where(report)
    export = commands.add_parser("export", help="figures of runs as CSV, a row a run; or all tables")
    export.add_argument("files", nargs="+", metavar="results.h5")
    export.add_argument(
        "-o", dest="folder", metavar="DIR", help="where all tables go, a file each; without: figures on stdout"
    )
    export.add_argument("--format", choices=("csv", "parquet"), help="of the tables; without: csv")
    export.add_argument(
        "--columns",
        metavar="NAMES",
        help="figures of /summary, pools[NAME].FIGURE of /pools, classes[NUMBER].FIGURE of /classes, with "
        "commas between; without: all",
    )
    roofline = commands.add_parser(
        "roofline", help="operators under the roofs of a GPU: figure, CSV"
    )
    roofline.add_argument(
        "files",
        nargs="+",
        metavar="FILE.json",
        help="what `tandem roofline --json` prints; - for standard input",
    )
    memory = commands.add_parser(
        "memory", help="memory by context and batch, and of a batch step by step: figures, CSV"
    )
    memory.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="memory.json or memory.h5 of `tandem memory -o DIR`, or DIR; - for JSON on standard input",
    )
    explain = commands.add_parser(
        "explain", help="why one of two runs of the same requests lost: time and cost, cause by cause"
    )
    explain.add_argument("files", nargs=2, metavar="results.h5")
    timeline = commands.add_parser(
        "timeline", help="iterations of each instance (output.iterations): Gantt figure, trace for Perfetto"
    )
    timeline.add_argument("files", nargs=1, metavar="results.h5")
    timeline.add_argument("--from", dest="begin_s", type=float, metavar="S", help="seconds; without: the start")
    timeline.add_argument("--to", dest="end_s", type=float, metavar="S", help="seconds; without: the end")
    timeline.add_argument("--perfetto", metavar="FILE", help="trace to be written, for ui.perfetto.dev")
    for command in (compare, report, roofline, memory, explain, timeline, *_add_sweeps(commands)):
        command.add_argument(
            "-o",
            dest="folder",
            metavar="DIR",
            help="where PNG, CSV and text files go; created if needed; without it only the table is printed",
        )
    _add_calibrate(commands)
    return parser


def _add_sweeps(commands: argparse._SubParsersAction) -> list[argparse.ArgumentParser]:
    """Commands on the results of `tandem sweep`."""
    sweep = commands.add_parser("sweep", help="points of a sweep: means over seeds, curves against an axis")
    pareto = commands.add_parser("pareto", help="points of a sweep that no other beats in two figures")
    breakeven = commands.add_parser("breakeven", help="which of two named points wins, over two axes; a map for each value of others")
    _add_curves(sweep)
    for option, words in {"--x": "first axis", "--y": "second axis"}.items():
        breakeven.add_argument(option, metavar="PATH", required=True, help=words)
    for option in ("--a", "--b"):
        breakeven.add_argument(option, metavar="NAME", required=True, help="named point")
    breakeven.add_argument(
        "--metric",
        default="goodput_per_s_per_gpu",
        metavar="FIGURE",
        help="of /summary, by which one wins (goodput_per_s_per_gpu)",
    )
    for command in (sweep, pareto, breakeven):
        command.add_argument("files", nargs=1, metavar="results.h5", help="of a sweep, or its folder")
        _add_where(command)
    return [sweep, pareto, breakeven]


def _add_where(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="only points with that value of a parameter; may be given several times",
    )


def _add_curves(command: argparse.ArgumentParser) -> None:
    """What `sweep` and the page of a sweep draw and compare."""
    command.add_argument(
        "--x", metavar="PATH", help="axis of the curves; without: the only one, or that along which requests come faster"
    )
    command.add_argument(
        "--group", metavar="PATH", help="axis of which each value has a curve; without --x: the other one"
    )
    command.add_argument("--baseline", metavar="NAME", help="named point to take paired differences from")
    command.add_argument(
        "--target", type=float, default=0.9, metavar="SHARE", help="SLO attainment to be sustained (0.9)"
    )


def _add_calibrate(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "calibrate", help="coefficients of a GPU file from measured operators or iterations"
    )
    command.add_argument("csv", nargs="?", metavar="CSV", help="measurements (see --columns)")
    for name, words in {
        "--gpu": "GPU file or name to start from: datasheet, and coefficients that are not fitted",
        "--format": "operators, iterations or splitwise; without: by the header",
        "--hardware": "rows of a splitwise file to take; without: those of --gpu",
        "--scale": "operators of which iterations also fit a factor of the time: none, gemm, allreduce or "
        "gemm,allreduce; without: both",
        "--weight-dtype": "of the iterations' models; without: bf16",
        "--hold-out": "column of which one value at a time is held out; without: a fifth of the shapes",
        "--rows": "CSV to be written: each row with its measured, fitted and held-out time",
        "--name": "of the new GPU; without: the file's",
        "--date": "of the measurements, kept in the file",
    }.items():
        command.add_argument(name, metavar=name.strip("-").upper().replace("-", "_"), help=words)
    command.add_argument(
        "-o", dest="folder", metavar="FILE", help="GPU file to be written; without: only the table"
    )
    command.add_argument("--force", action="store_true", help="replace files that exist")
    command.add_argument("--columns", action="store_true", help="print the columns of a CSV")


def _calibrate(options: argparse.Namespace) -> str:
    from tandem_analysis import calibrate, measurements, problems

    if options.columns:
        return measurements.columns_text()
    for value, name, known in (
        (options.format, "--format", measurements.FORMATS),
        (options.weight_dtype, "--weight-dtype", measurements.DTYPES),
        (options.scale, "--scale", problems.SCALES),
    ):
        if value is not None and value not in known:
            raise measurements.MeasurementError(f"{name} {value}: choose one of {', '.join(known)}")
    for value, name in ((options.csv, "a CSV of measurements"), (options.gpu, "--gpu")):
        if not value:
            raise measurements.MeasurementError(
                f"calibrate needs {name} (see python3 -m {PROGRAM} calibrate --help)"
            )
    return calibrate.calibrate(
        calibrate.Options(
            csv=options.csv,
            gpu=options.gpu,
            form=options.format,
            hardware=options.hardware,
            scale=options.scale,
            weight_dtype=options.weight_dtype or "bf16",
            hold_out=options.hold_out,
            output=options.folder,
            rows=options.rows,
            name=options.name,
            date=options.date,
            force=options.force,
        )
    )


def _missing_module() -> str:
    """What import says of the first module that is not there; empty when all are."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return " ".join(str(error).split()) or f"cannot import {name}"
    return ""


def _run(options: argparse.Namespace) -> str:
    """Loads, writes everything into the folder if one is named, and returns what is printed."""
    from tandem_analysis import (
        data,
        export,
        figures,
        load,
        memory_figure,
        roofline_figure,
        table,
        verdict,
    )

    if options.command in ("roofline", "memory"):
        module = roofline_figure if options.command == "roofline" else memory_figure
        reports = module.load_all(options.files)
        return module.run(reports, _prepare(options.folder) if options.folder else None)
    if options.command in ("sweep", "pareto", "breakeven"):
        return _sweep(options)
    if options.command == "export" and (options.folder or options.format):
        if not options.folder or options.columns:
            raise load.ResultError("export: --format needs -o DIR, and -o writes whole tables (no --columns)")
        return export.write(options.files, options.format or "csv", _prepare(options.folder))
    if options.command == "compare" and (len(options.files) > 1) == bool(options.measured):
        raise load.ResultError(
            f"{options.files[0]}: compare needs two or more results, or one and --measured; use report for one"
        )
    if options.command == "report" and options.html:
        return _page(options)
    if options.command == "report":
        _check_report(options)
    results = load.load_all(options.files)
    if options.command == "export":
        columns = options.columns.split(",") if options.columns else None
        return export.render(results, options.files, columns)
    if options.command in ("explain", "timeline") or getattr(options, "measured", None):
        return _one_more(options, results)
    rendered = table.render(results)
    sentences = verdict.compare(results) if len(results) > 1 else verdict.report(results[0])
    sources = "".join(f"{result.label}: {result.path}\n" for result in results)
    if options.folder is None:
        return f"{sources}\n{rendered}\n" + "".join(map(_wrapped, sentences))
    folder = _prepare(options.folder)
    written, left_out = figures.draw_all(results, folder)
    sentences += [*left_out, *data.sample_remarks(results)]
    text = f"{sources}\n{rendered}\n" + "".join(map(_wrapped, sentences))
    (folder / "report.txt").write_text(text, encoding="utf-8")
    written += [folder / "report.txt", *_write_csv(results, folder)]
    return f"{text}\nwritten to {options.folder}: {', '.join(path.name for path in written)}\n"


def _page(options: argparse.Namespace) -> str:
    """The results as one HTML page."""
    from tandem_analysis import html_report, load

    if options.folder:
        raise load.ResultError(f"{options.html}: with --html everything is in that file, leave -o away")
    choice = html_report.Choice(options.x, options.group, options.baseline, options.target)
    return html_report.write(options.files, Path(options.html), choice, options.where)


def _check_report(options: argparse.Namespace) -> None:
    """What only the page has."""
    from tandem_analysis import load

    if len(options.files) > 1:
        raise load.ResultError(
            f"{options.files[1]}: report tells of one result; use --html FILE for a page of several, or compare"
        )
    given = [name for name in ("x", "group", "baseline", "where") if getattr(options, name)]
    if given:
        raise load.ResultError(f"{options.files[0]}: report: --{given[0]} is for the page of a sweep, add --html FILE")


def _one_more(options: argparse.Namespace, results: list[Result]) -> str:
    """Commands that have a module of their own."""
    from tandem_analysis import explain_figure, measured_figure, timeline

    folder = _prepare(options.folder) if options.folder else None
    if options.command == "explain":
        return explain_figure.run(results, folder)
    if options.command == "timeline":
        return timeline.run(results[0], options.begin_s, options.end_s, folder, options.perfetto)
    return measured_figure.run(results[0], options.measured, folder)


def _sweep(options: argparse.Namespace) -> str:
    from tandem_analysis import load, sweep, sweep_figures

    points = sweep.where(load.load_sweep(options.files[0]), options.where)
    folder = _prepare(options.folder) if options.folder else None
    if options.command == "sweep":
        return sweep_figures.run_sweep(
            points, options.x, options.group, options.baseline, options.target, folder
        )
    if options.command == "pareto":
        return sweep_figures.run_pareto(points, folder)
    return sweep_figures.run_breakeven(
        points, options.x, options.y, options.a, options.b, options.metric, folder
    )


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 110, subsequent_indent="    ", break_long_words=False) + "\n"


def _prepare(name: str) -> Path:
    """Creates the folder and checks that files can be written there."""
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".tandem_analysis.{os.getpid()}"
    probe.write_bytes(b"")
    probe.unlink()
    return folder


def _write_csv(results: list[Result], folder: Path) -> list[Path]:
    from tandem_analysis import data, table

    frames = {
        "table.csv": table.frame(results),
        "latency_cdf.csv": data.cdf_frame(results),
        "timeseries.csv": data.series_frame(results),
        "stages.csv": data.stages_frame(results),
        "latency_over_time.csv": data.arrivals_frame(results),
    }
    for name, frame in frames.items():
        frame.to_csv(folder / name, index=False)
    return [folder / name for name in frames]


def _fail(message: str) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return 2


def _print(text: str) -> int:
    """A reader that goes away early (head) is no error."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
