"""Turn a search-space file and command-line overrides into a StudySpec, or into one message with every fault."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mer.config import TargetKind, flatten
from mer.config.metrics import MAIN, better, is_metric, metric_words
from mer.data.settings import with_dataset
from mer.errors import brief, did_you_mean
from mer.read_yaml import plain_value
from mer.study.space.check import check_configs
from mer.study.space.keys import known_keys
from mer.study.space.overrides import PARTS, override, override_fault, typed_as
from mer.study.space.params import boolean_hint
from mer.study.space.sections import read_constraints, read_fixed, read_params, read_points
from mer.study.space.spec import Budget, Provenance, Resources, Sampler, Scheduler, StudyObjective, StudySpec
from mer.study.space.yaml_file import KeyPath, YamlFile, read_yaml
from mer.validation_words import allowed_words
from trainables import TRAINABLES

_MODELS: dict[str, type[BaseModel]] = {
    "objective": StudyObjective,
    "budget": Budget,
    "sampler": Sampler,
    "scheduler": Scheduler,
    "resources": Resources,
    "provenance": Provenance,
}
_REQUIRED = {"study": "a name for the study's folder, e.g. spcl-meld-text", "trainable": ", ".join(TRAINABLES)}
_NAMES = "letters, digits, '.', '_' and '-', at most 100; the first is a letter or a digit (it names a folder)"


def load_spec(
    path: Path,
    overrides: Sequence[str] = (),
    parts: Mapping[str, Any] | None = None,
    change: Callable[[YamlFile], object] = lambda file: None,
) -> StudySpec:
    """Read a search space, apply the overrides, and check the result.

    Args:
        path: the YAML file.
        overrides: `key=value` texts; a key is a part of the file (`budget.trials`) or a config key (`data.root`),
            which is then fixed to the value.
        parts: further overrides with ready values, e.g. {"budget.trials": 24}; None values are ignored.
        change: changes what the file says, before the overrides do.
    Raises: Faults with all faults of the file, or MerError when it cannot be read at all.
    """
    file = read_yaml(path)
    if not isinstance(file.data, dict):
        found = "is empty" if file.data is None else f"got {brief(file.data)}"
        file.fault((), found, allowed=f"keys such as {', '.join(PARTS[:4])}")
        file.raise_faults()
    change(file)
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            override_fault(file, text, "expected key=value", allowed="e.g. --set data.root=/path/to/MELD")
            continue
        typed = typed_as(text)
        override(file, key.strip(), plain_value(value, typed), typed)
    for key, ready in (parts or {}).items():
        if ready is not None:
            override(file, key, ready, f"--{key.split('.')[-1].replace('_', '-')} {ready}")
    return build_spec(file)


def build_spec(file: YamlFile) -> StudySpec:
    """Turn a file whose data are a mapping into a StudySpec. Raises: Faults with all that is wrong with it."""
    spec = _build(file)
    file.raise_faults()
    assert spec is not None
    return spec


def _build(file: YamlFile) -> StudySpec | None:
    """Build the spec; note faults in `file` and return None when there are any."""
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
        file.fault(("trainable",), f"unknown trainable {brief(trainable)}.{meant}", allowed=", ".join(TRAINABLES))
    single = "objective" in data and not isinstance(data["objective"], list)
    if "objective" in data:
        data["objective"] = _objectives(file, data["objective"], _task_of(flatten(_as_mapping(data.get("fixed")))))
    typed = {str(keys[1]) for keys in file.overrides if keys[0] == "fixed" and len(keys) == 2}
    fixed = read_fixed(file, data.get("fixed", {}))
    data["fixed"] = fixed if file.faults else with_dataset(fixed, typed=typed)  # it looks into the folder
    task = _task_of(data["fixed"])
    if task != "class" and "objective" not in file.data:
        data["objective"] = [{"metric": f"dev_{MAIN[task]}", "mode": better(f"dev_{MAIN[task]}")}]
    data["params"] = read_params(file, data.get("params", {}), data["fixed"])
    data["points"] = read_points(file, data.get("points", []), data["params"])
    data["constraints"] = read_constraints(file, data.get("constraints", []), data["params"])
    try:
        spec = StudySpec.model_validate({key: value for key, value in data.items() if value is not None})
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            _spec_fault(file, fault, single, task)
        return None
    if not file.faults and data["fixed"].get("data.task", "class") == task:  # else its own fault is told
        _check_metrics(file, spec, single, task)
    _check_sampler(file, spec)
    if not file.faults:
        check_configs(file, spec)
    return spec if not file.faults else None


def _spec_fault(file: YamlFile, fault: Any, single: bool, task: TargetKind) -> None:
    """Note one complaint of pydantic about a part of the file, in the file's words."""
    kind, loc, value = fault["type"], tuple(fault["loc"]), fault["input"]
    if single and loc[:1] == ("objective",):  # `_objectives` made it a list of one
        loc = (loc[0], *loc[2:])
    message = str(fault["msg"]).removeprefix("Value error, ")
    model = _MODELS.get(str(loc[0])) if loc else None
    if loc == ("trainable",) or (loc == ("study",) and kind == "missing"):
        return  # `_build` has noted it
    if loc == ("objective",) and kind == "too_short" and value:
        return  # each of the objectives has its own fault
    if kind == "value_error":
        where, separator, words = message.partition(": ")
        placed = not loc and bool(separator) and where in PARTS
        file.fault((where,) if placed else loc, words if placed else message)
    elif loc == ("objective",) and kind == "too_short":
        file.fault(loc, f"got {brief(value)}", allowed="{metric: ..., mode: max}, or a list of them")
    elif kind == "extra_forbidden" and model:
        found = f"unknown key.{did_you_mean(str(loc[-1]), model.model_fields)}"
        file.fault(loc, found, allowed=", ".join(model.model_fields))
    elif kind == "missing":
        file.fault(
            loc[:-1], f"the key {loc[-1]!r} is missing", allowed=metric_words(task) if loc[-1] == "metric" else ""
        )
    elif kind == "model_type" and model:
        first = next(iter(model.model_fields))
        then = f"write {{{first}: {brief(value, quoted=False)}}}" if isinstance(value, str | int) else ""
        file.fault(loc, f"got {brief(value)}", allowed=f"a mapping with {', '.join(model.model_fields)}", then=then)
    elif loc == ("study",):
        file.fault(loc, f"got {brief(value)}", allowed=_NAMES)
    elif loc[-1:] == ("metric",):
        _metric_fault(file, loc, value, task)
    else:
        file.fault(loc, f"got {brief(value)}{boolean_hint(value)}", allowed=allowed_words(fault))


def _metric_fault(file: YamlFile, keys: KeyPath, value: Any, task: TargetKind) -> None:
    """Note a metric that there is not, with those of the task."""
    words = metric_words(task)
    allowed = words if task == "class" else f"{words} (data.task {task})"
    file.fault(
        keys, f"got {brief(value)}.{did_you_mean(brief(value, quoted=False), words.split(', '))}", allowed=allowed
    )


def _check_metrics(file: YamlFile, spec: StudySpec, single: bool, task: TargetKind) -> None:
    """Note objectives that the task does not have."""
    for index, objective in enumerate(spec.objective):
        if not is_metric(objective.metric, task):
            keys: KeyPath = ("objective", "metric") if single else ("objective", index, "metric")
            _metric_fault(file, keys, objective.metric, task)


def _task_of(fixed: Mapping[str, Any]) -> TargetKind:
    """Read what a study predicts; a word that is none is refused elsewhere."""
    said = fixed.get("data.task")
    return said if isinstance(said, str) and said in MAIN else "class"


def _as_mapping(value: Any) -> dict[str, Any]:
    """Return a mapping as it is; {} for anything else, which is refused elsewhere."""
    return value if isinstance(value, dict) else {}


def _roots() -> set[str]:
    return {key.split(".")[0] for key in known_keys()}


def _objectives(file: YamlFile, value: Any, task: TargetKind) -> list[Any] | None:
    """Return the objectives as a list. A test metric is refused here, with the reason."""
    objectives = value if isinstance(value, list) else [value]
    for index, objective in enumerate(objectives):
        keys: KeyPath = ("objective", index) if isinstance(value, list) else ("objective",)
        metric = objective.get("metric", "") if isinstance(objective, dict) else objective
        if str(metric).startswith("test"):
            file.fault(
                (*keys, "metric"),
                f"{brief(metric)} would select on the test split",
                allowed=f"dev metrics only: {metric_words(task)}",
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
