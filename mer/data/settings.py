"""The `data` part of a configuration as people give it: keys of a search space, options of a command, a corpus file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mer.config import DataConfig, nest
from mer.data.registry import detect_dataset, looks_otherwise
from mer.errors import MerError, did_you_mean

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
        return DataConfig.model_validate(nest(with_dataset(said))["data"])
    except ValidationError as error:
        raise _worded(error.errors(include_url=False)[0]) from None


def _worded(complaint: Any) -> MerError:
    """Word pydantic's complaint about a key of data."""
    key, last = ".".join(["data", *map(str, complaint["loc"])]), str((*complaint["loc"], "")[0])
    if complaint["type"] == "extra_forbidden":
        known = list(DataConfig.model_fields)
        return MerError(key, f"unknown key.{did_you_mean(last, known)}", allowed=", ".join(known))
    return MerError(key, str(complaint["msg"]).removeprefix("Value error, "))


def with_dataset(said: Mapping[str, Any], *, other_root: bool = False) -> dict[str, Any]:
    """Add `data.dataset` to dotted keys that leave it out, where the folder does not look like the default, MELD.

    Args: other_root: the command line named the folder, a file with another folder in mind the dataset: it counts only
        if the folder looks like it, or like nothing known.
    """
    root = str(said.get(_ROOT, DataConfig.model_fields["root"].default))
    if _DATASET in said and (not other_root or not looks_otherwise(str(said[_DATASET]), root)):
        return dict(said)
    found = detect_dataset(root)
    return {**said, _DATASET: found} if _DATASET in said or found != DataConfig().dataset else dict(said)
