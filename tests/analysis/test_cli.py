"""The command line from end to end: files, figures, CSV, errors in one line with status 2."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path

import pandas as pd
from support import PAIR, Folder
from synthetic import ROOT, STAGES, Synthetic

from tandem_analysis import data, figures

PNG = ("latency_cdf.png", "utilization.png", "load.png", "stages.png", "latency_over_time.png")
CSV = ("table.csv", "latency_cdf.csv", "timeseries.csv", "stages.csv", "latency_over_time.csv")


class CommandLine(Folder):
    def run_it(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
        paths = os.pathsep.join(
            filter(None, [environment.pop("before", ""), str(ROOT / "analysis")])
        )
        return subprocess.run(
            [sys.executable, "-m", "tandem_analysis", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        )

    def fails(self, *arguments: object, words: str, **environment: str) -> None:
        done = self.run_it(*arguments, **environment)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, rf"^tandem_analysis: .*{words}.*\n$")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def is_png(self, path: Path) -> None:
        content = path.read_bytes()
        self.assertEqual(content[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(int.from_bytes(content[16:20], "big"), 1200)

    def test_compare(self) -> None:
        runs = [Synthetic(count=400), Synthetic(name="disagg", pools=PAIR, count=400)]
        paths = [run.write(self.folder / str(i)) for i, run in enumerate(runs)]
        out = self.folder / "out" / "deeper"
        done = self.run_it("compare", *paths, "-o", out)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("is better in", done.stdout)
        self.assertTrue(done.stdout.startswith((out / "report.txt").read_text()))
        for name in PNG:
            self.is_png(out / name)
        self.assertEqual({path.name for path in out.iterdir()}, {*PNG, *CSV, "report.txt"})
        self.check_csv(out, runs)

    def test_without_a_folder_nothing_is_written(self) -> None:
        good = Synthetic(count=50).write(self.folder / "a")
        before = sorted(self.folder.rglob("*"))
        done = self.run_it("report", good)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("TTFT p90", done.stdout)
        self.assertNotIn("written to", done.stdout)
        self.assertEqual(sorted(self.folder.rglob("*")), before)

    def check_csv(self, out: Path, runs: list[Synthetic]) -> None:
        table = pd.read_csv(out / "table.csv").set_index("metric")
        self.assertEqual(list(table.columns), ["section", "unit", "unified", "disagg"])
        self.assertEqual(int(table.loc["ttft_p90_ns", "disagg"]), runs[1].summary["ttft_p90_ns"])
        self.assertTrue(pd.isna(table.loc["transfer_p90_ns", "unified"]))
        stages = pd.read_csv(out / "stages.csv")
        for label, run in zip(("unified", "disagg"), runs):
            mine = stages[stages["deployment"] == label].set_index("stage")
            self.assertAlmostEqual(
                mine["mean_ns"].sum(), sum(run.summary[f"mean_{stage}_ns"] for stage in STAGES), 0
            )
            self.assertAlmostEqual(
                mine.loc["decode wait", "mean_ns"],
                run.summary["mean_decode_queue_ns"] + run.summary["mean_admission_ns"],
                3,
            )
            self.assertAlmostEqual(mine["share"].sum(), 1.0)
        cdf = pd.read_csv(out / "latency_cdf.csv")
        for (label, metric), part in cdf.groupby(["deployment", "metric"]):
            run = runs[label == "disagg"]
            self.assertAlmostEqual(part["cumulative_share"].iloc[-1], 1.0)
            self.assertEqual(part["high_ns"].iloc[-1], run.summary[f"{metric}_max_ns"])
            ninety = part[part["cumulative_share"] >= 0.9 - 1e-12]["high_ns"].iloc[0]
            self.assertEqual(
                ninety, run.summary[f"{metric}_p90_ns"]
            )  # the curve goes through the summary's dot
        series = pd.read_csv(out / "timeseries.csv")
        self.assertEqual(
            set(zip(series["deployment"], series["pool"])),
            {("unified", "unified"), ("disagg", "prefill"), ("disagg", "decode")},
        )
        arrivals = pd.read_csv(out / "latency_over_time.csv")
        self.assertEqual(
            arrivals.groupby("deployment")["rows"].sum().to_dict(),
            {"unified": 400, "disagg": 400},
        )

    def test_report_without_rows_and_series(self) -> None:
        path = Synthetic(
            count=100, rows=False, series=False, slo=(0, 0, 0), price=0.0, one_token=True
        ).write(self.folder / "a")
        out = self.folder / "out"
        done = self.run_it("report", path, "-o", out)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.is_png(out / "latency_cdf.png")
        self.is_png(out / "stages.png")
        for name in ("utilization.png", "load.png", "latency_over_time.png"):
            self.assertFalse((out / name).exists())
            self.assertIn(f"{name} is left out", done.stdout)
        self.assertEqual(len(pd.read_csv(out / "timeseries.csv")), 0)

    def test_every_request_refused(self) -> None:
        run = Synthetic(count=50)
        run.summary.update(
            {
                name: 0
                for name in run.summary
                if name.endswith("_ns") and "window" not in name and name != "end_ns"
            },
            completed=0,
            refused=50,
        )
        run.requests["status"][:] = 1
        done = self.run_it("report", run.write(self.folder / "a"), "-o", self.folder / "out")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("50 of 50 requests were refused", done.stdout)

    def test_many_deployments(self) -> None:
        paths = [
            Synthetic(name=f"deployment-number-{i}", count=60, slow=1 + i).write(
                self.folder / str(i)
            )
            for i in range(9)
        ]
        done = self.run_it("compare", *paths, "-o", self.folder / "out")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.is_png(self.folder / "out" / "utilization.png")

    def test_wrong_input(self) -> None:
        good = Synthetic(count=50).write(self.folder / "a")
        out = self.folder / "out"
        bad = self.folder / "bad.h5"
        bad.write_text("no")
        self.fails("report", self.folder / "none.h5", "-o", out, words="none.h5: no such file, ")
        self.fails("compare", good, bad, "-o", out, words="bad.h5: not an HDF5 file, ")
        self.fails("compare", good, "-o", out, words="two or more")
        self.assertFalse(out.exists())
        self.fails("report", good, "-o", bad, words="bad.h5: cannot write .*choose another folder")
        self.fails(
            "report",
            good,
            "-o",
            bad / "sub",
            words="bad.h5.*: cannot write .*choose another folder",
        )
        self.fails("paint", words="paint")

    def test_missing_scalar_is_one_line_too(self) -> None:
        import h5py

        path = Synthetic(count=50).write(self.folder / "a")
        with h5py.File(path, "r+") as file:
            del file["summary/tpot_p99_ns"]
        self.fails("report", path, "-o", self.folder / "out", words="/summary/tpot_p99_ns")

    def test_missing_module(self) -> None:
        hidden = self.folder / "hidden"
        hidden.mkdir()
        (hidden / "h5py.py").write_text("raise ImportError('No module named h5py')\n")
        self.fails(
            "report", "x", "-o", "y", words="h5py.*apt-get install python3-h5py", before=str(hidden)
        )
        self.assertEqual(self.run_it("--help", before=str(hidden)).returncode, 0)

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        good = Synthetic(count=50).write(self.folder / "a")
        report = f"'{sys.executable}' -m tandem_analysis report '{good}'"
        command = f"{report} -o '{self.folder / 'out'}' | head -n 1"
        done = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "analysis"),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        self.assertEqual(done.stderr, "")


class FindPython(unittest.TestCase):
    def run_it(self, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["/bin/sh", str(ROOT / "analysis/find-python")],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )

    def test_names_a_python_that_works(self) -> None:
        done = self.run_it(PATH=os.environ["PATH"], TANDEM_PYTHON=sys.executable)
        self.assertEqual(
            (done.returncode, done.stdout, done.stderr), (0, f"{sys.executable}\n", "")
        )

    def test_skips_one_that_does_not(self) -> None:
        done = self.run_it(PATH=str(Path(sys.executable).parent), TANDEM_PYTHON="/nowhere/python3")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.endswith("python3\n"), done.stdout)

    def test_says_what_to_install(self) -> None:
        done = self.run_it(PATH="/nowhere", PYTHONHOME="/nowhere")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("apt-get install python3-h5py", done.stderr)


class Data(Folder):
    def test_thinning_keeps_means_and_rates(self) -> None:
        (result,) = self.made(Synthetic(count=3000, rate=2.0))
        series = result.timeseries["unified"]
        thin = data.thinned(series, 100)
        self.assertLessEqual(len(thin), 100)
        self.assertEqual(thin["width_ns"].sum(), series["width_ns"].sum())
        for name in ("busy_decode", "kv_used"):
            self.assertAlmostEqual(
                (thin[name] * thin["width_ns"]).sum(),
                (series[name] * series["width_ns"]).sum(),
                delta=10,
            )
        self.assertAlmostEqual(
            thin["output_tokens_per_s"].iloc[0],
            series["output_tokens"].iloc[: len(series) // 100 + 1].mean(),
            delta=1,
        )

    def test_log_ticks_are_few_at_any_range(self) -> None:
        from matplotlib.figure import Figure

        for low, high in ((1, 1), (15e6, 17e6), (15e6, 60e6), (1e3, 1e5), (1e6, 5e9), (1, 1e12)):
            axis = Figure().subplots()
            figures._log_time_axis(axis, low, high)
            self.assertIn(len(axis.get_xticks()), range(2, 14), (low, high))


if __name__ == "__main__":
    unittest.main()
