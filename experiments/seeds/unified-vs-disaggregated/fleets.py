"""Prints the table of the README: means over seeds of each fleet and rate, without a bound on gaps; then the verdicts."""

import sys

from tandem_analysis import fair, load, sweep, units
from tandem_analysis.sweep_figures import aligned

RATE = "workload.rate_scale"
METRICS = ("slo_attainment", "ttft_p90_ns", "tpot_p90_ns", "usd_per_million_output_tokens", sweep.GOOD,
           "effective_usd_per_hour", "saturated")  # fmt: skip

swept = load.load_sweep(sys.argv[1])
points = sweep.where(swept, ["slo.itl_ms=1000"])
table = sweep.means(points, METRICS)
pools = swept.pools.assign(name_of=swept.points["name"].loc[swept.pools["point"]].to_numpy())
for path in (RATE, "slo.itl_ms"):
    pools[path] = swept.parameters[path].loc[swept.pools["point"]].to_numpy()
busy = pools[pools["slo.itl_ms"] == 1000].groupby(["name_of", RATE, "name"], sort=False)["utilization"].mean()
rows = []
for row in table.sort_values([RATE, "name"], ascending=[True, False]).to_dict("records"):
    shares = busy[row["name"], row[RATE]].to_dict()
    good = row[sweep.GOOD]
    rows.append(
        [f"{row[RATE]:g}", row["name"], f"{100 * row['slo_attainment']:.1f} %", units.time_text(row["ttft_p90_ns"]),
         units.time_text(row["tpot_p90_ns"]), f"{row['usd_per_million_output_tokens']:.2f}", "none" if good != good else f"{good:.3f}",
         *(f"{100 * shares[pool]:.1f} %" if pool in shares else "" for pool in ("unified", "prefill", "decode")),
         f"{730 * row['effective_usd_per_hour']:,.0f}", "saturated" if row["saturated"] else ""]
    )  # fmt: skip
heads = [
    "rate/s",
    "fleet",
    "SLO met",
    "TTFT p90",
    "TPOT p90",
    "$/M output",
    "$/1000 in SLO",
    "unified",
    "prefill",
    "decode",
]
print(aligned([*heads, "$/month busy", ""], rows))
print("\n".join(["", *fair.verdict(swept, RATE, "unified", 0.9), *fair.fairness(swept, "unified")]))
