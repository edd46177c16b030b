"""What the tests share: a folder of their own, and results made in it."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from synthetic import Synthetic

from tandem_analysis import cli
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


class SharedFolder(Folder):
    """And a folder for the whole class, of runs that no test changes."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.shared = Path(tempfile.mkdtemp(prefix="tandem-analysis-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)


class CommandFolder(SharedFolder):
    """And a command to run in it that draws what the program printed."""

    command = ""

    def run_it(self, *words: object, stdin: str = "") -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with mock.patch("sys.stdin", io.StringIO(stdin)):
                status = cli.main([self.command, *map(str, words)])
        return status, out.getvalue(), err.getvalue()

    def write(self, name: str, text: str) -> Path:
        """A file of the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def is_png(self, path: Path) -> None:
        """Of the width that all figures have."""
        content = path.read_bytes()
        self.assertEqual(content[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(int.from_bytes(content[16:20], "big"), 1200)
