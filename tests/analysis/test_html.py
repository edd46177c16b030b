"""`report --html`: one well-formed page that loads nothing, with the verdict, tables, figures and their data."""

from __future__ import annotations

import base64
import shutil
import subprocess
import unittest
from html.parser import HTMLParser
from pathlib import Path

import synthetic_sweep
from support import PAIR, CommandFolder
from synthetic import Synthetic

from tandem_analysis.page import Page

VOID = ("meta", "img", "br")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Checker(HTMLParser):
    """Tags that are closed in order; what pages load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.errors: list[str] = []
        self.loaded: list[str] = []
        self.images: list[bytes] = []
        self.downloads: dict[str, bytes] = {}
        self.text: list[str] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.open += [tag] * (tag not in VOID)
        self.rows += tag == "tr"
        for name in ("src", "href", "srcset", "data", "action"):
            if name in values:
                self.loaded.append(str(values[name]))
        if tag == "img":
            self.images.append(
                base64.b64decode(str(values["src"]).removeprefix("data:image/png;base64,"), validate=True)
            )
            self.errors += ["a picture without words"] * (not values.get("alt"))
        if tag in ("script", "link", "iframe", "object"):
            self.errors.append(tag)
        if tag == "a":
            self.downloads[str(values["download"])] = base64.b64decode(
                str(values["href"]).rpartition(",")[2], validate=True
            )

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


class Html(CommandFolder):
    command = "report"

    @classmethod
    def setUpClass(cls) -> None:
        """One page of everything for all tests: figures are slow."""
        super().setUpClass()
        runs = [Synthetic(count=300), Synthetic(name="disagg <&>", pools=PAIR, count=300)]
        cls.paths = [run.write(cls.shared / str(i)) for i, run in enumerate(runs)]
        cls.swept = synthetic_sweep.write(cls.shared / "swept")
        cls.page = cls.shared / "page.html"
        cls.status, cls.out, cls.err = cls().run_it(
            *cls.paths, cls.swept, "--baseline", "a", "--html", cls.page
        )
        cls.checker = Checker()
        if cls.page.exists():
            cls.checker.feed(cls.page.read_text(encoding="utf-8"))
            cls.checker.close()

    def runTest(self) -> None:
        """The instance of setUpClass has none."""

    def test_is_one_page_that_loads_nothing(self) -> None:
        self.assertEqual((self.status, self.err), (0, ""))
        self.assertEqual((self.checker.open, self.checker.errors), ([], []))
        self.assertTrue(all(what.startswith("data:") for what in self.checker.loaded), "something is loaded")
        self.assertNotRegex(self.page.read_text(encoding="utf-8"), r"https?://|@import|url\(")

    def test_has_figures_with_their_data(self) -> None:
        self.assertEqual(len(self.checker.images), 8)
        for image in self.checker.images:
            self.assertEqual(image[:8], b"\x89PNG\r\n\x1a\n")
        for name in (
            "latency_cdf",
            "timeseries",
            "stages",
            "latency_over_time",
            "sweep_attainment",
            "sweep_goodput",
            "pareto",
        ):
            self.assertIn(b",", self.checker.downloads[f"{name}.csv"].splitlines()[0], name)

    def test_says_what_it_rests_on(self) -> None:
        text = " ".join(" ".join(self.checker.text).split())
        for words in (
            "disagg <&>", "is better in", "SLO TTFT", "Counted are requests that arrive from the warm-up", "1 of 36 points are failed",
            "at seeds 1, 2, 3; differences are of pairs", "Differences from a at the same seeds", "list prices of their date",
        ):  # fmt: skip
            self.assertIn(words, text)
        self.assertGreater(self.checker.rows, 60)

    def test_in_a_browser(self) -> None:
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            self.skipTest(f"none of {', '.join(BROWSERS)} is there (Debian: chromium)")
        options = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={self.folder}",
            "--dump-dom",
        )
        done = subprocess.run(
            [browser, *options, self.page.as_uri()], capture_output=True, text=True, check=False, timeout=60
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("<img"), 8)
        self.assertIn("Differences from a at the same seeds", done.stdout)

    def test_text_stays_text(self) -> None:
        page = Page("<b>&")
        page.heading("<i>")
        page.lines(["  <a href='x'>", ""])
        page.table(["<th>"], [["</table>"]])
        page.code("</pre>", "<summary>")
        path = Path(self.folder / "p.html")
        page.write(path)
        checker = Checker()
        checker.feed(path.read_text(encoding="utf-8"))
        self.assertEqual((checker.open, checker.errors, checker.loaded), ([], [], []))
        for words in ("<b>&", "<i>", "<a href='x'>", "<th>", "</table>", "</pre>", "<summary>"):
            self.assertIn(words, checker.text)

    def test_what_cannot_be(self) -> None:
        for words, arguments in {
            f"{self.paths[1]}: report tells of one result; use --html FILE for a page of several, or compare": self.paths,
            f"{self.paths[0]}: report: --x is for the page of a sweep, add --html FILE": (self.paths[0], "--x", "seed"),
            "p.html: with --html everything is in that file, leave -o away": (self.paths[0], "--html", "p.html", "-o", "x"),
            f"{self.swept}: --x rate: no such parameter, there are workload.rate_scale, workload.prompt, seed, cluster":
                (self.swept, "--html", self.folder / "p.html", "--x", "rate"),
            f"{self.swept}: no point has workload.prompt=7": (
                self.swept, "--html", self.folder / "p.html", "--where", "workload.prompt=7"
            ),
            f"{self.swept}: --baseline c: no such named point, there are a, b":
                (self.swept, "--html", self.folder / "p.html", "--baseline", "c"),
        }.items():  # fmt: skip
            self.assertEqual(self.run_it(*arguments), (2, "", f"tandem_analysis: {words}\n"))
            self.assertFalse((self.folder / "p.html").exists())


if __name__ == "__main__":
    unittest.main()
