"""Refuse what can be refused before anything is encoded, once per study.

`check_plan` is called first; whoever extracts or estimates takes the CheckedPlan that it returns.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mer.checkpoints.export_folder import Export, is_export, read_export
from mer.config import DataConfig, EncoderConfig, FeatureSetting, TrialConfig, settings_of
from mer.errors import MerError
from mer.features import select_layers
from mer.model_outputs import describe_encoder
from mer.places import expanded
from mer.study.preflight.teacher import check_teacher
from mer.study.space.draws import random_params
from mer.study.space.on_sample import words_of_chain
from mer.study.space.spec import StudySpec
from mer.study.space.yaml_file import read_yaml
from mer.terminal.commands import command

_MOST_FILES = 200
_DRAWS = 100


@dataclass(frozen=True)
class CheckedPlan:
    """All that a study may ask for, checked.

    Args:
        configs: one configuration for each encoder setting, choice of layers and teacher that the space can reach.
        teachers: `distill.teacher` -> the export, every byte of it verified.
    """

    configs: tuple[TrialConfig, ...]
    teachers: Mapping[str, Export]

    def teacher_of(self, config: TrialConfig) -> Export:
        """Return the teacher of a configuration that is taught."""
        assert config.distill is not None and config.distill.teacher is not None
        return self.teachers[config.distill.teacher]

    @property
    def ragged(self) -> dict[FeatureSetting, tuple[DataConfig, EncoderConfig]]:
        """The encoders whose files hold sequences, one for each file: those that are trained, or keep states."""
        kept = {
            settings_of(config)[modality]: (config.data, encoder)
            for config in self.configs
            for modality, encoder in config.encoders.present.items()
            if encoder.keeps_states
        }
        return self.tuned | kept

    @property
    def tuned(self) -> dict[FeatureSetting, tuple[DataConfig, EncoderConfig]]:
        """The encoders that are trained, one for each setting that has files of its own."""
        return {
            settings_of(config)[modality]: (config.data, encoder)
            for config in self.configs
            for modality, encoder in config.tuned.items()
        }


def check_plan(spec: StudySpec) -> CheckedPlan:
    """Find every configuration that decides about features, and refuse those that cannot be had.

    Raises: MerError for an export that is not there yet, too many feature files, a layer that a backbone does not have,
    a teacher that cannot teach.
    """
    for folder, space in spec.depends_on.items():
        where = f"{spec.study}: depends_on"
        _refuse_missing(spec, expanded(folder, where), None if space is None else expanded(space, where))
    configs = reachable_configs(spec)
    teachers: dict[str, Export] = {}
    for config in configs:
        for modality, encoder in config.encoders.present.items():
            select_layers(encoder.layers, describe_encoder(encoder).layers, f"encoders.{modality}.layers")
            if config.data.folds is not None and is_export(encoder.backbone):
                raise MerError(
                    f"encoders.{modality}.backbone",
                    f"{encoder.backbone} is a trained model, which has seen rows that are test in some fold",
                    allowed="a backbone that was not trained on these data, beside data.folds",
                )
        if config.distill is not None and (name := config.distill.teacher) is not None:
            teachers[name] = check_teacher(config, teachers.get(name))
    return CheckedPlan(tuple(configs), teachers)


def reachable_configs(spec: StudySpec) -> list[TrialConfig]:
    """List one configuration for each encoder setting, choice of layers and teacher that the space can reach.

    Raises: MerError for more than 200 feature files, or a continuous range of an encoder key.
    """
    configs: dict[tuple[object, ...], TrialConfig] = {}
    settings: set[FeatureSetting] = set()
    try:
        deciding = (
            "distill.teacher",
            "distill.feature",
            "distill.review_levels",
            "fusion.kind",
            "dialogue.kind",
            "dialogue.speakers",
            "loss.contrastive.kind",
        )
        wanted = spec.space.combinations(*_reading_keys(spec), *deciding)
        for combination in itertools.chain(wanted, _whole_draws(spec, configs)):
            try:
                config = spec.trial_config(combination)
            except ValidationError:
                continue  # the rest of such a combination is refused when it is drawn
            settings.update(settings_of(config).values())
            taught = config.distill.teacher if config.distill else None
            key = (
                config.data,
                config.encoders,
                taught,
                config.reads_speakers,
                config.asks_earlier,
                config.distill and config.distill.review_parts,
            )
            configs.setdefault(key, config)
            if len(settings) > _MOST_FILES:
                raise MerError(
                    spec.study,
                    f"the space can ask for more than {_MOST_FILES} different feature files per split",
                    then="search fewer encoders.* keys in one study",
                )
    except ValueError as fault:
        raise MerError(spec.study, str(fault), allowed="choice, int, or float with a step for encoder keys") from fault
    return list(configs.values())


def _whole_draws(spec: StudySpec, configs: Mapping[Any, TrialConfig]) -> Iterator[dict[str, Any]]:
    """Yield whole draws while no configuration was found.

    Fixed keys may need a kind that is searched: then no combination of encoder keys alone is a configuration.
    """
    rng = random.Random(0)
    for number in range(_DRAWS):
        if configs:
            return
        yield dict(spec.points[number]) if number < len(spec.points) else random_params(spec, rng)


def _reading_keys(spec: StudySpec) -> list[str]:
    """List the searched keys of encoders that decide what is read; keys that say how one is trained are left out."""
    idle = (".lora.", ".full.layer_decay.", ".lr.", ".tuned_dropout.", ".recompute.")
    names = [name for name in spec.space.params if name.startswith("encoders.")]
    return [name for name in names if not any(part in f"{name}." for part in idle)]


def _refuse_missing(spec: StudySpec, folder: str, space: str | None) -> None:
    """Raise MerError when an earlier study of a chain has not been exported yet.

    Args:
        folder: where the export is expected.
        space: the search space that leads to it, if the user named one.
    """
    if is_export(folder):
        read_export(folder)
        return
    search, study = "run the study that it comes from", "STUDY"
    if space is not None:
        said = read_yaml(Path(space)).data
        study = str(said.get("study", study)) if isinstance(said, dict) else study
        study, options = words_of_chain(Path(folder), study)
        search = command("mer.tune", Path(space), *options)
    raise MerError(
        f"{spec.study}: depends_on",
        f"there is no export in {folder}",
        then=f"{search}, then {command('mer.export', Path('studies') / study, '--out', Path(folder))}",
    )
