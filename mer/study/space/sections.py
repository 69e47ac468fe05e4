"""Read the parts of a search space that name configuration keys: `fixed`, `params` and `points`.

Each function notes faults in the file and returns what is left without them.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from mer.config import flatten
from mer.errors import did_you_mean
from mer.study.space.check import fixed_path
from mer.study.space.keys import RESERVED, known_keys
from mer.study.space.params import PARAM_KINDS, Param, boolean_hint
from mer.study.space.spec import default_values
from mer.study.space.yaml_file import KeyPath, YamlFile

_RANGES = "{float: [low, high]}, {int: [low, high]} or {choice: [...]}"


def _known(file: YamlFile, key: str, keys: KeyPath) -> bool:
    """Tell whether `key` is a configuration key that a search space may set; note the fault when it is not."""
    if key in RESERVED:
        file.fault_named(keys, _name(keys, key), f"is decided by {RESERVED[key]}", then=f"set {RESERVED[key]} instead")
        return False
    if key not in known_keys():
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
        file.fault(("fixed",), f"got {section!r}", allowed="config keys and values, e.g. {data: {root: datasets/MELD}}")
        return {}
    flat = flatten(section)
    known = {key: value for key, value in flat.items() if _known(file, key, fixed_path(file, key))}
    for key in known:
        spellings = [path for path in file.lines if path[:1] == ("fixed",) and ".".join(map(str, path[1:])) == key]
        if len(spellings) > 1 and ("fixed", key) not in file.overrides:
            first = file.where(spellings[0])
            file.fault_named(
                spellings[1], f"fixed.{key}", f"repeated key, first at {first}", then="remove one of the two"
            )
    return known


def read_params(file: YamlFile, section: Any, fixed: dict[str, Any]) -> dict[str, Param]:
    """Return the searched parameters by dotted key.

    Args: fixed: dotted key -> value, as `read_fixed` returned them; conditions may name these keys.
    """
    if not isinstance(section, dict):
        file.fault(("params",), f"got {section!r}", allowed=f"config keys with ranges: {_RANGES}")
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
            file.fault(keys, f"got {body!r}", allowed=_RANGES, then="put a single value under fixed" if single else "")
            continue
        try:
            params[key] = PARAM_KINDS[kinds[0]].model_validate(body)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                _param_fault(file, (*keys, *fault["loc"]), fault)
    for key, param in params.items():
        _conditions(file, key, param, params, fixed)
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
        file.fault(keys[:3], f"got {fault['input']!r}", allowed="[low, high]")
    else:
        file.fault(keys, f"got {fault['input']!r}", allowed=message[:1].lower() + message[1:])


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
            possible, allowed = [value for value in values if value == now], f"it is {now!r} in every trial"
        if not possible:
            file.fault(keys, f"{wanted!r} never holds", allowed=allowed)


def read_points(file: YamlFile, section: Any, params: dict[str, Param]) -> list[dict[str, Any]]:
    """Return the points: settings that are tried first, each dotted key -> value."""
    if not isinstance(section, list):
        file.fault(("points",), f"got {section!r}", allowed="a list: - {key: value, ...}")
        return []
    for index, point in enumerate(section):
        if not isinstance(point, dict):
            file.fault(("points", index), f"got {point!r}", allowed="{key: value, ...}")
            continue
        if point in section[:index]:
            file.fault(("points", index), f"equals point {section.index(point)}", then="remove one of the two")
        for key, value in point.items():
            keys: KeyPath = ("points", index, key)
            if key not in params and key not in file.data.get("params", {}):
                file.fault(keys, f"is not a parameter.{did_you_mean(key, params)}", allowed=", ".join(params))
            elif key in params and not params[key].contains(value):
                file.fault(
                    keys, f"got {value!r}{boolean_hint(value)}", allowed=f"a value of {_range_words(params[key])}"
                )
    return [point for point in section if isinstance(point, dict)]


def _range_words(param: Param) -> str:
    """Write the values that a parameter can have."""
    if param.signature()[0] == "choice":
        return json.dumps(param.extremes())
    low, high = param.extremes()
    step = getattr(param, "step", None)
    return f"[{low:g}, {high:g}]" + (f" in steps of {step:g}" if step not in (None, 1) else "")
