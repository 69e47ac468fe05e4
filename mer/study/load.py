"""From a search-space file and command-line overrides to a StudySpec, collecting every fault on the way."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mer.config import flatten
from mer.errors import MerError, did_you_mean
from mer.study.config_keys import RESERVED, complaints, known_keys
from mer.study.space import PARAM_KINDS, Param, encode
from mer.study.spec import StudySpec
from mer.study.yaml_file import KeyPath, YamlFile, parse_value, read_yaml
from trainables import TRAINABLES

_SAMPLES = 200
_PARTS = tuple(StudySpec.model_fields)
_OVERRIDE = "--set"


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
        file.fault((), f"expected keys such as {', '.join(_PARTS[:3])}, got {file.data!r}")
        file.raise_faults()
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            file.fault((_OVERRIDE, text), "expected key=value", allowed="e.g. --set data.root=/path/to/MELD")
            continue
        _override(file, key.strip(), parse_value(value))
    for key, ready in (parts or {}).items():
        if ready is not None:
            _override(file, key, ready)
    spec = _build(file)
    file.raise_faults()
    assert spec is not None
    return spec


def _override(file: YamlFile, key: str, value: Any) -> None:
    """Put one override into the parsed data, as if the file had said so."""
    part = key.split(".")[0]
    if part in ("params", "points", "fixed"):
        file.fault((_OVERRIDE, key), "cannot be set as a whole", allowed="a single config key, e.g. optim.head_lr=1e-3")
    elif part in _PARTS:
        node, keys = file.data, key.split(".")
        for name in keys[:-1]:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[keys[-1]] = value
    elif key in known_keys():
        for section in ("params", "fixed"):  # an override of a searched key fixes it
            if isinstance(file.data.get(section), dict):
                file.data[section] = {k: v for k, v in _flat(file.data[section], section).items() if k != key}
        for point in file.data.get("points") or []:
            if isinstance(point, dict):
                point.pop(key, None)
        file.data.setdefault("fixed", {})
        file.data["fixed"][key] = value
    else:
        file.fault((_OVERRIDE, key), f"unknown key.{did_you_mean(key, [*known_keys(), *_PARTS])}")


def _flat(section: dict[str, Any], name: str) -> dict[str, Any]:
    return flatten(section) if name == "fixed" else dict(section)


def _build(file: YamlFile) -> StudySpec | None:
    """The spec, or None with faults noted in `file`."""
    data = dict(file.data)
    for key in set(data) - set(_PARTS):
        hint = " It is a config key: put it under fixed or params." if key.split(".")[0] in _roots() else ""
        file.fault((key,), f"unknown key.{did_you_mean(key, _PARTS)}{hint}", allowed=", ".join(_PARTS))
        data.pop(key)
    for required in ("study", "trainable"):
        if required not in data:
            file.fault((), f"the key {required!r} is missing", allowed=_required(required))
    if "trainable" in data and data["trainable"] not in TRAINABLES:
        file.fault(
            ("trainable",),
            f"unknown trainable {data['trainable']!r}.{did_you_mean(str(data['trainable']), TRAINABLES)}",
            allowed=", ".join(TRAINABLES),
        )
    data["objective"] = _objectives(file, data.get("objective"))
    data["fixed"] = _fixed(file, data.get("fixed") or {})
    data["params"] = _params(file, data.get("params") or {}, data["fixed"])
    data["points"] = _points(file, data.get("points") or [], data["params"])
    try:
        spec = StudySpec.model_validate({k: v for k, v in data.items() if v is not None})
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            message = str(fault["msg"]).removeprefix("Value error, ")
            found = message if fault["type"] == "value_error" else f"got {fault['input']!r}"
            allowed = "" if fault["type"] == "value_error" else message[:1].lower() + message[1:]
            if fault["type"] == "extra_forbidden":
                names = StudySpec.model_fields[str(fault["loc"][0])].default.__class__.model_fields
                found, allowed = f"unknown key.{did_you_mean(str(fault['loc'][-1]), names)}", ", ".join(names)
            file.fault(tuple(fault["loc"]), found, allowed=allowed)
        return None
    if not file.faults:
        _check_configs(file, spec)
    return spec if not file.faults else None


def _required(key: str) -> str:
    return ", ".join(TRAINABLES) if key == "trainable" else "a name for the study's folder, e.g. spcl-meld-text"


def _roots() -> set[str]:
    return {key.split(".")[0] for key in known_keys()}


def _objectives(file: YamlFile, value: Any) -> Any:
    """One objective or a list of them; test metrics and unknown ones are refused here, in words."""
    if value is None:
        return None
    objectives = value if isinstance(value, list) else [value]
    for index, objective in enumerate(objectives):
        keys: KeyPath = ("objective", index, "metric") if isinstance(value, list) else ("objective", "metric")
        metric = str(objective.get("metric", "")) if isinstance(objective, dict) else ""
        if metric.startswith("test"):
            file.fault(
                keys,
                f"{metric!r} would select on the test split",
                allowed="dev metrics only: " + _METRICS,
                then="search on dev; the test split is evaluated once, after selection",
            )
            return None
    return objectives


_METRICS = "dev_weighted_f1, dev_macro_f1, dev_accuracy, dev_loss, dev_ece, dev_f1_<class>"


def _known(file: YamlFile, section: str, key: str, keys: KeyPath) -> bool:
    if key in RESERVED:
        file.fault(keys, f"is decided by {RESERVED[key]}", then=f"set {RESERVED[key]} instead")
        return False
    if key not in known_keys():
        below = sorted(known for known in known_keys() if known.startswith(f"{key}."))
        what = (
            f"is a group of keys: {', '.join(below[:6])}" if below else f"unknown key.{did_you_mean(key, known_keys())}"
        )
        file.fault(keys, what, then="" if below else "python -m mer.tune --keys lists every key with its meaning")
        return False
    return True


def _fixed(file: YamlFile, section: Any) -> dict[str, Any]:
    if not isinstance(section, dict):
        file.fault(("fixed",), f"expected config keys and values, got {section!r}")
        return {}
    flat = flatten(section)
    return {key: value for key, value in flat.items() if _known(file, "fixed", key, _fixed_path(file, key))}


def _fixed_path(file: YamlFile, key: str) -> KeyPath:
    """The path of a dotted key (or of the first key below it) in the file, however it was nested there."""
    dotted = {path: ".".join(map(str, path[1:])) for path in file.lines if path[:1] == ("fixed",)}
    exact = [path for path, name in dotted.items() if name == key]
    below = [path for path, name in dotted.items() if name.startswith(f"{key}.") and path not in exact]
    return next(iter(below or exact), ("fixed", key))


def _params(file: YamlFile, section: Any, fixed: dict[str, Any]) -> dict[str, Param]:
    if not isinstance(section, dict):
        file.fault(("params",), f"expected keys with ranges, got {section!r}")
        return {}
    params: dict[str, Param] = {}
    for key, body in section.items():
        keys: KeyPath = ("params", key)
        if not _known(file, "params", key, keys):
            continue
        if key in fixed:
            file.fault(keys, "is both fixed and searched", then="remove it from fixed or from params")
        kinds = [kind for kind in PARAM_KINDS if isinstance(body, dict) and kind in body]
        if len(kinds) != 1:
            file.fault(keys, f"got {body!r}", allowed="{float: [low, high]}, {int: [low, high]} or {choice: [...]}")
            continue
        try:
            params[key] = PARAM_KINDS[kinds[0]].model_validate(body)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                message = str(fault["msg"]).removeprefix("Value error, ")
                if fault["type"] == "extra_forbidden":
                    message = f"unknown.{did_you_mean(str(fault['loc'][0]), ['log', 'step', 'when'])}"
                elif fault["type"] != "value_error":
                    message = f"{message[:1].lower()}{message[1:]}, got {fault['input']!r}"
                file.fault((*keys, *fault["loc"]), message)
            continue
        for condition in params[key].when:
            if condition not in known_keys():
                file.fault((*keys, "when", condition), f"unknown key.{did_you_mean(condition, known_keys())}")
    return params


def _points(file: YamlFile, section: Any, params: dict[str, Param]) -> list[dict[str, Any]]:
    if not isinstance(section, list) or not all(isinstance(point, dict) for point in section):
        file.fault(("points",), "expected a list of {key: value}")
        return []
    for index, point in enumerate(section):
        for key, value in point.items():
            keys: KeyPath = ("points", index, key)
            if key not in params:
                file.fault(keys, f"is not a parameter.{did_you_mean(key, params)}", allowed=", ".join(params))
            elif not params[key].contains(value):
                file.fault(keys, f"got {value!r}", allowed=f"a value of {_range_words(params[key])}")
    return section


def _range_words(param: Param) -> str:
    extremes = param.extremes()
    return f"[{extremes[0]:g}, {extremes[1]:g}]" if type(param).__name__ != "ChoiceParam" else json.dumps(extremes)


def _check_configs(file: YamlFile, spec: StudySpec) -> None:
    """Every point and many random draws must give a valid TrialConfig; the first few that do not are faults."""
    try:
        space = spec.space
        if spec.sampler.kind == "grid":
            next(iter(space.grid()))
    except ValueError as fault:
        file.fault(("params",), str(fault))
        return
    rng = random.Random(0)
    drawn: list[tuple[dict[str, int], dict[str, Any]]] = [
        ({}, draw) for draw in [space.suggest(RandomDraw(rng)) for _ in range(_SAMPLES)]
    ]
    pointed = [({"point": i}, space.suggest(RandomDraw(rng, point))) for i, point in enumerate(spec.points)]
    seen: set[str] = set()
    for origin, values in [*pointed, *drawn]:
        try:
            config = spec.trial_config(values)
        except ValidationError as error:
            for key, found, allowed in complaints(error):
                if (complaint := f"{key}: {found.split(', got ')[0]}") not in seen:
                    seen.add(complaint)
                    _config_fault(file, key, found, allowed, origin, values)
            continue
        if getattr(config.encoders, spec.trainable, None) is None and "encoder" not in seen:
            seen.add("encoder")
            file.fault(
                ("fixed",),
                f"trainable {spec.trainable!r} has no encoder",
                then=f"add fixed.encoders.{spec.trainable}.backbone",
            )
        unused = [key for key in spec.points[origin["point"]] if key not in values] if "point" in origin else []
        for key in unused:
            file.fault(("points", origin["point"], key), "its condition (`when`) does not hold in this point")


def _config_fault(
    file: YamlFile, key: str, found: str, allowed: str, origin: dict[str, int], values: dict[str, Any]
) -> None:
    """Place a config fault at the line that a user would edit."""
    concerned = [name for name in values if name.startswith(key) and (name == key or name.split(".")[-1] in found)]
    then = f"mend the ranges of {', '.join(concerned)}" if len(concerned) > 1 else ""
    if "point" in origin:
        path: KeyPath = ("points", origin["point"], *concerned[:1])
    elif concerned:
        path = ("params", concerned[0])
    else:
        path = _fixed_path(file, key)
    file.faults.append(_fault_at(file, path, key, found, allowed, then))


def _fault_at(file: YamlFile, path: KeyPath, key: str, found: str, allowed: str, then: str) -> MerError:
    return MerError(file.where(path), f"{key}: {found}" if key else found, allowed=allowed, then=then)


class RandomDraw:
    """Plain uniform draws for the check; a point's own values come first."""

    def __init__(self, rng: random.Random, given: Mapping[str, Any] | None = None) -> None:
        self.rng, self.given = rng, given or {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        if step is not None:
            drawn = low + step * self.rng.randrange(int((high - low) / step) + 1)
        else:
            drawn = self.rng.choice([low, high, self.rng.uniform(low, high)])
        return self.given.get(name, drawn)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        return self.given.get(name, self.rng.choice(range(low, high + 1, step)))

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return encode(self.given[name]) if name in self.given else self.rng.choice(choices)
