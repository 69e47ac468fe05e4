"""A user's corpus described once, in a YAML file of its own: the keys of `data`, without `data.`.

# mycorpus.yaml, beside the data
root: recordings.csv
columns: {text: said, label: mood}
merge_labels: {happy: [joy, excited]}
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mer.config import MAPPINGS, Columns, DataConfig, SplitFiles, SplitRule
from mer.errors import Faults, MerError, brief, did_you_mean
from mer.places import expanded, home
from mer.read_yaml import Document, read_yaml_file
from mer.validation_words import allowed_words

ENDINGS = (".yaml", ".yml")
_LARGEST_BYTES = 2**16
_NOT_THERE = ("dataset",)
_PARTS: dict[str, type[BaseModel]] = {"columns": Columns, "files": SplitFiles, "split": SplitRule}


def is_corpus_file(name: object) -> bool:
    """Tell whether a `data.dataset` or a path names a description rather than a dataset."""
    return isinstance(name, str | Path) and str(name).lower().endswith(ENDINGS)


def read_corpus_file(path: Path) -> dict[str, Any]:
    """Read a description as keys of a configuration: {"data.root": ..., "data.columns.text": ...}.

    A relative root starts where the file lies; without one it is the file's folder.

    Raises: MerError naming the file and the key.
    """
    document = _parsed(path)
    said = document.data
    try:
        config = DataConfig.model_validate({"dataset": "csv", **said})
    except ValidationError as error:
        raise Faults(path, [_placed(path, document, fault) for fault in error.errors(include_url=False)]) from None
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-_")[:40] or "corpus"
    root = path.parent / home(expanded(config.root, f"{path}: root")) if "root" in said else path.parent
    return {
        "data.dataset": config.dataset,
        "data.name": name,
        **{f"data.{key}": value for key, value in _flat(said).items() if key not in _NOT_THERE},
        "data.root": str(root),
    }


def worded(complaint: Any, where: str = "data.") -> MerError:
    """Word pydantic's complaint about a key of data."""
    place = [str(part) for part in complaint["loc"]]
    key, last = where + ".".join(place), place[-1] if place else ""
    if complaint["type"] == "extra_forbidden":
        known = list(_PARTS.get(place[0], DataConfig).model_fields)
        return MerError(key or "''", f"unknown key.{did_you_mean(last, known)}", allowed=", ".join(known))
    if complaint["type"] == "value_error":
        return MerError(key.rstrip("."), str(complaint["ctx"]["error"]))
    return MerError(key.rstrip("."), f"got {brief(complaint['input'])}", allowed=allowed_words(complaint))


def _placed(path: Path, document: Document, complaint: Any) -> MerError:
    """Word a complaint with the line that it is about."""
    keys = tuple(complaint["loc"])
    line = next(line for end in range(len(keys), -1, -1) if (line := document.lines.get(keys[:end])))
    return worded(complaint, f"{path}:{line}: ")


def _parsed(path: Path) -> Document:
    try:
        document = read_yaml_file(home(path), largest=_LARGEST_BYTES)
    except OSError as fault:
        raise MerError(
            path, f"cannot be read: {fault.strerror}", allowed="a YAML file that describes a corpus"
        ) from None
    if document.faults:
        raise Faults(path, document.faults)
    if not isinstance(document.data, dict):
        raise MerError(path, "describes no corpus", allowed=f"keys such as {', '.join(DataConfig.model_fields)}")
    return document


def _flat(said: dict[str, Any]) -> dict[str, Any]:
    """Write parts as dotted keys; a mapping that is a value stays whole."""
    flat: dict[str, Any] = {}
    for key, value in said.items():
        if isinstance(value, dict) and f"data.{key}" not in MAPPINGS:
            flat |= {f"{key}.{name}": part for name, part in value.items()}
        else:
            flat[key] = value
    return flat
