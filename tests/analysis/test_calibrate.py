"""Calibration: known coefficients are found again, the file is whole and usable, every bad input is refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import sys
import unittest
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
from support import Folder
from synthetic import ROOT

from tandem_analysis import cli, fit, forms, gpufile, measurements, problems, roofline

A100 = ROOT / "clusters/gpus/a100-sxm-80gb.json"
H100 = ROOT / "clusters/gpus/h100-sxm.json"
# A program with what calibration takes from the answers of `tandem roofline`.
PROGRAM = """
import json, sys
words = sys.argv[1:]
if "unknown" in words:
    sys.exit("tandem: error: no model 'unknown'")
value = {k: int(v) for k, v in zip(words, words[1:]) if k.startswith("--") and v.isdigit()}
tokens = value.get("--prefill", 0) * value.get("--prompts", 0) + value.get("--batch", 0)
layers = 80 if "deep" in words else 20
each = {"QKV projection": 2e-4 + 1e-6 * tokens / value["--tensor-parallel"],
        "decode attention": 1e-9 * value.get("--batch", 0) * value.get("--context", 0),
        "all-reduce": (value["--tensor-parallel"] > 1) * (1e-5 + 4e-7 * tokens), "norms and activation": 1e-5}
operators = [{"name": k, "seconds": layers * v} for k, v in each.items()]
answer = {"iteration": {"gpu_seconds": layers * sum(each.values())}, "operators": operators}
print(json.dumps({**answer, "stage": {"layers": layers}}))
"""
HOST = {"layer_us": 300.0, "prefill_us": 12000.0, "decode_us": 2000.0, "sequence_us": 250.0}


def iteration_rows(models: tuple[str, ...]) -> pd.DataFrame:
    """Exact times of the program above: matrices take 1.25, all-reduces 3 times as long, beside HOST."""
    rows = []
    for model in models:
        layers = {"deep": 80, "flat": 20}[model]
        for gpus in (2, 4, 8):
            for prompt, prompts, batch in (
                *((p, 1, 0) for p in (128, 512, 2048, 8192)),
                *((0, 0, b) for b in (1, 8, 64)),
                (512, 1, 16),
            ):
                tokens, context = prompt * prompts + batch, 600 * (batch > 0)
                gpu = 1.25 * (2e-4 + 1e-6 * tokens / gpus) + 3 * (1e-5 + 4e-7 * tokens) + 1e-5
                gpu = layers * (gpu + 1e-9 * batch * context)
                host = HOST["prefill_us" if prompt else "decode_us"] + layers * HOST["layer_us"]
                host = (host + batch * HOST["sequence_us"]) / 1e6
                ms = 1e3 * (gpu**4 + host**4) ** 0.25
                rows.append((model, gpus, prompt, prompts, batch, context, ms))
    names = "model tensor_parallel prefill_tokens prompts decode_sequences context_tokens time_ms"
    return pd.DataFrame(rows, columns=names.split())


def operator_rows(base: dict, truth: dict) -> pd.DataFrame:
    """Exact times of operators by coefficients of `truth`, on the GPU of `base`."""
    sheet = forms.Datasheet(base["peak_bf16_tflops"] * 1e12, base["bandwidth_gb_per_s"] * 1e9)
    rows = []
    for m in (1, 16, 128, 1024, 8192):
        for n, k in ((1280, 8192), (8192, 1024), (7168, 8192), (8192, 3584), (28672, 8192), (4096, 4096)):
            for dtype in truth["gemm"]:
                s = forms.gemm(sheet, truth["gemm"][dtype], m, n, k)
                rows.append({"operator": "gemm", "dtype": dtype, "m": m, "n": n, "k": k, "time_us": s})
    for heads, kv, hd in ((8, 1, 128), (32, 8, 128), (64, 8, 64), (32, 32, 256)):
        common = {"heads": heads, "kv_heads": kv, "head_dim": hd}
        for tokens in (64, 256, 1024, 8192):
            s = forms.prefill_attention(
                sheet, truth["prefill_attention"], heads, kv, hd, tokens, tokens**2 / 2
            )
            work = {"prefill_tokens": tokens, "prefill_work": tokens**2 / 2}
            rows.append({"operator": "prefill_attention", **common, **work, "time_us": s})
        for count in (1, 16, 256):
            for context in (128, 4096):
                c = truth["decode_attention"]
                s = forms.decode_attention(sheet, c, heads, kv, hd, count, count * context, 2)
                work = {"sequences": count, "context_tokens": count * context, "kv_bytes": 2}
                rows.append({"operator": "decode_attention", **common, **work, "time_us": s})
    for size in 2.0 ** np.arange(12, 29):
        for gpus in (2, 4, 8):
            s = forms.allreduce(truth["allreduce"], size, gpus)
            rows.append({"operator": "allreduce", "bytes": size, "gpus": gpus, "time_us": s})
    frame = pd.DataFrame(rows)
    return frame.assign(time_us=[1e6 * float(seconds) for seconds in frame["time_us"]])


class Ran(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Calibration(Folder):
    def setUp(self) -> None:
        super().setUp()
        self.program = self.folder / "tandem"
        self.program.write_text(f"#!{sys.executable} -IS{PROGRAM}")
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)

    def calibrate(self, *words: object, **environment: str) -> Ran:
        roofline.ask.cache_clear()
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {"TANDEM": str(self.program), **environment}),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = cli.main(["calibrate", *map(str, words)])
        return Ran(status, out.getvalue(), err.getvalue())

    def done(self, *words: object, **environment: str) -> str:
        ran = self.calibrate(*words, **environment)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return ran.stdout

    def csv(self, content: str | pd.DataFrame, name: str = "measured.csv") -> Path:
        path = self.folder / name
        text = content if isinstance(content, str) else content.to_csv(index=False)
        path.write_text(text)
        return path


class Recovers(Calibration):
    def test_operators(self) -> None:
        base = json.loads(H100.read_text())
        truth = json.loads(A100.read_text())
        truth["gemm"] = {
            "bf16": {**truth["gemm"]["bf16"], "ec": 0.7},
            "fp8": {"ec": 0.6, "em": 0.7, "t0_us": 8, "p": 1.4, "kq": 2, "mul": 2, "weight_bytes": 1},
        }
        base["gemm"]["fp8"] = {**truth["gemm"]["fp8"], "ec": 0.9, "em": 0.9, "t0_us": 4, "p": 2, "kq": 1}
        gpu = self.folder / "base.json"
        gpu.write_text(gpufile.text(base))
        out = self.folder / "mine.json"
        rows = self.csv(operator_rows(base, truth))
        said = self.done(rows, "--gpu", gpu, "-o", out)
        found = json.loads(out.read_text())
        for dtype in ("bf16", "fp8"):
            self.near(found["gemm"][dtype], truth["gemm"][dtype], 2e-3)
        for group in ("prefill_attention", "decode_attention", "allreduce"):
            self.near(found[group], truth[group], 2e-3)
        for label in ("gemm.bf16", "gemm.fp8", "prefill_attention", "decode_attention", "allreduce"):
            errors = [line.split()[2:] for line in said.splitlines() if line.split()[:1] == [label]][0]
            self.assertEqual(len(errors), 6)
            self.assertLess(max(abs(float(error)) for error in errors), 0.5, label)
        self.assertEqual(found["name"], "mine")
        self.assertEqual(found["memory_gib"], base["memory_gib"])
        source, digest = found["coefficients_source"], hashlib.sha256(rows.read_bytes()).hexdigest()
        self.assertIn(f"measured.csv (sha256 {digest})", source)
        self.assertTrue(source.endswith(base["coefficients_source"]))

    def near(self, found: dict, truth: dict, tolerance: float) -> None:
        self.assertEqual(set(found), set(truth))
        for name, value in truth.items():
            self.assertLessEqual(abs(found[name] - value), tolerance * abs(value), f"{name}: {found}")

    def test_a_group_without_rows_stays(self) -> None:
        base = json.loads(H100.read_text())
        rows = operator_rows(base, json.loads(A100.read_text()))
        path = self.csv(rows[rows["operator"] == "allreduce"])
        out = self.folder / "mine.json"
        self.done(path, "--gpu", H100, "-o", out)
        found = json.loads(out.read_text())
        self.assertNotEqual(found.pop("allreduce"), base.pop("allreduce"))
        for content in (found, base):
            del content["name"], content["coefficients_source"]
        self.assertEqual(found, base)

    def test_iterations(self) -> None:
        path = self.csv(iteration_rows(("deep", "flat")))
        out, rows = self.folder / "x.json", self.folder / "rows.csv"
        words = (path, "--gpu", A100, "-o", out, "--rows", rows)
        said = self.done(*words, "--hold-out", "tensor_parallel", "--date", "2026-11-24")
        found, base = json.loads(out.read_text()), json.loads(A100.read_text())
        for name, value in {**HOST, "gemm_factor": 1.25, "allreduce_factor": 3}.items():
            self.assertLessEqual(abs(found["eager"][name] - value), 2e-3 * value, found["eager"])
        for source in (found["eager"].pop("source"), found["coefficients_source"]):
            self.assertIn(", 2026-11-24)", source)
        self.assertEqual(set(found["eager"]), {*HOST, "gemm_factor", "allreduce_factor"})
        self.assertTrue(found["coefficients_source"].startswith("eager: fitted by tandem_analysis"))
        for content in (found, base):  # the operators' groups stay as they were
            del content["name"], content["eager"], content["coefficients_source"]
        self.assertEqual(found, base)
        table = pd.read_csv(rows)
        self.assertEqual(len(table), 48)
        for column in ("fitted_s", "held_out_s"):
            np.testing.assert_allclose(table[column], table["measured_s"], rtol=5e-3)
        self.assertIn("held out: one tensor_parallel at a time", said)
        self.assertNotIn("kept", said)

    def test_held_out_rows_are_not_seen(self) -> None:
        base = json.loads(A100.read_text())
        rows = operator_rows(base, base)
        rows = rows[rows["operator"] == "allreduce"]
        truth = rows["time_us"].to_numpy() / 1e6
        eight = (rows["gpus"] == 8).to_numpy()
        rows.loc[eight, "time_us"] *= 2
        out = self.folder / "rows.csv"
        self.done(self.csv(rows), "--gpu", A100, "--hold-out", "gpus", "--rows", out)
        table = pd.read_csv(out)
        np.testing.assert_allclose(table["held_out_s"][eight], truth[eight], rtol=5e-3)
        self.assertGreater((table["fitted_s"][eight] / truth[eight]).median(), 1.2)

    def test_one_depth_keeps_a_constant(self) -> None:
        base = json.loads(A100.read_text())
        base["eager"] = {**HOST, "decode_us": 1000, "layer_us": 1, "source": "mine"}
        gpu, out = self.folder / "base.json", self.folder / "x.json"
        gpu.write_text(json.dumps(base))
        path = self.csv(iteration_rows(("deep",)))
        said = self.done(path, "--gpu", gpu, "-o", out)
        self.assertIn("decode_us is kept at 1000: all rows have the same layers", said)
        found = json.loads(out.read_text())["eager"]
        self.assertEqual(found["decode_us"], 1000)
        total = 80 * found["layer_us"] + found["prefill_us"]
        self.assertLess(abs(total / (80 * 300 + 12000) - 1), 2e-3)

    def test_scale_says_which_factors(self) -> None:
        path = self.csv(iteration_rows(("deep", "flat")))
        for scale, names in (
            ("none", set()),
            ("gemm", {"gemm_factor"}),
            ("allreduce", {"allreduce_factor"}),
            ("gemm,allreduce", {"gemm_factor", "allreduce_factor"}),
        ):
            out = self.folder / f"{scale}.json"
            said = self.done(path, "--gpu", A100, "--scale", scale, "-o", out)
            self.assertEqual(set(json.loads(out.read_text())["eager"]), {*HOST, "source"} | names)
            shown = {line.split()[0] for line in said.splitlines() if line.startswith("eager.")}
            self.assertEqual(shown, {f"eager.{name}" for name in {*HOST} | names})

    def test_factors_that_rows_do_not_tell_are_1(self) -> None:
        rows = iteration_rows(("deep", "flat"))
        for part, group, why in (
            (rows[rows["prefill_tokens"] == 0], "gemm", "no rows with prefill tokens, and the time of the"),
            (rows[rows["prefill_tokens"] == 0], "allreduce", "no rows with prefill tokens, and the time of"),
            (rows.assign(tensor_parallel=1), "allreduce", "no row has such operators"),
        ):
            out = self.folder / "x.json"
            said = self.done(self.csv(part), "--gpu", A100, "-o", out, "--force")
            self.assertIn(f"  {group}_factor is kept at 1: {why}", said)
            self.assertNotIn(f"{group}_factor", json.loads(out.read_text())["eager"])

    def test_the_same_bytes_again(self) -> None:
        path = self.csv(iteration_rows(("deep",)))
        texts = []
        for name in ("a", "b"):
            out = self.folder / name / "x.json"
            self.done(path, "--gpu", "a100-sxm-80gb", "-o", out)
            texts.append(out.read_bytes())
        self.assertEqual(*texts)

    def test_outliers_do_not_decide(self) -> None:
        def predict(point: np.ndarray) -> np.ndarray:
            return point[0] + point[1] * size

        size = np.arange(1.0, 41.0)
        measured = predict(np.array([5.0, 2.0]))
        measured[::8] *= 3
        found = fit.fit(
            predict, measured, [fit.Parameter("a", 1, 1e-3, 1e3), fit.Parameter("b", 1, 1e-3, 1e3)]
        )
        self.assertLess(abs(found["a"] - 5), 0.5)
        self.assertLess(abs(found["b"] - 2), 0.1)
        none = fit.fit(
            predict, 2 * size, [fit.Parameter("a", 1, 1e-3, 1e3, True), fit.Parameter("b", 1, 1e-3, 1e3)]
        )
        self.assertEqual(none["a"], 0)
        self.assertAlmostEqual(none["b"], 2, 3)

    def test_gpu_files_are_written_as_they_stand(self) -> None:
        for path in sorted((ROOT / "clusters/gpus").glob("*.json")):
            text = path.read_text()
            self.assertEqual(json.loads(gpufile.text(json.loads(text))), json.loads(text))
        text = gpufile.text(json.loads(A100.read_text()))
        self.assertEqual(text, A100.read_text())


HEADER = (
    "model,hardware,prompt_size,batch_size,token_size,prompt_time,token_time,e2e_time,"
    "tensor_parallel\n"
)


class Splitwise(Calibration):
    def read(self, *lines: str) -> measurements.Measurements:
        path = self.csv(HEADER + "".join(f"{line}\n" for line in lines))
        return measurements.read(str(path), None, None, "a100-sxm-80gb")

    def test_rows(self) -> None:
        found = self.read(
            "llama2-70b,a100-80gb,512,2,128,400,50,6750,4",
            "llama2-70b,a100-80gb,512,2,128,400,50,6750,4",
            "llama2-70b,h100-80gb,512,2,128,300,40,5380,4",
            "llama2-70b,h100-80gb-pcap,512,2,128,390,40,5470,4",
            "bloom-176b,a100-80gb,512,2,128,400,50,6750,8",
            "llama2-70b,a100-80gb,512,64,128,800,67,160000,2",
            "llama2-70b,a100-80gb,512,1,1024,100,50,5100,4",
        )
        self.assertEqual(list(found.frame["line"]), [2, 2, 8, 8])
        prefill, decode, _, early = (found.frame.iloc[i] for i in range(4))
        self.assertEqual((prefill.prefill_tokens, prefill.prompts, prefill.decode_sequences), (512, 2, 0))
        self.assertEqual((decode.prefill_tokens, decode.decode_sequences), (0, 2))
        self.assertAlmostEqual(prefill.seconds, 0.4)
        self.assertAlmostEqual(decode.seconds, 0.05)
        self.assertEqual(decode.context_tokens, 512 + 64)  # 127 steps with 1 to 127 tokens more
        self.assertEqual(early.context_tokens, 512 + 50.5)  # stopped after 100 steps
        self.assertEqual(len(found.remarks), 2)
        self.assertIn("1 rows of a100-80gb left out: the same measurement", found.remarks[0])
        self.assertIn("1 rows of a100-80gb left out: longer than", found.remarks[1])

    def test_refused(self) -> None:
        line = "llama2-70b,h100-80gb,512,2,128,300,40,5380,4"
        path = self.csv(HEADER + line)
        for hardware, gpu, words in (
            (
                None,
                "a100-sxm-80gb",
                "no rows of llama2-70b on a100-80gb, the file has h100-80gb: choose with --hardware",
            ),
            (
                "h100-80gb-pcap",
                "h100-sxm",
                "rows of h100-80gb-pcap are derived (prompt_time is 1.3 times that of the card without a "
                "power cap) and not measured, choose another --hardware",
            ),
            (
                None,
                "l4",
                "which rows are of l4? Say --hardware with a name of the column 'hardware'",
            ),
        ):
            with self.assertRaises(measurements.MeasurementError) as refused:
                measurements.read(str(path), None, hardware, gpu)
            self.assertEqual(str(refused.exception), f"{path}: {words}")


GEMM = "operator,dtype,m,n,k,time_us\n"
ITERATIONS = "model,tensor_parallel,prefill_tokens,prompts,decode_sequences,context_tokens,time_ms\n"


class Refuses(Calibration):
    def refused(self, content: str, words: str, *more: object, name: str = "measured.csv") -> None:
        """One line, exit status 2, nothing written."""
        path = self.csv(content, name)
        self.fails(f"{path}{words}", path, *more)

    def fails(self, expected: str, *words: object, **environment: str) -> None:
        out = self.folder / "new.json"
        gpu = () if "--gpu" in words else ("--gpu", "a100-sxm-80gb")
        ran = self.calibrate(*words, *gpu, *(() if "-o" in words else ("-o", out)), **environment)
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertEqual(ran.stderr, f"tandem_analysis: {expected}\n")
        self.assertFalse(out.exists())
        self.assertEqual([p for p in self.folder.iterdir() if p.name.startswith(".")], [])

    def test_files(self) -> None:
        none = self.folder / "none.csv"
        self.fails(f"{none}: cannot read (No such file or directory), name a CSV file", none)
        self.refused("", ": empty, the first line names the columns (see --columns)")
        self.refused(GEMM, ": no measurements below the header, add rows")
        self.refused(
            "a,b\n1,2\n",
            ":1: no column 'operator' or 'time_ms', so it has neither operators nor iterations (see --columns)",
        )
        self.refused("m,n,m\n", ":1: column 'm' is there twice, remove one")
        path = self.folder / "latin.csv"
        path.write_bytes(GEMM.encode() + b"gemm,bf\xff16,1,1,1,1\n")
        self.fails(f"{path}:2: not UTF-8 text, save it as CSV", path)
        self.refused(
            GEMM + 'gemm,"bf16"x,1,1,1,1\n',
            ":2: not CSV (',' expected after '\"'), save it with commas",
        )

    def test_fields(self) -> None:
        self.refused(
            "operator,m,n,k,time_us\ngemm,1,1,1,1\n",
            ":1: no column 'dtype', rows of gemm need it (see --columns)",
        )
        self.refused(
            "model,time_ms\n",
            ":1: no column 'tensor_parallel', iterations need it (see --columns)",
        )
        self.refused(
            GEMM + "gemm,bf16,1,1,1\n", ":2: 5 fields and 6 columns, correct the line"
        )
        self.refused(
            GEMM + "conv,bf16,1,1,1,1\n",
            ":2: column 'operator': 'conv' is not one of gemm, prefill_attention, decode_attention, allreduce, "
            "correct it",
        )
        self.refused(
            GEMM + "gemm,int3,1,1,1,1\n",
            ":2: column 'dtype': 'int3' is not one of bf16, fp8, fp8_block, fp4, correct it",
        )
        for value in ("x", "-1", "0", "1.5", "nan", ""):
            self.refused(
                GEMM + f"gemm,bf16,{value},1,1,1\n",
                f":2: column 'm': '{value}' is not a positive whole number, correct it or remove the line",
            )
        self.refused(
            GEMM + "\ngemm,bf16,1,1,1,inf\n",
            ":3: column 'time_us': 'inf' is not a positive number, correct it or remove the line",
        )
        self.refused(
            ITERATIONS + "deep,1,-1,0,0,0,1\n",
            ":2: column 'prefill_tokens': '-1' is not 0 or a positive whole number, correct it or remove the line",
        )
        self.refused(
            ITERATIONS + ",1,1,1,0,0,1\n", ":2: column 'model': '' is not a name, correct it"
        )
        self.refused(
            ITERATIONS + "deep,1,128,0,0,0,1\n",
            ":2: neither prefill_tokens nor decode_sequences, remove the line",
        )
        self.refused(
            ITERATIONS + "deep,1,0,0,4,0,1\n",
            ":2: column 'context_tokens': 0 with decode_sequences, give their mean context",
        )

    def test_too_little(self) -> None:
        rows = "".join(f"gemm,bf16,{m},1024,1024,10\n" for m in (1, 2, 4, 4))
        self.refused(
            GEMM + rows, ": gemm.bf16 has 3 different sizes for 4 coefficients, measure 5 or more"
        )
        rows = "".join(f"gemm,fp8,{m},1024,1024,10\n" for m in range(1, 9))
        self.refused(
            GEMM + rows,
            ": rows of fp8, and a100-sxm-80gb has no peak_fp8_tflops: add it to the GPU's file or remove the rows",
        )
        content = iteration_rows(("deep",)).to_csv(index=False)
        self.refused(
            content,
            ": --hold-out model leaves no rows of eager to fit, all have one value: choose another column",
            "--hold-out",
            "model",
        )
        self.refused(
            content,
            ": --hold-out m is not a size of these rows, choose one of model, tensor_parallel, "
            "prefill_tokens, prompts, decode_sequences, context_tokens",
            "--hold-out",
            "m",
        )

    def test_words(self) -> None:
        path = self.csv(iteration_rows(("deep",)))
        for words, known in (
            (("--scale", "allreduce,gemm"), "none, gemm, allreduce, gemm,allreduce"),
            (("--format", "x"), "operators, iterations, splitwise"),
            (("--weight-dtype", "x"), "bf16, fp8, fp8_block, fp4"),
        ):
            self.fails(f"{' '.join(words)}: choose one of {known}", path, *words)
        help_ = "(see python3 -m tandem_analysis calibrate --help)"
        self.fails(f"calibrate needs a CSV of measurements {help_}")
        ran = self.calibrate(path)
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertEqual(ran.stderr, f"tandem_analysis: calibrate needs --gpu {help_}\n")
        a100 = json.loads(A100.read_text())
        rows = self.csv(operator_rows(a100, a100), "operators.csv")
        self.fails(
            f"{rows}: --scale is of iterations; operators fit what there are rows of",
            *(rows, "--scale", "gemm"),
        )

    def test_gpu_files(self) -> None:
        path = self.csv(iteration_rows(("deep",)))
        gpu = self.folder / "base.json"
        self.fails(
            f"{gpu}: cannot read (No such file or directory), give --gpu a file or a name of "
            "`tandem list gpus`",
            *(path, "--gpu", gpu),
        )
        gpu.write_text("{")
        ran = self.calibrate(path, "--gpu", gpu)
        self.assertRegex(ran.stderr, rf"^tandem_analysis: {gpu}: not JSON \(.*\), correct it\n$")
        gpu.write_text('{"name": "x"}')
        self.fails(
            f"{gpu}: no peak_bf16_tflops, it is not a GPU file (see tandem describe gpu)",
            *(path, "--gpu", gpu),
        )

    def test_an_existing_file_stays(self) -> None:
        path, out = self.csv(iteration_rows(("deep",))), self.folder / "mine.json"
        out.write_text("mine")
        for option in ("-o", "--rows"):
            ran = self.calibrate(path, "--gpu", A100, option, out)
            expected = f"tandem_analysis: {out}: exists, choose another name or replace it with --force\n"
            self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (2, "", expected))
            self.assertEqual(out.read_text(), "mine")
        self.done(path, "--gpu", A100, "-o", out, "--force")
        self.assertIn('"eager"', out.read_text())

    def test_the_program(self) -> None:
        path = self.csv(iteration_rows(("deep",)))
        none = self.folder / "none"
        self.fails(
            f"{path}:2: {none}: cannot run (No such file or directory), build it (cmake --build build) "
            "or set TANDEM to it",
            path,
            TANDEM=str(none),
        )
        self.refused(
            ITERATIONS + "unknown,1,128,1,0,0,1\n",
            f":2: {self.program} roofline: tandem: error: no model 'unknown'",
        )
        self.program.write_text("#!/bin/sh\necho '{}x'")
        self.fails(
            f"{path}:2: {self.program}: `tandem roofline --json` gave no JSON, {roofline.AGAIN}",
            path,
        )
        operator = '{"name": "x", "seconds": 1}'
        wrong = f'{{"iteration": {{"gpu_seconds": 2}}, "operators": [{operator}]}}'
        self.program.write_text(f"#!/bin/sh\necho '{wrong}'")
        self.fails(
            f"{path}:2: {self.program}: its operators do not add up to its iteration, {roofline.AGAIN}",
            path,
        )


class Columns(Calibration):
    def test_all_are_described(self) -> None:
        said = self.done("--columns")
        for columns in (*measurements.OPERATORS.values(), measurements.ITERATIONS, measurements.SPLITWISE):
            for column in columns:
                self.assertRegex(said, rf"(?m)^ +{column.name} +\S")

    def test_every_operator_can_be_fitted(self) -> None:
        self.assertEqual(set(measurements.OPERATORS), set(problems.BOUNDS))


if __name__ == "__main__":
    unittest.main()
