"""sweep, pareto and breakeven: means over seeds, intervals, paired differences, frontiers, maps."""

from __future__ import annotations

import dataclasses
import math
import unittest

import numpy as np
import pandas as pd
import synthetic_sweep
from support import CommandFolder
from synthetic import Synthetic
from synthetic_sweep import PROMPTS, RATES, SEEDS, summary

from tandem_analysis import load, sweep, sweep_figures

X, Y = "workload.rate_scale", "workload.prompt"
TWO = 4.302652729749464  # Student's t of two degrees of freedom, 97.5 %


class Statistics(unittest.TestCase):
    def test_student(self) -> None:
        """Values of the tables of any book, to four digits."""
        for degrees, expected in {
            1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 9: 2.2622, 10: 2.2281, 29: 2.0452,
            30: 2.0423, 100: 1.9840, 1000: 1.9623,
        }.items():  # fmt: skip
            self.assertAlmostEqual(sweep.student_t(degrees), expected, 4, degrees)
        self.assertAlmostEqual(sweep.student_t(7, 0.99), 3.4995, 4)

    def test_interval(self) -> None:
        mean, half = sweep.interval(np.array([1.0, 2.0, 3.0]))
        self.assertEqual(mean, 2.0)
        self.assertAlmostEqual(half, TWO / math.sqrt(3), 9)
        self.assertTrue(math.isnan(sweep.interval(np.array([1.0]))[1]))

    def test_frontier(self) -> None:
        x, y = np.array([1.0, 2.0, 3.0, 2.0, 3.0]), np.array([5.0, 4.0, 1.0, 2.0, 1.0])
        self.assertEqual(sweep.frontier(x, y, True).tolist(), [True, True, True, False, True])
        self.assertEqual(sweep.frontier(x, y, False).tolist(), [True, False, True, True, True])


class Sweeps(CommandFolder):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.path = synthetic_sweep.write(cls.shared / "swept")
        cls.points = load.load_sweep(cls.shared / "swept")

    def command_of(self, name: str, *words: object) -> tuple[int, str, str]:
        self.command = name
        return self.run_it(*words)

    def fails(self, words: str, *arguments: object) -> None:
        status, out, err = self.command_of(*arguments)
        self.assertEqual((status, out), (2, ""))
        self.assertEqual(err, f"tandem_analysis: {words}\n")

    def test_load(self) -> None:
        self.assertEqual(len(self.points.points), 36)
        self.assertEqual(
            self.points.points["status"].value_counts().to_dict(), {"completed": 35, "failed": 1}
        )
        self.assertEqual(list(self.points.parameters["seed"].iloc[:3]), [1, 2, 3])
        self.assertEqual(self.points.configuration["name"], "swept")
        self.assertEqual(list(self.points.pools), ["point", "name"])
        self.assertEqual(sweep.axes_of(self.points), [X, Y])

    def test_means(self) -> None:
        table = sweep.means(self.points)
        self.assertEqual(len(table), 12)
        row = table[(table["name"] == "a") & (table[X] == 2) & (table[Y] == 256)].iloc[0]
        values = [summary("a", 2.0, 256, seed)["goodput_per_s_per_gpu"] for seed in SEEDS]
        self.assertEqual(row["seeds"], 3)
        self.assertAlmostEqual(row["goodput_per_s_per_gpu"], np.mean(values), 12)
        self.assertAlmostEqual(row["goodput_per_s_per_gpu_ci95"], TWO * 0.01 / math.sqrt(3), 9)
        self.assertEqual(table["saturated"].tolist().count(3), 1)
        self.assertEqual(table["seeds"].iloc[-1], 2)  # one failed

    def test_paired(self) -> None:
        """The seeds' shift is in both: the difference has no spread."""
        table = sweep.paired(self.points, "a")
        self.assertEqual(set(table["name"]), {"b"})
        mine = table[(table["metric"] == "goodput_per_s_per_gpu") & (table[Y] == 256)]
        for row in mine.itertuples():
            rate = row[table.columns.get_loc(X) + 1]
            expected = (
                summary("b", rate, 256, 1)["goodput_per_s_per_gpu"]
                - summary("a", rate, 256, 1)["goodput_per_s_per_gpu"]
            )
            self.assertAlmostEqual(row.difference, expected, 12)
            self.assertLess(row.difference_ci95, 1e-9)
            self.assertTrue(row.told_apart)
        same = table[table["metric"] == "tpot_p99_ns"]
        self.assertFalse(same["told_apart"].any())

    def test_breakeven(self) -> None:
        table = sweep.breakeven(self.points, X, Y, "a", "b", "goodput_per_s_per_gpu")
        self.assertEqual(len(table), len(RATES) * len(PROMPTS))
        for row in table.to_dict("records"):
            self.assertEqual(row["winner"], "a" if row[Y] < 1000 else "b")
            self.assertAlmostEqual(row["ratio"], row["a"] / row["b"], 12)
            self.assertTrue(row["told_apart"])
        lower = sweep.breakeven(self.points, X, Y, "a", "b", "ttft_p99_ns")
        self.assertEqual(list(lower["winner"]), list(table["winner"]))
        self.assertAlmostEqual(lower["ratio"].iloc[0], lower["b"].iloc[0] / lower["a"].iloc[0], 12)

    def with_more_axes(self, **axes: list) -> load.Sweep:
        """The points once for each value of further axes, of which the first deployment is as good as the second where an
        axis has its last value."""
        swept = self.points
        for path, values in axes.items():
            parts = []
            for value in values:
                points, parameters = swept.points.copy(), swept.parameters.assign(**{path: value})
                if value == values[-1]:
                    figure = "goodput_per_s_per_gpu"
                    points.loc[points["name"] == "a", figure] = points.loc[points["name"] == "b", figure].to_numpy()
                parts.append((points, parameters))
            points, parameters = (pd.concat(part, ignore_index=True) for part in zip(*parts))
            swept = dataclasses.replace(swept, points=points, parameters=parameters)
        return swept

    def test_breakeven_side_by_side(self) -> None:
        """Two more axes: each pair of their values has a map, words in the order of the points."""
        swept = self.with_more_axes(link=["slow", "fast", "again"], output=[8.0, 64.0])
        table = sweep.breakeven(swept, X, Y, "a", "b", "goodput_per_s_per_gpu")
        self.assertEqual(list(table.columns[:4]), ["link", "output", X, Y])
        self.assertEqual(len(table), 6 * len(RATES) * len(PROMPTS))
        self.assertEqual(list(dict.fromkeys(table["link"])), ["slow", "fast", "again"])
        alone = sweep.breakeven(self.points, X, Y, "a", "b", "goodput_per_s_per_gpu")
        for (link, output), part in table.groupby(["link", "output"]):
            expected = [""] * 6 if link == "again" or output == 64 else list(alone["winner"])
            self.assertEqual(list(part["winner"]), expected, (link, output))
        out = self.folder / "out"
        out.mkdir()
        said = sweep_figures.run_breakeven(swept, X, Y, "a", "b", "goodput_per_s_per_gpu", out)
        self.assertIn("  link=slow, output=8: a is better at 3 of 6 places, told apart at 3\n", said)
        self.assertIn("  link=slow, output=64: a is better at 0 of 6 places, told apart at 0\n", said)
        self.is_png(out / "breakeven.png")
        self.assertEqual(len(pd.read_csv(out / "breakeven.csv")), 36)
        swept = self.with_more_axes(link=["slow", "fast"], output=[8.0, 64.0], third=[1.0, 2.0])
        with self.assertRaisesRegex(load.ResultError, "link, output, third vary too, maps side by side take two of them: "):
            sweep.breakeven(swept, X, Y, "a", "b", "goodput_per_s_per_gpu")
        table = sweep.breakeven(sweep.where(swept, ["third=1"]), X, Y, "a", "b", "goodput_per_s_per_gpu")
        self.assertEqual(len(table), 24)

    def test_no_good_request_is_no_bargain(self) -> None:
        """The file has 0 USD where no request meets the SLO: that is dear, not cheap."""
        table = self.points.points.assign(cost_usd_per_hour=8.0)
        table.loc[table["name"] == "a", sweep.GOOD] = 0.0
        changed = dataclasses.replace(self.points, points=table)
        for row in sweep.breakeven(changed, X, Y, "a", "b", sweep.GOOD).to_dict("records"):
            self.assertEqual((row["ratio"], row["winner"], row["told_apart"]), (0, "b", True))
        self.assertTrue(sweep.means(changed).loc[0:5, sweep.GOOD].isna().all())
        self.assertNotIn(sweep.GOOD, set(sweep.paired(changed, "b")["metric"]))
        table[sweep.GOOD] = 0.0
        nobody = sweep.breakeven(changed, X, Y, "a", "b", sweep.GOOD)
        self.assertTrue(nobody["ratio"].isna().all() and not nobody["told_apart"].any())

    def test_bars_are_of_places_that_meet_the_target(self) -> None:
        table = sweep.means(sweep.where(self.points, [f"{Y}=2048"]))
        curves = table.assign(curve=table["name"])
        best = sweep_figures.bars_frame(curves, 0.9).set_index("curve")
        self.assertEqual(
            best.loc["a", X], 4.0 if summary("a", 4.0, 2048, 1)["saturated"] == 0 else 2.0
        )
        self.assertEqual(best.loc["b", X], 4.0)
        none = sweep_figures.bars_frame(curves, 1.1)
        self.assertEqual(none["goodput_per_s_per_gpu"].tolist(), [0.0, 0.0])

    def test_command_sweep(self) -> None:
        out = self.folder / "out"
        status, said, err = self.command_of(
            "sweep", self.path, "--x", X, "--group", Y, "--baseline", "a", "-o", out
        )
        self.assertEqual((status, err), (0, ""))
        self.assertIn("1 of 36 points are failed and left out:", said)
        self.assertIn(f"  b, {X}=4, {Y}=2048, seed=3: it ended early", said)
        self.assertIn("3 of 35 points are saturated", said)
        self.assertIn("against a, same seeds", said)
        self.assertRegex(
            said, r"b, workload.rate_scale=1, workload.prompt=256: TPOT p99 equal at every seed"
        )
        self.assertEqual(len(pd.read_csv(out / "sweep.csv")), 12)
        self.assertEqual(len(pd.read_csv(out / "sweep_goodput.csv")), 4)
        self.assertIn("told_apart", pd.read_csv(out / "sweep_paired.csv"))
        for name in ("sweep_attainment.png", "sweep_goodput.png"):
            self.is_png(out / name)

    def test_axes_that_nobody_named(self) -> None:
        self.assertEqual(sweep_figures.choose_axes(self.points, None, None), (X, Y))
        one = sweep.where(self.points, [f"{X}=2"])
        self.assertEqual(sweep_figures.choose_axes(one, None, None), (Y, None))
        out = self.folder / "unnamed"
        self.assertEqual(self.command_of("sweep", self.path, "-o", out)[0], 0)
        self.is_png(out / "sweep_attainment.png")
        self.assertEqual(len(pd.read_csv(out / "sweep_goodput.csv")), 4)
        third = self.points.parameters.assign(z=[i % 2 for i in range(36)])
        three = dataclasses.replace(self.points, parameters=third)
        self.assertEqual(sweep_figures.choose_axes(three, None, None), (None, None))
        said = sweep_figures.run_sweep(three, None, None, None, 0.9, None)
        self.assertIn("No curves: choose an axis (--x)", said)

    def test_parameters_of_other_deployments(self) -> None:
        """Of a search: they are not set, and not told."""
        only_b = self.points.points["name"] == "b"
        parameters = self.points.parameters.assign(split=self.points.parameters[X].where(only_b))
        points = dataclasses.replace(self.points, parameters=parameters)
        self.assertNotIn("split", sweep.label_of(points, 0))
        self.assertIn("split=1", sweep.label_of(points, 18))
        points = dataclasses.replace(points, configuration={"search": {}})
        text = sweep_figures.run_sweep(points, X, Y, None, 0.9, None)
        self.assertIn("its answer is in the tables deployments", text)
        self.assertNotIn("nan", text + sweep_figures.run_pareto(points, None))

    def test_command_pareto(self) -> None:
        out = self.folder / "out"
        status, said, err = self.command_of("pareto", self.path, "-o", out)
        self.assertEqual((status, err), (0, ""))
        table = pd.read_csv(out / "pareto.csv")
        self.assertEqual(len(table), 11)  # without the saturated place
        self.assertFalse(
            table.loc[table["name"] == "a", "frontier[output_tokens_per_s_per_gpu]"].any()
        )
        self.assertIn("output tokens/s per user, output tokens/s per GPU on the frontier", said)
        self.is_png(out / "pareto.png")

    def test_command_breakeven(self) -> None:
        out = self.folder / "out"
        status, said, err = self.command_of(
            "breakeven", self.path, "--x", X, "--y", Y, "--a", "a", "--b", "b", "-o", out
        )
        self.assertEqual((status, err), (0, ""))
        self.assertIn("a is better at 3 of 6 places, told apart at 3", said)
        self.assertEqual(len(pd.read_csv(out / "breakeven.csv")), 6)
        self.is_png(out / "breakeven.png")

    def test_export(self) -> None:
        out = self.folder / "out"
        status, said, err = self.command_of("export", self.path, "-o", out)
        self.assertEqual((status, err), (0, ""))
        for name in ("points", "parameters", "pools", "classes"):
            self.assertIn(f"{name} 36", said)
        self.assertEqual(pd.read_csv(out / "points.csv")["status"].iloc[-1], "failed")

    def test_what_cannot_be(self) -> None:
        path, known = self.path, f"there are {X}, {Y}, seed, cluster"
        self.fails(f"{path}: --x rate: no such parameter, {known}", "sweep", path, "--x", "rate")
        self.fails(
            f"{path}: --baseline c: no such named point, there are a, b",
            "sweep",
            path,
            "--baseline",
            "c",
        )
        self.fails(f"{path}: --where {Y}=x: x is no number", "pareto", path, "--where", f"{Y}=x")
        self.fails(f"{path}: no point has {Y}=7", "pareto", path, "--where", f"{Y}=7")
        self.fails(
            f"{path}: other axes: {Y}; draw one value of each (--where PATH=VALUE) or one curve a value (--group PATH)",
            "sweep", path, "--x", X, "-o", self.folder / "out",
        )  # fmt: skip
        pair = ("--a", "a", "--b", "b")
        self.fails(
            f"{path}: a and b have no completed point in common",
            "breakeven", path, "--x", X, "--y", "cluster", *pair,
        )  # fmt: skip
        self.fails(
            f"{path}: --y seed: the map needs two axes other than seed",
            "breakeven", path, "--x", X, "--y", "seed", *pair,
        )  # fmt: skip
        self.fails(
            f"{path}: --metric speed: no such figure of /points (OUTPUT.md lists them)",
            "breakeven", path, "--x", X, "--y", Y, *pair, "--metric", "speed",
        )  # fmt: skip
        run = Synthetic(count=50).write(self.folder / "run")
        self.fails(
            f"{run}: the results of one run, expected those of `tandem sweep`", "pareto", run
        )
        self.fails(
            f"{path}: the results of a sweep, use the commands sweep, pareto and breakeven",
            "report",
            path,
        )


if __name__ == "__main__":
    unittest.main()
