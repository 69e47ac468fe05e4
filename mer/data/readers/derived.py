"""Cells that follow from other cells of their row: splits by speaker, classes of a score, words for codes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

Cell = Callable[[Mapping[str, str]], str]


def held_out(column: str, *, dev: Collection[str], test: Collection[str]) -> Cell:
    """Tell the split of a row by a cell: those of `dev` and `test`, all others are train."""

    def split(cells: Mapping[str, str]) -> str:
        cell = cells[column]
        return "test" if cell in test else "dev" if cell in dev else "train"

    return split


def words_for(column: str, words: Mapping[str, str]) -> Cell:
    """Say a code in words; "" for one that is not known."""
    return lambda cells: words.get(cells[column], "")


def sign_of(column: str, within: float = 0.0) -> Cell:
    """Tell whether a score is negative, neutral or positive; "" where there is no number.

    Args: within: a score that is no further from 0 is neutral.
    """

    def sign(cells: Mapping[str, str]) -> str:
        try:
            score = float(cells[column])
        except ValueError:
            return ""
        return "negative" if score < -within else "positive" if score > within else "neutral" if score == score else ""

    return sign


def cell_of(template: str, otherwise: str) -> Cell:
    """Read the cell whose name other cells give: "SpeakerInfo.{Speaker}.Name"; "" names are taken from `otherwise`."""
    return lambda cells: cells.get(template.format_map(cells)) or cells[otherwise]
