"""explain: parts of time and cost that add up, and a verdict that names the largest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from support import PAIR, CommandFolder
from synthetic import Synthetic

from tandem_analysis import explain, load


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
        idle = table[(table["pool"] == "prefill") & (table["part"] == "idle")]["share"].iloc[0]
        self.assertAlmostEqual(idle, 1 - 0.62)

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
        self.assertEqual(len(pd.read_csv(out / "explain_resources.csv")), 12)
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
