"""One split's features as plain arrays, and the data of a TrainingRun made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mer.config import EARLIER, SPEAKERS, STAGES, TEACHER, TrialConfig
from mer.data.types import dialogue_numbers
from mer.errors import MerError
from mer.features import load_features, select_layers
from mer.features.cache.sequences import Sequences
from mer.training import FusedSplit, Layers, SequenceSplit, Split, SplitArrays, TeacherOutputs, TrainingData
from mer.training.augmented import with_earlier
from mer.training.data import Part, only_labelled


@dataclass(frozen=True)
class SharedTable:
    """One split's features in the object store: plain arrays and names."""

    ids: tuple[str, ...]
    features_NLD: np.ndarray
    labels: dict[str, np.ndarray]
    label_names: dict[str, tuple[str, ...]]
    label_text: dict[str, np.ndarray]
    present_N: np.ndarray | None  # None: every row is there
    logits_NC: np.ndarray | None = None  # only in a teacher's outputs
    sequences: Sequences | None = None  # for a tuned encoder, or pooler none; features_NLD then has no layers
    encoder_states: int = 0  # number of hidden states that the encoder of sequences makes
    keeps_states: bool = False  # the sequences are states of tokens or steps of time (pooler none)

    @property
    def hidden_states(self) -> int:
        """The number of hidden states that a head can read."""
        return self.encoder_states if self.sequences is not None else self.features_NLD.shape[1]

    def split(self, task: str) -> Part:
        """Choose the arrays of one label task."""
        if self.sequences is not None:
            width = self.features_NLD.shape[2]
            return SequenceSplit(self.ids, self.sequences, self.labels[task], width, self.present_N, self.keeps_states)
        return SplitArrays(self.ids, self.features_NLD, self.labels[task], self.present_N)


def read_table(path: Path) -> SharedTable:
    """Read a cache file."""
    table = load_features(path)
    present = None if table.present.all() else table.present
    return SharedTable(
        table.ids,
        table.features,
        table.labels,
        table.label_names,
        table.label_text,
        present,
        table.logits,
        table.sequences,
        table.hidden_states if table.sequences is not None else 0,
        table.keeps_states,
    )


def as_training_data(
    config: TrialConfig, train: Mapping[str, SharedTable], dev: Mapping[str, SharedTable]
) -> tuple[TrainingData, Layers]:
    """Assemble the data of a TrainingRun from the tables of each modality and of the teacher.

    Raises: MerError when layers are not there, or the modalities are not of the same utterances.
    """
    task, first = config.data.label, next(iter(train.values()))
    taught = {"train": train, "dev": dev} if config.distill is not None and config.distill.teacher else {}
    rows = only_labelled(as_split(config, train))
    if config.asks_earlier:
        rows = with_earlier(rows, train[EARLIER].split(task))
    data = TrainingData(
        train=rows,
        dev=as_split(config, dev),
        class_names=first.label_names[task],
        label_text_CLD=first.label_text.get(task),
        teacher={split: _teacher_outputs(tables, config.review_stages) for split, tables in taught.items()},
    )
    return data, layers_of(config, {modality: table.hidden_states for modality, table in train.items()})


def _teacher_outputs(tables: Mapping[str, SharedTable], stages: int) -> TeacherOutputs:
    """Return what a teacher says of a split. Raises: MerError when its rows are not the students'.

    Args: stages: hidden states of its encoder that are compared; 0: none.
    """
    teacher, students = tables[TEACHER], next(iter(tables.values()))
    if teacher.logits_NC is None or teacher.ids != students.ids:
        raise MerError("distill.teacher", "its outputs are of other utterances than the students'")
    told = TeacherOutputs(teacher.logits_NC, teacher.features_NLD[:, 0], teacher.present_N)
    if not stages:
        return told
    staged = tables[STAGES]
    if staged.ids != students.ids:
        raise MerError("distill.teacher", "its hidden states are of other utterances than the students'")
    rows, states, width = staged.features_NLD.shape
    states_NSPK = staged.features_NLD.reshape(rows, stages, states // stages, width)
    return replace(told, states_NSPK=states_NSPK, staged_N=staged.present_N)


def as_split(config: TrialConfig, tables: Mapping[str, SharedTable]) -> Split:
    """Join a split's modalities in their fixed order. Raises: MerError when their rows differ."""
    parts = {modality: tables[modality].split(config.data.label) for modality in config.encoders.present}
    if not config.reads_tables_together:
        return next(iter(parts.values()))
    try:
        whole = FusedSplit(parts)
        if not config.reads_dialogues:
            return whole
        whole = replace(whole, dialogue_N=dialogue_numbers(whole.ids))
    except ValueError as fault:
        raise MerError("features", str(fault), then="extract them again from one data root") from fault
    if not config.reads_speakers:
        return whole
    if tables[SPEAKERS].ids != whole.ids:
        raise MerError("features", "the speakers are of other utterances", then="extract them again from one data root")
    return replace(whole, speaker_N=tables[SPEAKERS].features_NLD[:, 0, 0].astype(np.int64))


def layers_of(config: TrialConfig, hidden_states: Mapping[str, int]) -> Layers:
    """Resolve the layers that are read: a list; of several modalities, and of dialogues, a dict of lists.

    Args: hidden_states: modality -> number of stored hidden states; of what is no modality it is not read.
    Raises: MerError when a layer is not there.
    """
    chosen = {
        modality: select_layers(encoder.layers, hidden_states[modality], f"encoders.{modality}.layers")
        for modality, encoder in config.encoders.present.items()
    }
    return chosen if config.reads_tables_together else next(iter(chosen.values()))
