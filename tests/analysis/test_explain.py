"""explain: parts of time and cost that add up, and a verdict that names the largest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from support import PAIR, CommandFolder
from synthetic import Synthetic

from tandem_analysis import causes, explain, idle, load


class Explain(CommandFolder):
    command = "explain"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        Synthetic(count=400).write(cls.shared / "a")
        Synthetic(name="disagg", pools=PAIR, count=400, slow=1.5).write(cls.shared / "b")

    def setUp(self) -> None:
        super().setUp()
        self.first, self.other = load.load_all([str(self.shared / "a"), str(self.shared / "b")])

    def paths(self) -> list[str]:
        return [self.first.path, self.other.path]

    def test_latency_adds_up(self) -> None:
        table = explain.latency_frame(self.first, self.other)
        for result in (self.first, self.other):
            rows = result.requests()
            rows = rows[rows["output_tokens"] > 1]
            tpot = ((rows["e2e_ns"] - rows["ttft_ns"]) / (rows["output_tokens"] - 1)).mean()
            sums = table.groupby("metric")[f"{result.label}_ns"].sum()
            self.assertAlmostEqual(sums["E2E"] / result.value("e2e_mean_ns"), 1, 9)
            self.assertAlmostEqual(sums["TTFT"] / result.value("ttft_mean_ns"), 1, 9)
            self.assertAlmostEqual(sums["TPOT"] / tpot, 1, 9)
        part = table.set_index(["metric", "part"])
        interference = part.loc[("E2E", "interference"), "disagg_ns"]
        self.assertEqual(interference, self.other.value("mean_interference_ns"))
        self.assertEqual(
            part.loc[("E2E", "decode compute"), "disagg_ns"],
            self.other.value("mean_decode_ns") - interference,
        )
        self.assertEqual(
            part.loc[("TPOT", "hand-off"), "disagg_ns"], 0
        )  # all before the first token

    def test_hand_off_after_the_first_token(self) -> None:
        """Where prefill shows the token, TPOT has the hand-off."""
        run = Synthetic(name="disagg", pools=PAIR, count=400)
        run.requests["ttft_ns"] = run.requests["ttft_prefill_ns"]
        result = self.made(run)[0]
        table = explain.latency_frame(self.first, result).set_index(["metric", "part"])
        rows = result.requests()
        rows = rows[rows["output_tokens"] > 1]
        moved = rows["decode_queue_ns"] + rows["transfer_ns"] + rows["admission_ns"]
        self.assertAlmostEqual(
            table.loc[("TPOT", "hand-off"), "disagg_ns"]
            / (moved / (rows["output_tokens"] - 1)).mean(),
            1,
            9,
        )

    def test_resources_add_up(self) -> None:
        """To all GPUs over the window: their cost over the requests completed in it."""
        table = explain.resources_frame(self.first, self.other)
        for result in (self.first, self.other):
            window_s = (result.value("window_end_ns") - result.value("window_start_ns")) / 1e9
            requests = result.value("completed_per_s") * window_s
            mine = table[table["deployment"] == result.label]
            self.assertAlmostEqual(
                mine["usd_per_request"].sum() * requests / result.value("cost_usd"), 1, 9
            )
            self.assertAlmostEqual(
                mine["gpu_s_per_request"].sum() * requests / (result.value("gpus") * window_s), 1, 9
            )
        shares = table.set_index(["pool", "part"])["share"]
        for pool, expected in {
            "unified": {"prefill": 0.1 * 0.95, "prefill beside decodes": 0.2 * 0.95, "decode": 0.37,
                        "decode, queue blocked": 0.08, "recomputation": 0.3 * 0.05},
            "prefill": {"prefill": 0.62 * 0.95, "recomputation": 0.62 * 0.05, "idle, queue blocked": 0.09},
            "decode": {"decode": 0.81, "idle, KV on its way": 0.04, "idle, prefill has to come": 0},
        }.items():  # fmt: skip
            for part, share in expected.items():
                self.assertAlmostEqual(shares[pool, part], share, 6, (pool, part))
            idle = shares[pool][["idle, with requests", "idle, its pool queues", "idle, another pool queues", "idle"]]
            busy = {"unified": 0.75, "prefill": 0.62 + 0.09, "decode": 0.81 + 0.04}[pool]
            self.assertAlmostEqual(idle.sum(), 1 - busy, 6)
            self.assertGreaterEqual(idle.min(), 0)

    def test_causes_add_up(self) -> None:
        """Each column to the mean request's; the differences, too."""
        table = causes.causes_frame(self.first, self.other)
        self.assertEqual(list(table["cause"]), list(causes.CAUSES))
        sums = table.drop(columns="cause").sum()
        for result in (self.first, self.other):
            self.assertAlmostEqual(sums[f"{result.label}_ns"] / result.value("e2e_mean_ns"), 1, 9)
            cost = result.value("cost_usd") / causes.requests(result)
            self.assertAlmostEqual(sums[f"{result.label}_usd"] / cost, 1, 9)
        for unit in ("ns", "gpu_s", "usd"):
            gap = sums[f"{self.other.label}_{unit}"] - sums[f"{self.first.label}_{unit}"]
            self.assertAlmostEqual(sums[f"difference_{unit}"], gap, delta=1e-9 * sums[f"disagg_{unit}"])
        self.assertGreaterEqual(table.drop(columns="cause").filter(regex="unified_|disagg_").min().min(), 0)

    def test_before_prefill(self) -> None:
        """Blocks that wait for a prefill: of the time that they are reserved the transfer's share is the transfer's."""
        self.other.configuration["cluster"]["handoff"] = {"reserve": "before-prefill"}
        part = causes.gpu_frame(self.other).set_index(["pool", "part"])["share"]["decode"]
        prefill = sum(self.other.value(f"mean_{stage}_ns") for stage in ("prefill_queue", "prefill"))
        ahead = prefill / (prefill + self.other.value("mean_transfer_ns"))
        self.assertAlmostEqual(part["idle, prefill has to come"], 0.04 * ahead, 6)
        self.assertAlmostEqual(part["idle, KV on its way"], 0.04 * (1 - ahead), 6)

    def test_static_batches(self) -> None:
        """Their queues wait for the end of a batch, not for blocks."""
        self.first.configuration["cluster"]["pools"][0]["scheduler"] = {"policy": "static"}
        self.assertEqual(causes.gpu_frame(self.first).set_index("part")["share"]["decode, queue blocked"], 0)
        self.assertEqual(causes.times(self.first)["KV limit"], self.first.value("mean_stalled_ns"))

    def test_idle_by_bins(self) -> None:
        """Without rows: what the means of bins allow. Every bin: 2 prefill instances idle for 0.6 of the time, decode ones
        for 0.5; 0.5 requests wait in the one pool, 4 in the other."""
        first, other = self.made(Synthetic(count=400, rows=False), Synthetic(pools=PAIR, count=400, rows=False))
        for pool, busy, waiting in (("prefill", 0.4, 0.5), ("decode", 0.5, 4.0)):
            series = other.timeseries[pool]
            series[["busy_decode", "busy_mixed"]] = 0.0
            series["busy_prefill"], series["waiting"] = busy, waiting
        shares = idle.beside_queues(other)
        self.assertEqual({share.free for share in shares.values()}, {1})
        self.assertAlmostEqual(shares["prefill"].own, 0.5 / 1.2)
        self.assertAlmostEqual(shares["prefill"].others, 0.7 / 1.2)
        self.assertAlmostEqual(shares["decode"].own, 1)
        self.assertAlmostEqual(shares["decode"].others, 0)
        self.assertIn("the most that the means", "".join(causes.remarks(first)))
        first = self.made(Synthetic(count=50, rows=False, series=False))[0]
        self.assertEqual(idle.beside_queues(first), {"unified": idle.Idle(1, 0, 0)})
        self.assertIn("all counted as no load", "".join(causes.remarks(first)))

    def test_older_results(self) -> None:
        self.first.instances.drop(columns="interference_ns", inplace=True)
        with self.assertRaisesRegex(load.ResultError, "has no interference_ns, repeat the run"):
            causes.causes_frame(self.first, self.other)

    def test_verdict(self) -> None:
        text = "\n".join(explain.sentences(self.first, self.other))
        self.assertRegex(text, r"E2E: disagg is slower, .* against .*, mostly by decode compute \+")
        self.assertIn("Cost of 1,000 requests: equal within 1 % ($", text)
        same = explain.sentences(*self.made(Synthetic(count=50), Synthetic(count=50)))
        self.assertTrue(same[0].startswith("E2E: equal within 1 % ("))
        self.first.summary["saturated"] = 1
        self.assertIn("unified is saturated", "\n".join(explain.sentences(self.first, self.other)))

    def test_command(self) -> None:
        out = self.folder / "out"
        status, said, err = self.run_it(*self.paths(), "-o", out)
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(said.startswith((out / "explain.txt").read_text()))
        self.assertEqual(
            set(pd.read_csv(out / "explain_latency.csv")["metric"]), {"E2E", "TTFT", "TPOT"}
        )
        self.assertEqual(len(pd.read_csv(out / "explain_resources.csv")), 3 * len(causes.PARTS))
        self.assertEqual(list(pd.read_csv(out / "explain_causes.csv")["cause"]), list(causes.CAUSES))
        self.assertEqual(len(pd.read_csv(out / "explain_waits.csv")), 2)
        self.is_png(out / "explain.png")

    def test_other_requests(self) -> None:
        result = self.made(Synthetic(count=400, seed=2))[0]
        status, out, err = self.run_it(self.first.path, result.path)
        self.assertEqual((status, out), (2, ""))
        self.assertIn(
            "not the same requests (seed 1, 2); explain needs two runs of one workload", err
        )

    def test_other_rows(self) -> None:
        """The same options, yet other requests (a trace that was changed)."""
        run = Synthetic(count=400)
        run.requests["prompt_tokens"] = np.roll(run.requests["prompt_tokens"], 1)
        err = self.run_it(self.first.path, self.made(run)[0].path)[2]
        self.assertIn("not the same requests (other prompt_tokens)", err)

    def test_without_rows(self) -> None:
        result = self.made(Synthetic(count=400, rows=False))[0]
        text = "\n".join(explain.sentences(result, self.other))
        self.assertIn("TPOT is left out", text)
        self.assertNotIn("TPOT:", text)
