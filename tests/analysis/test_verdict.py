"""The verdict: who is better, ties within 1 %, and every reason against a comparison."""

from __future__ import annotations

import copy
import unittest

from support import PAIR, Folder
from synthetic import Synthetic

from tandem_analysis import verdict


class Verdict(Folder):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.made(
            Synthetic(name="a", count=200), Synthetic(name="b", count=200, pools=PAIR)
        )
        self.b.summary = dict(self.a.summary)
        self.b.histograms = self.a.histograms

    def text(self, *results: object) -> str:
        return "\n".join(verdict.compare(list(results) or [self.a, self.b]))

    def third(self, **summary: float) -> object:
        other = copy.deepcopy(self.a)
        other.label = "c"
        other.summary.update(summary)
        return other

    def test_equal(self) -> None:
        self.assertTrue(verdict.equal(100, 100.9))
        self.assertFalse(verdict.equal(100, 101.1))
        self.assertTrue(verdict.equal(0, 0))
        text = self.text()
        self.assertIn("Equal (within 1 %) in TTFT p90, ", text)
        self.assertNotIn("better", text)
        self.assertNotIn("NOT A FAIR", text)

    def test_lower_and_higher_are_better(self) -> None:
        self.b.summary["ttft_p90_ns"] = self.a.summary["ttft_p90_ns"] // 2
        self.a.summary["goodput_per_s"] = 30.0
        self.b.summary["goodput_per_s"] = 20.0
        self.a.summary["goodput_per_s_per_gpu"] = 30.0 / self.a.summary["gpus"]
        self.b.summary["goodput_per_s_per_gpu"] = 20.0 / self.b.summary["gpus"]
        self.a.summary["usd_per_thousand_good_requests"] = 0.4
        self.b.summary["usd_per_thousand_good_requests"] = 0.6
        text = self.text()
        self.assertIn("b is better in TTFT p90.", text)
        self.assertIn(
            "a is better in goodput, goodput per GPU and $ per thousand requests within the SLO.",
            text,
        )
        self.assertRegex(text, r"TTFT p90: b .* against a .* \(50\.0 % lower\)")
        self.assertIn("goodput: a 30.00/s against b 20.00/s (50.0 % higher)", text)

    def test_one_percent_is_a_tie_and_more_is_not(self) -> None:
        self.a.summary["tpot_p90_ns"], self.b.summary["tpot_p90_ns"] = 100_000_000, 100_900_000
        self.assertIn("TPOT p90: equal (a 100.0 ms, b 100.9 ms)", self.text())
        self.b.summary["tpot_p90_ns"] = 102_000_000
        self.assertIn("TPOT p90: a 100.0 ms against b 102.0 ms (2.0 % lower)", self.text())

    def test_large_factors_are_told_as_times(self) -> None:
        self.a.summary["goodput_per_s"], self.b.summary["goodput_per_s"] = 30.0, 3.0
        self.assertIn("goodput: a 30.00/s against b 3.000/s (10.0 times)", self.text())
        self.b.summary["goodput_per_s"] = 0.0
        self.b.summary["usd_per_thousand_good_requests"] = 0.0
        text = self.text()
        self.assertIn("goodput: a 30.00/s against b 0/s", text)
        self.assertNotIn("$ per thousand requests within the SLO:", text)

    def test_shares_differ_by_points(self) -> None:
        self.a.summary["slo_attainment"], self.b.summary["slo_attainment"] = 0.9, 0.45
        self.assertIn("SLO attainment: a 90.00 % against b 45.00 % (45.00 points", self.text())

    def test_three(self) -> None:
        base = self.a.summary["e2e_p90_ns"]
        text = self.text(self.a, self.b, self.third(e2e_p90_ns=base * 2, ttft_p90_ns=1_000_000))
        self.assertIn("c is best in TTFT p90.", text)
        self.assertRegex(text, r"E2E p90: a and b .* against c .* \(50\.0 % lower\)")
        self.assertNotIn("a is best", text)

    def test_workloads(self) -> None:
        self.b.configuration["seed"] = 2
        self.b.configuration["workload"]["synthetic"]["requests"] = 300
        self.b.summary["requests"] = 300
        self.b.summary["window_start_ns"] = 10**9
        text = self.text()
        self.assertTrue(text.startswith("NOT A FAIR COMPARISON:"))
        for words in (
            "different workloads",
            "synthetic.requests 200, 300",
            "seed 1, 2",
            "; requests 200, 300",
            "warm-up 0, 1.000 s",
        ):
            self.assertIn(words, text)

    def test_traces_are_compared_by_sha256_where_there_is_one(self) -> None:
        for result, path in ((self.a, "x/t.csv"), (self.b, "y/t.csv")):
            result.configuration["workload"] = {"trace": {"format": "azure", "path": path}}
        self.assertIn("trace.path x/t.csv, y/t.csv", self.text())
        self.a.trace_sha256 = self.b.trace_sha256 = "12" * 32
        self.assertNotIn("NOT A FAIR", self.text())
        self.b.trace_sha256 = "34" * 32
        self.assertIn("trace sha256 121212121212, 343434343434", self.text())

    def test_slo_model_and_version(self) -> None:
        self.b.summary["slo_ttft_ms"] = 1000.0
        self.b.configuration["model"] = {"name": "llama-3.1-8b"}
        self.b.tandem_version = "9.0"
        text = self.text()
        self.assertIn("different SLOs (TTFT 500 ms, 1 s)", text)
        self.assertIn("different models (llama-2-70b, llama-3.1-8b)", text)
        self.assertIn("different versions of Tandem (0.1.0, 9.0)", text)

    def test_saturated_and_refused(self) -> None:
        self.b.summary["saturated"] = 1
        self.b.summary["refused"] = 20
        text = self.text()
        self.assertIn("b is saturated", text)
        self.assertIn("refused (a 0.00 %, b 10.00 %)", text)

    def test_sizes_checksums_prices_and_slo(self) -> None:
        self.b.summary.update(
            gpus=8,
            cost_usd_per_hour=0,
            usd_per_million_output_tokens=0,
            slo_ttft_ms=0,
            slo_tpot_ms=0,
        )
        self.b.checksum = self.a.checksum
        text = self.text()
        self.assertIn("GPUs differ (a 16, b 8)", text)
        self.assertIn("All have the same checksum", text)
        self.assertIn("No SLO is set for b", text)
        self.assertIn("No price is set for b", text)
        self.assertNotIn("goodput:", text)
        self.assertNotIn("million output tokens:", text)

    def test_energy(self) -> None:
        self.a.summary["joules_per_output_token"] = 1.5
        self.b.summary["joules_per_output_token"] = 1.2
        words = "energy per output token: b 1.200 J against a 1.500 J (20.0 % lower)"
        self.assertIn(words, self.text())
        self.assertNotIn("all the power they may", self.text())
        del self.a.summary["joules_per_output_token"]
        self.assertNotIn("energy per output", self.text())

    def test_capped_power(self) -> None:
        self.b.pools["power_capped"] = [0.005, 0.25]
        words = "GPUs of pool decode{} take all the power they may in 25.00 % of their busy time"
        self.assertIn(words.format(" of b"), self.text())
        self.assertIn(words.format(""), "\n".join(verdict.report(self.b)))
        self.assertNotIn("pool prefill of b", self.text())

    def test_swaps(self) -> None:
        self.assertNotIn("swapping", "\n".join(verdict.report(self.b)))
        self.b.pools["swaps"] = [0, 2]
        text = "\n".join(verdict.report(self.b))
        self.assertIn("preemptions 3.", text)
        self.assertIn("preemptions 3, 2 of them by swapping.", text)

    def test_report(self) -> None:
        self.a.summary.update(saturated=1, refused=3, refused_model_length=1, refused_kv_capacity=2)
        text = "\n".join(verdict.report(self.a))
        self.assertIn("SATURATED", text)
        self.assertIn(
            "3 of 200 requests were refused (1 too long for the model, 2 for the KV cache)", text
        )
        self.a.summary.update(
            refused=9, refused_model_length=0, refused_queue_full=4, refused_deadline=3, refused_session=5
        )
        self.assertIn(
            "9 of 200 requests were refused (2 for the KV cache, 4 by a full queue, "
            "3 not scheduled in time, 5 later turns of their sessions)",
            "\n".join(verdict.report(self.a)),
        )
        self.assertIn("most time in decode", text)
        self.assertIn(
            "Pool unified (4x4 h100-sxm tp4) is busy 75.00 % of the time and takes 6.400 kW;", text
        )


if __name__ == "__main__":
    unittest.main()
