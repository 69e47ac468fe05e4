"""Which feature files a study can ask for: found from the search space, made sure of before any trial starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from mer.config import TrialConfig
from mer.errors import MerError
from mer.features import describe_backbone, ensure_features, select_layers
from mer.features.reading import Spread
from mer.study.spec import StudySpec

SPLITS = ("train", "dev")  # never test: it is read by mer.evaluate alone
_MOST_FILES = 200


@dataclass(frozen=True)
class FeaturePlan:
    """The files of every encoder setting that a trial may have.

    Args:
        files: encoder setting -> split -> cache file.
        encoded: texts and clips encoded just now; 0 when everything was cached.
        seconds: wall time spent on it.
    """

    files: dict[str, dict[str, Path]]
    encoded: int
    seconds: float

    def of(self, config: TrialConfig) -> dict[str, dict[str, str]]:
        """Modality -> split -> file for one trial."""
        return {
            modality: {split: str(path) for split, path in self.files[setting].items()}
            for modality, setting in settings_of(config).items()
        }

    def names(self) -> dict[str, dict[str, str]]:
        """Encoder setting -> split -> file name: content-addressed, so equal names mean equal features."""
        return {setting: {split: p.name for split, p in files.items()} for setting, files in self.files.items()}

    def paths(self) -> list[Path]:
        return [path for splits in self.files.values() for path in splits.values()]


def settings_of(config: TrialConfig) -> dict[str, str]:
    """What decides each modality's feature file, as text: not the layers that are read from it, not the label task."""
    data = config.data.model_dump(exclude={"label"})
    return {
        modality: json.dumps({"data": data, "encoder": encoder.model_dump(exclude={"layers"})}, sort_keys=True)
        for modality, encoder in config.encoders.present.items()
    }


def trainable_of(config: TrialConfig) -> str:
    """The name under which a configuration is trained."""
    return "fusion" if len(config.encoders.present) > 1 else config.encoders.only[0]


def ensure_config(config: TrialConfig, splits: Sequence[str], cache: Path) -> dict[str, dict[str, Path]]:
    """Split -> modality -> feature file of one configuration, extracting what is missing. Raises: MerError."""
    paths: dict[str, dict[str, Path]] = {split: {} for split in splits}
    for modality, encoder in config.encoders.present.items():
        for split, path in ensure_features(config.data, encoder, splits, cache=cache).paths.items():
            paths[split][modality] = path
    return paths


def feature_name(paths: Mapping[str, Path]) -> str:
    """One split's feature files in one word: content-addressed, so equal names mean equal features."""
    return " + ".join(path.name for path in paths.values())


def reachable_configs(spec: StudySpec) -> list[TrialConfig]:
    """One configuration per encoder setting (and choice of layers) that the space can reach. Raises: MerError."""
    configs: dict[str, TrialConfig] = {}
    settings: set[str] = set()
    try:
        for combination in spec.space.combinations("encoders."):
            try:
                config = spec.trial_config(combination)
            except ValidationError:
                continue  # the rest of such a combination is refused when it is drawn
            settings.update(settings_of(config).values())
            where = json.dumps(config.data.model_dump(mode="json"), sort_keys=True)
            configs.setdefault(where + json.dumps(config.encoders.model_dump(mode="json")), config)
            if len(settings) > _MOST_FILES:
                raise MerError(
                    spec.study,
                    f"the space can ask for more than {_MOST_FILES} different feature files per split",
                    then="search fewer encoders.* keys in one study",
                )
    except ValueError as fault:
        raise MerError(spec.study, str(fault), allowed="choice, int, or float with a step for encoder keys") from fault
    return list(configs.values())


def check_plan(spec: StudySpec) -> list[TrialConfig]:
    """Refuse what can be refused before anything is encoded: too many files, layers a backbone does not have."""
    configs = reachable_configs(spec)
    for config in configs:
        for modality, encoder in config.encoders.present.items():
            select_layers(encoder.layers, describe_backbone(encoder).layers, f"encoders.{modality}.layers")
    return configs


def ensure_plan(
    spec: StudySpec,
    cache: Path,
    progress: Callable[[int, int], None] | bool | None = None,
    spread: Spread | None = None,
) -> FeaturePlan:
    """Extract what is missing; `spread` reads clips elsewhere. Raises MerError when data or backbone cannot be had."""
    files: dict[str, dict[str, Path]] = {}
    encoded, seconds = 0, 0.0
    for config in check_plan(spec):
        for setting, encoder in zip(settings_of(config).values(), config.encoders.present.values(), strict=True):
            if setting in files:
                continue
            done = ensure_features(config.data, encoder, SPLITS, cache=cache, progress=progress, spread=spread)
            files[setting] = done.paths
            encoded, seconds = encoded + done.encoded, seconds + done.seconds
    return FeaturePlan(files, encoded, seconds)
