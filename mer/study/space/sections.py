"""Read the parts of a search space that name configuration keys: `fixed`, `params` and `points`.

Each function notes faults in the file and returns what is left without them.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from mer.config import PATHS, flatten
from mer.errors import MerError, brief, did_you_mean
from mer.places import expanded, home
from mer.study.space.choices import frozen
from mer.study.space.constraints import Constraint, NotAConstraint
from mer.study.space.keys import RESERVED, known_keys
from mer.study.space.params import PARAM_KINDS, ChoiceParam, Param, boolean_hint
from mer.study.space.spec import default_values
from mer.study.space.yaml_file import KeyPath, YamlFile
from mer.validation_words import allowed_words

_MANY = 20  # choices that are written out in a message
_RANGES = "{float: [low, high]}, {int: [low, high]} or {choice: [...]}"


def _known(file: YamlFile, key: str, keys: KeyPath) -> bool:
    """Tell whether `key` is a configuration key that a search space may set; note the fault when it is not."""
    if key in RESERVED:
        file.fault_named(keys, _name(keys, key), f"is decided by {RESERVED[key]}", then=f"set {RESERVED[key]} instead")
        return False
    if key not in known_keys():
        if value_key := next((known for known in known_keys() if key.startswith(f"{known}.")), ""):
            found = f"{value_key} has a value, not keys"
            file.fault_named(keys, _name(keys, key), found, then="a range goes under params")
            return False
        below = sorted(known for known in known_keys() if known.startswith(f"{key}."))
        group = f"is a group of keys: {', '.join(below[:6])}{', ...' if below[6:] else ''}"
        beside = [known for known in known_keys() if known.split(".")[0] == key.split(".")[0]]
        meant = did_you_mean(key, beside) or did_you_mean(key, known_keys())  # typing errors are rarely in the group
        found = group if below else f"unknown key.{meant}"
        then = "" if below else "python -m mer.tune --keys lists every key with its meaning"
        file.fault_named(keys, _name(keys, key), found, then=then)
        return False
    return True


def _name(keys: KeyPath, key: str) -> str:
    """Name a place in a message: `fixed` is read flat, whatever nesting the file has."""
    return f"{keys[0]}.{key}" if keys[0] == "fixed" else ".".join(map(str, keys))


def read_fixed(file: YamlFile, section: Any) -> dict[str, Any]:
    """Return the fixed values by dotted key."""
    if not isinstance(section, dict):
        file.fault(
            ("fixed",), f"got {brief(section)}", allowed="config keys and values, e.g. {data: {root: datasets/MELD}}"
        )
        return {}
    flat = flatten(section)
    known = {key: value for key, value in flat.items() if _known(file, key, file.fixed_path(key))}
    for key, value in known.items():
        if key in PATHS:
            _check_path(file, file.fixed_path(key), f"fixed.{key}", value)
        spellings = file.fixed_spellings.get(key, [])
        if len(spellings) > 1 and ("fixed", key) not in file.overrides:
            first = file.where(spellings[0])
            file.fault_named(
                spellings[1], f"fixed.{key}", f"repeated key, first at {first}", then="remove one of the two"
            )
    return known


def _check_path(file: YamlFile, keys: KeyPath, name: str, value: Any) -> None:
    """Note a variable of the environment that is not set, and the home of nobody."""
    try:
        if isinstance(value, str):
            home(expanded(value, name), name)
    except MerError as fault:
        file.fault_named(keys, name, fault.found, allowed=fault.allowed, then=fault.then)


def read_params(file: YamlFile, section: Any, fixed: dict[str, Any]) -> dict[str, Param]:
    """Return the searched parameters by dotted key.

    Args: fixed: dotted key -> value, as `read_fixed` returned them; conditions may name these keys.
    """
    if not isinstance(section, dict):
        file.fault(("params",), f"got {brief(section)}", allowed=f"config keys with ranges: {_RANGES}")
        return {}
    params: dict[str, Param] = {}
    for key, body in section.items():
        keys: KeyPath = ("params", key)
        if not _known(file, key, keys):
            continue
        if key == "seed":
            lucky = "a searched seed only finds a lucky one"
            file.fault(keys, lucky, then="search first; then python -m mer.evaluate EXPORT --seeds 0 42 43 114 3407")
            continue
        if key.startswith("data."):
            file.fault(keys, "trials on different data or labels cannot be ranked", then="make one study for each")
            continue
        if key in fixed:
            file.fault(keys, "is both fixed and searched", then="remove it from fixed or from params")
        kinds = [kind for kind in PARAM_KINDS if isinstance(body, dict) and kind in body]
        if len(kinds) != 1:
            single = not isinstance(body, dict | list)
            file.fault(
                keys, f"got {brief(body)}", allowed=_RANGES, then="put a single value under fixed" if single else ""
            )
            continue
        try:
            params[key] = PARAM_KINDS[kinds[0]].model_validate(body)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                _param_fault(file, (*keys, *fault["loc"]), fault)
    for key, param in params.items():
        _conditions(file, key, param, params, fixed)
        for index, value in enumerate(param.choices if isinstance(param, ChoiceParam) and key in PATHS else ()):
            _check_path(file, ("params", key, "choice", index), f"params.{key}.choice.{index}", value)
    return params


def _param_fault(file: YamlFile, keys: KeyPath, fault: Any) -> None:
    """Note one complaint of pydantic about a parameter, in the file's words."""
    message, kind = str(fault["msg"]).removeprefix("Value error, "), fault["type"]
    if kind == "extra_forbidden":
        file.fault(
            keys, f"unknown key.{did_you_mean(str(keys[-1]), ['log', 'step', 'when'])}", allowed="log, step, when"
        )
    elif kind == "value_error":
        file.fault(keys, message)
    elif kind in ("tuple_type", "missing", "too_long") and keys[2] in ("float", "int"):
        file.fault(keys[:3], f"got {brief(fault['input'])}", allowed="[low, high]")
    else:
        file.fault(keys, f"got {brief(fault['input'])}", allowed=allowed_words(fault))


def _conditions(file: YamlFile, key: str, param: Param, params: dict[str, Param], fixed: dict[str, Any]) -> None:
    """Note conditions that name no key, or a value that the key can never have."""
    for condition, wanted in param.when.items():
        keys: KeyPath = ("params", key, "when", condition)
        if not _known(file, condition, keys) or ("fixed", condition) in file.overrides:
            continue  # switching a parameter off is what such an override is for
        values = wanted if isinstance(wanted, list) else [wanted]
        if condition in params:
            possible = [value for value in values if params[condition].contains(value)]
            allowed = f"a value of {_range_words(params[condition])}"
        else:
            now = fixed.get(condition, default_values().get(condition))
            possible, allowed = [value for value in values if value == now], f"it is {brief(now)} in every trial"
        if not possible:
            file.fault(keys, f"{brief(wanted)} never holds", allowed=allowed)


def read_points(file: YamlFile, section: Any, params: dict[str, Param]) -> list[dict[str, Any]]:
    """Return the points: settings that are tried first, each dotted key -> value."""
    if not isinstance(section, list):
        file.fault(("points",), f"got {brief(section)}", allowed="a list: - {key: value, ...}")
        return []
    written = file.data.get("params")
    first: dict[Any, int] = {}
    for index, point in enumerate(section):
        if not isinstance(point, dict):
            file.fault(("points", index), f"got {brief(point)}", allowed="{key: value, ...}")
            continue
        if (same := first.setdefault(frozen(point), index)) != index:
            file.fault(("points", index), f"equals point {same}", then="remove one of the two")
        for key, value in point.items():
            keys: KeyPath = ("points", index, key)
            if key in params:
                if not params[key].contains(value):
                    found = f"got {brief(value)}{boolean_hint(value)}"
                    file.fault(keys, found, allowed=f"a value of {_range_words(params[key])}")
            elif not (isinstance(written, dict) and key in written):  # else the parameter has a fault of its own
                found = f"is not a parameter.{did_you_mean(key, params)}"
                file.fault(keys, found, allowed=", ".join(params) or "nothing, since params is empty")
    return [point for point in section if isinstance(point, dict)]


def read_constraints(file: YamlFile, section: Any, params: dict[str, Param]) -> list[str]:
    """Return the constraints, as text."""
    if not isinstance(section, list):
        file.fault(("constraints",), f"got {brief(section)}", allowed="a list: - key <= other.key")
        return []
    kept: list[str] = []
    for index, text in enumerate(section):
        keys: KeyPath = ("constraints", index)
        if not isinstance(text, str):
            found = f"got {brief(text)}{boolean_hint(text)}"
            file.fault(keys, found, allowed="an expression such as key <= other.key")
            continue
        try:
            constraint = Constraint(text)
        except NotAConstraint as fault:
            file.fault(keys, f"got {brief(text)}, which {fault}", allowed=NotAConstraint.allowed)
            continue
        known = [_known(file, key, keys) for key in constraint.keys]  # each with its own fault
        if not all(known):
            continue
        if not any(key in params for key in constraint.keys):
            file.fault(keys, f"{brief(text)} names no parameter that is searched", then="remove it")
            continue
        kept.append(text)
    return kept


def _range_words(param: Param) -> str:
    """Write the values that a parameter can have."""
    if isinstance(param, ChoiceParam):
        return brief(param.choices) if len(param.choices) > _MANY else json.dumps(param.choices)
    low, high = param.extremes()
    step = getattr(param, "step", None)
    return f"[{low:g}, {high:g}]" + (f" in steps of {step:g}" if step not in (None, 1) else "")
