"""Where a clip lies. Paths come from data files that anybody may have written, so they may not leave the root."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mer.data.media.faults import MediaAbsent, MediaFault


def clip_path(root: Path, relative: str) -> Path:
    """The existing file that `relative` names below `root`.

    What the data file says is checked word by word. A link at that place may lead anywhere: links are made by the
    owner of the folder (`mer.data prepare --link symbolic`), not by the data file.
    Raises: MediaFault when the path leaves the root, is a loop of links or not a file; MediaAbsent when nothing is.
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
