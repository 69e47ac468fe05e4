"""The files that a worker writes into the folder of its trial.

best.safetensors          the model at the epoch that dev chose, and the class scores it gave on dev
best-audio.safetensors    the same for one student of a merged distillation, at its own best epoch
last.safetensors          while the trial runs: all that is needed to go on from its last report; beside it, the one
                          before (.previous), and one that could not be trusted (.damaged)
traceback.txt             where an error that nobody foresaw was raised
"""

from __future__ import annotations

from pathlib import Path

from mer.checkpoints.proven import damaged, previous

LAST, BEST, TRACEBACK = "last.safetensors", "best.safetensors", "traceback.txt"


def best_file(student: str = "") -> str:
    """Name the weights of the whole model, or of one student, at the epoch that dev chose for it."""
    return f"best-{student}.safetensors" if student else BEST


def state_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a trial's folder that nobody needs once the trial has ended and its rows are written.

    The newest comes last: as long as it is there, nobody takes an older one for the trial's state.
    """
    last = folder / LAST
    return damaged(last), previous(last), last


def forget_state(folder: Path) -> None:
    """Remove the files from which a trial that has ended could have gone on."""
    for path in state_files(folder):
        path.unlink(missing_ok=True)
