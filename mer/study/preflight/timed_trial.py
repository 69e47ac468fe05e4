"""Build the models of configurations on made-up rows, and time their epochs: alone, and as members of a pack."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mer.checkpoints.export_folder import read_export
from mer.config import EARLIER, SPEAKERS, STAGES, TEACHER, EncoderConfig, FeatureSetting, TrialConfig, settings_of
from mer.features.cache.sequences import Sequences
from mer.model_outputs import describe_encoder, width_of
from mer.training import Layers, TrainingData, build_run
from mer.training.labels import made_up_labels
from mer.training.packed import build_pack, shape_of
from trainables.shared_table import SharedTable, as_training_data

CLIPS = 8  # rows of a tuned encoder of clips, which is slow
_TUNED_ROWS = 32  # of a tuned text encoder
_TIMED_ROWS = 1024
_STAGE_WIDTH = 384  # of a teacher's hidden states
_TURNS, _SPEAKERS = 10, 3  # of a dialogue, about as in MELD
_TIMED_PACKS, _TIMED_MEMBERS = 4, 8  # the commonest shapes; larger packs take as long for each member, about


@dataclass(frozen=True)
class TrialOnMadeUpRows:
    """Time trials of a study without its data.

    Args:
        rows: utterances of train and dev, by split.
        classes: of the label.
        examples: what a tuned encoder reads, or states that a model pools.
    """

    rows: Mapping[str, int]
    classes: int
    examples: Mapping[FeatureSetting, Sequences]

    def alone(self, config: TrialConfig) -> tuple[int, float]:
        """Train an epoch; return the number of trained weights, and the seconds of an epoch of all rows.

        Raises: MerError when no such model can be built.
        """
        data, layers = self._data(config)
        run = build_run(config, data, layers)
        seconds = self._seconds(run.train_epoch, len(data.train))
        weights = sum(p.numel() for p in [*run.model.parameters(), *run.objective.parameters()] if p.requires_grad)
        return weights, seconds

    def in_pack(self, config: TrialConfig, members: int) -> float:
        """Train an epoch of so many trials like this one as one program; return seconds of an epoch of one of them."""
        data, layers = self._data(config)
        seeds = [config.model_copy(update={"seed": config.seed + k}) for k in range(members)]
        pack = build_pack([build_run(one, data, layers) for one in seeds])
        return self._seconds(pack.train_epoch, len(data.train)) / members

    def _seconds(self, epoch: Callable[[], object], count: int) -> float:
        """Time an epoch of `count` rows of train and as many of dev; a row of dev costs a third of one of train."""
        torch.set_num_threads(1)
        started = time.perf_counter()
        epoch()
        elapsed = time.perf_counter() - started
        return elapsed * (self.rows["train"] + self.rows["dev"] / 3) / (count * 4 / 3)

    def _data(self, config: TrialConfig) -> tuple[TrainingData, Layers]:
        """Make up features: random ones, or `examples` again and again."""
        rng = np.random.default_rng(0)
        most = _TIMED_ROWS if not config.tuned else _TUNED_ROWS if list(config.tuned) == ["text"] else CLIPS
        count = min(self.rows["train"], most)
        ids = tuple(f"dia{row // _TURNS}_utt{row}" for row in range(count))
        labels = made_up_labels(rng, count, self.classes, config.data.task)
        names = tuple(f"class{index}" for index in range(self.classes))

        def table(modality: str, encoder: EncoderConfig) -> SharedTable:
            card, task = describe_encoder(encoder), config.data.label
            if encoder.mode != "frozen" or encoder.keeps_states:
                example = self.examples[settings_of(config)[modality]]
                sequences = example.gather(np.arange(count) % len(example))
                pooled = np.empty((count, 0, card.width), dtype=np.float16)
                return SharedTable(
                    ids,
                    pooled,
                    {task: labels},
                    {task: names},
                    {},
                    None,
                    sequences=sequences,
                    encoder_states=card.layers,
                    keeps_states=encoder.keeps_states,
                )
            features = rng.standard_normal((count, card.layers, card.width), dtype=np.float32).astype(np.float16)
            words = rng.standard_normal((self.classes, card.layers, card.width), dtype=np.float32)
            return SharedTable(ids, features, {task: labels}, {task: names}, {task: words}, None)

        tables = {modality: table(modality, encoder) for modality, encoder in config.encoders.present.items()}
        if config.distill is not None and config.distill.teacher is not None:
            width = width_of(read_export(config.distill.teacher))
            h_NK, logits_NC = (rng.standard_normal((count, n), dtype=np.float32) for n in (width, self.classes))
            tables[TEACHER] = replace(
                next(iter(tables.values())), features_NLD=h_NK[:, None], logits_NC=logits_NC, sequences=None
            )
            if config.review_stages:
                numbers, parts = config.review_stages, config.distill.review_parts
                states = rng.standard_normal((count, numbers * parts, _STAGE_WIDTH), dtype=np.float32)
                tables[STAGES] = replace(next(iter(tables.values())), features_NLD=states, sequences=None)
        if config.asks_earlier:
            tables[EARLIER] = next(iter(tables.values()))
        if config.reads_speakers:
            numbers_N = rng.integers(0, _SPEAKERS, count).astype(np.float32)
            tables[SPEAKERS] = replace(
                next(iter(tables.values())), features_NLD=numbers_N[:, None, None], sequences=None
            )
        return as_training_data(config, tables, tables)


def seconds_in_packs(
    alone: Sequence[tuple[TrialConfig, float]], size_of: Callable[[TrialConfig], int], trial: TrialOnMadeUpRows
) -> list[float]:
    """Return the seconds of an epoch of each configuration in the pack that it will train in.

    Packs of the commonest shapes are timed. Of the others it is assumed that they save as much.

    Args:
        alone: configurations, and the seconds of an epoch of each by itself.
        size_of: members of the pack that a configuration will train in.
    """
    common = Counter(shape_of(config).key for config, _ in alone if size_of(config) > 1).most_common(_TIMED_PACKS)
    shares: dict[str, float] = {}
    for key, _ in common:
        config, by_itself = next(one for one in alone if shape_of(one[0]).key == key)
        shares[key] = trial.in_pack(config, min(size_of(config), _TIMED_MEMBERS)) / by_itself
    usual = statistics.mean(shares.values() or [1.0])
    return [
        epoch_s * (shares.get(shape_of(config).key, usual) if size_of(config) > 1 else 1.0) for config, epoch_s in alone
    ]
