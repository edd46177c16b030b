"""export: the figures of runs, by name, as stored."""

from __future__ import annotations

import csv
import io

from support import PAIR, CommandFolder
from synthetic import Synthetic


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
