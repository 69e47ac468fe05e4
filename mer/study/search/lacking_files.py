"""Whether the files that a report speaks of are there for the driver: what a worker elsewhere wrote may not be."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from mer.checkpoints.header import read_front
from mer.errors import MerError
from mer.io_faults import looks
from mer.read_files import NoRegularFile, require_regular
from mer.study.paths import trial_folder
from trainables.trial_files import BEST, LAST
from trainables.wire import Report

_PAUSES_S = (0.05, 0.3, 1.0)


def lacking_file(study: Path, report: Report, decision_epochs: Collection[int]) -> str:
    """Say which file is lacking of a trial that ended, or that waits for a verdict; "" when all are there.

    Args:
        study: folder of the study.
        report: what its worker says.
        decision_epochs: epochs after which a verdict is due.
    Raises: OSError when the driver cannot look.
    """
    if not report.rows or report.outcome not in ("running", "finished", "nonfinite"):
        return ""
    ends = report.outcome != "running"
    if not ends and report.rows[-1]["epoch"] not in decision_epochs:
        return ""
    folder = trial_folder(study, report.number)
    # A run that failed within its first seconds wrote no checkpoint: it would only fail again.
    names = (BEST,) if report.outcome == "nonfinite" else (BEST, LAST)
    fault = ""
    for again in looks(_PAUSES_S):
        if again:
            with suppress(OSError):
                os.listdir(folder)  # noqa: PTH208  asks the server, where a stat may be answered from memory
        fault = next(filter(None, (_fault(folder / name, whole=ends) for name in names)), "")
        if not fault:
            break
    return fault


def _fault(path: Path, *, whole: bool) -> str:
    try:
        if whole:
            require_regular(path)
            with path.open("rb") as stream:
                read_front(stream, path)
        elif not path.stat().st_size:
            return f"{path.name} is empty"
    except (FileNotFoundError, NotADirectoryError, NoRegularFile):
        return f"{path.name} is not there"
    except MerError:
        return f"{path.name} is not whole"
    return ""
