"""Make, reuse or put aside the folder of a study."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from mer.checkpoints import Store
from mer.errors import MerError
from mer.files import fsync_folder
from mer.study.paths import CODE_DIFF, JOURNAL, REPLACED, SPACE, is_study


def claim_folder(studies: Path, study: str, command: str, *, resume: bool, fresh: bool) -> Path:
    """Return the folder to work in; make it if absent.

    Args:
        command: what the user typed, without --resume and --fresh, for the advice.
        resume: go on in an existing study.
        fresh: put an existing study aside (never deleted) and start over.
    Raises: MerError when the folder exists and neither is given, or holds something else.
    """
    folder = studies / study
    refuse_taken(folder, command, resume=resume, fresh=fresh)
    if fresh and is_study(folder):
        aside = _free_place(studies / REPLACED / f"{study}-{time.strftime('%Y%m%d-%H%M%S')}")
        aside.parent.mkdir(exist_ok=True)
        with Store(studies).moving(aside.parent):
            folder.rename(aside)
        fsync_folder(studies)
        print(f"the earlier study was put aside: {aside} (delete it when you are sure)", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_taken(folder: Path, command: str, *, resume: bool, fresh: bool) -> None:
    """Refuse a study's folder that `claim_folder` would not give; its arguments. Writes nothing. Raises: MerError."""
    if resume and fresh:
        raise MerError("--resume --fresh", "they exclude each other", then="give one of the two")
    if folder.exists() and not folder.is_dir():
        raise MerError(folder, "is a file", then="move it away, or give the study another name with --set study=NAME")
    begun = is_study(folder)
    if folder.exists() and not begun and any(folder.iterdir()):
        raise MerError(
            folder,
            f"exists and is not a study (no {JOURNAL} in it)",
            then="move it away, or give the study another name with --set study=NAME",
        )
    if begun and not resume and not fresh:
        raise MerError(
            folder,
            "this study exists already",
            then=f"go on with it:  {command} --resume\n        start over:     {command} --fresh",
        )


def _free_place(folder: Path) -> Path:
    """Return `folder`, or the first of folder-2, folder-3, ... that is not there."""
    names = (folder.with_name(f"{folder.name}-{count}") for count in itertools.count(2))
    return folder if not folder.exists() else next(name for name in names if not name.exists())


@contextlib.contextmanager
def whole_or_absent(folder: Path) -> Iterator[None]:
    """Remove what a study's beginning wrote when it fails, so that the same command can be typed again.

    A study that was there before keeps everything.
    """
    begins = not is_study(folder)
    try:
        yield
    except BaseException:
        if begins:
            with contextlib.suppress(OSError):
                for name in (SPACE, CODE_DIFF, JOURNAL):
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()  # unless something else is in it
        raise
