"""Train several configurations of one shape over seeds in one study: candidates x seeds are members of its packs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console

from mer.config import TrialConfig, flatten
from mer.errors import MerError
from mer.files import sha256_json
from mer.study.evaluate.seeds import SEED_PARAM, run_quietly
from mer.study.paths import is_study
from mer.study.preflight.feature_plan import trainable_of
from mer.study.preflight.run_options import RunOptions
from mer.study.search.journal import readable_journal
from mer.study.search.stored_trial import params_of
from mer.study.space.keys import RESERVED
from mer.study.space.params import ChoiceParam, Param, decode
from mer.study.space.spec import Budget, Resources, Sampler, Scheduler, StudyObjective, StudySpec
from mer.training.packed import shape_of

Point = dict[str, Any]


@dataclass(frozen=True)
class CandidateStudy:
    """Configurations that differ in plain values of the same keys, and the study in which their seeds are trained.

    Args:
        name: of the study that found them.
        configs: trial number there -> configuration; its seed does not matter.
    """

    name: str
    configs: Mapping[int, TrialConfig]

    @property
    def study(self) -> str:
        """Name of the study, derived from the configurations alone."""
        identities = sorted(
            sha256_json(config.model_dump(mode="json", exclude={"seed": True, "data": {"root"}}))
            for config in self.configs.values()
        )
        return f"rerank-{self.name[:60]}-{sha256_json(identities)[:10]}"

    def point(self, number: int, seed: int) -> Point:
        """What the study draws for one candidate and seed."""
        values = _values(self.configs[number])
        return {key: values[key] for key in self._differing()} | {"seed": seed}

    def spec(self, points: Sequence[Point], resources: Resources) -> StudySpec:
        """Describe a study that tries exactly the given points."""
        first = next(iter(self.configs.values()))
        differing, values = self._differing(), [_values(config) for config in self.configs.values()]
        params: dict[str, Param] = {
            key: ChoiceParam.model_validate({"choice": _distinct(own[key] for own in values)}) for key in differing
        }
        training = first.training
        return StudySpec(
            study=self.study,
            description=f"Seed repeats of the best trials of {self.name}; the epoch is chosen on dev.",
            trainable=trainable_of(first),
            objective=(StudyObjective(metric=training.metric, mode=training.mode),),
            budget=Budget(trials=len(points), epochs=training.epochs),
            sampler=Sampler(kind="random"),
            scheduler=Scheduler(kind="none"),
            resources=resources,
            fixed={key: value for key, value in values[0].items() if key not in differing},
            params={**params, "seed": SEED_PARAM},
            points=tuple(points),
        )

    def train(self, seeds: Sequence[int], options: RunOptions, console: Console, resources: Resources) -> Path:
        """Train each candidate over the seeds that have no result yet and return the study's folder."""
        folder = options.studies / self.study
        wanted = [self.point(number, seed) for number in self.configs for seed in seeds]
        points = _distinct([*self._known(folder), *wanted])
        return run_quietly(self.spec(points, resources), options, console)

    def scores(self, folder: Path, seeds: Sequence[int]) -> dict[int, list[float]]:
        """Return trial number -> the best dev value of each seed. Raises: MerError when one has failed."""
        with readable_journal(folder, self.study) as found:
            trials = {sha256_json(params_of(trial)): trial for trial in found.get_trials() if trial.params}
        scores: dict[int, list[float]] = {}
        for number, config in self.configs.items():
            for seed in seeds:
                trial = trials.get(sha256_json(self.point(number, seed)))
                ending = trial.user_attrs.get("ending", {}) if trial else {}
                if ending.get("outcome") != "finished":
                    reason = ending.get("reason") or "it was not finished"
                    then = f"mend the cause, move {folder} away, then run the same command again"
                    raise MerError(f"trial {number}, seed {seed}", f"has no result: {reason}", then=then)
                scores.setdefault(number, []).append(ending["best"][config.training.metric])
        return scores

    def _known(self, folder: Path) -> list[Point]:
        """Points that have a trial number, in the order of their numbers."""
        if not is_study(folder):
            return []
        with readable_journal(folder, self.study) as found:
            return [point for trial in found.get_trials() if (point := _asked(trial))]

    def _differing(self) -> list[str]:
        values = [_values(config) for config in self.configs.values()]
        return [key for key in values[0] if len(_distinct(own[key] for own in values)) > 1]


def alike(configs: Mapping[int, TrialConfig]) -> list[dict[int, TrialConfig]]:
    """Group candidates that can be trained in one study: of one shape that can be packed, with the same keys."""

    def kind(number: int) -> str:
        config = configs[number]
        shape, values = shape_of(config), _values(config)
        plain = all(_is_plain(value) for value in values.values())
        common = [shape.key, sorted(values), config.training.metric, config.training.epochs]
        return sha256_json(common) if shape.is_packable and plain else f"alone {number}"

    groups = groupby(sorted(configs, key=kind), key=kind)
    return [{number: configs[number] for number in sorted(numbers)} for _, numbers in groups]


def _asked(trial: FrozenTrial) -> Point:
    """What was drawn for a trial; one that waits has drawn nothing yet, but was enqueued with it."""
    enqueued = trial.system_attrs.get("fixed_params", {})
    return params_of(trial) or {key: decode(value) for key, value in enqueued.items()}


def _values(config: TrialConfig) -> dict[str, Any]:
    """The configuration by dotted key, without what a study decides and the seed."""
    reserved = {*RESERVED, "seed"}
    return {key: value for key, value in flatten(config.model_dump(mode="json")).items() if key not in reserved}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({sha256_json(value): value for value in values}.values())
