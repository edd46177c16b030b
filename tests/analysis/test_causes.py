"""Causes of time and cost: two tiny runs of the real program ($TANDEM or build/tandem) worked out by hand, and what has to
hold in any run."""

from __future__ import annotations

import json
import os
import subprocess
import unittest
from pathlib import Path

from support import Folder
from synthetic import ROOT

from tandem_analysis import causes, explain, idle, load
from tandem_analysis.load import Result

PROGRAM = Path(os.environ.get("TANDEM", ROOT / "build/tandem"))
USD_PER_HOUR = 3600  # of a GPU: a dollar a second
TIMES = {"level": "fixed", "prefill_ms": 10_000, "decode_ms": 1000}  # of an iteration with and without prompts
TRACE = "time,prompt,output\n0,32,4\n0,32,4\n"
# 16 MiB of KV of a prompt in a second, after another.
LINK = {"name": "slow", "source": "made up", "bandwidth_gb_per_s": 0.016777216, "efficiency": 1,
        "setup_ms": 1000, "descriptor_ns": 0}  # fmt: skip
R = "workload.synthetic.requests=400"
QUICK = "experiments/quickstart"
RUNS = (  # experiments of the repository, with what is set
    (f"{QUICK}/unified.json", R),
    (f"{QUICK}/unified.json", R, "cluster.pools[0].kv.blocks=1200"),
    (f"{QUICK}/unified.json", R, "cluster.pools[0].scheduler.policy=static"),
    (f"{QUICK}/unified.json", R, "cluster.pools[0].pipeline_parallel=2", "cluster.pools[0].instances=2"),
    (f"{QUICK}/disaggregated.json", R),
    (f"{QUICK}/disaggregated.json", R, "cluster.engine=sglang", "warm_up_s=3"),
    (f"{QUICK}/disaggregated.json", R, "cluster.pools[decode].kv.blocks=1200"),
    ("experiments/experts/disaggregated.json", R),
    ("experiments/handoff/local-prefill/experiment.json", "workload.synthetic.requests=1000"),
    ("experiments/handoff/reservation/pressure.json", R),
    ("experiments/seeds/preemption/pressure.json", R),
)


@unittest.skipUnless(PROGRAM.exists(), f"{PROGRAM} is not built (set TANDEM to the program)")
class Causes(Folder):
    def run_it(self, file: Path | str, name: str, *sets: str) -> Result:
        command = [PROGRAM, "run", file, "-o", self.folder / name]
        for words in sets:
            command += ["--set", words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return load.load(self.folder / name)

    def tiny(self, name: str, pools: dict[str, dict], **rest: object) -> Result:
        """Two prompts of 32 tokens, sent at 0, four tokens each; control messages take a second."""
        same = {"gpu": "h100-sxm", "instances": 1, "timer": TIMES, "price_usd_per_gpu_hour": USD_PER_HOUR}
        (self.folder / "trace.csv").write_text(TRACE)
        trace = {"format": "csv", "path": str(self.folder / "trace.csv"), "time_column": "time",
                 "prompt_column": "prompt", "output_column": "output"}  # fmt: skip
        experiment = {
            "name": name,
            "model": "llama-2-7b",
            "cluster": {
                "name": name,
                "pools": [{"name": role, "role": role, **same, **pool} for role, pool in pools.items()],
                "network": {"control_latency_us": 1_000_000, "kv_link": LINK},
                "router": {"frontend_ms": 0, "frontend_us_per_token": 0},
                **rest,
            },
            "workload": {"trace": trace},
        }
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(experiment))
        return self.run_it(file, name)

    def check(self, result: Result, seconds: dict[str, float], usd: dict[str, float]) -> None:
        """All causes; those not named are 0."""
        times = causes.times(result)
        money = causes.gpu_frame(result).groupby("cause")["usd_per_request"].sum()
        for cause in causes.CAUSES:
            self.assertAlmostEqual(times[cause] / 1e9, seconds.get(cause, 0), 6, cause)
            self.assertAlmostEqual(money.get(cause, 0.0), usd.get(cause, 0), 6, cause)

    def test_by_hand(self) -> None:
        """Unified, budget 32: A is computed from 1 to 11, B beside two steps of A from 11 to 31, which take 10 s instead of
        1, then three steps, to 34: of those A ends with the first. B waits 10 s. One GPU costs $34.

        Disaggregated, room for one prompt: A is computed from 1 to 11; messages at 12 (router), 13 (decode), 14 (fabric),
        transfer to 16, known at 17, four steps to 21. B waits for its blocks until 17 and does all that 16 s later, to 37.
        Two GPUs cost $74: prefill is busy for 20 s, blocked and idle from 11 to 17; decode is busy for 8 s, has KV on its way
        from 13 to 17 and from 29 to 33, and is idle while B waits from 1 to 13."""
        small = {"max_num_batched_tokens": 32, "max_num_seqs": 4}
        first = self.tiny("unified", {"unified": {"scheduler": small}})
        self.check(
            first,
            {"front end, control": 1, "queue": 5, "prefill compute": 15, "interference": 9, "decode compute": 3},
            {"prefill compute": 5, "interference": 9, "decode compute": 2.5, "no load": 0.5},
        )
        kv = {"block_tokens": 16, "blocks": 3}
        other = self.tiny("disaggregated", {"prefill": {"kv": kv}, "decode": {}})
        self.check(
            other,
            {"front end, control": 5, "prefill compute": 10, "KV limit": 8, "KV transfer": 2, "decode compute": 4},
            {"prefill compute": 10, "KV limit": 3, "KV transfer": 4, "decode compute": 4, "idle imbalance": 6, "no load": 10},
        )  # fmt: skip
        table = causes.causes_frame(first, other).set_index("cause")
        self.assertAlmostEqual(table["difference_usd"].sum(), 37 - 17, 6)
        self.assertAlmostEqual(table["difference_ns"].sum() / 1e9, 29 - 33, 6)
        self.assertAlmostEqual(table["difference_usd"]["interference"], -9, 6)
        told = explain.sentences(first, other)
        self.assertIn("Cost of 1,000 requests: disaggregated is dearer, $37,000.00 against $17,000.00", "".join(told))
        self.assertIn("mostly by no load +$9,500.00, idle imbalance +$6,000.00, prefill compute +$5,000.00", "".join(told))

    def test_conserved(self) -> None:
        """Parts are not negative and add up, and what rows say of free instances is what is left of the instances' times."""
        for number, (file, *sets) in enumerate(RUNS):
            with self.subTest(file=file, sets=sets):
                result = self.run_it(file, str(number), *sets)
                table, times = causes.gpu_frame(result), causes.times(result)
                whole = result.value("cost_usd") / causes.requests(result)
                self.assertAlmostEqual(table["usd_per_request"].sum() / whole, 1, 9)
                self.assertAlmostEqual(sum(times.values()) / result.value("e2e_mean_ns"), 1, 9)
                self.assertGreaterEqual(min(table["share"].min(), *times.values()), -1e-12)
                parts = table.groupby(["pool", "part"])["share"].sum()
                for pool, share in idle.beside_queues(result).items():
                    left = sum(value for part, value in parts[pool].items() if part.startswith("idle"))
                    left -= sum(parts[pool][f"idle, {part}"] for part in ("queue blocked", "KV on its way", "prefill has to come"))
                    if "pipeline" in str(sets) or "static" in str(sets):  # waits for stages, or for a batch
                        self.assertGreater(parts[pool]["idle, with requests"], 0.001)
                    else:  # lanes wait, too, for tokens to come to them
                        self.assertAlmostEqual(share.free, left, delta=1e-3 if "experts" in file else 1e-4)


if __name__ == "__main__":
    unittest.main()
