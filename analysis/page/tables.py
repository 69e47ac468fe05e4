"""Write one table as HTML for the page, as CSV with full precision, and as Markdown with the shown precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.page.html import clean, esc
from analysis.page.words import plain
from mer.files import write_text
from mer.terminal.spreadsheet import csv_text

_LONG = 28  # characters; such text gets room, however narrow the page


@dataclass(frozen=True)
class Table:
    """A table of raw values.

    Args:
        name: file name without ending.
        header: column headings.
        rows: raw values; None is an empty cell.
        formats: column heading -> how a value of it is shown; others as people write them.
        marks: a CSS class per row, for the page only.
        lanes: column heading -> the value that fills its bar; for the page only.
        frozen: how many columns stay in view when the table is scrolled sideways, 0 to 2.
        right: columns of text that is set like numbers.
        caption: what the table shows, for readers that do not see what stands around it.
    """

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    formats: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    marks: Sequence[str] = ()
    lanes: Mapping[str, float] = field(default_factory=dict)
    frozen: int = 1
    right: Sequence[str] = ()
    caption: str = ""

    def shown(self, column: int, value: Any) -> str:
        return "" if value is None else self.formats.get(self.header[column], plain)(value)

    def csv(self) -> str:
        """Write full precision; no cell is run as a formula."""
        return csv_text(
            [[clean(text) for text in self.header], *([_cell(value) for value in row] for row in self.rows)]
        )

    def markdown(self) -> str:
        lines = [[_inline(text) for text in self.header]]
        lines += [["---:" if self._numeric(c) else "---" for c in range(len(self.header))]]
        lines += [[_inline(self.shown(c, value)) for c, value in enumerate(row)] for row in self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"

    def html(self, limit: int | None = None, css: str = "") -> str:
        """Write the table for the page; it scrolls by itself when it is wider than the page.

        Args:
            limit: rows beyond it are left to the CSV file.
            css: "tight" keeps each cell on one line.
        """
        rows = self.rows[:limit]
        marks = [*self.marks, *[""] * len(rows)]
        numeric = [self._numeric(column) or self.header[column] in self.right for column in range(len(self.header))]
        head = "".join(
            f'<th scope="col"{self._css(c, numeric[c])}>{esc(text).replace("_", "_<wbr>").replace(".", ".<wbr>")}</th>'
            for c, text in enumerate(self.header)
        )
        body = "".join(
            f"<tr{f' class={chr(34)}{mark}{chr(34)}' if mark else ''}>"
            + "".join(self._td(c, value, numeric[c]) for c, value in enumerate(row))
            + "</tr>"
            for row, mark in zip(rows, marks, strict=False)
        )
        left = len(self.rows) - len(rows)
        note = f'<p class="note">{left} more rows in {esc(self.name)}.csv</p>' if left else ""
        two = " two" if self.frozen == 2 else ""
        caption = f"<caption>{esc(self.caption)}</caption>" if self.caption else ""
        return (
            f'<div class="wide {css}{two}" tabindex="0" role="region" aria-label="{esc(self.caption or self.name)}">'
            f'<table class="sortable">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}'
        )

    def _td(self, column: int, value: Any, numeric: bool) -> str:
        text, key = esc(self.shown(column, value)), ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            key = f' data-v="{float(value):.9g}"'
        if (most := self.lanes.get(self.header[column])) is not None:
            part = 100 * min(max(float(value or 0.0) / (most or 1.0), 0.0), 1.0)
            return f'<td class="lane"{key} title="{text}"><i style="width:{part:.1f}%"></i></td>'
        if column == 0:
            return f'<th scope="row"{self._css(column, numeric)}{key}>{text}</th>'
        if len(text) > _LONG and not numeric:
            return f'<td class="long">{text}</td>'
        return f"<td{self._css(column, numeric)}{key}>{text}</td>"

    def _css(self, column: int, numeric: bool) -> str:
        names = ["n"] if numeric else []
        if column < self.frozen and len(self.header) > 5:
            names += ["fix", f"f{column}", *(["last"] if column == self.frozen - 1 else [])]
        return f' class="{" ".join(names)}"' if names else ""

    def _numeric(self, column: int) -> bool:
        values = [row[column] for row in self.rows if row[column] is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)

    def write(self, folder: Path) -> None:
        write_text(folder / f"{self.name}.csv", self.csv())
        write_text(folder / f"{self.name}.md", self.markdown())


def _cell(value: Any) -> object:
    if value is None:
        return ""
    if isinstance(value, bool | list | tuple):
        return clean(plain(value))
    return repr(value) if isinstance(value, float) else value if isinstance(value, int) else clean(value)


def _inline(text: str) -> str:
    """Write text so that it stays in its cell of a Markdown table."""
    return clean(text).replace("|", "\\|").replace("<", "&lt;").replace("\r", " ").replace("\n", " ")
