"""Numbers as text in units that suit them; ASCII only."""

from __future__ import annotations

import math


def digits(value: float, count: int = 4, trim: bool = False) -> str:
    """A number with that many significant digits; trim drops zeros at its end."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    decimals = max(0, count - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    if decimals > count + 2:
        return f"{value:.{count}g}"
    return text.rstrip("0").rstrip(".") if trim and "." in text else text


def time_text(ns: float, trim: bool = False) -> str:
    """A duration in ns, us, ms or s with four digits."""
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if ns >= size:
            return f"{digits(ns / size, trim=trim)} {unit}"
    return f"{digits(ns, trim=True)} ns" if ns else "0"


def percent_text(share: float) -> str:
    """A share in [0, 1] as a percentage."""
    return f"{100 * share:.2f} %"


def count_text(value: float) -> str:
    """A whole number, thousands separated."""
    return f"{int(value):,}"


def usd_text(value: float) -> str:
    """Dollars: cents from a dollar on, else four digits."""
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${digits(value)}"


def watts_text(value: float) -> str:
    """Power in W, kW or MW."""
    for size, unit in ((1e6, "MW"), (1e3, "kW")):
        if value >= size:
            return f"{digits(value / size)} {unit}"
    return f"{digits(value)} W"


def joules_text(value: float) -> str:
    """Energy in J."""
    return f"{digits(value)} J"


def kwh_text(value: float) -> str:
    """Energy in kWh."""
    return f"{digits(value)} kWh"


def bytes_text(value: float) -> str:
    """Bytes in KiB, MiB, GiB or TiB."""
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= size:
            return f"{digits(value / size)} {unit}"
    return f"{int(value)} B"


def bound_text(ms: float) -> str:
    """A bound of an SLO in milliseconds; 0 is none."""
    return time_text(ms * 1e6, trim=True) if ms > 0 else "none"


def change_text(first: float, other: float) -> str:
    """How far other is from first, relative; = below 0.05 %, empty where that says nothing."""
    if first == 0:
        return "=" if other == 0 else ""
    change = 100 * (other / first - 1)
    if abs(change) < 0.05:
        return "="
    return f"{change:+.1f} %" if abs(change) < 999.95 else f"x {digits(other / first, 3)}"


def shorten(text: str, width: int) -> str:
    """A text cut in its middle to a width."""
    if len(text) <= width:
        return text
    head = (width - 2 + 1) // 2
    return text[:head] + ".." + text[len(text) - (width - 2 - head) :]
