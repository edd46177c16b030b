"""Limits at a target, their paired ratios and intervals, fairness, verdicts."""

from __future__ import annotations

import math
import unittest
from typing import Any

import numpy as np
import pandas as pd

from tandem_analysis import fair, sweep
from tandem_analysis.load import Sweep

RATE, PROMPT = "workload.rate_scale", "workload.prompt"
TWO = 4.302652729749464  # Student's t of two degrees of freedom, 97.5 %
LIMITS = {  # of requests/s; where attainment crosses 0.9
    "a": {1: 10.0, 2: 11.0, 3: 12.0},
    "b": {1: 11.0, 2: 12.3, 3: 13.3},
}


def points(limits: dict[str, dict[int, float]] = LIMITS, **changed: Any) -> Sweep:
    """Attainment falls linearly in log(rate) through 0.9 at each limit; b costs twice as much."""
    rows, parameters = [], []
    for name, seeds in limits.items():
        for seed, limit in seeds.items():
            for rate in (4.0, 8.0, 16.0, 32.0):
                row = {"name": name, "status": "completed", "error": "", "gpus": 4 if name == "a" else 8}
                row |= {"request_rate_per_s": rate, "slo_attainment": 0.9 - 0.1 * math.log2(rate / limit)}
                row |= {
                    "saturated": 0,
                    "cost_usd_per_hour": 10.0 if name == "a" else 20.0,
                    "mean_power_watts": 900.0,
                }
                row |= {"window_start_ns": 5e9, "window_arrivals": 100 * rate, "slo_ttft_ms": 500.0}
                row |= {"slo_tpot_ms": 0.0, "slo_itl_ms": 0.0}
                rows.append(row | {key: value(row) for key, value in changed.items()})
                parameters.append({RATE: rate, "seed": float(seed)})
    return Sweep("x.h5", {}, pd.DataFrame(rows), pd.DataFrame(parameters), pd.DataFrame(), pd.DataFrame())


class Limits(unittest.TestCase):
    def test_where_attainment_crosses(self) -> None:
        table = fair.limits(points(), RATE, 0.9)
        for row in table.itertuples():
            self.assertAlmostEqual(row.rate_per_s, LIMITS[row.name][row.seed], 9)
            self.assertAlmostEqual(row.rate_per_s_per_gpu, row.rate_per_s / (4 if row.name == "a" else 8), 9)
            self.assertAlmostEqual(
                row.requests_per_usd, row.rate_per_s * 3600 / (10 if row.name == "a" else 20), 6
            )
            self.assertEqual(row.bound, "")

    def test_bounds(self) -> None:
        self.assertEqual(set(fair.limits(points(), RATE, 0.5)["bound"]), {"beyond"})
        self.assertEqual(set(fair.limits(points(), RATE, 0.5)["rate_per_s"]), {32.0})
        below = fair.limits(points(), RATE, 1.1)
        self.assertEqual(set(below["bound"]), {"below"})
        self.assertTrue(below["rate_per_s"].isna().all())

    def test_what_piles_up_does_not_count(self) -> None:
        """Though its attainment would do: the rate before is the limit."""
        piled = points(
            saturated=lambda row: int(row["request_rate_per_s"] >= 16), slo_attainment=lambda row: 1.0
        )
        self.assertEqual(set(fair.limits(piled, RATE, 0.9)["rate_per_s"]), {8.0})

    def test_ratios(self) -> None:
        """By hand: logarithms of 1.1, 12.3/11, 13.3/12, halved by twice the GPUs."""
        row = fair.ratios(fair.limits(points(), RATE, 0.9), "a").iloc[0]
        logs = np.log(np.array([11 / 10, 12.3 / 11, 13.3 / 12]) / 2)
        half = TWO * logs.std(ddof=1) / math.sqrt(3)
        self.assertAlmostEqual(row["ratio"], math.exp(logs.mean()), 9)
        self.assertAlmostEqual(row["low"], math.exp(logs.mean() - half), 9)
        self.assertAlmostEqual(row["high"], math.exp(logs.mean() + half), 9)
        self.assertEqual((row["seeds"], row["told_apart"], row["bound"]), (3, True, ""))


class Verdicts(unittest.TestCase):
    def test_sentences(self) -> None:
        said = fair.verdict(points(gpus=lambda row: 4, cost_usd_per_hour=lambda row: 10.0), RATE, "a", 0.9)
        self.assertEqual(
            said[0], "Highest rate at which 90 % of the requests meet the SLO and nothing piles up:"
        )
        self.assertEqual(
            said[1:],
            [
                "  b serves 10.9 % (95 % CI 8.6 to 13.2 %) more than a: 3.050 against 2.750 requests/s per GPU, 3 seeds"
            ],
        )
        said = fair.verdict(points(gpus=lambda row: 4, cost_usd_per_hour=lambda row: 10.0), RATE, "b", 0.9)
        self.assertIn("a serves 9.8 % (95 % CI 8.0 to 11.6 %) less than b", said[1])

    def test_per_dollar_where_that_differs(self) -> None:
        said = fair.verdict(points(gpus=lambda row: 4), RATE, "a", 0.9)
        self.assertIn("b serves 10.9 %", said[1])
        self.assertIn("per dollar: b serves 44.6 % (95 % CI 43.4 to 45.7 %) less than a", said[2])

    def test_doubts(self) -> None:
        close = {"a": LIMITS["a"], "b": {1: 10.5, 2: 10.5, 3: 12.5}}
        same = {"gpus": lambda row: 4, "cost_usd_per_hour": lambda row: 10.0}
        self.assertIn(
            "b and a are not told apart: +1.4 % (95 % CI",
            fair.verdict(points(close, **same), RATE, "a", 0.9)[1],
        )
        one = {name: {1: seeds[1]} for name, seeds in LIMITS.items()}
        self.assertIn("b serves 10.0 % more than a (", fair.verdict(points(one, **same), RATE, "a", 0.9)[1])
        self.assertIn(
            "one seed: nothing says how sure that is", fair.verdict(points(one, **same), RATE, "a", 0.9)[1]
        )
        far = {"a": LIMITS["a"], "b": {1: 1.0, 2: 90.0, 3: 12.5}}
        self.assertIn(
            "b and a are not compared: the lowest rate misses it and the highest rate holds it at a seed",
            fair.verdict(points(far, **same), RATE, "a", 0.85)[1],
        )

    def test_rate_axis(self) -> None:
        self.assertEqual(fair.rate_axis(points()), RATE)
        self.assertIsNone(fair.rate_axis(points(request_rate_per_s=lambda row: 5.0)))


class Fairness(unittest.TestCase):
    def test_constraints(self) -> None:
        said = fair.fairness(points(), "a")
        self.assertIn("Not the same GPUs: a 4, b 8.", said)
        self.assertIn("Not the same price an hour: a $10.00, b $20.00.", said)
        self.assertIn("Same mean power at 32.00 requests/s: 900.0 W.", said)
        self.assertIn(
            "Same requests for all at seeds 1, 2, 3; differences are of pairs, intervals Student's t at 95 %.",
            said,
        )
        self.assertEqual(said[-1], f"Warm-up 5 s. {fair.WINDOW_RULE}")
        self.assertIn("Same GPUs: 4.", fair.fairness(points(gpus=lambda row: 4), "a"))

    def test_other_requests(self) -> None:
        other = points(
            window_arrivals=lambda row: 100 if row["name"] == "a" else 101,
            slo_ttft_ms=lambda row: 500 if row["name"] == "a" else 900,
        )
        said = fair.fairness(other, "a")
        self.assertEqual(said[0], "NOT A FAIR COMPARISON: b and a have different requests, SLOs")
        self.assertFalse([line for line in said if line.startswith("Same requests")])
        some = {"a": LIMITS["a"], "b": {1: 11.0, 2: 12.3}}
        self.assertEqual(
            fair.fairness(points(some), "a")[0], "b and a were not completed at the same places and seeds."
        )

    def test_latencies_where_queues_grow_are_not_compared(self) -> None:
        latency = {"ttft_p99_ns": lambda row: 1.0, "goodput_per_s": lambda row: 1.0}
        piled = points(
            saturated=lambda row: int(row["name"] == "b" and row["request_rate_per_s"] > 16), **latency
        )
        table = sweep.paired(piled, "a")
        kept = table[table[RATE] == 32]["metric"].tolist()
        self.assertIn("goodput_per_s", kept)
        self.assertNotIn("ttft_p99_ns", kept)
        self.assertEqual((table["metric"] == "ttft_p99_ns").sum(), 3)


if __name__ == "__main__":
    unittest.main()
