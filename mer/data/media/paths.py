"""Paths of clips. They come from data files that anybody may have written, so they may not leave the root."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mer.data.media.faults import MediaAbsent, MediaFault


def clip_path(root: Path, relative: str) -> Path:
    """Return the existing file that `relative` names below `root`.

    Only the path's own parts are checked. A symbolic link at that place may lead anywhere, since the owner of the
    folder made it (`mer.data prepare --link symbolic`), not the data file.

    Raises: MediaFault if the path leaves the root, is a loop of links, or is not a file; MediaAbsent if there is none.
    """
    parts = PurePosixPath(relative.replace("\\", "/"))
    if not relative.strip() or parts.is_absolute() or ".." in parts.parts or (parts.parts and ":" in parts.parts[0]):
        raise MediaFault(f"the path {relative!r} leaves the data folder: not opened")
    path = root / parts
    try:
        if path.is_file():
            return path
        path.resolve(strict=True)
    except FileNotFoundError as fault:
        raise MediaAbsent("no such file") from fault
    except (OSError, RuntimeError) as fault:
        loops = isinstance(fault, RuntimeError) or "symbolic links" in str(fault)
        raise MediaFault("a loop of symbolic links" if loops else f"cannot be opened: {fault}") from fault
    raise MediaFault("not a file")
