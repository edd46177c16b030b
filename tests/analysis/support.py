"""What the tests share: a folder of their own, and results made in it."""

from __future__ import annotations

import shutil
import tempfile
import unittest
from pathlib import Path

from synthetic import Synthetic

from tandem_analysis.load import Result, load_all

PAIR = (("prefill", "prefill", 2, 4), ("decode", "decode", 2, 4))


class Folder(unittest.TestCase):
    """A temporary folder per test."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tandem-analysis-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def made(self, *runs: Synthetic) -> list[Result]:
        """Writes the runs and loads them together."""
        return load_all([str(run.write(self.folder / str(i))) for i, run in enumerate(runs)])
