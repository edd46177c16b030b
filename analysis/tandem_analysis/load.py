"""Reads results.h5: every dataset under the name that it has in the file, in the file's units."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A results.h5 gets its name when it is finished: no lock (which some folders lack) is needed.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

SCHEMA_VERSION = 1
METRICS = ("ttft", "ttft_prefill", "tpot", "itl", "e2e", "queue", "transfer")
AGAIN = "copy it again or repeat the run"


class ResultError(Exception):
    """What is wrong with a file or folder, and the remedy; the text begins with its path."""


@dataclass
class Result:
    """One run. Times are ns unless a name says otherwise; shares are in [0, 1]."""

    path: str
    label: str  # name in tables and figures, unique after load_all
    schema_version: int
    tandem_version: str
    checksum: str  # 16 hex digits
    configuration: dict[str, Any]  # the resolved experiment
    trace_sha256: str  # empty for generated workloads
    summary: dict[str, float]  # /summary by dataset name
    pools: pd.DataFrame
    instances: pd.DataFrame
    classes: pd.DataFrame  # of priority; empty in files from before there were classes
    histograms: dict[
        str, pd.DataFrame
    ]  # by metric: low_ns, high_ns, count; empty where nothing was counted
    timeseries: dict[
        str, pd.DataFrame
    ]  # by pool, with width_ns of each bin; empty where they are off
    has_requests: bool
    one_in: int = 1  # /requests has the requests whose id is a multiple of it
    iterations_cut_ns: int | None = None  # None: no records; -1: of all; else of those before it

    def value(self, name: str) -> float:
        """A scalar of /summary."""
        if name not in self.summary:
            raise ResultError(f"{self.path}: no dataset /summary/{name}, it is damaged: {AGAIN}")
        return self.summary[name]

    def counted(self, metric: str) -> bool:
        """Whether a latency has any values (TPOT has none where every request has one token)."""
        return not self.histograms[metric].empty

    def requests(self) -> pd.DataFrame | None:
        """/requests by id, in order of arrival: one request in one_in; None where no rows were kept."""
        if not self.has_requests:
            return None
        frame = _guarded(self.path, lambda file: _frame(self.path, file["requests"]))
        frame.index = pd.RangeIndex(0, len(frame) * self.one_in, self.one_in, name="id")
        return frame

    def iterations(self) -> pd.DataFrame:
        """/iterations in order of start; phase is a word. Raises ResultError where there are no records."""
        if self.iterations_cut_ns is None:
            raise ResultError(
                f"{self.path}: no records of iterations, repeat the run with --set output.iterations=true"
            )
        return _guarded(self.path, lambda file: _named(self.path, file["iterations"], ["phase"]))

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return str(self.configuration.get("name") or Path(self.path).parent.name)

    @property
    def cluster(self) -> str:
        """Name of the cluster."""
        return _name_of(self.configuration.get("cluster"))

    @property
    def model(self) -> str:
        """Name of the model."""
        return _name_of(self.configuration.get("model"))


@dataclass
class Sweep:
    """A sweep: a row a point in points and parameters; pools and classes have the column point, such a row."""

    path: str
    configuration: dict[str, Any]
    points: pd.DataFrame  # name, status (a word), error, warnings, checksum, and a run's /summary
    parameters: pd.DataFrame  # by the path that is set; numbers or words
    pools: pd.DataFrame
    classes: pd.DataFrame


def load(path: str | os.PathLike[str]) -> Result:
    """Reads one results.h5, or the one in a folder. Raises ResultError."""
    path = _file_of(path)
    return _guarded(path, lambda file: _read(path, file))


def is_sweep(path: str | os.PathLike[str]) -> bool:
    """Whether a results.h5, or the one in a folder, is of a sweep. Raises ResultError."""
    path = _file_of(path)
    return _guarded(path, _is_sweep)


def load_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Reads the results.h5 that `tandem sweep` wrote, or the one in a folder. Raises ResultError."""
    path = _file_of(path)
    return _guarded(path, lambda file: _read_sweep(path, file))


def load_tables(path: str | os.PathLike[str]) -> dict[str, pd.DataFrame]:
    """Every table of a results.h5, of a run or a sweep, by its group's name; groups of groups (a time series a
    pool) are one table with the group's name in the column `group`. Raises ResultError."""
    path = _file_of(path)

    def read(file: h5py.File) -> dict[str, pd.DataFrame]:
        _schema_version(path, file)
        tables = {name: _table(path, group) for name, group in file.items() if name != "point"}
        for number, point in file.get("point", {}).items():
            tables |= {f"point_{number}_{name}": _table(path, group) for name, group in point.items()}
        if "requests" in tables:
            one_in = _one_in(path, file)
            tables["requests"].insert(0, "id", range(0, len(tables["requests"]) * one_in, one_in))
        return tables

    return _guarded(path, read)


def _table(path: str, group: h5py.Group) -> pd.DataFrame:
    """Columns, with words for enumerations; of scalars one row."""
    groups = [(name, item) for name, item in group.items() if isinstance(item, h5py.Group)]
    if groups:
        parts = {name: _table(path, item) for name, item in groups}
        return pd.concat(
            [part.assign(group=name)[["group", *part.columns]] for name, part in parts.items()],
            ignore_index=True,
        )
    if all(item.ndim == 0 for item in group.values()):
        return pd.DataFrame({name: [_scalar(item)] for name, item in group.items()})
    return _named(path, group, [name for name, item in group.items() if "names" in item.attrs])


def _file_of(path: str | os.PathLike[str]) -> str:
    """The file, or the results.h5 in the folder; checked."""
    path = os.fspath(path)
    if os.path.isdir(path):
        path = os.path.join(path, "results.h5")
    _check_file(path)
    return path


def _is_sweep(file: h5py.File) -> bool:
    return _text(file.attrs.get("kind", "")) in ("sweep", "search")


def _read_sweep(path: str, file: h5py.File) -> Sweep:
    _schema_version(path, file)
    if not _is_sweep(file):
        raise ResultError(f"{path}: the results of one run, expected those of `tandem sweep`")
    points = _named(path, _group(path, file, "points"), ["status"])
    parameters = _frame(path, _group(path, file, "parameters"))
    for name in ("name", "status", "error", "checksum"):
        if name not in points:
            raise ResultError(f"{path}: no dataset /points/{name}, it is damaged: {AGAIN}")
    if len(parameters.columns) and len(parameters) != len(points):
        raise ResultError(
            f"{path}: /points and /parameters differ in length, it is damaged: {AGAIN}"
        )
    pools, classes = (
        _frame(path, file[name]) if name in file else pd.DataFrame({"point": []})
        for name in ("pools", "classes")
    )
    return Sweep(path, _configuration(path, file), points, parameters, pools, classes)


def load_all(paths: list[str]) -> list[Result]:
    """Reads several results and gives them labels that differ."""
    results = [load(path) for path in paths]
    for result, label in zip(results, _labels(results)):
        result.label = label
    return results


def _labels(results: list[Result]) -> list[str]:
    folders = [
        os.path.basename(os.path.dirname(os.path.abspath(result.path))) for result in results
    ]
    for names in ([r.name for r in results], [r.cluster for r in results], folders):
        if all(names) and len(set(names)) == len(names):
            return names
    return [f"{result.name} #{i}" for i, result in enumerate(results, 1)]


def _name_of(node: Any) -> str:
    if isinstance(node, dict):
        return str(node.get("name", ""))
    return str(node) if node else ""


def _check_file(path: str) -> None:
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise ResultError(f"{path}: no such file, expected the results.h5 of a run") from None
    except OSError as error:
        raise ResultError(
            f"{path}: cannot read it ({error.strerror}), check its permissions"
        ) from None
    if empty:
        raise ResultError(f"{path}: the file is empty, {AGAIN}")
    if not h5py.is_hdf5(path):
        raise ResultError(f"{path}: not an HDF5 file, expected the results.h5 of a run")


def _guarded(path: str, read: Any) -> Any:
    """Opens the file and reads from it; what h5py raises becomes a ResultError."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise ResultError(f"{path}: the file is truncated, {AGAIN}") from None
        raise ResultError(f"{path}: cannot open it as HDF5, it is damaged: {AGAIN}") from None
    with file:
        try:
            return read(file)
        except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split()).strip("'\"")
            raise ResultError(f"{path}: it is damaged ({reason}), {AGAIN}") from None


def _read(path: str, file: h5py.File) -> Result:
    version = _schema_version(path, file)
    if _is_sweep(file):
        raise ResultError(
            f"{path}: the results of a sweep, use the commands sweep, pareto and breakeven"
        )
    configuration = _configuration(path, file)
    summary = {name: _scalar(item) for name, item in _group(path, file, "summary").items()}
    histograms = {name: _histogram(path, file, name) for name in METRICS}
    return Result(
        path=path,
        label=str(configuration.get("name", path)),
        schema_version=version,
        tandem_version=_text(file.attrs.get("tandem_version", "")),
        checksum=_checksum(file.attrs.get("checksum", "")),
        configuration=configuration,
        trace_sha256=_trace_sha256(file, configuration),
        summary=summary,
        pools=_frame(path, _group(path, file, "pools")),
        instances=_frame(path, _group(path, file, "instances")),
        classes=_frame(path, _group(path, file, "classes") if "classes" in file else {}),
        histograms=histograms,
        timeseries=_timeseries(path, file, int(summary.get("end_ns", 0))),
        has_requests="requests" in file and len(file["requests"]) > 0,
        one_in=_one_in(path, file),
        iterations_cut_ns=(
            int(file["iterations"].attrs.get("cut_ns", -1)) if "iterations" in file else None
        ),
    )


def _schema_version(path: str, file: h5py.File) -> int:
    if "schema_version" not in file.attrs or "configuration" not in file.attrs:
        raise ResultError(
            f"{path}: HDF5, but not written by Tandem: expected the results.h5 of a run"
        )
    version = int(file.attrs["schema_version"])
    if version > SCHEMA_VERSION:
        writer = _text(file.attrs.get("tandem_version", "")) or "a newer version"
        raise ResultError(
            f"{path}: schema version {version}, newer than the {SCHEMA_VERSION} that this "
            f"package reads, use the analysis/ of Tandem {writer}"
        )
    return version


def _one_in(path: str, file: h5py.File) -> int:
    """Files from before there were samples have no such attribute: they have all requests."""
    one_in = int(file["requests"].attrs.get("one_in", 1)) if "requests" in file else 1
    if one_in < 1:
        raise ResultError(f"{path}: /requests has one_in {one_in}, it is damaged: {AGAIN}")
    return one_in


def _configuration(path: str, file: h5py.File) -> dict[str, Any]:
    try:
        configuration = json.loads(_text(file.attrs["configuration"]))
    except ValueError:
        configuration = None
    if not isinstance(configuration, dict):
        raise ResultError(f"{path}: its configuration is not a JSON object, it is damaged: {AGAIN}")
    return configuration


def _trace_sha256(file: h5py.File, configuration: dict[str, Any]) -> str:
    workload = configuration.get("workload")
    trace = workload.get("trace") if isinstance(workload, dict) else None
    inside = trace.get("sha256", "") if isinstance(trace, dict) else ""
    return _text(file.attrs.get("trace_sha256", "")) or str(inside)


def _group(path: str, parent: h5py.Group, name: str) -> h5py.Group:
    group = parent.get(name)
    if not isinstance(group, h5py.Group):
        inside = f"{parent.name.rstrip('/')}/{name}"
        raise ResultError(f"{path}: no group {inside}, expected the results.h5 of one finished run")
    return group


def _histogram(path: str, file: h5py.File, metric: str) -> pd.DataFrame:
    frame = _frame(path, _group(path, _group(path, file, "histograms"), metric))
    for name in ("low_ns", "high_ns", "count"):
        if name not in frame:
            raise ResultError(
                f"{path}: no dataset /histograms/{metric}/{name}, it is damaged: {AGAIN}"
            )
    return frame


def _timeseries(path: str, file: h5py.File, end_ns: int) -> dict[str, pd.DataFrame]:
    """By pool; width_ns is added, the last bin is cut at the end of the run."""
    series = {}
    group = file.get("timeseries")
    for pool in group if isinstance(group, h5py.Group) else ():
        frame = _frame(path, group[pool])
        if frame.empty:
            continue
        starts = frame["start_ns"].to_numpy()
        last = max(1, min(end_ns - int(starts[-1]), int(group[pool].attrs["interval_ns"])))
        frame["width_ns"] = np.append(np.diff(starts), last)
        series[str(pool)] = frame
    return series


def _frame(path: str, group: h5py.Group | dict[str, Any]) -> pd.DataFrame:
    """The one-dimensional datasets of a group as columns."""
    columns = {
        name: _column(item)
        for name, item in group.items()
        if isinstance(item, h5py.Dataset) and item.ndim == 1
    }
    if len({len(column) for column in columns.values()}) > 1:
        raise ResultError(
            f"{path}: the columns of {group.name} differ in length, it is damaged: {AGAIN}"
        )
    return pd.DataFrame(columns)


def _named(path: str, group: h5py.Group, enumerations: list[str]) -> pd.DataFrame:
    """As _frame, with the words of enumerations in place of their numbers."""
    frame = _frame(path, group)
    for name in enumerations:
        words = [_text(word) for word in group[name].attrs["names"]]
        frame[name] = [words[number] for number in frame[name]]
    return frame


def _column(dataset: h5py.Dataset) -> np.ndarray:
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[:]
    return dataset[:]


def _scalar(dataset: h5py.Dataset) -> float:
    return np.asarray(dataset[()]).reshape(-1)[0].item()


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _checksum(value: Any) -> str:
    return f"{int(value):016x}" if isinstance(value, (int, np.integer)) else _text(value)
