"""A folder of clips without a table: what is said about them stands in their names, or in the folders they lie in."""

from __future__ import annotations

import re
from pathlib import Path

from mer.data.media.paths import ending_of
from mer.data.readers.split_files import split_of
from mer.data.tables import Row, Table

# CREMA-D: speaker, sentence, emotion, intensity, as in 1001_DFA_ANG_XX.wav
_CREMA_D = re.compile(r"(?P<speaker>\d{4})_(?P<sentence>[A-Z]{3})_(?P<label>[A-Z]{3})_(?:XX|X|LO|MD|HI)")


def clips_in(root: Path) -> list[Path]:
    """List the clips of a folder and of its folders, two levels deep, sorted."""
    found = (path for level in ("*", "*/*", "*/*/*") for path in root.glob(level))
    return sorted(path for path in found if ending_of(path.name) and path.name[0] != "." and path.is_file())


def table_of_clips(root: Path) -> Table | None:
    """Read names as rows: those of CREMA-D, or a folder for each label (inside one for each split, or not).

    Returns: the table with the columns path, label and maybe speaker and split; None where names tell no labels.
    """
    clips = clips_in(root)
    named = [_CREMA_D.fullmatch(clip.stem) for clip in clips]
    if clips and all(named):
        rows = [{"label": m["label"], "speaker": m["speaker"]} for m in named if m]
    elif clips and all(clip.parent != root and split_of(clip.parent.name) is None for clip in clips):
        rows = [{"label": clip.parent.name, **_split(clip.relative_to(root))} for clip in clips]
    else:
        return None
    columns = ("path", *rows[0])
    cells = [{"path": clip.relative_to(root).as_posix(), **row} for clip, row in zip(clips, rows, strict=True)]
    if any(set(row) != set(columns) for row in cells):
        return None
    return Table(root, columns, tuple(Row(root, line, row) for line, row in enumerate(cells, start=1)), ("file names",))


def _split(path: Path) -> dict[str, str]:
    """Return the split that the first of two folders tells."""
    split = split_of(path.parts[0]) if len(path.parts) > 2 else None
    return {} if split is None else {"split": split}
