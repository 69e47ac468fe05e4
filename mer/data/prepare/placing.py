"""Put a raw video at its place in the corpus: by a link if possible, else by a copy."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mer.errors import MerError
from mer.files import atomic_path

Link = Literal["auto", "hard", "symbolic", "copy"]


def place(source: Path, target: Path, link: Link) -> str:
    """Make `target` the video of `source`, whole or not at all; an earlier file is replaced.

    Args: link: auto is a hard link, or a copy if the file system allows no hard link to `source`.
    Returns: how it was done: "hard", "symbolic" (relative) or "copy".
    Raises: OSError naming `target`; MerError if a hard link was asked for and is not possible.
    """
    source = source.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    if link == "symbolic":
        _swap(target, lambda new: new.symlink_to(os.path.relpath(source, target.parent.resolve())))
        return "symbolic"
    if link != "copy":
        try:
            _swap(target, lambda new: new.hardlink_to(source))
            return "hard"
        except OSError as fault:
            if link == "hard":
                raise MerError(
                    target,
                    f"no hard link to {source}: {fault.strerror}",
                    allowed="both on one file system, and the source yours",
                    then="--link copy, --link symbolic, or --link auto, which copies where it has to",
                ) from fault
    copy(source, target)
    return "copy"


def copy(source: Path, target: Path) -> None:
    """Copy a file whole or not at all, with no more permissions than it has. Raises: OSError naming `target`."""
    with atomic_path(target, mode=permissions(source)) as temporary:
        shutil.copyfile(source, temporary)


def permissions(source: Path) -> int:
    """Return who may read and write a file, for what is made of it."""
    return stat.S_IMODE(source.stat().st_mode) & 0o666


def _swap(target: Path, make: Callable[[Path], None]) -> None:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    make(temporary)
    try:
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # renaming a hard link onto another link to the same file leaves both
