"""Check that a search space gives valid trials: every point and 200 random draws; faults are placed at a line."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mer.config import MAPPINGS, TrialConfig
from mer.errors import brief
from mer.study.space.constraints import Constraint, NotAConstraint
from mer.study.space.draws import RandomDraw, random_params
from mer.study.space.keys import complaints
from mer.study.space.params import ChoiceParam, boolean_hint
from mer.study.space.spec import StudySpec
from mer.study.space.yaml_file import KeyPath, YamlFile

_SAMPLES = 200
_DRAWS, _FEWEST = 3000, 3  # so many of so many draws must keep the constraints, or trials would be looked for for ever
_THEN = "widen the ranges of the parameters that it names, or take it out; equality is for choices and whole numbers"


def check_configs(file: YamlFile, spec: StudySpec) -> None:
    """Note a fault in `file` for each kind of combination that is no valid TrialConfig."""
    try:
        space = spec.space
        if spec.sampler.kind == "grid" and next(iter(space.grid()), None) is None:
            file.fault(("constraints",), "no combination of the grid keeps every constraint", then=_THEN)
            return
    except ValueError as fault:
        file.fault(("params",), str(fault))
        return
    rng = random.Random(0)
    drawn: list[tuple[int | None, dict[str, Any]]] = [
        (index, random_params(spec, rng, point)) for index, point in enumerate(spec.points)
    ]
    drawn += [(None, space.suggest(RandomDraw(rng, ends_only=index < _SAMPLES // 2))) for index in range(_SAMPLES)]
    if spec.constraints:
        drawn = _keeping(file, spec, drawn, rng)
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


def _keeping(
    file: YamlFile, spec: StudySpec, drawn: list[tuple[int | None, dict[str, Any]]], rng: random.Random
) -> list[tuple[int | None, dict[str, Any]]]:
    """Return the draws that keep every constraint; note points that break one, and constraints that few draws keep."""
    broken: Counter[int] = Counter()
    kept: list[tuple[int | None, dict[str, Any]]] = []
    tried = 0
    texts = list(spec.constraints)
    while tried < len(drawn) or (sum(point is None for point, _ in kept[-_FEWEST:]) < _FEWEST and tried < _DRAWS):
        point, values = drawn[tried] if tried < len(drawn) else (None, spec.space.suggest(RandomDraw(rng)))
        tried += 1
        constraint = spec.broken_constraint(values)
        if constraint is None:
            kept.append((point, values))
            continue
        index = texts.index(constraint.text)
        broken[index] += 1
        if senseless := _senseless(constraint, {**spec.space.base, **values}):
            file.fault(("constraints", index), f"{brief(constraint.text)}: {senseless}", allowed=NotAConstraint.allowed)
            return []
        if point is not None:
            found = f"breaks the constraint {brief(constraint.text)}"
            given = spec.points[point].keys() & set(constraint.keys)
            file.fault(("points", point, *sorted(given)[:1]), found, then="mend the point or the constraint")
    if sum(point is None for point, _ in kept) < _FEWEST:
        index, times = broken.most_common(1)[0]
        found = f"hardly any draw keeps the constraints: {brief(texts[index])} is broken by {times} of {tried}"
        file.fault(("constraints", index), found, then=_THEN)
    return kept


def _senseless(constraint: Constraint, values: Mapping[str, Any]) -> str:
    """Say why a constraint makes no sense for these values; "" when it does."""
    try:
        constraint.holds(values)
    except NotAConstraint as fault:
        return str(fault)
    return ""


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
    named, key = key, next((whole for whole in MAPPINGS if key.startswith(f"{whole}.")), key)
    concerned = _concerned(values, key, found)
    searched = [name for name in concerned if point is None or name not in spec.points[point]]
    then = f"mend the ranges of {', '.join(concerned)}" if len(concerned) > 1 and searched == concerned else ""
    if point is not None and len(concerned) > len(searched):
        path: KeyPath = ("points", point, next(name for name in concerned if name not in searched))
    elif concerned:
        path = ("params", concerned[0])
    else:
        path = file.fixed_path(next(iter(_concerned(spec.fixed, key, found)), key))
    value = {**spec.fixed, **values}.get(key)
    file.fault_named(path, named, found + boolean_hint(value), allowed=allowed, then=then)


def _concerned(values: Mapping[str, Any], key: str, found: str) -> list[str]:
    """List the keys of `values` that are at fault: `key`, those below it, and those that the complaint names."""
    words = set(re.findall(r"\w+", found))
    below = [name for name in values if name == key or not key or name.startswith(f"{key}.")]
    return [name for name in below if name == key or name in found or name.split(".")[-1] in words - {"kind"}]
