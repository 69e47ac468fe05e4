"""Small studies for tests of the ledger, and a driver that ends every trial as it draws it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from study_helpers import make_spec, open_ledger, row, score_of

from mer.study.search.ledger import Assignment, Ledger
from mer.study.space.spec import StudySpec

MIXED = (
    (
        "  head.hidden: {int: [8, 64]}\n",
        "  head.hidden: {int: [8, 64]}\n"
        "  loss.contrastive.curriculum: {choice: [false, true]}\n"
        "  encoders.text.layers: {choice: [[1], [2, 4], last]}\n"
        "  loss.contrastive.hinge: {float: [0.0, 1.0], when: {loss.contrastive.curriculum: true}}\n",
    ),
)
GRID = (
    ("{float: [1e-4, 1e-2], log: true}", "{choice: [1e-4, 1e-3, 1e-2]}"),
    ("{int: [8, 64]}", "{int: [8, 24], step: 8}"),
    ("points:\n  - {optim.head_lr: 1e-3, head.hidden: 32}\n", ""),
)


def study(tmp_path: Path, kind: str, trials: int = 12) -> StudySpec:
    changes = GRID if kind == "grid" else MIXED
    settings = {"budget.trials": trials}
    return make_spec(
        tmp_path, *changes, ("kind: random", f"kind: {kind}"), overrides=("sampler.startup_trials=4",), **settings
    )


def finish(ledger: Ledger, assignment: Assignment | None) -> None:
    assert assignment is not None
    ledger.end(assignment.number, "finished", best=row(1, score_of(assignment)))


def uninterrupted(folder: Path, spec: StudySpec) -> list[tuple[int, Any]]:
    """Draw and end all trials. Returns number and parameters of each."""
    ledger = open_ledger(folder, spec)
    drawn = []
    while assignment := ledger.next_assignment():
        drawn.append((assignment.number, assignment.params))
        finish(ledger, assignment)
    return drawn


class Killed(Exception):
    """A driver dies here."""
