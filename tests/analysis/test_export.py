"""export: the figures of runs, by name, as stored."""

from __future__ import annotations

import csv
import importlib.util
import io
from unittest import mock

import pandas as pd
from support import PAIR, CommandFolder
from synthetic import Synthetic, declared_columns

from tandem_analysis import export


class Export(CommandFolder):
    """A row a run."""

    command = "export"

    def setUp(self) -> None:
        super().setUp()
        self.runs = [Synthetic(count=50), Synthetic(name="disagg", pools=PAIR, count=60, classes=2)]
        self.results = self.made(*self.runs)
        self.paths = [str(self.folder / str(i) / "results.h5") for i in range(2)]

    def rows(self, *words: str) -> list[dict[str, str]]:
        status, out, err = self.run_it(*self.paths, *words)
        self.assertEqual((status, err), (0, ""))
        return list(csv.DictReader(io.StringIO(out)))

    def test_all(self) -> None:
        rows = self.rows()
        self.assertEqual([row["run"] for row in rows], self.paths)
        for row, result in zip(rows, self.results):
            self.assertEqual(row["checksum"], result.checksum)
            for name, value in result.summary.items():
                self.assertEqual(float(row[name]), float(value), name)
            for _, pool in result.pools.iterrows():
                self.assertEqual(float(row[f"pools[{pool['name']}].mfu"]), pool["mfu"])
        self.assertEqual(rows[0]["pools[decode].mfu"], "")
        self.assertEqual(rows[0]["classes[1].slo_attainment"], "")
        self.assertEqual(rows[1]["classes[1].slo_attainment"], "0.8")

    def test_columns(self) -> None:
        rows = self.rows("--columns", "pools[decode].gpus,requests")
        self.assertEqual(list(rows[0]), ["run", "pools[decode].gpus", "requests"])
        self.assertEqual([row["requests"] for row in rows], ["50", "60"])
        self.assertEqual([row["pools[decode].gpus"] for row in rows], ["", "8"])

    def test_unknown(self) -> None:
        status, out, err = self.run_it(*self.paths, "--columns", "requests,goodput")
        self.assertEqual((status, out), (2, ""))
        self.assertEqual(
            err,
            f"tandem_analysis: {self.paths[0]}: no figure goodput, export without --columns lists them\n",
        )

    def test_tables(self) -> None:
        """Every table of each file; enumerations are words."""
        out = self.folder / "out"
        status, said, err = self.run_it(*self.paths, "-o", out)
        self.assertEqual((status, err), (0, ""))
        self.assertIn(f"{self.paths[1]}: written to {out / '2'}: ", said)
        requests = pd.read_csv(out / "1" / "requests.csv")
        self.assertEqual(list(requests), ["id", *declared_columns()["requests"]])
        self.assertEqual(list(requests["e2e_ns"]), list(self.runs[0].requests["e2e_ns"]))
        series = pd.read_csv(out / "2" / "timeseries.csv")
        self.assertEqual(list(dict.fromkeys(series["group"])), ["prefill", "decode"])
        self.assertEqual(len(pd.read_csv(out / "2" / "summary.csv")), 1)

    def test_parquet(self) -> None:
        """Where pandas can; else the error says what is missing."""
        out = self.folder / "out"
        status, said, err = self.run_it(self.paths[0], "-o", out, "--format", "parquet")
        if any(map(importlib.util.find_spec, export.PARQUET)):
            self.assertEqual((status, err), (0, ""))
            self.assertEqual(len(pd.read_parquet(out / "requests.parquet")), 50)
        else:
            self.assertEqual((status, said, err), (2, "", f"tandem_analysis: {export.NO_PARQUET}\n"))
        with mock.patch("importlib.util.find_spec", return_value=None):
            err = self.run_it(self.paths[0], "-o", out, "--format", "parquet")[2]
            self.assertEqual(err, f"tandem_analysis: {export.NO_PARQUET}\n")

    def test_format_needs_a_folder(self) -> None:
        for words in (["--format", "csv"], ["-o", str(self.folder), "--columns", "requests"]):
            status, said, err = self.run_it(self.paths[0], *words)
            self.assertEqual((status, said), (2, ""))
            self.assertIn("export: --format needs -o DIR, and -o writes whole tables", err)
