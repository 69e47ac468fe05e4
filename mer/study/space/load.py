"""From a search-space file and command-line overrides to a StudySpec, collecting every fault on the way."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mer.config import flatten
from mer.errors import did_you_mean
from mer.study.space.check import check_configs, fixed_path
from mer.study.space.keys import RESERVED, known_keys
from mer.study.space.overrides import OPTION, PARTS, override, override_fault
from mer.study.space.params import PARAM_KINDS, Param, boolean_hint
from mer.study.space.spec import Budget, Resources, Sampler, Scheduler, StudyObjective, StudySpec, default_values
from mer.study.space.yaml_file import KeyPath, YamlFile, parse_value, read_yaml
from trainables import TRAINABLES

_MODELS: dict[str, type[BaseModel]] = {
    "objective": StudyObjective,
    "budget": Budget,
    "sampler": Sampler,
    "scheduler": Scheduler,
    "resources": Resources,
}
_REQUIRED = {"study": "a name for the study's folder, e.g. spcl-meld-text", "trainable": ", ".join(TRAINABLES)}
_METRICS = "dev_weighted_f1, dev_macro_f1, dev_accuracy, dev_loss, dev_ece, dev_f1_<class>"
_RANGES = "{float: [low, high]}, {int: [low, high]} or {choice: [...]}"
_NAMES = "letters, digits, '.', '_' and '-', at most 100; the first is a letter or a digit (it names a folder)"


def load_spec(path: Path, overrides: Sequence[str] = (), parts: Mapping[str, Any] | None = None) -> StudySpec:
    """Read, override, check.

    Args:
        path: the YAML file.
        overrides: `key=value` texts; a key is a part of the file (`budget.trials`) or a config key (`data.root`),
            which is then fixed to the value.
        parts: further overrides with ready values, e.g. {"budget.trials": 24}; None values are ignored.
    Raises: Faults with all faults of the file, or MerError when it cannot be read at all.
    """
    file = read_yaml(path)
    if not isinstance(file.data, dict):
        found = "is empty" if file.data is None else f"got {file.data!r}"
        file.fault((), found, allowed=f"keys such as {', '.join(PARTS[:4])}")
        file.raise_faults()
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            override_fault(file, text, "expected key=value", allowed="e.g. --set data.root=/path/to/MELD")
            continue
        override(file, key.strip(), parse_value(value), f"{OPTION} {text}")
    for key, ready in (parts or {}).items():
        if ready is not None:
            override(file, key, ready, f"--{key.split('.')[-1]} {ready}")
    spec = _build(file)
    file.raise_faults()
    assert spec is not None
    return spec


def _build(file: YamlFile) -> StudySpec | None:
    """The spec, or None with faults noted in `file`."""
    data = {key: value for key, value in file.data.items() if value is not None}
    for key in [key for key in file.data if key not in PARTS]:
        hint = " It is a config key: put it under fixed or params." if key.split(".")[0] in _roots() else ""
        file.fault((key,), f"unknown key.{did_you_mean(key, PARTS)}{hint}", allowed=", ".join(PARTS))
        data.pop(key, None)
    for required, allowed in _REQUIRED.items():
        if required not in data:
            file.fault(
                (required,) if required in file.data else (), f"the key {required!r} is missing", allowed=allowed
            )
    trainable = data.get("trainable")
    if trainable is not None and str(trainable) not in TRAINABLES:
        meant = did_you_mean(str(trainable), TRAINABLES)
        file.fault(("trainable",), f"unknown trainable {trainable!r}.{meant}", allowed=", ".join(TRAINABLES))
    single = "objective" in data and not isinstance(data["objective"], list)
    if "objective" in data:
        data["objective"] = _objectives(file, data["objective"])
    data["fixed"] = _fixed(file, data.get("fixed", {}))
    data["params"] = _params(file, data.get("params", {}), data["fixed"])
    data["points"] = _points(file, data.get("points", []), data["params"])
    try:
        spec = StudySpec.model_validate({key: value for key, value in data.items() if value is not None})
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            _spec_fault(file, fault, single)
        return None
    _check_sampler(file, spec)
    if not file.faults:
        check_configs(file, spec)
    return spec if not file.faults else None


def _spec_fault(file: YamlFile, fault: Any, single: bool) -> None:
    """One complaint of pydantic about a part of the file, in the file's words."""
    kind, loc, value = fault["type"], tuple(fault["loc"]), fault["input"]
    if single and loc[:1] == ("objective",):  # it was made a list of one
        loc = (loc[0], *loc[2:])
    message = str(fault["msg"]).removeprefix("Value error, ")
    model = _MODELS.get(str(loc[0])) if loc else None
    if loc == ("trainable",) or (loc == ("study",) and kind == "missing"):
        return  # said before
    if loc == ("objective",) and kind == "too_short" and value:
        return  # each objective was refused, and said so
    if kind == "value_error":
        where, separator, words = message.partition(": ")
        placed = not loc and bool(separator) and where in PARTS
        file.fault((where,) if placed else loc, words if placed else message)
    elif loc == ("objective",) and kind == "too_short":
        file.fault(loc, f"got {value!r}", allowed="{metric: ..., mode: max}, or a list of them")
    elif kind == "extra_forbidden" and model:
        found = f"unknown key.{did_you_mean(str(loc[-1]), model.model_fields)}"
        file.fault(loc, found, allowed=", ".join(model.model_fields))
    elif kind == "missing":
        file.fault(loc[:-1], f"the key {loc[-1]!r} is missing", allowed=_METRICS if loc[-1] == "metric" else "")
    elif kind == "model_type" and model:
        first = next(iter(model.model_fields))
        then = f"write {{{first}: {value}}}" if isinstance(value, str | int) else ""
        file.fault(loc, f"got {value!r}", allowed=f"a mapping with {', '.join(model.model_fields)}", then=then)
    elif loc == ("study",):
        file.fault(loc, f"got {value!r}", allowed=_NAMES)
    elif loc[-1:] == ("metric",):
        file.fault(loc, f"got {value!r}.{did_you_mean(str(value), _METRICS.split(', '))}", allowed=_METRICS)
    else:
        file.fault(loc, f"got {value!r}{boolean_hint(value)}", allowed=message[:1].lower() + message[1:])


def _roots() -> set[str]:
    return {key.split(".")[0] for key in known_keys()}


def _objectives(file: YamlFile, value: Any) -> list[Any] | None:
    """One objective or a list of them; test metrics are refused here, in words."""
    objectives = value if isinstance(value, list) else [value]
    for index, objective in enumerate(objectives):
        keys: KeyPath = ("objective", index) if isinstance(value, list) else ("objective",)
        metric = objective.get("metric", "") if isinstance(objective, dict) else objective
        if str(metric).startswith("test"):
            file.fault(
                (*keys, "metric"),
                f"{metric!r} would select on the test split",
                allowed="dev metrics only: " + _METRICS,
                then="search on dev; the test split is evaluated once, after selection",
            )
            return None
    return objectives


def _check_sampler(file: YamlFile, spec: StudySpec) -> None:
    kind = spec.sampler.kind
    if kind == "cmaes" and importlib.util.find_spec("cmaes") is None:
        file.fault(("sampler", "kind"), "'cmaes' needs the package cmaes", then='pip install "mer[samplers]"')
    if kind == "cmaes" and len(spec.objective) > 1:
        file.fault(("sampler", "kind"), "'cmaes' knows one objective only", allowed="tpe, gp, random, grid, qmc")
    if kind == "grid" and spec.points:
        file.fault(("points",), "a grid runs every combination in order, without points", then="remove them")


def _known(file: YamlFile, key: str, keys: KeyPath) -> bool:
    if key in RESERVED:
        file.fault_named(keys, _name(keys, key), f"is decided by {RESERVED[key]}", then=f"set {RESERVED[key]} instead")
        return False
    if key not in known_keys():
        below = sorted(known for known in known_keys() if known.startswith(f"{key}."))
        group = f"is a group of keys: {', '.join(below[:6])}{', ...' if below[6:] else ''}"
        beside = [known for known in known_keys() if known.split(".")[0] == key.split(".")[0]]
        meant = did_you_mean(key, beside) or did_you_mean(key, known_keys())  # the group is rarely what is mistyped
        found = group if below else f"unknown key.{meant}"
        then = "" if below else "python -m mer.tune --keys lists every key with its meaning"
        file.fault_named(keys, _name(keys, key), found, then=then)
        return False
    return True


def _name(keys: KeyPath, key: str) -> str:
    return f"{keys[0]}.{key}" if keys[0] == "fixed" else ".".join(map(str, keys))


def _fixed(file: YamlFile, section: Any) -> dict[str, Any]:
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


def _params(file: YamlFile, section: Any, fixed: dict[str, Any]) -> dict[str, Param]:
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
    """A condition must name a key, and a value that this key can have."""
    for condition, wanted in param.when.items():
        keys: KeyPath = ("params", key, "when", condition)
        if not _known(file, condition, keys) or ("fixed", condition) in file.overrides:
            continue  # an override may well switch a parameter off
        values = wanted if isinstance(wanted, list) else [wanted]
        if condition in params:
            possible = [value for value in values if params[condition].contains(value)]
            allowed = f"a value of {_range_words(params[condition])}"
        else:
            now = fixed.get(condition, default_values().get(condition))
            possible, allowed = [value for value in values if value == now], f"it is {now!r} in every trial"
        if not possible:
            file.fault(keys, f"{wanted!r} never holds", allowed=allowed)


def _points(file: YamlFile, section: Any, params: dict[str, Param]) -> list[dict[str, Any]]:
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
    if param.signature()[0] == "choice":
        return json.dumps(param.extremes())
    low, high = param.extremes()
    step = getattr(param, "step", None)
    return f"[{low:g}, {high:g}]" + (f" in steps of {step:g}" if step not in (None, 1) else "")
