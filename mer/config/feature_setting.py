"""The setting of a feature file: everything in a trial's configuration that decides what the file holds.

Left out is what changes no number in it: the layers that a head reads, the label that it predicts, how rows are divided
into folds, and how the layers of a tuned encoder are trained. Trials with equal settings read the same file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from mer.config.data import DataConfig
from mer.config.encoders import TUNING_KEYS, EncoderConfig
from mer.config.folds import ANY_FOLDS
from mer.config.trial import TrialConfig

TEACHER = "teacher"  # beside the modalities, in what a trial reads
SPEAKERS, STAGES = "speakers", "stages"  # likewise; stages are those of the teacher
EARLIER = "earlier"  # likewise: windows of a text encoder that are asked about an earlier turn


@dataclass(frozen=True)
class FeatureSetting:
    """Setting of one feature file, hashable: trials with equal settings read the same file.

    Args:
        data: the utterances; the label is the default one.
        encoder: what reads them; what decides no number is at its default. None for the outputs of a teacher, and for
            the numbers of speakers.
        is_tuned: the file holds what a tuned encoder reads, instead of pooled hidden states.
        hidden_state: of a tuned encoder, the hidden state in the file; None: its raw input.
        teacher: the export whose outputs are in the file; None for an encoder.
        asks_earlier: the encoder's windows are asked about an earlier turn.
        stages: the file has hidden states of the teacher's encoder: how many, in how many parts of time each.
    """

    data: DataConfig
    encoder: EncoderConfig | None = None
    is_tuned: bool = False
    hidden_state: int | None = None
    teacher: str | None = None
    stages: tuple[int, int] | None = None
    asks_earlier: bool = False

    @classmethod
    def of_encoder(cls, data: DataConfig, encoder: EncoderConfig) -> FeatureSetting:
        idle: dict[str, Any] = {"mode": "frozen", "layers": "last"}
        if encoder.keeps_states:  # a file has one hidden state
            idle.pop("layers")
        idle |= {name: type(encoder).model_fields[name].default for name in TUNING_KEYS}
        is_tuned = encoder.mode != "frozen"
        return cls(
            _without_label(data),
            encoder.model_copy(update=idle),
            is_tuned,
            encoder.first_tuned if is_tuned else None,
        )

    @classmethod
    def of_teacher(cls, data: DataConfig, teacher: str) -> FeatureSetting:
        return cls(_without_label(data), teacher=teacher)

    @classmethod
    def of_earlier(cls, data: DataConfig, encoder: EncoderConfig) -> FeatureSetting:
        return replace(cls.of_encoder(data, encoder), asks_earlier=True)

    @classmethod
    def of_stages(cls, data: DataConfig, teacher: str, stages: int, parts: int) -> FeatureSetting:
        return cls(_without_label(data), teacher=teacher, stages=(stages, parts))

    @classmethod
    def of_speakers(cls, data: DataConfig) -> FeatureSetting:
        return cls(_without_label(data))

    @property
    def recorded(self) -> str:
        """JSON text under which a study's journal names the file; the data's folder is not in it, since it may move."""
        words: dict[str, Any] = {"data": self.data.model_dump(exclude={"label", "root"})}
        if self.teacher is not None:
            words[TEACHER] = self.teacher
            words |= {STAGES: list(self.stages)} if self.stages else {}
        elif self.encoder is None:
            words[SPEAKERS] = True
        elif self.is_tuned:
            words["encoder"] = {**self.encoder.model_dump(exclude={"layers", "mode"}), "tokens": self.hidden_state}
        else:
            words["encoder"] = self.encoder.model_dump(exclude=set() if self.encoder.keeps_states else {"layers"})
        words |= {"asks": EARLIER} if self.asks_earlier else {}
        return json.dumps(words, sort_keys=True)


def settings_of(config: TrialConfig) -> dict[str, FeatureSetting]:
    """The settings of the files that a trial reads: by modality, and of TEACHER, STAGES, SPEAKERS where it does."""
    settings = {m: FeatureSetting.of_encoder(config.data, encoder) for m, encoder in config.encoders.present.items()}
    if config.distill is not None and config.distill.teacher is not None:
        settings[TEACHER] = FeatureSetting.of_teacher(config.data, config.distill.teacher)
        if config.review_stages:
            stages, parts = config.review_stages, config.distill.review_parts
            settings[STAGES] = FeatureSetting.of_stages(config.data, config.distill.teacher, stages, parts)
    if config.asks_earlier and config.encoders.text is not None:
        settings[EARLIER] = FeatureSetting.of_earlier(config.data, config.encoders.text)
    if config.reads_speakers:
        settings[SPEAKERS] = FeatureSetting.of_speakers(config.data)
    return settings


def _without_label(data: DataConfig) -> DataConfig:
    folds = None if data.folds is None else ANY_FOLDS  # files hold all rows, whatever the folds
    return data.model_copy(update={"label": DataConfig.model_fields["label"].default, "folds": folds})
