"""Where the splits of a user's corpus lie: a file each, or all in one file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.config import DataConfig
from mer.data.tables import ENDINGS, refuse_other_kind
from mer.errors import MerError

SPLITS = ("train", "dev", "test")
_WORDS = {
    "train": "train", "training": "train", "trn": "train",
    "dev": "dev", "development": "dev", "val": "dev", "valid": "dev", "validation": "dev", "eval": "dev",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
ALLOWED = (
    "one CSV, TSV or JSON lines file, or one for each split with train, dev (valid, validation) or test in its name; "
    "or clips named as in CREMA-D, or in a folder for each label"
)


@dataclass(frozen=True)
class SplitPlaces:
    """The files of a corpus.

    Args:
        folder: what paths of clips are relative to.
        files: split -> its file; {} where one file has all rows.
        whole: the file that has all rows, or the folder of clips without a table; None where each split has its own.
    """

    folder: Path
    files: Mapping[str, Path]
    whole: Path | None = None


def split_of(word: str) -> str | None:
    """Return the split that a word means: "Validation" -> "dev"; None for other words."""
    return _WORDS.get(word.strip().casefold())


def table_files(root: Path) -> list[Path]:
    """List the table files of a folder, sorted."""
    found = [path for path in root.iterdir() if path.suffix.lower() in ENDINGS and not path.name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def find_places(root: Path, data: DataConfig) -> SplitPlaces:
    """Find the files of a corpus in a folder; `root` may also be one file.

    Raises: MerError where there is none, or where it is not clear which is meant.
    """
    if root.is_file():
        refuse_other_kind(root)
        return SplitPlaces(root.parent, {}, root)
    if not root.is_dir():
        raise MerError(root, "there is no such file or folder", allowed=ALLOWED, then="--set data.root=FOLDER_OR_FILE")
    if said := {split: name for split, name in data.files.model_dump().items() if split in SPLITS}:
        return _named(root, said)
    found = table_files(root)
    if not found and any(root.iterdir()):
        return SplitPlaces(root, {}, root)  # of clips alone
    if not found:
        raise MerError(root, "no table of utterances here", allowed=ALLOWED, then="--set data.root=FOLDER_OR_FILE")
    by_split: dict[str, list[Path]] = {}
    for path in found:
        if split := _split_in(path.stem):
            by_split.setdefault(split, []).append(path)
    if not by_split and len(found) == 1:
        return SplitPlaces(root, {}, found[0])
    twice = next((paths for paths in by_split.values() if len(paths) > 1), None)
    if twice or "train" not in by_split:
        names = ", ".join(path.name for path in twice or found)
        which = "several files could be one split" if twice else "which of these files are train and dev is not clear"
        raise MerError(
            root,
            f"{which}: {names}",
            allowed=ALLOWED,
            then=f"name them, --set data.files.train={(twice or found)[0].name}, or one file: --set data.root="
            f"{(twice or found)[0]}",
        )
    return SplitPlaces(root, {split: by_split[split][0] for split in SPLITS if split in by_split})


def _named(root: Path, said: Mapping[str, str]) -> SplitPlaces:
    files = {split: root / name.replace("{split}", split) for split, name in said.items()}
    for split, path in files.items():
        if not path.is_file():
            there = ", ".join(path.name for path in table_files(root)) or "none"
            raise MerError(f"data.files.{split}", f"there is no {path}", allowed=f"a file of {root}: {there}")
    if "train" not in files:
        raise MerError("data.files", "no file of train is named", then="--set data.files.train=FILE")
    if list(files) == ["train"]:
        return SplitPlaces(root, {}, files["train"])
    return SplitPlaces(root, files)


def _split_in(stem: str) -> str | None:
    """Return the split that a file name tells: "dev_sent_emo" -> "dev"; None where no word of it is one."""
    words = re.split(r"[^a-z]+", stem.casefold())
    found = {split for word in words if (split := _WORDS.get(word))}
    return found.pop() if len(found) == 1 else None
