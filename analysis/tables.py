"""Write one table as HTML for the page, as CSV with full precision, and as Markdown with the shown precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from analysis.stores import plain
from mer.terminal.spreadsheet import csv_text


@dataclass(frozen=True)
class Table:
    """Args:
    name: file name without ending.
    header: column headings.
    rows: raw values; None is an empty cell.
    formats: column heading -> how a value of it is shown; others as people write them.
    marks: a CSS class per row, for the page only.
    """

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    formats: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    marks: Sequence[str] = ()

    def shown(self, column: int, value: Any) -> str:
        return "" if value is None else self.formats.get(self.header[column], plain)(value)

    def csv(self) -> str:
        return csv_text([self.header, *([repr(v) if isinstance(v, float) else v for v in row] for row in self.rows)])

    def markdown(self) -> str:
        lines = [list(self.header), ["---:" if self._numeric(c) else "---" for c in range(len(self.header))]]
        lines += [[self.shown(c, value).replace("|", "\\|") for c, value in enumerate(row)] for row in self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"

    def html(self, limit: int | None = None, css: str = "") -> str:
        rows = self.rows[:limit]
        marks = [*self.marks, *[""] * len(rows)]
        classes = [' class="n"' if self._numeric(column) else "" for column in range(len(self.header))]
        head = "".join(f"<th{kind}>{_breakable(text)}</th>" for text, kind in zip(self.header, classes, strict=True))
        body = "".join(
            f"<tr{f' class={chr(34)}{mark}{chr(34)}' if mark else ''}>"
            + "".join(f"<td{classes[c]}>{escape(self.shown(c, value))}</td>" for c, value in enumerate(row))
            + "</tr>"
            for row, mark in zip(rows, marks, strict=False)
        )
        more = len(self.rows) - len(rows)
        note = f'<p class="note">{more} more rows in {self.name}.csv</p>' if more else ""
        return f'<div class="wide {css}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}'

    def _numeric(self, column: int) -> bool:
        values = [row[column] for row in self.rows if row[column] is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)

    def write(self, folder: Path) -> None:
        write_text(folder / f"{self.name}.csv", self.csv())
        write_text(folder / f"{self.name}.md", self.markdown())


def _breakable(heading: str) -> str:
    """Let a heading wrap at its underscores."""
    return escape(heading).replace("_", "_<wbr>")


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def is_fraction(metric: str) -> bool:
    return not metric.endswith("_loss")


def show(metric: str, value: float | None) -> str:
    """Write a metric as people read it: fractions in percent, the loss in nats."""
    if value is None or value != value:
        return "-"
    return f"{100 * value:.2f}" if is_fraction(metric) else f"{value:.4f}"


def gap(metric: str, value: float | None) -> str:
    """Write a difference with its sign."""
    return ("+" if value is not None and value >= 0 else "") + show(metric, value)


def words(metric: str) -> str:
    """Write a metric's key in words: `dev_weighted_f1` becomes dev weighted-F1."""
    name = metric.removeprefix("dev_").removeprefix("test_")
    known = {
        "weighted_f1": "weighted-F1",
        "macro_f1": "macro-F1",
        "ece": "ECE",
        "unweighted_accuracy": "UA (unweighted accuracy)",
    }
    return known.get(name, name.replace("f1_", "F1 ").replace("_", " "))


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
