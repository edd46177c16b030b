"""Units and the table: values are those of /summary and /pools, lines are aligned and narrow."""

from __future__ import annotations

import unittest

from support import PAIR, Folder
from synthetic import Synthetic

from tandem_analysis import table, units


class Units(unittest.TestCase):
    def test_times(self) -> None:
        for ns, text in (
            (0, "0"),
            (7, "7 ns"),
            (1500, "1.500 us"),
            (210_300_000, "210.3 ms"),
            (1e9, "1.000 s"),
            (3_508_039_510_894, "3,508 s"),
        ):
            self.assertEqual(units.time_text(ns), text)
        self.assertEqual(units.time_text(2e9, trim=True), "2 s")

    def test_numbers(self) -> None:
        self.assertEqual(units.digits(1234567.0), "1,234,567")
        self.assertEqual(units.digits(0.00012345), "0.0001234")
        self.assertEqual(units.usd_text(11.4217), "$11.42")
        self.assertEqual(units.usd_text(0.41234), "$0.4123")
        self.assertEqual(units.percent_text(0.98765), "98.77 %")
        self.assertEqual(units.bytes_text(3 * 2**30), "3.000 GiB")
        self.assertEqual(units.bound_text(0), "none")
        self.assertEqual(units.watts_text(929.4), "929.4 W")
        self.assertEqual(units.watts_text(2530.2), "2.530 kW")
        self.assertEqual(units.watts_text(3.2e6), "3.200 MW")
        self.assertEqual(units.joules_text(0.2014), "0.2014 J")
        self.assertEqual(units.kwh_text(1.567), "1.567 kWh")

    def test_changes(self) -> None:
        self.assertEqual(units.change_text(100, 75), "-25.0 %")
        self.assertEqual(units.change_text(100, 100.01), "=")
        self.assertEqual(units.change_text(0, 5), "")
        self.assertEqual(units.change_text(1, 40), "x 40.0")

    def test_shorten(self) -> None:
        self.assertEqual(units.shorten("abcdefghij", 8), "abc..hij")
        self.assertEqual(units.shorten("abc", 8), "abc")


class Table(Folder):
    def values(self, runs: list, key: str) -> list:
        frame = table.frame(runs)
        rows = frame[frame["metric"] == key]
        self.assertEqual(len(rows), 1, key)
        return rows.iloc[0, 3:].tolist()

    def test_values_are_those_of_the_summary(self) -> None:
        runs = [Synthetic(count=300), Synthetic(name="disagg", pools=PAIR, count=300)]
        results = self.made(*runs)
        for key in (
            "ttft_p50_ns",
            "ttft_p90_ns",
            "tpot_p99_ns",
            "itl_p90_ns",
            "e2e_p99_ns",
            "queue_mean_ns",
            "mean_interference_ns",
            "mean_blocked_ns",
            "requests",
            "completed",
            "refused",
            "gpus",
            "output_tokens_per_s_per_gpu",
            "slo_attainment",
            "goodput_per_s",
            "goodput_per_s_per_gpu",
            "utilization",
            "cost_usd_per_hour",
            "effective_usd_per_hour",
            "usd_per_million_input_tokens",
            "usd_per_million_output_tokens",
            "mean_power_watts",
            "joules_per_output_token",
            "kwh_per_million_output_tokens",
            "kwh_per_million_tokens",
        ):
            self.assertEqual(self.values(results, key), [run.summary[key] for run in runs], key)
        key = "mean_congestion_ns"  # nothing moves in the first
        self.assertEqual(self.values(results, key), [None, runs[1].summary[key]])
        self.assertEqual(
            self.values(results, "transfer_p90_ns"), [None, runs[1].summary["transfer_p90_ns"]]
        )
        self.assertEqual(self.values(results, "pools[decode].utilization_decode"), [None, 0.81])
        self.assertEqual(self.values(results, "pools[unified].kv_peak_utilization"), [0.6, None])
        self.assertEqual(self.values(results, "pools[unified].mfu"), [0.41, None])
        self.assertEqual(self.values(results, "pools[prefill].hfu"), [None, 0.43])
        self.assertEqual(self.values(results, "pools[decode].mbu"), [None, 0.55])
        self.assertEqual(self.values(results, "pools[prefill]"), [None, "2x4 h100-sxm tp4"])
        self.assertEqual(self.values(results, "pools[prefill].mean_power_watts"), [None, 3200.0])
        self.assertEqual(self.values(results, "pools[prefill].joules_per_prefill_token"), [None, 0.35])
        self.assertEqual(self.values(results, "pools[decode].joules_per_output_token"), [None, 2.25])
        self.assertEqual(self.values(results, "pools[unified].joules_per_output_token"), [2.25, None])
        keys = set(table.frame(results)["metric"])
        self.assertNotIn("pools[decode].joules_per_prefill_token", keys)
        self.assertNotIn("pools[decode].power_capped", keys)

    def test_derived_values(self) -> None:
        (result,) = self.made(Synthetic(count=300))
        self.assertAlmostEqual(table.goodput_per_gpu(result), result.value("goodput_per_s") / 16)
        self.assertAlmostEqual(
            table.completed_per_gpu(result), result.value("completed_per_s") / 16
        )
        hourly = result.value("goodput_per_s") * 3600
        self.assertAlmostEqual(table.usd_per_thousand_good(result), 48.0 / hourly * 1000)

    def test_two_deployments_fit_110_columns(self) -> None:
        long = "a-very-long-name-of-an-experiment-with-many-options"
        text = table.render(
            self.made(
                Synthetic(name=f"{long}-1", count=300),
                Synthetic(name=f"{long}-2", pools=PAIR, count=300),
            )
        )
        lines = text.splitlines()
        self.assertLessEqual(max(map(len, lines)), 110)
        self.assertTrue(text.isascii())
        ends = {
            len(line)
            for line in lines
            if line.endswith("%") and "p90" in line and "transfer" not in line
        }
        self.assertEqual(len(ends), 1)

    def test_change_column_only_for_two(self) -> None:
        runs = [
            Synthetic(name=name, count=100, slow=slow)
            for name, slow in (("a", 1.0), ("b", 2.0), ("c", 3.0))
        ]
        results = self.made(*runs)
        self.assertIn("change", table.render(results[:2]).splitlines()[0])
        self.assertNotIn("change", table.render(results).splitlines()[0])
        self.assertNotIn("change", table.render(results[:1]).splitlines()[0])

    def test_lines_without_any_value_are_left_out(self) -> None:
        runs = self.made(Synthetic(count=100, price=0.0, slo=(0, 0, 0), one_token=True))
        keys = set(table.frame(runs)["metric"])
        for key in (
            "goodput_per_s",
            "usd_per_million_output_tokens",
            "tpot_p90_ns",
            "itl_p90_ns",
            "transfer_p90_ns",
            "cost_usd_per_hour",
        ):
            self.assertNotIn(key, keys)
        self.assertIn("SLO: TTFT at most", table.render(runs))

    def test_energy_is_shown_and_may_be_missing(self) -> None:
        capped, old = self.made(
            Synthetic(name="capped", count=100, capped=0.25), Synthetic(name="old", count=100)
        )
        energy = [name for name in old.summary if "joules" in name or "kwh" in name]
        for name in [*energy, "mean_power_watts"]:
            del old.summary[name]
        old.pools = old.pools.drop(
            columns=[name for name in old.pools if "joules" in name or "power" in name]
        )
        self.assertEqual(self.values([capped, old], "mean_power_watts"), [6400.0, None])
        self.assertEqual(self.values([capped, old], "pools[unified].power_capped"), [0.25, None])
        text = table.render([capped, old])
        self.assertRegex(text, r"Energy\n  mean power +6\.400 kW +-\n")
        self.assertRegex(text, r"  unified: busy time at its cap +25\.00 % +-\n")
        self.assertNotIn("Energy", table.render([old]))

    def test_fragmentation_is_shown_and_may_be_missing(self) -> None:
        stranded, old = self.made(
            Synthetic(name="stranded", count=100, stranded=0.125), Synthetic(name="old", count=100)
        )
        text = table.render([old])
        self.assertRegex(text, r"  unified: KV fragmented in blocks +20\.00 %\n")
        self.assertNotIn("KV free but unusable", text)
        old.pools = old.pools.drop(
            columns=[name for name in old.pools if "cached" in name or "fragmentation" in name]
        )
        text = table.render([stranded, old])
        self.assertRegex(text, r"  unified: KV cached, mean +24\.00 % +-\n")
        self.assertRegex(text, r"  unified: KV free but unusable +12\.50 % +-\n")

    def test_classes_are_shown_where_there_are_several(self) -> None:
        results = self.made(Synthetic(count=50, classes=2), Synthetic(name="other", count=50))
        text = table.render(results)
        self.assertRegex(text, r"class 1: meet their SLO +80\.00 % +- *")
        self.assertRegex(text, r"class 0: TTFT p90 +1\.000 ms")
        self.assertNotIn("class 0", table.render(results[1:]))

    def test_swaps_are_shown(self) -> None:
        swapping, old = self.made(Synthetic(name="swapping", count=100), Synthetic(name="old", count=100))
        self.assertNotIn("by swapping", table.render([swapping, old]))
        swapping.summary["swaps"] = 7
        del old.summary["swaps"]
        self.assertEqual(self.values([swapping, old], "swaps"), [7, None])
        self.assertRegex(table.render([swapping, old]), r"  of them by swapping +7 +-\n")

    def test_saturated_is_shown(self) -> None:
        self.assertIn("YES", table.render(self.made(Synthetic(count=100, saturated=True))))


if __name__ == "__main__":
    unittest.main()
