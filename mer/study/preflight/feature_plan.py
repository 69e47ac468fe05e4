"""Make sure of all feature files before any trial starts: those of a study, or of one configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.checkpoints.export_folder import Export
from mer.config import (
    EARLIER,
    SPEAKERS,
    STAGES,
    TEACHER,
    EncoderConfig,
    FeatureSetting,
    TrialConfig,
    settings_of,
)
from mer.data.folds import Folds
from mer.data.registry import folds_of
from mer.features.disk_space import refuse_no_room, shared_weights_bytes
from mer.features.ensure import Ensured
from mer.features.failures import Failures
from mer.features.reading import Spread
from mer.model_outputs import ensure_earlier, ensure_encoder, ensure_outputs, ensure_speakers
from mer.study.preflight.check_plan import CheckedPlan
from mer.study.preflight.teacher import check_teacher, refuse_other_data
from mer.teacher_stages import ensure_stages

SPLITS = ("train", "dev")  # never test: only mer.evaluate reads it


@dataclass(frozen=True)
class FeaturePlan:
    """The files of every encoder setting that a trial may have.

    Args:
        files: setting -> split -> cache file.
        encoded: texts and clips encoded just now; 0 when everything was cached.
        seconds: wall time spent on it.
        tuned: the encoders that trials may train, one for each layer that training may start from.
        failures: clips that could not be read, file by file.
        folds: of the data, where trials train all of them; each file then has all rows.
    """

    files: dict[FeatureSetting, dict[str, Path]]
    encoded: int
    seconds: float
    tuned: tuple[EncoderConfig, ...] = ()
    failures: tuple[Failures, ...] = ()
    folds: Folds | None = None

    def of(self, config: TrialConfig) -> dict[str, dict[str, str]]:
        """Return the files of one trial: modality, or TEACHER, STAGES, EARLIER, SPEAKERS -> split -> path."""
        return {
            modality: {split: str(path) for split, path in self.files[setting].items()}
            for modality, setting in settings_of(config).items()
        }

    def names(self) -> dict[FeatureSetting, dict[str, str]]:
        """Return setting -> split -> file name. Names are content hashes: equal names mean equal features."""
        return {setting: {split: p.name for split, p in files.items()} for setting, files in self.files.items()}

    def paths(self) -> list[Path]:
        """List every file once."""
        return list(dict.fromkeys(path for splits in self.files.values() for path in splits.values()))

    def failed_lines(self) -> list[str]:
        """Write a line for each file with clips that could not be read."""
        return [found.brief() for found in self.failures if found.count]

    def shared_bytes(self) -> int:
        """Count the bytes that lie in the object store: features, and backbone weights that all trials share."""
        return sum(path.stat().st_size for path in self.paths()) + shared_weights_bytes(self.tuned)


def trainable_of(config: TrialConfig) -> str:
    """Return the `trainable` that a search space names to train such a configuration."""
    if config.distill is not None:
        return "distill"
    return "fusion" if len(config.encoders.present) > 1 else config.encoders.only[0]


def ensure_config(config: TrialConfig, splits: Sequence[str], cache: Path) -> dict[str, dict[str, Path]]:
    """Extract the missing feature files of one configuration, and of train and dev also its teacher's outputs.

    Returns: split -> modality, or TEACHER, STAGES, EARLIER, SPEAKERS -> file. Raises: MerError.
    """
    paths: dict[str, dict[str, Path]] = {split: {} for split in splits}
    for modality, encoder in config.encoders.present.items():
        for split, path in ensure_encoder(config.data, encoder, splits, cache=cache).paths.items():
            paths[split][modality] = path
    if config.distill is not None and config.distill.teacher is not None:
        wanted = [split for split in splits if split in SPLITS]
        for split, path in ensure_teacher(config, wanted, cache).paths.items():
            paths[split][TEACHER] = path
        if config.review_stages:
            for split, path in _ensure_stages(config, wanted, config.distill.teacher, cache=cache).paths.items():
                paths[split][STAGES] = path
    if config.asks_earlier and config.encoders.text is not None:
        for split, path in ensure_earlier(config.data, config.encoders.text, splits, cache=cache).paths.items():
            paths[split][EARLIER] = path
    if config.reads_speakers:
        for split, path in ensure_speakers(config.data, splits, cache=cache).paths.items():
            paths[split][SPEAKERS] = path
    return paths


def ensure_teacher(
    config: TrialConfig, splits: Sequence[str], cache: Path, teacher: Export | None = None, **how: Any
) -> Ensured:
    """Make sure of the teacher's outputs for train and dev; they are never computed for another split.

    Args: teacher: where it has been checked before; None: check it now.
    Raises: MerError when it cannot teach this configuration.
    """
    assert config.distill is not None and config.distill.teacher is not None and set(splits) <= set(SPLITS)
    refuse_other_data(teacher or check_teacher(config), config.data, splits, cache)
    return ensure_outputs(config.distill.teacher, config.data, splits, cache=cache, **how)


def _ensure_stages(config: TrialConfig, splits: Sequence[str], teacher: Export | str, **how: Any) -> Ensured:
    """Make sure of the hidden states that students review; as of the teacher's outputs, of train and dev only."""
    assert config.distill is not None
    stages, parts = config.review_stages, config.distill.review_parts
    return ensure_stages(teacher, config.data, splits, stages=stages, parts=parts, **how)


def feature_name(paths: Mapping[str, Path]) -> str:
    """Join the names of one split's feature files. Names are content hashes: equal names mean equal features."""
    return " + ".join(path.name for path in paths.values())


def ensure_plan(
    checked: CheckedPlan,
    cache: Path,
    progress: Callable[[int, int], None] | bool | None = None,
    spread: Spread | None = None,
    max_failed: float | None = None,
) -> FeaturePlan:
    """Extract the missing feature files of a study.

    Args:
        progress: called with (done, all), or False for silence; None for a bar.
        spread: reads clips in other processes.
        max_failed: share of a split's clips, in [0, 1], that may be unreadable; None: any.
    Raises: MerError when data or backbone cannot be had.
    """
    files: dict[FeatureSetting, dict[str, Path]] = {}
    encoded, seconds, failures = 0, 0.0, list[Failures]()
    tuned = list(checked.tuned.values())
    refuse_no_room(list(checked.ragged.values()), SPLITS, cache)
    for config in checked.configs:
        # the teacher first: it may be refused, which nobody should learn after hours of reading clips
        for name, setting in sorted(settings_of(config).items(), key=lambda item: item[0] != TEACHER):
            if setting in files:
                continue
            how: dict[str, Any] = {"cache": cache, "progress": progress, "spread": spread}
            if name == TEACHER:
                done = ensure_teacher(config, SPLITS, teacher=checked.teacher_of(config), **how)
            elif name == STAGES:
                done = _ensure_stages(config, SPLITS, checked.teacher_of(config), cache=cache, progress=progress)
            elif name == EARLIER and config.encoders.text is not None:
                done = ensure_earlier(config.data, config.encoders.text, SPLITS, cache=cache, progress=progress)
            elif name == SPEAKERS:
                done = ensure_speakers(config.data, SPLITS, cache=cache)
            else:
                done = ensure_encoder(config.data, config.encoders.present[name], SPLITS, max_failed=max_failed, **how)
            files[setting] = done.paths
            failures += done.failures
            encoded, seconds = encoded + done.encoded, seconds + done.seconds
    folds = folds_of(checked.configs[0].data)
    return FeaturePlan(files, encoded, seconds, tuple(encoder for _, encoder in tuned), tuple(failures), folds)
