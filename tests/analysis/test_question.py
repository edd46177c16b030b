"""experiments/question: what a question expands to, and what its map says. The whole of it runs in the tests of experiments."""

from __future__ import annotations

import itertools
import json
import sys
import unittest

import numpy as np
import pandas as pd
import synthetic_sweep
from support import Folder
from synthetic import ROOT

sys.path.insert(0, str(ROOT / "experiments/question"))
import network  # noqa: E402
import question  # noqa: E402

from tandem_analysis import load, sweep  # noqa: E402
from tandem_analysis.load import ResultError, Sweep  # noqa: E402


class Expansion(Folder):
    def asked(self, **changed: object) -> question.Question:
        content = json.loads((ROOT / "experiments/question/question.json").read_text())
        for path, value in changed.items():
            part, _, key = path.partition("__")
            if key:
                content[part] |= {key: value}
            else:
                content[part] = value
        file = self.folder / "question.json"
        file.write_text(json.dumps(content))
        return question.read(str(file))

    def test_all_fill_the_budget(self) -> None:
        points = question.candidates(self.asked(budget__gpus=8, budget__tensor_parallel=[1, 2]))
        for name, settings in points.items():
            pools = settings["cluster"]["pools"]
            self.assertEqual(sum(pool["instances"] * pool["tensor_parallel"] for pool in pools), 8, name)
            self.assertEqual(
                [pool["role"] for pool in pools][0],
                question.kind_of(name).replace("disaggregated", "prefill"),
            )
        kinds = [question.kind_of(name) for name in points]
        self.assertEqual(kinds.count("unified"), 2 * len(question.TOKEN_BUDGETS))
        self.assertEqual(kinds.count("disaggregated"), 7 + 3 + 3 + 3)  # TP 1+1, 1+2, 2+1, 2+2

    def test_more_have_to_meet_the_slo(self) -> None:
        swept = load.load_sweep(synthetic_sweep.write(self.folder / "swept"))
        low, high = (question.limits(swept, target)["rate_per_s"].mean() for target in (0.9, 0.95))
        self.assertLess(high, low)

    def test_splits(self) -> None:
        self.assertEqual(question.splits(8, 2, 4), [2])
        self.assertEqual(question.splits(4, 4, 1), [])
        many = question.splits(64, 1, 1)
        self.assertEqual((len(many), many[0], many[-1]), (7, 1, 63))

    def test_what_cannot_be(self) -> None:
        for words, changed in (
            (
                "budget: it has to have exactly gpu, gpus, tensor_parallel, kv_link",
                {"budget": {"gpu": "h100-sxm"}},
            ),
            (
                'workload: arrival_cv is "x", write it as in experiments/question/question.json',
                {"workload__arrival_cv": "x"},
            ),
            ("budget: gpus has 0, write a whole number from 1 on", {"budget__gpus": 0}),
            (
                "budget: tensor_parallel has 1.5, write a whole number from 1 on",
                {"budget__tensor_parallel": [1.5]},
            ),
            (
                "budget: tensor_parallel is empty, name at least one number of GPUs",
                {"budget__tensor_parallel": []},
            ),
        ):
            with self.assertRaises(ResultError) as raised:
                self.asked(**changed)
            self.assertEqual(str(raised.exception), f"{self.folder}/question.json: {words}")
        with self.assertRaisesRegex(
            ResultError, "no-such.json: .*, write it like experiments/question/question.json"
        ):
            question.read("no-such.json")
        one = self.asked(budget__gpus=1, budget__tensor_parallel=[1])
        with self.assertRaisesRegex(
            ResultError,
            r"budget: 1 GPUs with tensor_parallel \[1\] make no disaggregated deployment, give more",
        ):
            question.answer(one, question.Sweeps(one, self.folder), question.QUICK)

    def test_a_place_of_the_map(self) -> None:
        names = {"unified": "8 x TP1, 512 tokens", "disaggregated": "4P TP1 + 4D TP1"}
        sides = {"unified": np.array([8.0, 8.0, 8.0]), "disaggregated": np.array([9.0, 9.1, 9.2])}
        row = question.place((256, 32), sides, names)
        self.assertEqual((row["best unified"], row["best disaggregated"]), tuple(names.values()))
        self.assertEqual((row["seeds"], row["winner"], row["told_apart"]), (3, "disaggregated", True))
        self.assertAlmostEqual(row["ratio"], (9.0 * 9.1 * 9.2) ** (1 / 3) / 8, 12)
        close = question.place((1024, 32), sides | {"disaggregated": np.array([7.0, 9.0, 9.0])}, names)
        self.assertFalse(close["told_apart"])
        nobody = question.place((512, 32), {}, {})
        self.assertEqual((nobody["winner"], nobody["told_apart"]), ("", False))
        alone = question.place((256, 32), {"unified": sides["unified"]}, {"unified": "x"})
        self.assertEqual((alone["ratio"], alone["winner"], alone["told_apart"]), (0.0, "unified", True))
        below = question.place((256, 32), sides | {"unified": np.array([8.0, np.nan, 8.0])}, names)
        self.assertEqual((below["winner"], below["told_apart"]), ("", False))
        said = question.map_lines(pd.DataFrame([row, close, nobody]))
        self.assertEqual(
            said[0], "With other lengths (prompt x output tokens) disaggregated serves more at: 256x32."
        )
        self.assertEqual(said[2], "Not told apart, or none meets the SLO: 1024x32, 512x32.")

    def test_network(self) -> None:
        """Rates x bandwidths: who costs less where, from attainments; nothing where neither keeps the SLO."""
        rates, seeds, rows = (10.0, 20.0, 40.0), (1, 2, 3), []
        for name, link, rate, seed in itertools.product(("unified", "disaggregated"), network.BANDWIDTHS, rates, seeds):
            keeps = rate < 15 or (rate < 30 and name == "disaggregated" and link > 10)
            good = (0.995 if keeps else 0.5) - 0.001 * seed
            rows.append({"name": name, "status": "completed", "error": "", "saturated": 0, "slo_attainment": good,
                         "cost_usd_per_hour": 24.0, sweep.GOOD: 24e3 / 3600 / rate / good,
                         network.LINK: float(link), network.RATE: rate, "seed": float(seed)})  # fmt: skip
        table = pd.DataFrame(rows)
        parameters = table[[network.LINK, network.RATE, "seed"]]
        swept = Sweep("x", {}, table.drop(columns=parameters.columns), parameters, pd.DataFrame(), pd.DataFrame())
        compared = network.compare(swept, "disaggregated", "unified", 0.9)
        self.assertEqual(len(compared), 18)
        by_place = compared.set_index([network.X, network.Y])
        self.assertTrue((by_place.loc[10.0, "ratio"] == 1).all())
        expected = np.mean([1 / (0.5 - 0.001 * seed) for seed in seeds]) / np.mean([1 / (0.995 - 0.001 * seed) for seed in seeds])
        self.assertAlmostEqual(by_place.loc[(20.0, 25.0), "ratio"], expected, 12)
        self.assertTrue(by_place.loc[40.0, "ratio"].isna().all() and not by_place.loc[40.0, "told_apart"].any())
        self.assertEqual(
            network.lines(compared, "disaggregated", "unified")[1:],
            [
                "  10 requests/s: the same or not told apart at 3.125 to 100 GB/s.",
                "  20 requests/s: disaggregated costs less at 12.5 to 100 GB/s; neither keeps the SLO at 3.125 to 6.25 GB/s.",
                "  40 requests/s: neither keeps the SLO at 3.125 to 100 GB/s.",
            ],
        )
        self.assertEqual(network._range(pd.Series([100, 3.125, 12.5, 25])), "3.125, 12.5 to 25, 100")
        self.assertEqual(network.rates_of(100, 120)[:4], [25, 50, 75, 90])
        self.assertEqual(network.rates_of(100, 120)[-1], 144)

    def test_layouts(self) -> None:
        rates = {
            "1P TP1 + 7D TP1": 9,
            "2P TP2 + 4D TP1": 8,
            "4P TP1 + 4D TP1": 7,
            "1P TP2 + 3D TP2": 6,
            "8 x TP1, 512 tokens": 5,
        }
        found = pd.DataFrame({"name": list(rates), "rate_per_s": list(rates.values())})
        layouts = question.best_layouts(found, "disaggregated", 2)
        self.assertEqual(layouts, [("disaggregated", "TP1", "TP1"), ("disaggregated", "TP2", "TP1")])
        self.assertEqual(question.best_layouts(found, "unified", 2), [("unified", "TP1")])


if __name__ == "__main__":
    unittest.main()
