"""One HTML page with everything in it: tables, PNG figures, their data. It loads nothing."""

from __future__ import annotations

import base64
import html
from pathlib import Path

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1240px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.7em; } h2 { font-size: 1.3em; border-bottom: 1px solid #ccc; margin-top: 2em; } h3 { font-size: 1.05em; }
table { border-collapse: collapse; font-size: 0.9em; display: block; overflow-x: auto; }
td, th { padding: 0.2em 0.8em; border-bottom: 1px solid #e3e3e3; text-align: right; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; } th { background: #f4f4f4; }
figure { margin: 1.5em 0; } img { max-width: 100%; height: auto; } figcaption { color: #555; font-size: 0.9em; }
pre { background: #f7f7f7; padding: 0.8em; overflow-x: auto; font-size: 0.85em; } p { margin: 0.4em 0; } p.in { margin-left: 2em; }
"""


class Page:
    """Grows from top to bottom; everything that is given to it is text, not HTML."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.parts: list[str] = []

    def heading(self, text: str, level: int = 2) -> None:
        """Level 2 or 3."""
        self.parts.append(f"<h{level}>{html.escape(text)}</h{level}>")

    def lines(self, lines: list[str]) -> None:
        """A paragraph a line; what begins with blanks is indented."""
        for line in filter(None, lines):
            kind = ' class="in"' if line.startswith(" ") else ""
            self.parts.append(f"<p{kind}>{html.escape(line.strip())}</p>")

    def code(self, text: str, summary: str = "") -> None:
        """A text as it is; with a summary folded below it."""
        block = f"<pre>{html.escape(text)}</pre>"
        if summary:
            block = f"<details><summary>{html.escape(summary)}</summary>{block}</details>"
        self.parts.append(block)

    def table(self, heads: list[str], rows: list[list[str]]) -> None:
        """Cells as text; a row of one cell is a heading over all columns."""
        lines = ["".join(f"<th>{html.escape(head)}</th>" for head in heads)]
        for row in rows:
            if len(row) == 1 < len(heads):
                lines.append(f'<th colspan="{len(heads)}">{html.escape(row[0])}</th>')
            else:
                lines.append("".join(f"<td>{html.escape(cell)}</td>" for cell in row))
        body = "".join(f"<tr>{line}</tr>\n" for line in lines)
        self.parts.append(f"<table>\n{body}</table>")

    def figure(self, png: Path, caption: str, csv: Path | None = None) -> None:
        """A picture, its caption, and what it shows for download."""
        words = html.escape(caption)
        image = base64.b64encode(png.read_bytes()).decode("ascii")
        data = ""
        if csv is not None:
            content = base64.b64encode(csv.read_bytes()).decode("ascii")
            data = f' <a download="{html.escape(csv.name)}" href="data:text/csv;base64,{content}">{html.escape(csv.name)}</a>'
        self.parts.append(
            f'<figure><img alt="{words}" src="data:image/png;base64,{image}">'
            f"<figcaption>{words}{data}</figcaption></figure>"
        )

    def write(self, path: Path) -> None:
        """The page as a file."""
        title, body = html.escape(self.title), "\n".join(self.parts)
        path.write_text(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width">\n'
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n",
            encoding="utf-8",
        )
