"""Read a YAML file as a pydantic model; all its faults in one message, each with its line."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mer.errors import MerError, brief, did_you_mean
from mer.places import home
from mer.study.space.yaml_file import KeyPath, YamlFile, read_yaml
from mer.validation_words import allowed_words

Model = TypeVar("Model", bound=BaseModel)


def find_yaml(named: str, shipped: Path, what: str) -> Path:
    """Return the file that a name means: a path, or a shipped file by its name without ending.

    Args: what: it is, in one word, for messages: protocol, card.
    Raises: MerError when there is none.
    """
    path = home(named)
    if path.is_file():
        return path
    names = shipped_names(shipped)
    if named in names:
        return shipped / f"{named}.yaml"
    found = f"is a folder, not a {what}" if path.is_dir() else f"no such {what}.{did_you_mean(named, names)}"
    raise MerError(named, found, allowed=f"a YAML file, or one that is shipped: {', '.join(names)}")


def shipped_names(shipped: Path) -> list[str]:
    """Name the files of a folder of shipped ones."""
    return sorted(path.stem for path in shipped.glob("*.yaml"))


def read_model_file(path: Path, model: type[Model]) -> tuple[Model, YamlFile]:
    """Read a file. Returns: the model, and the file, whose lines later faults name. Raises: MerError, Faults."""
    file = read_yaml(path)
    if not isinstance(file.data, dict):
        found = "is empty" if file.data is None else f"got {brief(file.data)}"
        file.fault((), found, allowed=f"keys such as {', '.join(list(model.model_fields)[:4])}")
        file.raise_faults()
    read: Model | None = None
    try:
        read = model.model_validate(file.data)
    except ValidationError as error:
        for complaint in error.errors(include_url=False):
            _note(file, model, complaint)
    file.raise_faults()
    assert read is not None
    return read, file


def _note(file: YamlFile, model: type[BaseModel], complaint: Any) -> None:
    """Note one complaint of pydantic, in words of the file."""
    kind, keys = complaint["type"], tuple(part for part in complaint["loc"] if part != "[key]")
    if kind == "extra_forbidden":
        known = _keys_at(model, keys[:-1])
        file.fault(keys, f"unknown key.{did_you_mean(str(keys[-1]), known)}", allowed=", ".join(known))
    elif kind == "missing":
        file.fault(keys[:-1], f"the key {str(keys[-1])!r} is missing")
    elif kind == "value_error":
        file.fault(keys, str(complaint["msg"]).removeprefix("Value error, "))
    else:
        file.fault(keys, f"got {brief(complaint['input'])}", allowed=allowed_words(complaint))


def _keys_at(model: type[BaseModel], keys: KeyPath) -> list[str]:
    """List the keys that the model at a path has; names below a mapping, and places of a list, are passed over."""
    found, is_named = model, False
    for key in keys:
        if is_named:
            is_named = False
            continue
        field = found.model_fields.get(str(key))
        below = list(_models(field.annotation)) if field else []
        if not below:
            return []
        found, is_named = below[0], _holds_several(field.annotation if field else None)
    return list(found.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _holds_several(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (dict, tuple, list)
