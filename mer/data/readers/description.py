"""What tells one published corpus from another: its files, the meaning of their cells, its classes and splits.

A description is read by the reader of users' own data (`mer.data.readers.own`). It says what such a user would say with
`data.columns`, `data.labels` and `data.merge_labels`; what somebody says there counts more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mer.config import Columns, DataConfig, Task
from mer.data.readers.class_names import label_reader
from mer.data.readers.derived import Cell
from mer.data.readers.layouts import Layout
from mer.data.tables import Row, Table
from mer.errors import MerError

Merges = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Description:
    """One corpus.

    Args:
        name: its `data.dataset`.
        title: the corpus and its paper, for people.
        layouts: how its files may lie; the first that is there counts.
        columns: role of `data.columns` -> cell, or a text with cells in braces.
        classes: what `data.label` predicts, in this order; rows of other labels are context.
        called: class -> labels of the files, where they differ.
        task: the label that its classes are.
        derived: cell -> how it follows from others; in this order.
        scores: what a model of numbers predicts -> the cell that has it; `data.targets` may name some of them.
        range: of the scores.
        is_told: a folder with its files can be nothing else, so that nobody needs to name it.
    """

    name: str
    title: str
    layouts: tuple[Layout, ...]
    columns: Mapping[str, str]
    classes: tuple[str, ...]
    called: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    task: Task = "emotion"
    derived: Mapping[str, Cell] = field(default_factory=dict)
    scores: Mapping[str, str] = field(default_factory=dict)
    range: tuple[float, float] | None = None
    is_told: bool = False

    def layout(self, root: Path) -> Layout | None:
        """Return the layout that a folder has."""
        return next((layout for layout in self.layouts if layout.knows(root)), None) if root.is_dir() else None

    def table(self, root: Path, encoding: str | None) -> Table:
        """Read all rows, with what follows from their cells. Raises: MerError."""
        layout = self.layout(root)
        if layout is None:
            raise MerError(
                root,
                f"nothing of {self.title} is here" if root.is_dir() else "there is no such folder",
                allowed="; or ".join(layout.wants for layout in self.layouts),
                then="--set data.root=FOLDER, or --set data.dataset=csv to have the columns guessed",
            )
        table = layout.read(root, encoding)
        rows = tuple(Row(row.path, row.line, self._completed(row.cells)) for row in table.rows)
        return Table(table.path, tuple(rows[0].cells) if rows else table.columns, rows, table.unusual)

    def _completed(self, cells: dict[str, str]) -> dict[str, str]:
        cells = dict(cells)
        for name, cell in self.derived.items():
            cells[name] = cell(cells)
        return cells

    def completed(self, data: DataConfig, table: Table) -> DataConfig:
        """Return what is said about the data, completed by what is known of the corpus."""
        there = {role: said for role, said in self.columns.items() if "{" in said or said in table.columns}
        columns = Columns(**{**there, **data.columns.model_dump()})
        if data.task != "class":
            return data.model_copy(update={"columns": columns, **self._numbers(data)})
        if data.label != self.task:
            raise MerError(
                "data.label",
                f"{self.title} has no {data.label} labels",
                allowed=self.task,
                then=f"--set data.label={self.task}",
            )
        return data.model_copy(update={"columns": columns, "merge_labels": self._merged(data)})

    def _numbers(self, data: DataConfig) -> dict[str, object]:
        """Return targets and range of a model of numbers: those of the corpus where nobody has named others."""
        if data.task != "regression" or not self.scores:
            return {}
        said = data.targets or tuple((name, name) for name in self.scores)
        targets = tuple((name, self.scores.get(column, column)) for name, column in said)
        return {"targets": targets, "range": data.range or self.range}

    def _merged(self, data: DataConfig) -> Merges:
        """Return which labels of the files are which class: as somebody said, else as in the corpus."""
        codes = {name.casefold(): found for name, found in self.called.items()}
        said = [
            (new, tuple(dict.fromkeys(code for old in olds for code in (old, *codes.get(old.casefold(), ())))))
            for new, olds in data.merge_labels
        ]
        taken = {code.casefold() for _, olds in said for code in olds}
        kept = [(name, found) for name, found in self.called.items() if taken.isdisjoint(map(str.casefold, found))]
        return (*said, *kept)

    def ordered(self, data: DataConfig, cells: Iterable[str]) -> DataConfig:
        """Return `data` with the classes of the corpus that train has, where nobody has named others.

        Args: cells: labels of train, as they are.
        """
        if data.labels:
            return data
        read = label_reader((), data, self.classes)
        counts = Counter(read(cell) for cell in cells)
        names = dict.fromkeys(read(name) for name in self.classes)  # merged ones where the first of them stood
        return data.model_copy(update={"labels": tuple(name for name in names if counts[name])})
