"""The folder that transcripts are written to: whose it is, and links to the clips in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mer.data.transcribe.transcript_cache import MADE_BY
from mer.data.types import Corpus
from mer.errors import MerError
from mer.read_files import read_object

MARKER = "transcripts.json"  # marks the folder as ours to write again, and says how the text came about


def media_entries(corpus: Corpus) -> list[str]:
    """List the files and folders at the top of the root that hold the clips, such as audios and videos.

    Raises: MerError when the data name no clip, or none is there.
    """
    utterances = [utterance for split in corpus.splits for utterance in corpus.utterances(split)]
    named = {clip for utterance in utterances for clip in (utterance.audio, utterance.video) if clip}
    if not named:
        raise MerError(
            "--dataset",
            f"the files of {corpus.name} say of no utterance where its clip is: there is nothing to transcribe",
            allowed="meld",
        )
    tops = {PurePosixPath(clip.replace("\\", "/")).parts[0] for clip in named}
    there = sorted(top for top in tops - {"..", "/"} if (corpus.root / top).exists())
    if not there:
        raise MerError(
            corpus.root,
            "none of the clips are here: there is nothing to transcribe",
            allowed=f"a folder with {' or '.join(sorted(tops))} beside the CSV files",
        )
    return there


def require_ours(out: Path, root: Path) -> dict[str, Any]:
    """Return the marker of an earlier run in `out`; {} for a new or an empty folder.

    Raises: MerError if `out` is the root, is a file, or holds files that no earlier run wrote.
    """
    choose = "choose a new or an empty folder: --out FOLDER"
    if out.resolve() == root.resolve():
        raise MerError(out, "--out is the data folder itself; its text is not overwritten", then=choose)
    if out.exists() and not out.is_dir():
        raise MerError(out, "this is a file", allowed="a folder", then=choose)
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    try:
        marker = read_object(out / MARKER)
    except (OSError, ValueError):
        marker = {}
    if marker.get("made_by") == MADE_BY:
        return marker
    if not there:
        return {}
    shown = ", ".join(there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
    raise MerError(
        out,
        f"the folder holds files that `mer.data transcribe` did not write: {shown}",
        allowed="nothing is overwritten",
        then=choose,
    )


def link_media(out: Path, root: Path, names: Sequence[str]) -> None:
    """Link the clips of `root` into `out`. Links of an earlier run are removed.

    The links are relative, so that both folders can be moved together. Raises: MerError when a file is in the way.
    """
    for path in out.iterdir():
        if path.is_symlink():
            path.unlink()
    for name in names:
        if (link := out / name).exists():
            raise MerError(link, "is in the way of a link to the clips", then="move it away, and run this again")
        link.symlink_to(os.path.relpath(root.resolve() / name, out.resolve()))
