"""The `data` part of a configuration as people give it: keys of a search space, options of a command, a corpus file."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mer.config import DataConfig, nest
from mer.data.corpus_file import is_corpus_file, read_corpus_file, worded
from mer.data.registry import detect_dataset, looks_otherwise
from mer.errors import MerError

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
        try:
            said[key.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            raise MerError(f"--set {text}", "the value is not YAML", allowed="a number, text, [1, 2]") from None
    said[_ROOT] = str(root)
    if dataset is not None:
        said[_DATASET] = dataset
    try:
        return DataConfig.model_validate(nest(with_dataset(said, typed=said))["data"])
    except ValidationError as error:
        raise worded(error.errors(include_url=False)[0]) from None


def with_dataset(said: Mapping[str, Any], *, typed: Container[str] = ()) -> dict[str, Any]:
    """Settle `data.dataset` in dotted keys.

    A file that describes a corpus, named as the dataset or as its root, is replaced by what it says. Where no dataset
    is named, it is what the folder looks like, if that is not MELD, the default. A dataset that a file names beside
    another folder than the one typed counts only if the folder looks like it, or like nothing known.

    Args: typed: the keys that stand on the command line; they count more than a description, and it more than a file
        in which it is not named.
    Raises: MerError for a description that cannot be read.
    """
    named = next((key for key in (_DATASET, _ROOT) if is_corpus_file(said.get(key))), None)
    if named is not None:
        described = read_corpus_file(Path(said[named]))
        others = {key: value for key, value in said.items() if key not in (_DATASET, named)}
        if named not in typed:
            return {**described, **others}
        return {**others, **described, **{key: value for key, value in others.items() if key in typed}}
    root = str(said.get(_ROOT, DataConfig.model_fields["root"].default))
    other_root = _ROOT in typed and _DATASET not in typed
    if _DATASET in said and (not other_root or not looks_otherwise(str(said[_DATASET]), root)):
        return dict(said)
    found = detect_dataset(root)
    return {**said, _DATASET: found} if _DATASET in said or found != DataConfig().dataset else dict(said)
