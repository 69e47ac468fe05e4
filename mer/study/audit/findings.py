"""One thing that is wrong with a study: what, where, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Part = Literal["journal", "trial", "weights", "MLflow", "leftover"]
Mends = Literal["--repair", "--resume", "--repair or --resume"]
EITHER: Mends = "--repair or --resume"
RESUME: Mends = "--resume"
REPAIR: Mends = "--repair"


@dataclass(frozen=True)
class Finding:
    """One finding.

    Args:
        part: of the study's record in which it was found.
        where: a file or folder, or a trial.
        words: what is wrong.
        mends: what mends it by itself, `audit --repair` or `mer.tune --resume`; "" when a person has to.
        then: what a person can do.
    """

    part: Part
    where: str
    words: str
    mends: Mends | Literal[""] = ""
    then: str = ""

    @property
    def line(self) -> str:
        """Say it in one line."""
        return f"{self.part}: {self.where}: {self.words}. Next: {self.then or f'{self.mends} mends it'}"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return dict(vars(self))


def trial_words(number: int, path: Path | None = None) -> str:
    """Name a trial, and a file of it."""
    return f"trial {number}" + (f", {path.name}" if path else "")
