"""CSV files of measured operators and iterations. An error names file, line, column and remedy."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DTYPES = ("bf16", "fp8", "fp8_block", "fp4")  # of which GPU files have matrix coefficients


class MeasurementError(Exception):
    """What is wrong with the input, and the remedy; the text begins with the path."""


@dataclass(frozen=True)
class Column:
    """A column of a CSV."""

    name: str
    meaning: str  # with its unit
    choices: tuple[str, ...] = ()  # of words; a number where there are none
    word: bool = False  # any word
    zero: bool = False  # may be 0
    whole: bool = False  # a count
    default: float | None = None  # where the file has no such column


OPERATOR = Column("operator", "", ("gemm", "prefill_attention", "decode_attention", "allreduce"))
HEADS = (
    Column("heads", "query heads on the GPU", whole=True),
    Column("kv_heads", "KV heads on the GPU", whole=True),
    Column("head_dim", "width of a head", whole=True),
)
OPERATORS = {
    "gemm": (
        Column("dtype", "of the weights", DTYPES),
        Column("m", "rows of the activations: tokens", whole=True),
        Column("n", "columns of the result", whole=True),
        Column("k", "what is summed over: a m x k matrix times a k x n one", whole=True),
    ),
    "prefill_attention": (
        *HEADS,
        Column("prefill_tokens", "tokens of all prompts together", whole=True),
        Column("prefill_work", "sum over prompts (chunks) of c (kv_before + c/2), c their tokens"),
    ),
    "decode_attention": (
        *HEADS,
        Column("sequences", "that decode a token each", whole=True),
        Column("context_tokens", "contexts of all sequences together, the new tokens included"),
        Column("kv_bytes", "bytes of a cached value: 2 for bf16, 1 for fp8"),
    ),
    "allreduce": (
        Column("bytes", "of the buffer that each GPU has"),
        Column("gpus", "that take part", whole=True),
    ),
}
TIME_US = Column("time_us", "measured time of one run on the GPU, us")
ITERATIONS = (
    Column("model", "name of a model of Tandem, or a config.json", word=True),
    Column("tensor_parallel", "GPUs that share the model", whole=True),
    Column("prefill_tokens", "tokens of each prompt; 0: no prompts", zero=True, whole=True),
    Column("prompts", "of prefill_tokens each", zero=True, default=1, whole=True),
    Column("decode_sequences", "that decode a token each", zero=True, whole=True),
    Column("context_tokens", "mean context of a sequence, its new token included", zero=True),
    Column(
        "eager_factor", "host's time of a layer of this architecture over Llama's", default=1
    ),
    Column("time_ms", "measured time of the iteration, ms"),
)
SPLITWISE = (
    Column("model", "only llama2-70b is taken", word=True),
    Column("hardware", "a100-80gb, h100-80gb", word=True),
    Column("prompt_size", "tokens of each prompt", whole=True),
    Column("batch_size", "prompts, then sequences that decode", whole=True),
    Column("token_size", "output tokens that were asked for", whole=True),
    Column("prompt_time", "prefill of the batch, ms"),
    Column("token_time", "a decode step, ms"),
    Column("e2e_time", "the whole batch, ms"),
    Column("tensor_parallel", "GPUs that share the model", whole=True),
)
SPLITWISE_GPUS = {"a100-sxm-80gb": "a100-80gb", "h100-sxm": "h100-80gb"}
SPLITWISE_MODELS = {"llama2-70b": "llama-2-70b"}
IN_PIECES = 1.1  # e2e_time over its parts from which a batch cannot have run in one piece
FORMATS = ("operators", "iterations", "splitwise")


@dataclass
class Measurements:
    """Rows of one file. `seconds` is the measured time, `line` where a row stands."""

    path: str
    sha256: str
    kind: str  # operators or iterations
    frame: pd.DataFrame
    remarks: list[str]  # what was left out, and why


def columns_text() -> str:
    """The columns of each format, with units."""
    lines = ["operators: a row is the time of one operator on one GPU"]
    lines += [f"  {'operator':18}{_words(OPERATOR)}", f"  {TIME_US.name:18}{TIME_US.meaning}"]
    for operator, columns in OPERATORS.items():
        lines += [f"  {operator}", *(f"    {c.name:16}{_described(c)}" for c in columns)]
    lines += ["iterations: a row is the time of one iteration (forward pass) of one replica"]
    lines += [f"  {c.name:18}{_described(c)}" for c in ITERATIONS]
    lines += ["splitwise: data/perf_model.csv of github.com/Mutinifni/splitwise-sim; of its columns"]
    lines += [f"  {c.name:18}{c.meaning}" for c in SPLITWISE]
    return "\n".join(lines) + "\n"


def read(path: str, form: str | None, hardware: str | None, gpu: str) -> Measurements:
    """Rows of a file; form: one of FORMATS, None: by its header; hardware: rows of a splitwise file to
    take, None: those of the GPU of that name."""
    content = _content(path)
    lines = _lines(path, content)
    header = _header(path, lines)
    form = form or _form(path, header)
    digest = hashlib.sha256(content).hexdigest()
    if form == "operators":
        frame, remarks = _operators(path, header, lines), []
    elif form == "iterations":
        frame, remarks = _iterations(path, header, lines), []
    else:
        frame, remarks = _splitwise(path, header, lines, _hardware(path, hardware, gpu))
    if frame.empty:
        raise MeasurementError(f"{path}: no measurements below the header, add rows")
    return Measurements(
        path, digest, "operators" if form == "operators" else "iterations", frame, remarks
    )


def _described(column: Column) -> str:
    default = "" if column.default is None else f" ({column.default:g} where there is no column)"
    return (f"{column.meaning}: " if column.choices else column.meaning) + _words(column) + default


def _words(column: Column) -> str:
    return ", ".join(column.choices)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise MeasurementError(f"{path}: cannot read ({error.strerror}), name a CSV file") from error


def _lines(path: str, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that is not empty."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MeasurementError(f"{path}:{line}: not UTF-8 text, save it as CSV") from error
    reader = csv.reader(text.splitlines(), strict=True)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise MeasurementError(
                f"{path}:{reader.line_num}: not CSV ({error}), save it with commas"
            ) from error
        if fields:
            yield reader.line_num, [field.strip() for field in fields]


def _header(path: str, lines: Iterator[tuple[int, list[str]]]) -> list[str]:
    _, header = next(lines, (1, []))
    if not header:
        raise MeasurementError(f"{path}: empty, the first line names the columns (see --columns)")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise MeasurementError(f"{path}:1: column '{twice}' is there twice, remove one")
    return header


def _form(path: str, header: list[str]) -> str:
    for form, column in (
        ("operators", "operator"),
        ("splitwise", "prompt_size"),
        ("iterations", "time_ms"),
    ):
        if column in header:
            return form
    raise MeasurementError(
        f"{path}:1: no column 'operator' or 'time_ms', so it has neither operators nor iterations "
        "(see --columns)"
    )


def _hardware(path: str, hardware: str | None, gpu: str) -> str:
    if hardware:
        return hardware
    if gpu in SPLITWISE_GPUS:
        return SPLITWISE_GPUS[gpu]
    raise MeasurementError(
        f"{path}: which rows are of {gpu}? Say --hardware with a name of the column 'hardware'"
    )


def _need(path: str, header: list[str], columns: tuple[Column, ...], what: str) -> None:
    for column in columns:
        if column.name not in header and column.default is None:
            raise MeasurementError(
                f"{path}:1: no column '{column.name}', {what} need it (see --columns)"
            )


def _rows(path: str, header: list[str], lines: Iterator[tuple[int, list[str]]]) -> Iterator[dict]:
    for line, fields in lines:
        if len(fields) != len(header):
            raise MeasurementError(
                f"{path}:{line}: {len(fields)} fields and {len(header)} columns, correct the line"
            )
        yield {"line": line, **dict(zip(header, fields))}


def _value(path: str, row: dict, column: Column) -> str | float:
    text = row.get(column.name)
    if text is None:
        return int(column.default) if column.whole else column.default
    where = f"{path}:{row['line']}: column '{column.name}'"
    if column.choices or column.word:
        if column.choices and text not in column.choices or not text:
            expected = f"one of {', '.join(column.choices)}" if column.choices else "a name"
            raise MeasurementError(f"{where}: '{text}' is not {expected}, correct it")
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    wrong = not math.isfinite(number) or number < 0 or number == 0 and not column.zero
    if wrong or column.whole and number != int(number):
        kind = "whole number" if column.whole else "number"
        expected = f"0 or a positive {kind}" if column.zero else f"a positive {kind}"
        raise MeasurementError(f"{where}: '{text}' is not {expected}, correct it or remove the line")
    return int(number) if column.whole else number


def _taken(path: str, row: dict, columns: tuple[Column, ...]) -> dict:
    return {"line": row["line"], **{c.name: _value(path, row, c) for c in columns}}


def _operators(
    path: str, header: list[str], lines: Iterator[tuple[int, list[str]]]
) -> pd.DataFrame:
    taken, seen = [], set()
    for row in _rows(path, header, lines):
        operator = _value(path, row, OPERATOR)
        columns = (*OPERATORS[operator], TIME_US)
        if operator not in seen:
            _need(path, header, columns, f"rows of {operator}")
            seen.add(operator)
        taken.append({"operator": operator, **_taken(path, row, columns)})
    frame = pd.DataFrame(taken)
    if not frame.empty:
        frame["seconds"] = frame.pop("time_us") / 1e6
    return frame


def _iterations(
    path: str, header: list[str], lines: Iterator[tuple[int, list[str]]]
) -> pd.DataFrame:
    _need(path, header, ITERATIONS, "iterations")
    taken = []
    for row in _rows(path, header, lines):
        new = _taken(path, row, ITERATIONS)
        where = f"{path}:{row['line']}"
        if new["prefill_tokens"] * new["prompts"] == 0 and new["decode_sequences"] == 0:
            raise MeasurementError(
                f"{where}: neither prefill_tokens nor decode_sequences, remove the line"
            )
        if new["decode_sequences"] > 0 and new["context_tokens"] == 0:
            raise MeasurementError(
                f"{where}: column 'context_tokens': 0 with decode_sequences, "
                "give their mean context"
            )
        taken.append(new)
    frame = pd.DataFrame(taken)
    if not frame.empty:
        frame["seconds"] = frame.pop("time_ms") / 1e3
    return frame


def _splitwise(
    path: str, header: list[str], lines: Iterator[tuple[int, list[str]]], hardware: str
) -> tuple[pd.DataFrame, list[str]]:
    """Each row is a prefill iteration and decode iterations of one mean length."""
    _need(path, header, SPLITWISE, "files of Splitwise")
    table = pd.DataFrame([_taken(path, row, SPLITWISE) for row in _rows(path, header, lines)])
    remarks = []
    if table.empty:
        return table, remarks
    if hardware.endswith("-pcap"):
        raise MeasurementError(
            f"{path}: rows of {hardware} are derived (prompt_time is 1.3 times that of the card "
            "without a power cap) and not measured, choose another --hardware"
        )
    there = sorted(set(table["hardware"]))
    table = table[(table["hardware"] == hardware) & table["model"].isin(SPLITWISE_MODELS)]
    if table.empty:
        raise MeasurementError(
            f"{path}: no rows of {' or '.join(SPLITWISE_MODELS)} on {hardware}, the file has "
            f"{', '.join(there)}: choose with --hardware"
        )
    again = table.duplicated([column.name for column in SPLITWISE])
    table = table[~again]
    parts = table["prompt_time"] + (table["token_size"] - 1) * table["token_time"]
    pieces = table["e2e_time"] > IN_PIECES * parts
    for left_out, why in (
        (again, "the same measurement again"),
        (pieces, "longer than prefill and steps together, so the batch did not fit at once"),
    ):
        if left_out.any():
            remarks.append(f"{int(left_out.sum())} rows of {hardware} left out: {why}")
    return _two_iterations(table[~pieces]), remarks


def _two_iterations(table: pd.DataFrame) -> pd.DataFrame:
    """Generation may have stopped before token_size: e2e_time tells how many steps there were. Step i has
    the prompt and i tokens in its context, the new one included."""
    steps = ((table["e2e_time"] - table["prompt_time"]) / table["token_time"]).round()
    steps = np.clip(steps, 1, np.maximum(table["token_size"] - 1, 1))
    common = {
        "line": table["line"],
        "model": table["model"].map(SPLITWISE_MODELS),
        "tensor_parallel": table["tensor_parallel"],
        "eager_factor": 1.0,
    }
    prefill = pd.DataFrame(
        {
            **common,
            "prefill_tokens": table["prompt_size"],
            "prompts": table["batch_size"],
            "decode_sequences": 0,
            "context_tokens": 0.0,
            "seconds": table["prompt_time"] / 1e3,
        }
    )
    decode = pd.DataFrame(
        {
            **common,
            "prefill_tokens": 0,
            "prompts": 0,
            "decode_sequences": table["batch_size"],
            "context_tokens": table["prompt_size"] + (steps + 1) / 2,
            "seconds": table["token_time"] / 1e3,
        }
    )
    both = pd.concat([prefill, decode])
    return both.sort_values("line", kind="stable").reset_index(drop=True)
