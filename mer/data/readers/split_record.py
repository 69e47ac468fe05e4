"""The file that keeps the splits made of a corpus: read, compared with what is asked, written once.

Who reads a corpus writes nothing. Whoever begins something with it (an extraction, a check) calls `keep_splits`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mer.config import SplitRule
from mer.data.types import Corpus, MadeSplits
from mer.errors import MerError
from mer.files import write_json
from mer.places import home
from mer.read_files import Unreadable, as_model, read_object


class _Record(BaseModel):
    """A record of splits: the names of what is held out, and how it was drawn."""

    model_config = ConfigDict(strict=True)
    by: Literal["speaker", "dialogue", "row"]
    seed: int
    shares: dict[Literal["dev", "test"], float]
    dev: list[str] = []
    test: list[str] = []
    rows_sha256: str | None = None


ENDING = ".splits.json"
HELD_OUT = ("test", "dev")


def record_path(source: Path, rule: SplitRule | None) -> Path:
    """Return the file that keeps the splits made of `source`."""
    if rule is not None and rule.file is not None:
        return home(rule.file)
    return source.with_name(f"{source.stem}{ENDING}")


def keep_splits(corpus: Corpus) -> None:
    """Write down the splits that were made when the corpus was read, if there are any and they are not kept yet.

    Raises: MerError where they cannot be written, or where others have been written meanwhile.
    """
    made = corpus.made
    if made is None or made.kept:
        return
    if made.path.exists():  # another command was faster
        if read_record(made.path) != made.content:
            raise MerError(made.path, "another command made other splits meanwhile", then="type this command again")
        return
    try:
        write_json(made.path, made.content)
    except OSError as fault:
        raise _no_place(made.path, fault.strerror or "") from fault


def refuse_unkeepable(corpus: Corpus) -> None:
    """Refuse splits that `keep_splits` could not write. Writes nothing. Raises: MerError."""
    made = corpus.made
    if made is None or made.kept:
        return
    folder = made.path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise _no_place(made.path, f"{folder} is {'read-only' if folder.is_dir() else 'no folder'}")


def _no_place(path: Path, why: str) -> MerError:
    return MerError(
        path,
        f"the splits cannot be written here: {why}",
        allowed="a place to keep them, so that later commands split alike",
        then=f"name another place: --set data.split.file={path.name}",
    )


def read_record(path: Path) -> dict[str, Any]:
    """Return what a record says. Raises: MerError for a file that is none."""
    then = f"rm {shlex.quote(str(path))}, and the splits are made anew"
    try:
        known = read_object(path)
        as_model(known, _Record, path)
    except (OSError, Unreadable) as fault:
        why = fault.found if isinstance(fault, Unreadable) else fault.strerror
        raise MerError(path, f"is no record of splits: {why}", then=then) from fault
    return known


def refuse_other(path: Path, known: Mapping[str, Any], rule: SplitRule | None, rows_sha256: str) -> None:
    """Refuse a record that another rule made, or of rows that were known by their places and have changed.

    Raises: MerError.
    """
    if rule is not None:
        made = {"seed": known["seed"], "by": known["by"], **known["shares"]}
        shares = {split: getattr(rule, split) for split in known["shares"]}
        asked = {"seed": rule.seed, "by": rule.by or known["by"], **shares}
        if made != asked:
            told = ", ".join(f"{name} {made[name]}" for name in made if made[name] != asked[name])
            raise MerError(
                path,
                f"these splits were made with {told}",
                then=f"leave data.split as it was, or remove {path} to split anew",
            )
    if known.get("rows_sha256") not in (None, rows_sha256):
        raise MerError(
            path,
            "the rows have changed since they were split, or what is read of them, and they have no ids to be known by",
            then=f"read the columns as then; or remove {path} to split anew; or give the rows a column id before that",
        )


def split_otherwise(made: MadeSplits) -> str:
    """Advise on splits that leave train without some label."""
    first = f"remove {made.path}, then " if made.kept else ""
    shares = "".join(f" --set data.split.{split}={share:g}" for split, share in made.content["shares"].items())
    if made.content["by"] != "row":
        return f"{first}draw single rows, label by label:{shares} --set data.split.by=row"
    return f"{first}hold out fewer rows, or add some: --set data.split.dev=0.1 --set data.split.test=0.1"
