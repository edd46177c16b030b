"""Figures of runs by their names in results.h5, a row a run; or every table of a file, for other programs and
for scripts."""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path

import pandas as pd

from tandem_analysis.load import Result, ResultError, load_tables

PARQUET = ("pyarrow", "fastparquet")  # of which pandas needs one
NO_PARQUET = (
    "Parquet needs pyarrow or fastparquet beside pandas: pip install pyarrow (Debian 12 has no package of "
    "either), or take --format csv"
)


def write(paths: list[str], form: str, folder: Path) -> str:
    """Writes every table of results.h5 files, of runs or sweeps, as csv or parquet: into the folder, of several
    files into one each (1, 2, .. in order). Returns what is printed."""
    if form == "parquet" and not any(map(importlib.util.find_spec, PARQUET)):
        raise ResultError(NO_PARQUET)
    lines = []
    for number, path in enumerate(paths, 1):
        place = folder / str(number) if len(paths) > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        tables = load_tables(path)
        for name, table in tables.items():
            _write_table(table, place / f"{name}.{form}")
        sizes = ", ".join(f"{name} {len(table):,}" for name, table in tables.items())
        lines.append(f"{path}: written to {place}: {sizes} rows\n")
    return "".join(lines)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)


def render(results: list[Result], names: list[str], columns: list[str] | None) -> str:
    """CSV of /summary and of columns of /pools (pools[NAME].COLUMN) and /classes (classes[PRIORITY].COLUMN): all
    of them, or those named."""
    rows = [_values(result) for result in results]
    known = list(dict.fromkeys(name for row in rows for name in row))
    for column in columns or []:
        if column not in known:
            raise ResultError(
                f"{results[0].path}: no figure {column}, export without --columns lists them"
            )
    columns = columns or known
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *columns])
    for name, row in zip(names, rows):
        writer.writerow([name, *(row.get(column, "") for column in columns)])
    return text.getvalue()


def _values(result: Result) -> dict[str, object]:
    values: dict[str, object] = {"checksum": result.checksum, **result.summary}
    for _, pool in result.pools.iterrows():
        values |= {f"pools[{pool['name']}].{key}": pool[key] for key in pool.index if key != "name"}
    for priority, row in result.classes.iterrows():
        values |= {f"classes[{priority}].{key}": row[key] for key in row.index if key != "priority"}
    return values
