"""GPU files: read as JSON, written as those of clusters/gpus: a line a key, a line a group."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tandem_analysis import roofline
from tandem_analysis.measurements import MeasurementError

NEEDED = ("name", "peak_bf16_tflops", "bandwidth_gb_per_s")


def find(name: str) -> Path:
    """The file of a GPU: a path, or a name of ./clusters, $TANDEM_PATH, or Tandem's clusters."""
    if name.endswith(".json") or os.sep in name:
        return Path(name)
    folders = ["clusters", *filter(None, os.environ.get("TANDEM_PATH", "").split(":"))]
    paths = [Path(folder) / "gpus" / f"{name}.json" for folder in folders]
    paths.append(roofline.ROOT / "clusters/gpus" / f"{name}.json")
    return next((path for path in paths if path.exists()), paths[-1])


def load(path: Path) -> dict[str, Any]:
    """The content of a GPU file; only what calibration needs is checked."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MeasurementError(
            f"{path}: cannot read ({error.strerror}), give --gpu a file or a name of "
            "`tandem list gpus`"
        ) from error
    except ValueError as error:
        raise MeasurementError(f"{path}: not JSON ({error}), correct it") from error
    if not isinstance(content, dict):
        content = {}
    missing = next((k for k in NEEDED if k not in content), None)
    if missing:
        raise MeasurementError(
            f"{path}: no {missing}, it is not a GPU file (see tandem describe gpu)"
        )
    return content


def text(content: dict[str, Any]) -> str:
    """The file's text."""
    return _text(content, "") + "\n"


def write(path: Path, words: str) -> None:
    """Writes a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(words, encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _text(value: Any, indent: str) -> str:
    flat = not isinstance(value, dict) or not any(isinstance(v, dict) for v in value.values())
    if flat and indent:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + "  "
    lines = [f"{inner}{json.dumps(key)}: {_text(item, inner)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
