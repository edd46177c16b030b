"""experiments/question: what a question expands to, and what its map says. The whole of it runs in the tests of experiments."""

from __future__ import annotations

import json
import sys
import unittest

import pandas as pd
from support import Folder
from synthetic import ROOT

sys.path.insert(0, str(ROOT / "experiments/question"))
import question  # noqa: E402

from tandem_analysis.load import ResultError  # noqa: E402


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
        """The best of each kind by seed 1, compared at the others."""
        rates = {  # by candidate: at seeds 1, 2, 3
            "8 x TP1, 512 tokens": (10, 8, 8), "8 x TP1, 2048 tokens": (9, 99, 99),
            "1P TP1 + 7D TP1": (float("nan"),) * 3, "4P TP1 + 4D TP1": (12, 9, 9.1),
        }  # fmt: skip
        table = pd.DataFrame(
            [{"name": name, "seed": float(seed), "rate_per_s": rate, "rate_per_s_per_gpu": rate / 8, "cell": "256x32"}
             for name, row in rates.items() for seed, rate in enumerate(row, 1)]
        )  # fmt: skip
        row = question.place(table, (256, 32))
        self.assertEqual(
            (row["best unified"], row["best disaggregated"]), ("8 x TP1, 512 tokens", "4P TP1 + 4D TP1")
        )
        self.assertEqual((row["seeds"], row["winner"], row["told_apart"]), (2, "disaggregated", True))
        self.assertAlmostEqual(row["ratio"], 9.05 / 8, 12)
        self.assertEqual(question.place(table, (512, 32))["winner"], "")
        alone = question.place(table[table["name"].str.contains("P TP")], (256, 32))
        self.assertEqual(
            (alone["ratio"], alone["winner"], alone["told_apart"]), (float("inf"), "disaggregated", True)
        )
        said = question.map_lines(pd.DataFrame([row, question.place(table, (512, 32))]))
        self.assertEqual(
            said[0], "With other lengths (prompt x output tokens) disaggregated serves more at: 256x32."
        )
        self.assertEqual(said[2], "Not told apart, or none meets the SLO: 512x32.")


if __name__ == "__main__":
    unittest.main()
