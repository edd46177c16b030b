"""Figures of runs by their names in results.h5: a row a run, for other programs and for scripts."""

from __future__ import annotations

import csv
import io

from tandem_analysis.load import Result, ResultError


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
