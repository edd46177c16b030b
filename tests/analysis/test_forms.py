"""The operator forms: worked by hand, and against the published check vectors where they are there."""

from __future__ import annotations

import csv
import json
import os
import unittest
from pathlib import Path

import numpy as np
from synthetic import ROOT

from tandem_analysis import forms

SHARED = Path(os.environ.get("TANDEM_SHARED", ROOT.parent / "shared"))
ROOFLINE = SHARED / "roofline"
SHEET = forms.Datasheet(peak_bf16=1e12, bandwidth=1e9)
MODELS = {  # layers, hidden, heads, KV heads, head width, MLP width, gated: of the check vectors
    "llama-2-7b": (32, 4096, 32, 32, 128, 11008, 1),
    "llama-2-70b": (80, 8192, 64, 8, 128, 28672, 1),
    "llama-3.1-8b": (32, 4096, 32, 8, 128, 14336, 1),
    "llama-3.1-70b": (80, 8192, 64, 8, 128, 28672, 1),
    "opt-66b": (64, 9216, 72, 72, 128, 36864, 0),
}


def json_units(group: dict[str, float]) -> dict[str, float]:
    """Seconds and bytes/s as in GPU files."""
    named = {}
    for name, value in group.items():
        if name in ("t0", "ts", "a1", "an", "a2", "tk"):
            named[f"{name}_us"] = value * 1e6
        elif name in ("b1", "b2"):
            named[f"{name}_gb_per_s"] = value / 1e9
        else:
            named[name] = value
    return named


class ByHand(unittest.TestCase):
    def test_norms(self) -> None:
        self.assertAlmostEqual(float(forms.pnorm(2, 3.0, 4.0)), 5.0, 12)
        self.assertAlmostEqual(float(forms.pnorm(1, 3.0, 4.0, 0.0)), 7.0, 12)
        self.assertEqual(float(forms.pnorm(2, 0.0, 0.0)), 0.0)
        self.assertTrue(np.isfinite(forms.pnorm(64, 1e-30, 2e-30)))

    def test_gemm(self) -> None:
        c = {"ec": 0.5, "em": 0.5, "t0_us": 5, "p": 1, "mul": 2, "weight_bytes": 1, "kq": 3, "r": 2}
        # compute 2*4*8*10 / 1e12; weights 80 / 5e8; activations (40 + 64) / 1e9; quantization 3*3*40 / 1e9
        expected = 5e-6 + 640e-12 + 160e-9 + 104e-9 + 360e-9
        self.assertAlmostEqual(float(forms.gemm(SHEET, c, 4, 8, 10)), expected, 16)
        # output apart: 104 loses 64; k-loop 10 * 0.5 us; output 2 * 64 / 1e9
        c.update(tk_us=0.5, ko=2)
        expected += 5e-6 - 64e-9 + 128e-9
        self.assertAlmostEqual(float(forms.gemm(SHEET, c, 4, 8, 10)), expected, 16)

    def test_attention(self) -> None:
        c = {"t0_us": 10, "ec": 0.5, "hh": 4, "em": 0.5, "kw": 2}
        # 4*4*8*100 FLOP at 1/4 of the peak; (4*20*4*(8 + 2) + 2*4*20*4*2) bytes at half the bandwidth
        expected = 10e-6 + 12800 / 0.25e12 + (3200 + 1280) / 0.5e9
        self.assertAlmostEqual(
            float(forms.prefill_attention(SHEET, c, 8, 2, 4, 20, 100)), expected, 16
        )
        c = {"t0_us": 10, "ec": 0.5, "em": 0.5, "ts_us": 0.1, "p": 1}
        expected = 10e-6 + 4 * 8 * 4 * 100 / 0.5e12 + 2 * 2 * 100 * 2 * 4 / 0.5e9 + 0.1e-6 * 3 * 2
        self.assertAlmostEqual(
            float(forms.decode_attention(SHEET, c, 8, 2, 4, 3, 100, 2)), expected, 16
        )

    def test_allreduce(self) -> None:
        c = {"a1_us": 1, "an_us": 0.5, "b1_gb_per_s": 1, "a2_us": 10, "b2_gb_per_s": 10}
        times = forms.allreduce(c, np.array([1e3, 1e6, 1e6]), np.array([4, 4, 1]))
        one_shot, two_shot = 1e-6 + 1.5e-6 + 3e3 / 1e9, 10e-6 + 1.5e-6 + 1.5e6 / 10e9
        np.testing.assert_allclose(times, [one_shot, two_shot, 0], rtol=1e-12)

    def test_eager(self) -> None:
        c = {"layer_us": 400, "prefill_us": 20000, "decode_us": 3000, "sequence_us": 300}
        host = forms.eager_host(c, 80, np.array([True, False, True]), np.array([0, 8, 8]))
        np.testing.assert_allclose(host, [0.052, 0.0374, 0.0544], rtol=1e-12)
        self.assertAlmostEqual(float(forms.eager(0.03, 0.04)), (0.03**4 + 0.04**4) ** 0.25, 15)


@unittest.skipUnless(
    (ROOFLINE / "vectors.csv").exists(), f"no check vectors in {ROOFLINE} (set TANDEM_SHARED)"
)
class Vectors(unittest.TestCase):
    def test_parts_of_iterations(self) -> None:
        gpus = json.loads((ROOFLINE / "coefficients.json").read_text())["gpus"]
        with (ROOFLINE / "vectors.csv").open() as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 2280)
        for row in rows:
            for name, value in self.parts(gpus[row["gpu"]], row).items():
                expected = float(row[name])
                self.assertLessEqual(abs(value - expected), 1e-9 * expected, f"{name} of {row}")

    def parts(self, gpu: dict, row: dict) -> dict[str, float]:
        layers, h, q, kv, hd, ff, gated = MODELS[row["model"]]
        tp, tokens = int(row["tp"]), int(row["prefill_tokens"])
        sequences, context = int(row["decode_seqs"]), int(row["decode_context"])
        heads, kv_heads, m = q / tp, max(1, kv / tp), tokens + sequences
        sheet = forms.Datasheet(gpu["datasheet"]["peak_bf16"], gpu["datasheet"]["bandwidth"])
        c = json_units(gpu["gemm"][row["weight_dtype"]])
        shapes = [((q + 2 * kv) * hd / tp, h), (h, q * hd / tp), ((1 + gated) * ff / tp, h), (h, ff / tp)]
        parts = {"linear_s": sum(forms.gemm(sheet, c, m, n, k) for n, k in shapes)}
        parts["prefill_attention_s"] = tokens and forms.prefill_attention(
            sheet,
            json_units(gpu["prefill_attention"]),
            heads,
            kv_heads,
            hd,
            tokens,
            int(row["prefill_work"]),
        )
        parts["decode_attention_s"] = sequences and forms.decode_attention(
            sheet,
            json_units(gpu["decode_attention"]),
            heads,
            kv_heads,
            hd,
            sequences,
            context,
            int(row["kv_bytes"]),
        )
        parts["allreduce_s"] = 0.0
        if tp > 1:
            c = json_units(gpu["allreduce"]["custom_kernel"])
            parts["allreduce_s"] = 2 * forms.allreduce(c, 2 * m * h, tp)
        return {name: layers * float(value) for name, value in parts.items()}


if __name__ == "__main__":
    unittest.main()
