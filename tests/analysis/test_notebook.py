"""analysis/notebook.ipynb runs from top to bottom: as Python, and in Jupyter where that is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import unittest
from unittest import mock

import synthetic_sweep
from support import SharedFolder
from synthetic import ROOT, Synthetic

from tandem_analysis import figures

NOTEBOOK = ROOT / "analysis/notebook.ipynb"


class Notebook(SharedFolder):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.environment = {
            "TANDEM_RUN": str(Synthetic(count=200).write(cls.shared / "run")),
            "TANDEM_SWEEP": str(synthetic_sweep.write(cls.shared / "swept")),
        }
        cls.notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))

    def test_as_python(self) -> None:
        names: dict[str, object] = {}
        pictures = 0
        with mock.patch.dict(os.environ, self.environment), contextlib.redirect_stdout(io.StringIO()) as said:
            for number, cell in enumerate(self.notebook["cells"]):
                if cell["cell_type"] != "code":
                    continue
                *lines, last = "".join(cell["source"]).splitlines()
                drawn = last.startswith("figures.Picture(")
                exec(compile("\n".join(lines + [last] * (not drawn)), f"cell {number}", "exec"), names)
                if drawn:
                    picture = eval(last, names)
                    self.assertIsInstance(picture, figures.Picture)
                    self.assertEqual(picture._repr_png_()[:8], b"\x89PNG\r\n\x1a\n")
                    pictures += 1
        self.assertEqual(pictures, 2)
        self.assertIn("nothing piles up", said.getvalue())

    def test_keeps_no_outputs(self) -> None:
        for cell in self.notebook["cells"]:
            self.assertFalse(cell.get("outputs"))
            self.assertIsNone(cell.get("execution_count"))

    @unittest.skipUnless(
        importlib.util.find_spec("nbclient") and importlib.util.find_spec("ipykernel"),
        "no nbclient and ipykernel here",
    )
    def test_in_jupyter(self) -> None:
        import nbclient
        import nbformat

        with mock.patch.dict(os.environ, self.environment | {"PYTHONPATH": str(ROOT / "analysis")}):
            nbclient.NotebookClient(nbformat.read(NOTEBOOK, as_version=4), timeout=60).execute()


if __name__ == "__main__":
    unittest.main()
