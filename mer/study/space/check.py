"""Check that a search space gives valid trials: every point and 200 random draws; faults are placed at a line."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mer.config import TrialConfig
from mer.study.space.keys import complaints
from mer.study.space.params import ChoiceParam, boolean_hint, encode
from mer.study.space.spec import StudySpec
from mer.study.space.yaml_file import KeyPath, YamlFile

_SAMPLES = 200


def check_configs(file: YamlFile, spec: StudySpec) -> None:
    """Note a fault in `file` for each kind of combination that is no valid TrialConfig."""
    try:
        space = spec.space
        if spec.sampler.kind == "grid":
            next(iter(space.grid()))
    except ValueError as fault:
        file.fault(("params",), str(fault))
        return
    rng = random.Random(0)
    drawn: list[tuple[int | None, dict[str, Any]]] = [
        (index, space.suggest(RandomDraw(rng, point))) for index, point in enumerate(spec.points)
    ]
    drawn += [(None, space.suggest(RandomDraw(rng, ends_only=index < _SAMPLES // 2))) for index in range(_SAMPLES)]
    numbers = {key for key, param in spec.params.items() if not isinstance(param, ChoiceParam)}
    seen: set[str] = set()
    for point, values in drawn:
        try:
            config = spec.trial_config(values)
        except ValidationError as error:
            for key, found, allowed in complaints(error):
                what = allowed if key in numbers else found.split(", got ")[0]  # of a range: once
                if (complaint := f"{key}: {what}") not in seen:
                    seen.add(complaint)
                    _config_fault(file, spec, key, found, allowed, point, values)
            continue
        if "encoder" not in seen and (unfit := _unfit_encoders(spec.trainable, config)):
            seen.add("encoder")
            file.fault(("fixed",), unfit[0], then=unfit[1])
        for key in spec.points[point] if point is not None else ():
            if key not in values:
                file.fault(("points", point or 0, key), "its condition (`when`) does not hold in this point")


def _unfit_encoders(trainable: str, config: TrialConfig) -> tuple[str, str] | None:
    """Return the fault between a trainable and the encoders of a configuration, and the next step; None if they fit."""
    there = list(config.encoders.present)
    if trainable == "distill":
        if not there:
            return "trainable 'distill' has no encoder", "add fixed.encoders.audio.backbone (or text, video)"
        if config.distill is None:
            return (
                "trainable 'distill' has no teacher",
                "add fixed.distill.teacher: exports/..., or distill.source: fused",
            )
        return None
    if config.distill is not None:
        return f"trainable {trainable!r} has a distill section", "set trainable: distill, or remove fixed.distill"
    if trainable == "fusion":
        if len(there) > 1 and config.fusion is not None:
            return None
        if len(there) > 1:
            return "trainable 'fusion' has no fusion", "add fixed.fusion.kind: concat, or search fusion.kind"
        found = f"trainable 'fusion' joins several modalities; encoders are given for {', '.join(there) or 'none'}"
        return found, "add fixed.encoders.audio.backbone (or text, video) and fusion: {kind: concat}"
    if there == [trainable]:
        return None
    if not there or trainable not in there:
        return f"trainable {trainable!r} has no encoder", f"add fixed.encoders.{trainable}.backbone"
    others = ", ".join(modality for modality in there if modality != trainable)
    found = f"trainable {trainable!r} reads {trainable} alone; encoders are given for {others} too"
    return found, f"remove encoders of {others}, or set trainable: fusion"


def _config_fault(
    file: YamlFile,
    spec: StudySpec,
    key: str,
    found: str,
    allowed: str,
    point: int | None,
    values: Mapping[str, Any],
) -> None:
    """Place a config fault at the line that a user would edit: the keys that it names, else those below `key`."""
    concerned = _concerned(values, key, found)
    searched = [name for name in concerned if point is None or name not in spec.points[point]]
    then = f"mend the ranges of {', '.join(concerned)}" if len(concerned) > 1 and searched == concerned else ""
    if point is not None and len(concerned) > len(searched):
        path: KeyPath = ("points", point, next(name for name in concerned if name not in searched))
    elif concerned:
        path = ("params", concerned[0])
    else:
        path = fixed_path(file, next(iter(_concerned(spec.fixed, key, found)), key))
    value = {**spec.fixed, **values}.get(key)
    file.fault_named(path, key, found + boolean_hint(value), allowed=allowed, then=then)


def _concerned(values: Mapping[str, Any], key: str, found: str) -> list[str]:
    """List the keys of `values` that are at fault: `key`, those below it, and those that the complaint names."""
    words = set(re.findall(r"\w+", found))
    below = [name for name in values if name == key or not key or name.startswith(f"{key}.")]
    return [name for name in below if name == key or name in found or name.split(".")[-1] in words - {"kind"}]


def fixed_path(file: YamlFile, key: str) -> KeyPath:
    """Return the path of a dotted key, or of the first key below it, in the file, which may nest it in any way."""
    if ("fixed", key) in file.overrides:
        return "fixed", key
    dotted = {path: ".".join(map(str, path[1:])) for path in file.lines if path[:1] == ("fixed",)}
    exact = [path for path, name in dotted.items() if name == key]
    below = [path for path, name in dotted.items() if name.startswith(f"{key}.") and path not in exact]
    return next(iter(below or exact), ("fixed", key))


class RandomDraw:
    """Draw uniformly, without Optuna.

    Args:
        given: values that are not drawn, by key: those of a point.
        ends_only: draw one of the two ends of each range.
    """

    def __init__(self, rng: random.Random, given: Mapping[str, Any] | None = None, *, ends_only: bool = False) -> None:
        self.rng, self.given, self.ends_only = rng, given or {}, ends_only

    def suggest_float(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        if self.ends_only:
            drawn = self.rng.choice([low, high])
        elif step is not None:
            drawn = low + step * self.rng.randrange(round((high - low) / step) + 1)
        else:
            drawn = self.rng.uniform(low, high)
        return self.given.get(name, drawn)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        values = [low, high] if self.ends_only else range(low, high + 1, step)
        return self.given.get(name, self.rng.choice(values))

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return encode(self.given[name]) if name in self.given else self.rng.choice(choices)
