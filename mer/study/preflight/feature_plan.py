"""Which feature files a study can ask for: found from the search space, made sure of before any trial starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mer.checkpoints.export_folder import is_export, read_export
from mer.config import (
    TEACHER,
    DataConfig,
    EncoderConfig,
    EncodersConfig,
    FeatureSetting,
    TrialConfig,
    settings_of,
)
from mer.errors import MerError
from mer.features import select_layers
from mer.features.disk_space import refuse_no_room, shared_weights_bytes
from mer.features.ensure import Ensured
from mer.features.reading import Spread
from mer.model_outputs import describe_encoder, ensure_encoder, ensure_outputs
from mer.study.preflight.teacher import check_teacher, refuse_other_data
from mer.study.space.spec import StudySpec
from mer.study.space.yaml_file import read_yaml

SPLITS = ("train", "dev")  # never test: it is read by mer.evaluate alone
_MOST_FILES = 200


@dataclass(frozen=True)
class FeaturePlan:
    """The files of every encoder setting that a trial may have.

    Args:
        files: setting -> split -> cache file.
        encoded: texts and clips encoded just now; 0 when everything was cached.
        seconds: wall time spent on it.
        tuned: the encoders that trials may train, one for each layer that training may start from.
    """

    files: dict[FeatureSetting, dict[str, Path]]
    encoded: int
    seconds: float
    tuned: tuple[EncoderConfig, ...] = ()

    def of(self, config: TrialConfig) -> dict[str, dict[str, str]]:
        """Modality (and TEACHER) -> split -> file for one trial."""
        return {
            modality: {split: str(path) for split, path in self.files[setting].items()}
            for modality, setting in settings_of(config).items()
        }

    def names(self) -> dict[FeatureSetting, dict[str, str]]:
        """Setting -> split -> file name: content-addressed, so equal names mean equal features."""
        return {setting: {split: p.name for split, p in files.items()} for setting, files in self.files.items()}

    def paths(self) -> list[Path]:
        return [path for splits in self.files.values() for path in splits.values()]

    def shared_bytes(self) -> int:
        """What all trials read, and so lies in the object store."""
        return sum(path.stat().st_size for path in self.paths()) + shared_weights_bytes(self.tuned)


def trainable_of(config: TrialConfig) -> str:
    """The name under which a configuration is trained."""
    if config.distill is not None:
        return "distill"
    return "fusion" if len(config.encoders.present) > 1 else config.encoders.only[0]


def ensure_config(config: TrialConfig, splits: Sequence[str], cache: Path) -> dict[str, dict[str, Path]]:
    """Split -> modality -> feature file of one configuration, extracting what is missing; of train and dev also what
    the teacher says. Raises: MerError."""
    paths: dict[str, dict[str, Path]] = {split: {} for split in splits}
    for modality, encoder in config.encoders.present.items():
        for split, path in ensure_encoder(config.data, encoder, splits, cache=cache).paths.items():
            paths[split][modality] = path
    if config.distill is not None and config.distill.teacher is not None:
        wanted = [split for split in splits if split in SPLITS]
        for split, path in ensure_teacher(config, wanted, cache).paths.items():
            paths[split][TEACHER] = path
    return paths


def ensure_teacher(config: TrialConfig, splits: Sequence[str], cache: Path, **how: Any) -> Ensured:
    """What the teacher says of train and dev; of no other split, ever. Raises: MerError when it cannot teach this."""
    assert config.distill is not None and config.distill.teacher is not None and set(splits) <= set(SPLITS)
    refuse_other_data(check_teacher(config), config.data, splits, cache)
    return ensure_outputs(config.distill.teacher, config.data, splits, cache=cache, **how)


def feature_name(paths: Mapping[str, Path]) -> str:
    """One split's feature files in one word: content-addressed, so equal names mean equal features."""
    return " + ".join(path.name for path in paths.values())


def reachable_configs(spec: StudySpec) -> list[TrialConfig]:
    """One configuration per encoder setting (and choice of layers) that the space can reach. Raises: MerError."""
    configs: dict[tuple[DataConfig, EncodersConfig, str | None], TrialConfig] = {}
    settings: set[FeatureSetting] = set()
    try:
        for combination in spec.space.combinations(*_reading_keys(spec), "distill.teacher", "fusion.kind"):
            try:
                config = spec.trial_config(combination)
            except ValidationError:
                continue  # the rest of such a combination is refused when it is drawn
            settings.update(settings_of(config).values())
            taught = config.distill.teacher if config.distill else None
            configs.setdefault((config.data, config.encoders, taught), config)
            if len(settings) > _MOST_FILES:
                raise MerError(
                    spec.study,
                    f"the space can ask for more than {_MOST_FILES} different feature files per split",
                    then="search fewer encoders.* keys in one study",
                )
    except ValueError as fault:
        raise MerError(spec.study, str(fault), allowed="choice, int, or float with a step for encoder keys") from fault
    return list(configs.values())


def _reading_keys(spec: StudySpec) -> list[str]:
    """Searched keys of encoders, but for those that only say how one is trained."""
    idle = (".lora.", ".full.layer_decay.", ".lr.", ".tuned_dropout.", ".recompute.")
    names = [name for name in spec.space.params if name.startswith("encoders.")]
    return [name for name in names if not any(part in f"{name}." for part in idle)]


def check_plan(spec: StudySpec) -> list[TrialConfig]:
    """Refuse what can be refused before anything is encoded: exports that are not there yet, too many files, layers a
    backbone does not have, a teacher that cannot teach."""
    for folder, space in spec.depends_on.items():
        _refuse_missing(spec, folder, space)
    configs = reachable_configs(spec)
    for config in configs:
        for modality, encoder in config.encoders.present.items():
            select_layers(encoder.layers, describe_encoder(encoder).layers, f"encoders.{modality}.layers")
        if config.distill is not None and config.distill.teacher is not None:
            check_teacher(config)
    return configs


def _refuse_missing(spec: StudySpec, folder: str, space: str | None) -> None:
    """Raises: MerError when an earlier study of a chain has not been exported yet."""
    if is_export(folder):
        read_export(folder)
        return
    search, study = "run the study that it comes from", "STUDY"
    if space is not None:
        search, said = f"python -m mer.tune {space}", read_yaml(Path(space)).data
        study = said.get("study", study) if isinstance(said, dict) else study
    raise MerError(
        f"{spec.study}: depends_on",
        f"there is no export in {folder}",
        then=f"{search}, then python -m mer.export studies/{study} --out {folder}",
    )


def ensure_plan(
    spec: StudySpec,
    cache: Path,
    progress: Callable[[int, int], None] | bool | None = None,
    spread: Spread | None = None,
) -> FeaturePlan:
    """Extract what is missing; `spread` reads clips elsewhere. Raises MerError when data or backbone cannot be had."""
    files: dict[FeatureSetting, dict[str, Path]] = {}
    encoded, seconds = 0, 0.0
    configs = check_plan(spec)
    tuned = tuned_encoders(configs)
    refuse_no_room(list(tuned.values()), SPLITS, cache)
    for config in configs:
        # the teacher first: it may be refused, which nobody should learn after hours of reading clips
        for name, setting in sorted(settings_of(config).items(), key=lambda item: item[0] != TEACHER):
            if setting in files:
                continue
            how: dict[str, Any] = {"cache": cache, "progress": progress, "spread": spread}
            if name == TEACHER:
                done = ensure_teacher(config, SPLITS, **how)
            else:
                done = ensure_encoder(config.data, config.encoders.present[name], SPLITS, **how)
            files[setting] = done.paths
            encoded, seconds = encoded + done.encoded, seconds + done.seconds
    return FeaturePlan(files, encoded, seconds, tuple(encoder for _, encoder in tuned.values()))


def tuned_encoders(configs: Sequence[TrialConfig]) -> dict[FeatureSetting, tuple[DataConfig, EncoderConfig]]:
    """The encoders that are trained, one for each setting that has files of its own."""
    return {
        settings_of(config)[modality]: (config.data, encoder)
        for config in configs
        for modality, encoder in config.tuned.items()
    }
