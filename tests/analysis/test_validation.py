"""Against the program and measurements: the forms are the program's, a fitted file gives what was fitted,
and Splitwise's iterations are predicted from the other tensor parallelisms."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import unittest
from pathlib import Path
from unittest import mock

import pandas as pd
from support import Folder
from synthetic import ROOT

from tandem_analysis import cli, forms, roofline
from tandem_analysis.calibrate import errors
from tandem_analysis.roofline import Iteration

SHARED = Path(os.environ.get("TANDEM_SHARED", ROOT.parent / "shared"))
SPLITWISE = SHARED / "data/splitwise_perf_model_llama2-70b.csv"
PROGRAM = Path(os.environ.get("TANDEM", ROOT / "build/tandem"))
MOST_PERCENT = {"prefill": 12.0, "decode": 6.0}  # what the project set itself
ASKED = Iteration("llama-2-70b", 4, 512, 2, 16, 700)


def answers() -> bool:
    words = [PROGRAM, "roofline", "--model", "llama-2-70b", "--gpu", "h100-sxm", "--batch", "1"]
    try:
        done = subprocess.run([*words, "--context", "9"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


@unittest.skipUnless(answers(), f"no `{PROGRAM} roofline` (set TANDEM to the program)")
class Program(Folder):
    def setUp(self) -> None:
        super().setUp()
        environment = mock.patch.dict(os.environ, {"TANDEM": str(PROGRAM)})
        environment.start()
        self.addCleanup(environment.stop)
        roofline.ask.cache_clear()

    def calibrate(self, *words: object) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(cli.main(["calibrate", *map(str, words)]), 0)
        return said.getvalue()

    def test_the_forms_are_the_programs(self) -> None:
        content = json.loads((ROOT / "clusters/gpus/h100-sxm.json").read_text())
        sheet = forms.Datasheet(content["peak_bf16_tflops"] * 1e12, content["bandwidth_gb_per_s"] * 1e9)
        m, heads, kv_heads = 2 * 512 + 16, 16, 2
        for dtype in ("bf16", "fp8"):
            answer = roofline.ask(ASKED, "h100-sxm", "cuda-graphs", dtype)
            found = {o["name"]: o["seconds"] / o["times"] for o in answer["operators"]}
            c = content["gemm"][dtype]
            expected = {
                "QKV projection": forms.gemm(sheet, c, m, 20 * 128, 8192),
                "output projection": forms.gemm(sheet, c, m, 8192, 16 * 128),
                "MLP, up": forms.gemm(sheet, c, m, 2 * 7168, 8192),
                "MLP, down": forms.gemm(sheet, c, m, 8192, 7168),
                "output head": forms.gemm(sheet, content["gemm"]["bf16"], 18, 8000, 8192),
                "prefill attention": forms.prefill_attention(
                    sheet, content["prefill_attention"], heads, kv_heads, 128, 1024, 512**2
                ),
                "decode attention": forms.decode_attention(
                    sheet, content["decode_attention"], heads, kv_heads, 128, 16, 16 * 700, 2
                ),
                "all-reduce": forms.allreduce(content["allreduce"], 2 * m * 8192, 4),
            }
            for name, seconds in expected.items():
                self.assertLess(abs(found[name] / float(seconds) - 1), 1e-9, f"{name}, {dtype}")

    def test_the_factors_are_of_the_same_operators(self) -> None:
        """What the program takes longer for under an eager host is what is fitted a factor of."""
        content = json.loads((ROOT / "clusters/gpus/h100-sxm.json").read_text())
        content["eager"].update(gemm_factor=1.5, allreduce_factor=4)
        gpu, seen = self.folder / "slow.json", set()
        gpu.write_text(json.dumps(content))
        times = {"gemm": 1.5, "allreduce": 4, "other": 1}
        for model in ("llama-2-70b", "deepseek-v3", "gpt-oss-120b"):
            for dtype in ("bf16", "fp8"):
                one = dataclasses.replace(ASKED, model=model)
                fast, slow = (
                    {o["name"]: o["seconds"] for o in roofline.ask(one, str(gpu), host, dtype)["operators"]}
                    for host in ("cuda-graphs", "eager")
                )
                for name, seconds in fast.items():
                    ratio = slow[name] / seconds / times[roofline.group_of(name)]
                    self.assertLess(abs(ratio - 1), 1e-9, f"{name} of {model}, {dtype}")
                seen |= set(fast)
        self.assertLess(set(roofline.MATRICES) - {"query and latent projections"}, seen)

    @unittest.skipUnless(SPLITWISE.exists(), f"no {SPLITWISE} (set TANDEM_SHARED)")
    def test_splitwise_by_the_other_tensor_parallelisms(self) -> None:
        for gpu in ("a100-sxm-80gb", "h100-sxm"):
            out, rows = self.folder / f"{gpu}.json", self.folder / f"{gpu}.csv"
            words = (SPLITWISE, "--gpu", gpu)
            self.calibrate(*words, "--hold-out", "tensor_parallel", "-o", out, "--rows", rows)
            table = pd.read_csv(rows)
            self.assertGreater(len(table), 500)
            for phase, most in MOST_PERCENT.items():
                part = table[table["phase"] == phase]
                error = errors(part["held_out_s"], part["measured_s"])["mape"]
                self.assertLess(error, most, f"{phase} on {gpu}")
            self.same_in_the_program(table, out)
            self.shipped(json.loads(out.read_text())["eager"], gpu)

    def shipped(self, fitted: dict, gpu: str) -> None:
        """The GPU's file has the fit to all rows, in four digits."""
        own = json.loads((ROOT / f"clusters/gpus/{gpu}.json").read_text())["eager"]
        self.assertEqual(set(own), set(fitted))
        for name in set(own) - {"source"}:
            self.assertLessEqual(abs(own[name] / fitted[name] - 1), 6e-4, name)

    def same_in_the_program(self, table: pd.DataFrame, gpu: Path) -> None:
        """The written file gives the program the fitted times (rounded to five digits)."""
        for row in table.drop_duplicates("prefill_tokens").itertuples():
            one = Iteration(
                row.model,
                row.tensor_parallel,
                row.prefill_tokens,
                row.prompts,
                row.decode_sequences,
                round(row.context_tokens),
            )
            seconds = roofline.iteration_seconds(one, str(gpu), "eager", "bf16")
            self.assertLess(abs(seconds / row.fitted_s - 1), 2e-4, row)


class Experiment(Folder):
    def test_says_where_the_measurements_are_from(self) -> None:
        none = self.folder / "none.csv"
        run = ROOT / "experiments/validation/run"
        done = subprocess.run([run, none], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(
            done.stderr,
            f"validation/run: error: {none}: not there; get data/perf_model.csv of "
            "github.com/Mutinifni/splitwise-sim (commit 8f99e7dc, MIT), which is not part of this "
            "repository, and name it: experiments/validation/run FILE\n",
        )


if __name__ == "__main__":
    unittest.main()
