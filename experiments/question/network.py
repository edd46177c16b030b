"""From which network on is disaggregation worth it, and at which load? The best deployment of each kind over rates and
bandwidths of the KV link."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tandem_analysis import figures, sweep, sweep_figures
from tandem_analysis.load import Sweep
from tandem_analysis.page import Page

RATE = "workload.rate_scale"
LINK = "cluster.network.kv_link.bandwidth_gb_per_s"
BANDWIDTHS = [3.125, 6.25, 12.5, 25, 50, 100]  # GB/s: 25 to 800 Gbit/s
X, Y = "requests/s", "KV link (GB/s per GPU)"
METRIC = "USD per 1,000 requests within the SLO"
EQUAL = 0.01  # ratios that are no difference
NOTE = (
    "The two deployments of the verdict, with other bandwidths of the KV link (its efficiency, set-up and descriptors stay); deployments are "
    "not chosen anew, so a slow link may suit another split. White: neither keeps the SLO for 90 % of the requests. Ratios beyond 2 have "
    "its colour."
)


def rates_of(low: float, high: float) -> list[float]:
    """Requests/s from a quarter of the lower limit to beyond the higher, closest around them; of four digits."""
    rates = [*(share * low for share in (0.25, 0.5, 0.75)), *np.geomspace(0.9 * low, 1.2 * high, 6)]
    return [float(f"{rate:.4g}") for rate in rates]


def compare(swept: Sweep, first: str, other: str, target: float) -> pd.DataFrame:
    """A row a rate and bandwidth, as sweep.breakeven has it by USD per good request, with both SLO attainments; without
    a ratio where neither reaches the target."""
    table = sweep.breakeven(swept, RATE, LINK, first, other, sweep.GOOD)
    held = sweep.means(swept, ("slo_attainment",)).pivot(
        index=[RATE, LINK], columns=sweep.NAME, values="slo_attainment"
    )
    table = table.join(held.add_prefix("SLO attainment, "), on=[RATE, LINK])
    neither = table[[f"SLO attainment, {name}" for name in (first, other)]].max(axis=1) < target
    table["ratio"] = table["ratio"].mask(neither)
    table["winner"] = table["winner"].mask(neither, "")
    table["told_apart"] &= ~neither
    return table.rename(columns={RATE: X, LINK: Y})


def lines(table: pd.DataFrame, first: str, other: str) -> list[str]:
    """Of each rate the bandwidths at which either costs less."""
    told = ["Cost of a request within the SLO by rate and bandwidth of the KV link:"]
    for rate, part in table.groupby(X):
        ratio, sure = part["ratio"], part["told_apart"]
        wins = {first: part[sure & (ratio > 1 + EQUAL)], other: part[sure & (ratio < 1 / (1 + EQUAL))]}
        words = [f"{name} costs less at {_range(rows[Y])} GB/s" for name, rows in wins.items() if len(rows)]
        same = part[ratio.notna() & ~part.index.isin([*wins[first].index, *wins[other].index])]
        words += [f"the same or not told apart at {_range(same[Y])} GB/s"] * bool(len(same))
        neither = part[ratio.isna()]
        words += [f"neither keeps the SLO at {_range(neither[Y])} GB/s"] * bool(len(neither))
        told.append(f"  {rate:g} requests/s: {'; '.join(words)}.")
    return told


def _range(values: pd.Series) -> str:
    """Of bandwidths that were run: neighbours as a range."""
    places = sorted(BANDWIDTHS.index(value) for value in values)
    begins = [place for place in places if place - 1 not in places]
    ends = [place for place in places if place + 1 not in places]
    spans = [(BANDWIDTHS[begin], BANDWIDTHS[end]) for begin, end in zip(begins, ends)]
    return ", ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in spans)


def add(page: Page, table: pd.DataFrame, first: str, other: str, folder: Path) -> None:
    """Figure and CSV, in the folder too."""
    page.heading("From which network on, at which load")
    page.lines([*lines(table, first, other), NOTE])
    csv, png = folder / "network.csv", folder / "network.png"
    table.to_csv(csv, index=False)
    figures.save(
        folder,
        png.name,
        lambda: sweep_figures.draw_breakeven(table, X, Y, first, other, METRIC, largest=2),
    )
    page.figure(png, f"{METRIC}: {other} / {first}", csv)
