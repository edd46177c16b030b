"""compare --measured: files of `vllm bench serve` and AIPerf beside a run. Their numbers are invented."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pandas as pd
from support import CommandFolder
from synthetic import Synthetic

from tandem_analysis import load, measured
from tandem_analysis.load import Result

VLLM = {  # fields of vllm/benchmarks/serve.py
    "date": "20260101-000000", "backend": "vllm", "model_id": "m", "request_rate": 20.0, "max_concurrency": None,
    "duration": 100.0, "completed": 400, "failed": 0, "total_input_tokens": 1, "total_output_tokens": 2,
    "request_throughput": 4.0, "request_goodput": 3.0, "output_throughput": 500.0,
    "total_token_throughput": 900.0, "max_output_tokens_per_s": 900.0, "max_concurrent_requests": 70,
    "mean_ttft_ms": 100.0, "median_ttft_ms": 80.0, "std_ttft_ms": 10.0, "p99_ttft_ms": 300.0,
    "mean_tpot_ms": 30.0, "median_tpot_ms": 30.0, "std_tpot_ms": 3.0, "p99_tpot_ms": 45.0,
    "mean_itl_ms": 31.0, "median_itl_ms": 30.0, "std_itl_ms": 4.0, "p99_itl_ms": 60.0, "p99.9_e2el_ms": 9000.0,
}  # fmt: skip
AIPERF = {  # of docs/reference/json-export-schema.md
    "schema_version": "1.5", "aiperf_version": "0.14.0", "was_cancelled": False,
    "time_to_first_token": {"unit": "ms", "avg": 100.0, "p25": 60.0, "p99": 300.0, "min": 10.0, "max": 400.0,
                            "std": 9.0, "count": 400},
    "inter_token_latency": {"unit": "ms", "avg": 30.0, "p50": 29.0},
    "inter_chunk_latency": {"unit": "us", "avg": 31000.0, "p90": 40000.0, "std": 1000.0},
    "request_latency": {"unit": "sec", "avg": 3.0, "p50": 2.5},
    "time_to_second_token": {"unit": "ms", "avg": 130.0},
    "output_token_throughput_per_user": {"unit": "tokens/sec/user", "avg": 33.0},
    "input_sequence_length": {"unit": "tokens", "avg": 900.0},
    "output_sequence_length": {"unit": "tokens", "avg": 170.0},
    "request_throughput": {"unit": "requests/sec", "avg": 4.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 500.0},
    "request_count": {"unit": "requests", "avg": 400.0}, "goodput": {"unit": "requests/sec", "avg": 3.0},
    "benchmark_duration": {"unit": "sec", "avg": 100.0},
}  # fmt: skip


class Measured(CommandFolder):
    command = "compare"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.made_up = Synthetic(count=400)
        cls.path = cls.made_up.write(cls.shared / "run")
        cls.result = load.load(cls.path)

    def frame(self, content: dict, result: Result | None = None) -> pd.DataFrame:
        path = self.write("measured.json", json.dumps(content))
        return measured.frame(result or self.result, [measured.load(str(path))])

    def test_vllm(self) -> None:
        table = self.frame(VLLM).set_index("field")
        rows, end_s = self.made_up.requests, self.made_up.summary["end_ns"] / 1e9
        ttft, e2e = rows["ttft_ns"] / 1e9, rows["e2e_ns"] / 1e9
        several = rows["output_tokens"] > 1
        tpot = ((e2e - ttft) / np.maximum(rows["output_tokens"] - 1, 1))[several]
        for field, value in {
            "mean_ttft_ms": ttft.mean(),
            "median_ttft_ms": np.median(
                ttft
            ),  # between the two in the middle, not the nearest rank
            "std_ttft_ms": ttft.std(),
            "p99_ttft_ms": np.percentile(ttft, 99),
            "median_tpot_ms": np.median(tpot),
            "p99.9_e2el_ms": np.percentile(e2e, 99.9),
            "duration": end_s,
            "request_throughput": 400 / end_s,
            "output_throughput": rows["output_tokens"].sum() / end_s,
            "total_token_throughput": (rows["output_tokens"] + rows["prompt_tokens"]).sum() / end_s,
            "mean_itl_ms": self.made_up.summary["itl_mean_ns"] / 1e9,
            "median_itl_ms": self.made_up.summary["itl_p50_ns"] / 1e9,
            "p99_itl_ms": self.made_up.summary["itl_p99_ns"] / 1e9,
        }.items():
            self.assertAlmostEqual(table.loc[field, "simulated"] / value, 1, 9, field)
        self.assertEqual(table.loc["mean_ttft_ms", "measured"], 0.1)
        self.assertEqual(table.loc["mean_ttft_ms", "source"], "/requests")
        self.assertEqual(table.loc["median_itl_ms", "source"], "/histograms, nearest rank")
        self.assertAlmostEqual(
            table.loc["mean_ttft_ms", "relative_difference"], ttft.mean() / 0.1 - 1
        )
        self.assertTrue(math.isnan(table.loc["std_itl_ms", "simulated"]))
        for field in ("request_goodput", "max_concurrent_requests", "request_rate"):
            self.assertEqual(table.loc[field, "metric"], "")
        self.assertNotIn("failed", table.index)

    def test_vllm_detailed(self) -> None:
        """A failed request counts for nothing; what the file says itself comes first."""
        lists = {"ttfts": [0.1, 0.3, 9.0], "itls": [[0.02, 0.04], [0.01], [5.0]],
                 "output_lens": [3, 2, 0], "errors": ["", "", "refused"]}  # fmt: skip
        table = self.frame({**VLLM, **lists})
        table = (
            table[table["metric"] != ""].set_index(["metric", "statistic"])["measured"].sort_index()
        )
        self.assertAlmostEqual(table["e2e", "mean"], (0.16 + 0.31) / 2)
        self.assertAlmostEqual(table["tpot", "p90"], 0.01 + 0.9 * 0.02)
        self.assertEqual(table["ttft", "mean"], 0.1)
        self.assertAlmostEqual(table["itl", "p90"], np.percentile([0.01, 0.02, 0.04], 90))

    def test_aiperf(self) -> None:
        table = self.frame(AIPERF).set_index("field")
        rows = self.made_up.requests
        ttft, tokens = rows["ttft_ns"] / 1e9, rows["output_tokens"]
        tpot = ((rows["e2e_ns"] - rows["ttft_ns"]) / np.maximum(tokens - 1, 1))[tokens > 1] / 1e9
        for field, value in {
            "time_to_first_token.p25": np.percentile(ttft, 25),
            "time_to_first_token.max": ttft.max(),
            "inter_token_latency.avg": tpot.mean(),  # of requests, not of gaps
            "output_token_throughput_per_user.avg": (1 / tpot).mean(),
            "inter_chunk_latency.avg": self.made_up.summary["itl_mean_ns"] / 1e9,
            "request_latency.p50": np.median(rows["e2e_ns"]) / 1e9,
            "input_sequence_length.avg": rows["prompt_tokens"].mean(),
        }.items():
            self.assertAlmostEqual(table.loc[field, "simulated"] / value, 1, 9, field)
        self.assertEqual(table.loc["inter_chunk_latency.avg", "measured"], 0.031)
        self.assertEqual(table.loc["request_latency.avg", "measured"], 3.0)
        self.assertEqual(table.loc["goodput", "source"], measured.BOUNDS)

    def test_without_rows(self) -> None:
        result = self.made(Synthetic(count=400, rows=False))[0]
        table = self.frame({**VLLM, "p95_ttft_ms": 200.0}, result).set_index("field")
        self.assertEqual(table.loc["median_ttft_ms", "source"], "/summary, nearest rank")
        self.assertEqual(
            table.loc["median_ttft_ms", "simulated"], result.summary["ttft_p50_ns"] / 1e9
        )
        self.assertIn("kept no row", table.loc["p95_ttft_ms", "source"])
        result.summary["window_arrivals"] -= 10
        table = self.frame(VLLM, result).set_index("field")
        self.assertTrue(math.isnan(table.loc["median_ttft_ms", "simulated"]))
        self.assertIn("warm-up", table.loc["median_ttft_ms", "source"])
        self.assertIn("of window requests", table.loc["median_itl_ms", "source"])

    def test_command(self) -> None:
        files = [self.write("v.json", json.dumps(VLLM)), self.write("a.json", json.dumps(AIPERF))]
        out = self.folder / "out"
        status, said, err = self.run_it(self.path, "--measured", *files, "-o", out)
        self.assertEqual((status, err), (0, ""))
        self.assertIn(f"{files[0]} (vllm bench serve) and unified", said)
        self.assertIn("NOT THE SAME WORKLOAD: prompt tokens 1, ", said)
        self.assertIn(f"not compared: request_goodput: {measured.BOUNDS}.", said)
        self.assertIn(f"{files[1]} (AIPerf) and unified", said)
        self.assertEqual(
            set(pd.read_csv(out / "measured.csv")["tool"]), {"vllm bench serve", "AIPerf"}
        )
        self.is_png(out / "measured.png")

    def test_of_neither(self) -> None:
        unit = copy.deepcopy(AIPERF)
        unit["request_latency"]["unit"] = "furlongs"
        for content, words in {
            "[]": f"of neither tool, {measured.EXPECTED}",
            '{"a": 1}': f"of neither tool, {measured.EXPECTED}",
            "{}\n{}": "not one JSON object (Extra data",
            json.dumps({**VLLM, "mean_ttft_ms": None}): "mean_ttft_ms is no number",
            json.dumps(
                {**VLLM, "ttfts": [1], "itls": [], "output_lens": []}
            ): "ttfts, itls, output_lens and errors differ in length",
            json.dumps(unit): "request_latency is in furlongs, not a time",
        }.items():
            path = self.write("bad.json", content)
            status, out, err = self.run_it(self.path, "--measured", path)
            self.assertEqual((status, out, err.count("\n")), (2, "", 1), err)
            self.assertTrue(err.startswith(f"tandem_analysis: {path}: {words}"), err)
        gone = self.folder / "gone.json"
        self.assertIn(
            f"{gone}: cannot read it (No such file", self.run_it(self.path, "--measured", gone)[2]
        )
        both = self.run_it(self.path, self.path, "--measured", gone)
        self.assertIn("compare needs two or more results, or one and --measured", both[2])
