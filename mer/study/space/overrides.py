"""Put command-line overrides into a parsed search space, as if its file had said so."""

from __future__ import annotations

from typing import Any

from mer.config import MAPPINGS, flatten
from mer.errors import brief, did_you_mean
from mer.study.space.keys import known_keys
from mer.study.space.spec import StudySpec
from mer.study.space.yaml_file import YamlFile

PARTS = tuple(StudySpec.model_fields)
OPTION = "--set"
_LONGEST = 60


def override(file: YamlFile, key: str, value: Any, typed: str) -> None:
    """Put one override into the parsed data.

    Args:
        key: a part of the file (`budget.trials`) or a configuration key, which is then fixed.
        typed: the override as the user wrote it, for messages.
    """
    part = key.split(".")[0]
    if part in ("params", "points", "fixed"):
        override_fault(file, key, f"{part} cannot be set", allowed="a config key, e.g. --set optim.head_lr=1e-3")
    elif part in PARTS:
        node, keys = file.data, key.split(".")
        for name in keys[:-1]:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[keys[-1]] = value
        file.overrides[tuple(keys)] = typed
    elif isinstance(value, dict) and key in known_keys() - MAPPINGS:
        allowed = "a single value; a range is written in the file, under params"
        override_fault(file, key, f"got {brief(value)}", allowed=allowed)
    elif key in known_keys():
        _fix(file, key, value)
        file.overrides["fixed", key] = typed
    else:
        override_fault(file, key, f"unknown key.{did_you_mean(key, [*known_keys(), *PARTS])}")


def typed_as(text: str) -> str:
    """Write an option as it was typed, for messages: on one line, cut where it is long."""
    line = text[: _LONGEST + 1].replace("\n", "\\n")
    return f"{OPTION} {line if len(line) <= _LONGEST else f'{line[:_LONGEST]}...'}"


def override_fault(file: YamlFile, key: str, found: str, allowed: str = "") -> None:
    """Note a fault of an override; its message names the option in place of a line."""
    file.overrides[OPTION, key] = typed_as(key)
    file.fault_named((OPTION, key), "", found, allowed=allowed)


def _fix(file: YamlFile, key: str, value: Any) -> None:
    """Fix a configuration key: it is searched no more, and points no longer name it.

    Where conditions depend on the key, points with another value of it are dropped altogether: they were made for other
    parameters.
    """
    params, points = file.data.get("params"), file.data.get("points")
    depended_on = False
    if isinstance(params, dict):
        params.pop(key, None)
        conditions = [body.get("when") for body in params.values() if isinstance(body, dict)]
        depended_on = any(isinstance(when, dict) and key in when for when in conditions)
    if isinstance(points, list):
        if depended_on:
            points[:] = [p for p in points if not isinstance(p, dict) or p.get(key, value) == value]
        for point in points:
            if isinstance(point, dict):
                point.pop(key, None)
        points[:] = [point for index, point in enumerate(points) if point != {} and point not in points[:index]]
    fixed = file.data.get("fixed")
    if fixed is None or isinstance(fixed, dict):
        file.data["fixed"] = {**flatten(fixed or {}), key: value}
