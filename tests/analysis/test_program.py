"""The real writer: the package reads what tandem run writes ($TANDEM or build/tandem)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import unittest
from pathlib import Path

import pandas as pd
from support import Folder
from synthetic import METRICS, ROOT, STAGES, declared_columns

from tandem_analysis import cli, data, load, verdict

PROGRAM = Path(os.environ.get("TANDEM", ROOT / "build/tandem"))


@unittest.skipUnless(PROGRAM.exists(), f"{PROGRAM} is not built (set TANDEM to the program)")
class Program(Folder):
    def simulate(self, name: str, cluster: str, **output: object) -> tuple[Path, str]:
        arrivals = {"poisson": {"rate_per_s": 10}}
        lengths = {
            "prompt_tokens": {"uniform": {"min": 64, "max": 1024}},
            "output_tokens": {"fixed": 32},
        }
        experiment = {
            "name": name,
            "model": "llama-2-70b",
            "cluster": cluster,
            "workload": {"synthetic": {**lengths, "arrivals": arrivals, "requests": 300}},
            "slo": {"ttft_ms": 2000, "tpot_ms": 100},
            "seed": 1,
            "output": output,
        }
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(experiment))
        command = [PROGRAM, "run", file, "-o", self.folder / name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.folder / name, done.stdout

    def test_reads_what_it_writes(self) -> None:
        folder, said = self.simulate("disagg", "disagg-2p2d-h100-tp4")
        result = load.load(folder)
        self.assertEqual(result.checksum, re.search(r"^checksum ([0-9a-f]{16})$", said, re.M)[1])
        self.assertEqual(set(result.summary), set(declared_columns()["summary"]))
        self.assertEqual(list(result.classes), declared_columns()["classes"])
        self.assertEqual(result.classes["window_arrivals"].sum(), result.value("window_arrivals"))
        self.assertEqual(list(result.requests().columns), declared_columns()["requests"])
        requests = result.requests()
        self.assertEqual(len(requests), 300)
        total = sum(requests[f"{stage}_ns"] for stage in STAGES)
        self.assertTrue((total == requests["e2e_ns"]).all())
        for metric in METRICS:
            histogram = result.histograms[metric]
            done = histogram["count"].cumsum() >= -(-90 * histogram["count"].sum() // 100)
            bound = min(histogram["high_ns"][done].iloc[0], result.value(f"{metric}_max_ns"))
            self.assertEqual(bound, result.value(f"{metric}_p90_ns"), metric)
        for series in result.timeseries.values():
            self.assertTrue((series["width_ns"] > 0).all())

    def test_a_sample_has_every_so_manyth_row(self) -> None:
        whole, _ = self.simulate("whole", "disagg-2p2d-h100-tp4", compression=0)
        part, _ = self.simulate("part", "disagg-2p2d-h100-tp4", requests={"one_in": 7}, compression=9)
        results = load.load_all([str(whole), str(part)])
        self.assertEqual([result.one_in for result in results], [1, 7])
        rows = results[1].requests()
        self.assertEqual(len(rows), 43)
        self.assertTrue(rows.equals(results[0].requests().iloc[::7]))
        self.assertEqual(results[0].summary, results[1].summary)
        for folder, expected in ((whole, 300), (part, 43)):
            self.assertEqual(json.loads((folder / "run.json").read_text())["rows"], expected)

        out = self.folder / "out"
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(cli.main(["compare", str(whole), str(part), "-o", str(out)]), 0)
        told = " ".join(said.getvalue().split())
        self.assertIn("a sample of part: the run kept the rows of 1 request in 7;", told)
        self.assertNotIn("a sample of whole", told)
        arrivals = pd.read_csv(out / "latency_over_time.csv").groupby("deployment")
        self.assertEqual(arrivals["rows"].sum().to_dict(), {"whole": 300, "part": 43})
        self.assertEqual(arrivals["one_in"].max().to_dict(), {"whole": 1, "part": 7})
        self.assertEqual(data.sample_label(results[1]), "part (1 request in 7)")

    def test_compares_both_deployments(self) -> None:
        disagg, _ = self.simulate("disagg", "disagg-2p2d-h100-tp4")
        unified, _ = self.simulate("unified", "unified-4x-h100-tp4", requests=False)
        results = load.load_all([str(unified), str(disagg)])
        self.assertEqual(verdict.fairness(results), [])
        self.assertIsNone(results[0].requests())
        out = self.folder / "out"
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(cli.main(["compare", str(unified), str(disagg), "-o", str(out)]), 0)
        self.assertTrue((out / "utilization.png").exists())

    def test_records_of_iterations(self) -> None:
        """Are what sums of instances are of; a trace of them reads back."""
        folder, _ = self.simulate("disagg", "disagg-2p2d-h100-tp4", iterations=True)
        result = load.load(folder)
        table = result.iterations()
        self.assertEqual(list(table), declared_columns()["iterations"])
        counts = table.groupby(["instance", "phase"]).size()
        for number, instance in result.instances.iterrows():
            for phase in ("prefill", "decode", "mixed"):
                self.assertEqual(counts.get((number, phase), 0), instance[f"{phase}_iterations"])
        trace = self.folder / "trace.json"
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(cli.main(["timeline", str(folder), "--perfetto", str(trace)]), 0)
        kinds = [event["ph"] for event in json.loads(trace.read_text())["traceEvents"]]
        self.assertEqual(kinds.count("X"), len(table))
        rows = result.requests()
        self.assertEqual(kinds.count("s"), (rows["preemptions"] == 0).sum())


if __name__ == "__main__":
    unittest.main()
