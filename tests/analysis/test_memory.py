"""The memory figures: from a report made here, and from the program's own ($TANDEM or build/tandem)."""

from __future__ import annotations

import json
import os
import subprocess
import unittest
from pathlib import Path

import pandas as pd
from support import CommandFolder
from synthetic import ROOT

from tandem_analysis import memory_figure

PROGRAM = Path(os.environ.get("TANDEM", ROOT / "build/tandem"))
GIB = 2**30
FIGURES = {"memory_growth.png", "memory_growth.csv", "memory_max_context.csv", "memory_max_batch.csv"}
EVOLUTION = {"memory_evolution.png", "memory_evolution.csv"}


def growth(batch: int, length: int, kv_gib: float, fits: bool) -> dict:
    """With weights of 10 GiB and 2 GiB kept free."""
    return {
        "batch_sequences": batch,
        "length_tokens": length,
        "kv_bytes": int(kv_gib * GIB),
        "kv_fraction": kv_gib / (10 + kv_gib),
        "total_bytes": int((12 + kv_gib) * GIB),
        "fits": fits,
    }


def step(number: int, sequences: int, tokens: int, longest: int) -> dict:
    """Bytes that differ by column."""
    return {
        "step": number,
        "sequences": sequences,
        "kv_tokens": tokens,
        "longest_tokens": longest,
        "kv_bytes": tokens << 20,
        "packed_activation_bytes": sequences << 10,
        "padded_activation_bytes": sequences * longest << 10,
        "score_bytes": sequences * longest << 5,
    }


def report() -> dict:
    """A GPU of 20 GiB, 16 of them usable: room for 4 GiB, that is for 4,096 tokens."""
    return {
        "summary": {
            "model": "toy",
            "gpu": "toy-gpu",
            "gpus": 2,
            "weight_bytes": 10 * GIB,
            "memory_bytes": 20 * GIB,
            "usable_bytes": 16 * GIB,
            "cache_bytes": 4 * GIB,
            "kv_bytes_per_token": 1 << 20,
            "capacity_tokens": 4096,
        },
        "growth": [
            growth(1, 1024, 1, True),
            growth(1, 4096, 4, True),
            growth(3, 1024, 3, True),
            growth(3, 4096, 12, False),
        ],
        "max_context": [
            {"gpu": "toy-gpu", "tensor_parallel": tp, "batch_sequences": b, "max_context_tokens": n}
            for tp, b, n in ((2, 1, 4096), (2, 3, 1365), (4, 1, 9000), (4, 3, 3000))
        ],
        "max_batch": [
            {"gpu": "toy-gpu", "tensor_parallel": 2, "length_tokens": 1024, "max_batch_sequences": 4}
        ],
        "evolution": [step(0, 2, 30, 20), step(1, 2, 32, 21), step(2, 1, 22, 22)],
    }


class MemoryTest(CommandFolder):
    """What both ways share."""

    command = "memory"


class Figures(MemoryTest):
    def test_files_and_standard_input(self) -> None:
        path = self.write("a.json", json.dumps(report()))
        out = self.folder / "out"
        status, said, wrong = self.run_it(path, "-", "-o", out, stdin=json.dumps(report()))
        self.assertEqual((status, wrong), (0, ""))
        self.assertIn("toy on 2 x toy-gpu\n", said)
        self.assertIn("of 20.00 GiB weights take 10.00 GiB; 4.000 GiB for the KV cache", said)
        self.assertIn("4,096 tokens of 1.000 MiB", said)
        self.assertIn("longest context of batch 1: 4,096 (tensor 2), 9,000 (tensor 4)\n", said)
        self.assertEqual({file.name for file in out.iterdir()}, FIGURES | EVOLUTION)
        self.is_png(out / "memory_growth.png")
        self.is_png(out / "memory_evolution.png")
        table = pd.read_csv(out / "memory_growth.csv")
        self.assertEqual(len(table), 8)
        self.assertEqual(table["kv_bytes"].iloc[3], 12 * GIB)
        self.assertEqual(list(table["fits"].iloc[:4]), [True, True, True, False])

    def test_weights_that_do_not_fit_and_no_batch(self) -> None:
        one = report()
        one["summary"]["cache_bytes"] = -3 * GIB
        del one["evolution"]
        path = self.write("a.json", json.dumps(one))
        status, said, _ = self.run_it(path, "-o", self.folder / "out")
        self.assertEqual(status, 0)
        self.assertIn("3.000 GiB are missing for weights and what is kept free", said)
        self.assertEqual({file.name for file in (self.folder / "out").iterdir()}, FIGURES)

    def test_lines_are_where_they_belong(self) -> None:
        (one,) = memory_figure.load_all([str(self.write("a.json", json.dumps(report())))])
        kv, total, share = memory_figure.draw_growth([one]).axes
        whole = [line for line in kv.lines if line.get_linestyle() == "-"]
        self.assertEqual([list(line.get_ydata()) for line in whole], [[1, 4], [3, 12]])
        self.assertEqual([list(line.get_xdata()) for line in whole], [[1024, 4096]] * 2)
        hollow = [
            (list(line.get_xdata()), list(line.get_ydata()))
            for line in kv.lines
            if line.get_linestyle() == "None" and line.get_markerfacecolor() == "white"
        ]
        self.assertEqual(hollow, [([], []), ([4096], [12])])
        whole = [line for line in total.lines if line.get_linestyle() == "-"]
        self.assertEqual([list(line.get_ydata()) for line in whole], [[13, 16], [15, 24]])
        levels = {line.get_ydata()[0] for line in total.lines if line.get_linestyle() in ("--", ":")}
        self.assertEqual(levels, {20, 16})
        whole = [line for line in share.lines if line.get_linestyle() == "-"]
        self.assertAlmostEqual(whole[1].get_ydata()[1], 12 / 22)
        for axis in (kv, total, share):
            self.assertTrue(axis.get_xlabel() and axis.get_ylabel())
        memory, tokens = memory_figure.draw_evolution([one]).axes
        self.assertEqual(list(memory.lines[0].get_ydata()), [30, 32, 22])
        self.assertEqual(list(memory.lines[1].get_ydata() * 1024), [2, 2, 1])
        self.assertEqual(list(memory.lines[2].get_ydata() * 1024), [40, 42, 22])
        self.assertEqual(list(tokens.lines[0].get_ydata()), [30, 32, 22])
        self.assertEqual(list(tokens.lines[2].get_ydata()), [2, 2, 1])

    def test_without_a_folder_nothing_is_written(self) -> None:
        path = self.write("a.json", json.dumps(report()))
        status, said, _ = self.run_it(path)
        self.assertEqual(status, 0)
        self.assertNotIn("written to", said)
        self.assertEqual(list(self.folder.iterdir()), [path])

    def test_wrong_input(self) -> None:
        without, short = report(), report()
        del without["summary"]["usable_bytes"]
        del short["growth"][0]["fits"]
        for row in short["growth"][1:]:
            del row["fits"]
        cases = {
            "none.json": (None, "cannot be read (No such file or directory)"),
            "text.json": ("llama-2-7b on", "not JSON or HDF5"),
            "list.json": ("[1]", "is missing"),
            "key.json": (json.dumps(without), "usable_bytes is missing"),
            "column.json": (json.dumps(short), "fits"),
        }
        for name, (text, words) in cases.items():
            path = self.folder / name if text is None else self.write(name, text)
            status, said, wrong = self.run_it(path, "-o", self.folder / "out")
            self.assertEqual((status, said), (2, ""))
            self.assertTrue(wrong.startswith(f"tandem_analysis: {path}: "), wrong)
            self.assertIn(words, wrong)
            self.assertIn(memory_figure.EXPECTED, wrong)
            self.assertEqual(wrong.count("\n"), 1)
        self.assertFalse((self.folder / "out").exists())


@unittest.skipUnless(PROGRAM.exists(), f"{PROGRAM} is not built (set TANDEM to the program)")
class Program(MemoryTest):
    def made(self, name: str, *words: str) -> Path:
        folder = self.folder / name
        command = [PROGRAM, "memory", "-o", folder, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return folder

    def test_json_and_hdf5_are_the_same(self) -> None:
        words = ("--prompts", "100,150,80", "--outputs", "9,3,5", "--all-gpus")
        folder = self.made("a", "--model", "llama-2-7b", "--gpu", "h100-sxm", *words)
        by_json, by_h5, by_folder = memory_figure.load_all(
            [str(folder / "memory.json"), str(folder / "memory.h5"), str(folder)]
        )
        for other in (by_h5, by_folder):
            self.assertEqual(by_json.summary, other.summary)
            for name, table in by_json.tables.items():
                same = other.tables[name][list(table.columns)]
                self.assertEqual(len(table), len(same))
                for column in table.columns:
                    if column != "phase":  # a word in JSON
                        self.assertTrue((table[column] == same[column]).all(), f"{name}/{column}")
        self.assertEqual(by_json.summary["parameters"], 6738415616)
        self.assertEqual(len(by_json.tables["evolution"]), 9)
        self.assertGreater(by_json.tables["max_context"]["gpu"].nunique(), 20)

    def test_draws_what_the_program_writes(self) -> None:
        one = self.made("a", "--model", "llama-2-7b", "--gpu", "h100-sxm")
        big = ("--model", "llama-2-70b", "--gpu", "h100-sxm", "--prompts", "10,20", "--outputs", "5")
        two = self.made("b", *big)
        status, said, wrong = self.run_it(
            one, two / "memory.json", "-o", self.folder / "out"
        )
        self.assertEqual((status, wrong), (0, ""))
        self.assertIn("are missing for weights and what is kept free", said)
        self.assertEqual(
            {file.name for file in (self.folder / "out").iterdir()}, FIGURES | EVOLUTION
        )
        self.is_png(self.folder / "out/memory_growth.png")
        self.is_png(self.folder / "out/memory_evolution.png")
        table = pd.read_csv(self.folder / "out/memory_evolution.csv")
        self.assertEqual(list(table["kv_tokens"]), [30, 32, 34, 36, 38])


if __name__ == "__main__":
    unittest.main()
