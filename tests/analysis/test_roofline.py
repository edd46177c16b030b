"""The roofline figure: from a report made here, and from the program's own ($TANDEM or build/tandem)."""

from __future__ import annotations

import json
import os
import subprocess
import unittest
from pathlib import Path

import pandas as pd
from support import CommandFolder
from synthetic import ROOT

from tandem_analysis import roofline_figure

PROGRAM = Path(os.environ.get("TANDEM", ROOT / "build/tandem"))


def operator(name: str, flops: float, size: float, bound: str, seconds: float) -> dict:
    """Of an iteration of 10 ms."""
    return {
        "name": name,
        "times": 2,
        "flops": flops,
        "bytes": size,
        "intensity_flops_per_byte": flops / size if size else 0,
        "bound": bound,
        "compute_seconds": 0,
        "memory_seconds": 0,
        "fixed_seconds": 0,
        "seconds": seconds,
        "share": seconds / 10e-3,
    }


def report() -> dict:
    """A mixed batch on a GPU of 100 TFLOP/s in 16 bits, 200 in FP8, and 1 TB/s."""
    textbook = {"intensity_flops_per_byte": 50.0}
    return {
        "model": "toy",
        "gpu": "toy-gpu",
        "gpus": 2,
        "iteration": {
            "prefill_tokens": 1000,
            "prefill_prompts": 2,
            "decode_sequences": 3,
            "context_tokens": 4096,
            "seconds": 10e-3,
            "mfu": 0.25,
            "mbu": 0.5,
        },
        "operators": [
            operator("QKV projection", 4e11, 4e9, "compute", 5e-3),
            operator("decode attention", 1e10, 1e9, "memory", 2e-3),
            operator("experts", 1e11, 1e9, "memory", 1e-3),
            operator("all-reduce", 0, 1e8, "link", 5e-4),
            operator("norms and activation", 0, 1e8, "fixed", 3e-4),
            operator("output head", 1e9, 1e8, "memory", 1e-4),
            operator("sampler", 0, 0, "fixed", 1e-4),
        ],
        "classical": {"weights_and_kv": textbook},
        "peak_flops": 2e14,
        "roofs": [
            {"dtype": "fp8", "peak_flops": 2e14},
            {"dtype": "bf16", "peak_flops": 1e14},
        ],
        "bandwidth_bytes_per_s": 1e12,
        "ridge_flops_per_byte": 200.0,
        "request": {"prompt_tokens": 500, "ttft_s": 0.02, "tpot_s": 0.005},
    }


class RooflineTest(CommandFolder):
    """What both ways share."""

    command = "roofline"


class Figure(RooflineTest):
    def test_files_and_standard_input(self) -> None:
        path = self.write("a.json", json.dumps(report()))
        out = self.folder / "out"
        status, said, wrong = self.run_it(path, "-", "-o", out, stdin=json.dumps(report()))
        self.assertEqual((status, wrong), (0, ""))
        self.assertIn("toy on 2 x toy-gpu: prefill of 1,000; 3 x decode at 4,096\n", said)
        self.assertIn("10.00 ms an iteration, MFU 25.00 %, MBU 50.00 %", said)
        self.assertIn(
            "bound by compute 50.00 %, memory 31.00 %, link 5.00 %, fixed 4.00 %, host 10.00 %", said
        )
        self.assertEqual({file.name for file in out.iterdir()}, {"roofline.png", "roofline.csv"})
        self.is_png(out / "roofline.png")
        table = pd.read_csv(out / "roofline.csv")
        self.assertEqual(len(table), 14)
        table = table.iloc[:7].set_index("name")
        self.assertEqual(table.index[0], "QKV projection")
        self.assertAlmostEqual(table.loc["QKV projection", "attained_flops_per_s"], 8e13, delta=1)
        self.assertEqual(
            table["kind"].to_dict(),
            {
                "QKV projection": "matrices",
                "decode attention": "attention",
                "experts": "experts",
                "all-reduce": "communication",
                "norms and activation": "other",
                "output head": "output head",
                "sampler": "other",
            },
        )

    def test_points_and_roofs_are_where_they_belong(self) -> None:
        (one,) = roofline_figure.load_all([str(self.write("a.json", json.dumps(report())))])
        axis, listed = roofline_figure.draw([one]).axes
        (points,) = axis.collections
        self.assertEqual(
            {(round(x, 9), round(y, 3)) for x, y in points.get_offsets().tolist()},
            {(100.0, 8e13), (10.0, 5e12), (100.0, 1e14), (10.0, 1e13)},
        )
        roofs = [line for line in axis.lines if len(line.get_xdata()) == 400]
        self.assertEqual([max(roof.get_ydata()) for roof in roofs], [2e14, 1e14])
        for roof in roofs:
            x, y = roof.get_xdata()[0], roof.get_ydata()[0]
            self.assertAlmostEqual(y / x, 1e12, delta=1)
        ridges = {line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"}
        self.assertEqual(ridges, {200.0, 100.0})
        words = [text.get_text() for text in listed.texts]
        self.assertIn("host", words)
        self.assertEqual([word for word in words if word.isdigit()], ["1", "2", "3", "4"])

    def test_without_a_folder_nothing_is_written(self) -> None:
        path = self.write("a.json", json.dumps(report()))
        status, said, _ = self.run_it(path)
        self.assertEqual(status, 0)
        self.assertNotIn("written to", said)
        self.assertEqual(list(self.folder.iterdir()), [path])

    def test_wrong_input(self) -> None:
        expected = "expected what `tandem roofline --json` of this version prints"
        without = report()
        del without["roofs"]
        cases = {
            "none.json": (None, "cannot be read (No such file or directory)"),
            "text.json": ("llama-2-7b on", "not JSON"),
            "list.json": ("[1]", "is missing"),
            "key.json": (json.dumps(without), "'roofs' is missing"),
        }
        for name, (text, words) in cases.items():
            path = self.folder / name if text is None else self.write(name, text)
            status, said, wrong = self.run_it(path, "-o", self.folder / "out")
            self.assertEqual((status, said), (2, ""))
            self.assertTrue(wrong.startswith(f"tandem_analysis: {path}: "), wrong)
            self.assertIn(words, wrong)
            self.assertIn(expected, wrong)
            self.assertEqual(wrong.count("\n"), 1)
        self.assertFalse((self.folder / "out").exists())


@unittest.skipUnless(PROGRAM.exists(), f"{PROGRAM} is not built (set TANDEM to the program)")
class Program(RooflineTest):
    def test_draws_what_the_program_prints(self) -> None:
        texts = []
        for words in (
            ["--model", "llama-2-7b", "--gpu", "a100-sxm-80gb", "--batch", "16"],
            ["--model", "deepseek-v3", "--gpu", "h200-sxm", "--tensor-parallel", "8", "--prefill", "999"],
        ):
            command = [PROGRAM, "roofline", "--json", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
            self.assertEqual(done.returncode, 0, done.stderr)
            texts.append(done.stdout)
        files = [self.write(f"{i}.json", text) for i, text in enumerate(texts)]
        status, said, wrong = self.run_it(*files, "-o", self.folder / "out")
        self.assertEqual((status, wrong), (0, ""))
        self.is_png(self.folder / "out/roofline.png")
        table = pd.read_csv(self.folder / "out/roofline.csv")
        self.assertEqual(len(table), sum(len(json.loads(text)["operators"]) for text in texts))
        self.assertTrue(set(table["kind"]) >= {"matrices", "attention", "experts", "communication"})
        self.assertIn("deepseek-v3 on 8 x h200-sxm: prefill of 999", said)


if __name__ == "__main__":
    unittest.main()
