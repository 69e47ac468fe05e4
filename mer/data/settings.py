"""The `data` part of a configuration as people give it: keys of a search space, options of a command, a corpus file."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mer.config import PATHS, DataConfig, nest
from mer.data.corpus_file import is_corpus_file, read_corpus_file, worded
from mer.data.registry import detect_dataset, known_range, looks_otherwise
from mer.errors import MerError, brief
from mer.places import expanded
from mer.read_yaml import plain_value

_ROOT, _DATASET = "data.root", "data.dataset"


def data_config(root: Path, dataset: str | None, overrides: Sequence[str] = ()) -> DataConfig:
    """Make the configuration of a command that reads data.

    Args:
        dataset: None: what the folder looks like.
        overrides: `data.key=value` texts.
    Raises: MerError for a key that is none, and a value that is not allowed.
    """
    said: dict[str, Any] = {}
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key.strip().startswith("data."):
            raise MerError(f"--set {text}", "expected data.KEY=VALUE", allowed="e.g. --set data.columns.text=said")
        said[key.strip()] = plain_value(value, f"--set {brief(text, quoted=False)}")
    said[_ROOT] = str(root)
    if dataset is not None:
        said[_DATASET] = dataset
    settled = with_dataset(said, typed=said)
    settled |= {key: expanded(path, key) for key in PATHS & settled.keys() if isinstance(path := settled[key], str)}
    try:
        return DataConfig.model_validate(nest(settled)["data"])
    except ValidationError as error:
        raise worded(error.errors(include_url=False)[0]) from None


def with_dataset(said: Mapping[str, Any], *, typed: Container[str] = ()) -> dict[str, Any]:
    """Settle `data.dataset` in dotted keys.

    A file that describes a corpus, named as the dataset or as its root, is replaced by what it says. Where no dataset
    is named, it is what the folder looks like, if that is not MELD, the default. A dataset that a file names beside
    another folder than the one typed counts only if the folder looks like it, or like nothing known.

    Numbers of a published corpus get the range that its scores have (`data.range`), where nobody names another.

    Args: typed: the keys that stand on the command line; they count more than a description, and it more than a file
        in which it is not named.
    Raises: MerError for a description that cannot be read.
    """
    return _with_known_range(_settled(said, typed))


def _settled(said: Mapping[str, Any], typed: Container[str]) -> dict[str, Any]:
    named = next((key for key in (_DATASET, _ROOT) if is_corpus_file(said.get(key))), None)
    if named is not None:
        described = read_corpus_file(Path(expanded(said[named], named)))
        others = {key: value for key, value in said.items() if key not in (_DATASET, named)}
        if named not in typed:
            return {**described, **others}
        return {**others, **described, **{key: value for key, value in others.items() if key in typed}}
    root = expanded(str(said.get(_ROOT, DataConfig.model_fields["root"].default)), _ROOT)
    other_root = _ROOT in typed and _DATASET not in typed
    if _DATASET in said and (not other_root or not looks_otherwise(str(said[_DATASET]), root)):
        return dict(said)
    found = detect_dataset(root)
    return {**said, _DATASET: found} if _DATASET in said or found != DataConfig().dataset else dict(said)


def _with_known_range(said: dict[str, Any]) -> dict[str, Any]:
    if said.get("data.task") != "regression" or "data.range" in said:
        return said
    known = known_range(str(said.get(_DATASET, DataConfig().dataset)))
    return said if known is None else {**said, "data.range": list(known)}
