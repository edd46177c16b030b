"""timeline: records of iterations as a figure and as a trace for Perfetto."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pandas as pd
from support import PAIR, CommandFolder
from synthetic import Synthetic, declared_columns

from tandem_analysis import load, timeline

PHASES = ["idle", "prefill", "decode", "mixed"]


class Timeline(CommandFolder):
    command = "timeline"

    def setUp(self) -> None:
        super().setUp()
        self.path = Synthetic(name="disagg", pools=PAIR, count=60).write(self.folder / "run")
        self.add_records(self.path)

    def add_records(self, path: object, cut_ns: int = -1) -> None:
        """On prefill instance 0 and decode instances 2 and 3, the latter with two micro-batches."""
        rows = {
            "instance": [0, 2, 3, 3, 0, 2],
            "group": [0, 0, 0, 1, 0, 0],
            "start_ns": [0, 1000, 1000, 1500, 2_000_001, 3_000_000],
            "duration_ns": [1_000_000, 2000, 4000, 4000, 500, 2_000_000],
            "phase": [1, 2, 2, 3, 1, 2],
        }
        with h5py.File(path, "a") as file:
            group = file.create_group("iterations", track_order=True)
            group.attrs["cut_ns"] = cut_ns
            for name in declared_columns()["iterations"]:
                group[name] = np.array(rows.get(name, [7] * 6))
            group["phase"].attrs["names"] = PHASES

    def test_records(self) -> None:
        result = load.load(self.path)
        self.assertEqual(result.iterations_cut_ns, -1)
        table = timeline.frame(result)
        self.assertEqual(
            list(table["pool"]), ["prefill", "decode", "decode", "decode", "prefill", "decode"]
        )
        self.assertEqual(list(table["phase"][:4]), ["prefill", "decode", "decode", "mixed"])
        self.assertEqual(len(timeline.frame(result, 0.002, 0.0025)), 1)
        with self.assertRaisesRegex(load.ResultError, "no iteration is recorded in that time"):
            timeline.frame(result, 50, 60)

    def test_bars_closer_than_a_pixel_are_one(self) -> None:
        table = pd.DataFrame(
            {"start_ns": [0, 10, 25, 40], "duration_ns": [10, 10, 10, 10],
             "phase": ["decode", "decode", "decode", "mixed"]}
        )  # fmt: skip
        bars = timeline.merged(table, 5)
        self.assertEqual(bars.values.tolist(), [[0, 35, "decode"], [40, 50, "mixed"]])
        self.assertEqual(len(timeline.merged(table, 4)), 3)
        self.assertEqual(len(timeline.merged(table, 2.5)), 4)  # four pixels wide: a bar each

    def test_trace(self) -> None:
        """The documented fields of each kind of event; bars of a thread do not overlap; pairs match."""
        trace, out = self.folder / "trace.json", self.folder / "out"
        status, said, err = self.run_it(self.path, "--perfetto", trace, "-o", out)
        self.assertEqual((status, err), (0, ""))
        content = json.loads(trace.read_text())
        self.assertEqual(content["displayTimeUnit"], "ms")
        events = content["traceEvents"]
        self.assertIn(f"{len(events)} events in {trace}", said)
        by_kind: dict[str, list] = {}
        for event in events:
            self.assertTrue({"ph", "pid", "tid", "name"} <= set(event), event)
            by_kind.setdefault(event["ph"], []).append(event)
        names = {
            (event["pid"], event["tid"]): event["args"].get("name")
            for event in by_kind["M"]
            if event["name"] == "thread_name"
        }
        self.assertEqual(
            sorted(names.values()), ["decode 2", "decode 3 / 0", "decode 3 / 1", "prefill 0"]
        )
        bars = by_kind["X"]
        self.assertEqual(len(bars), 6)
        self.assertEqual(
            (bars[4]["ts"], bars[4]["dur"], bars[4]["name"]), (2000.001, 0.5, "prefill")
        )
        self.assertEqual(bars[0]["args"]["kv_used_blocks"], 7)
        for thread in names:
            mine = sorted(
                (bar["ts"], bar["ts"] + bar["dur"])
                for bar in bars
                if (bar["pid"], bar["tid"]) == thread
            )
            self.assertTrue(all(end <= start for (_, end), (start, _) in zip(mine, mine[1:])))
        self.assertTrue(
            by_kind["C"]
            and all(all(isinstance(v, float) for v in e["args"].values()) for e in by_kind["C"])
        )
        self.assertTrue(
            (out / "timeline.csv").read_text().startswith("pool,instance,group,start_ns")
        )
        self.is_png(out / "timeline.png")

    def test_hand_offs(self) -> None:
        """From the end of the prompt until it decodes; an arrow where both are one lane."""
        with h5py.File(self.path, "a") as file:
            late = file["iterations/start_ns"][:]
            late[-1] = 10**13
            file["iterations/start_ns"][...] = late
        result = load.load(self.path)
        events = list(timeline.events(result, timeline.frame(result)))
        begins = [event for event in events if event["ph"] == "b"]
        rows = result.requests()
        rows = rows[rows["preemptions"] == 0]
        self.assertEqual([event["id"] for event in begins], list(rows.index))
        row, begin = rows.iloc[0], begins[0]
        end = next(event for event in events if event["ph"] == "e" and event["id"] == begin["id"])
        waits = (
            row["decode_queue_ns"] + row["transfer_ns"] + row["admission_ns"] + row["stalled_ns"]
        )
        self.assertAlmostEqual(end["ts"] - begin["ts"], waits / 1e3, 2)
        starts = {event["id"] for event in events if event["ph"] == "s"}
        single = rows[(rows["prefill_instance"] == 0) & (rows["decode_instance"] == 2)]
        self.assertEqual(starts, set(single.index))
        self.assertEqual(starts, {event["id"] for event in events if event["ph"] == "f"})

    def test_says_where_records_end(self) -> None:
        path = Synthetic(count=50).write(self.folder / "cut")
        self.add_records(path, cut_ns=9_000_000)
        self.assertIn("The records end at 9.000 ms (output.iterations_max).", self.run_it(path)[1])

    def test_without_records(self) -> None:
        path = Synthetic(count=50).write(self.folder / "none")
        status, out, err = self.run_it(path)
        self.assertEqual((status, out), (2, ""))
        self.assertEqual(
            err,
            f"tandem_analysis: {path}: no records of iterations, repeat the run with --set output.iterations=true\n",
        )
