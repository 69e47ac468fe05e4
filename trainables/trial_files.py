"""The files that a worker writes into the folder of its trial.

best.safetensors          the model at the epoch that dev chose, and the class scores it gave on dev
best-audio.safetensors    the same for one student of a merged distillation, at its own best epoch
last.safetensors          while the trial runs: all that is needed to go on from its last report
traceback.txt             where an error that nobody foresaw was raised
"""

from __future__ import annotations

LAST, BEST, TRACEBACK = "last.safetensors", "best.safetensors", "traceback.txt"


def best_file(student: str = "") -> str:
    """Name the weights of the whole model, or of one student, at the epoch that dev chose for it."""
    return f"best-{student}.safetensors" if student else BEST
