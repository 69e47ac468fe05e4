"""Which rows each step of an epoch trains on: single utterances, or whole dialogues where the model reads dialogues.

Both say beforehand how many steps an epoch has, since the learning rate counts steps. Both draw from torch's global
generator, once an epoch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mer.config import SPCLConfig, TrialConfig
from mer.errors import MerError
from mer.training.augmented import extra_rows
from mer.training.data import Split

_CURRICULUM_SHARE = 0.5  # expected share of the training split that the curriculum keeps (methods 1.4)


class EpochBatches:
    """Choose the rows of an epoch and divide them among its steps.

    Args:
        config: says how many rows a step has, whether it has whole dialogues, and what SPCL adds and leaves out.
        split: that is trained on.
        rows_N: numbers of its rows that are trained on.
    Raises: MerError when dialogues are read and the split does not say which dialogue a row is of.
    """

    def __init__(self, config: TrialConfig, split: Split, rows_N: np.ndarray) -> None:
        contrastive = config.loss.contrastive
        self.rows_N, self.size = rows_N, config.optim.batch_size
        self.has_curriculum = isinstance(contrastive, SPCLConfig) and contrastive.curriculum
        self.samples = extra_rows(split)
        earlier_share = contrastive.earlier_share if isinstance(contrastive, SPCLConfig) else 0.0
        self.sample_count = round(earlier_share * len(self.samples))
        self.dialogues = _whole_dialogues(split, rows_N, self.size) if config.reads_dialogues else None

    @property
    def steps(self) -> int:
        """Steps of an epoch that the schedule counts on."""
        if self.dialogues is not None:
            return self.dialogues.steps
        share = _CURRICULUM_SHARE if self.has_curriculum else 1.0
        return math.ceil((len(self.rows_N) * share + self.sample_count) / self.size)

    def rows(self) -> np.ndarray:
        """Return the rows that are trained on, and draw some of the samples beside them."""
        if not self.sample_count:
            return self.rows_N
        drawn = torch.randperm(len(self.samples))[: self.sample_count].numpy()
        return np.concatenate([self.rows_N, self.samples[drawn]])

    def kept_rows(self, keep_N: Tensor) -> np.ndarray:
        """Draw the rows that the curriculum keeps, at least one batch of them.

        Args: keep_N: probability of each row that is trained on.
        """
        chosen = torch.nonzero(torch.rand(len(self.rows_N)) < keep_N).flatten()
        chosen = chosen if len(chosen) else torch.randperm(len(self.rows_N))[: self.size]
        return self.rows_N[chosen.numpy()]

    def divide(self, rows_N: np.ndarray) -> list[np.ndarray]:
        """Return the rows of each of an epoch's steps: the given ones shuffled, or whole dialogues."""
        return batches_of_rows(rows_N, self.size) if self.dialogues is None else self.dialogues.draw()


def _whole_dialogues(split: Split, rows_N: np.ndarray, size: int) -> DialogueBatches:
    dialogue_N = getattr(split, "dialogue_N", None)
    if dialogue_N is None:
        raise MerError("dialogue", "the data do not say which dialogue a row is of", then="set FusedSplit.dialogue_N")
    return DialogueBatches(dialogue_N, rows_N, size)


def batches_of_rows(rows_N: np.ndarray, size: int) -> list[np.ndarray]:
    """The given rows in a random order, `size` at a time; the last batch has the rest."""
    shuffled_N = rows_N[torch.randperm(len(rows_N)).numpy()]
    return [shuffled_N[start : start + size] for start in range(0, len(shuffled_N), size)]


class DialogueBatches:
    """Whole dialogues in a random order, equally many in each step, so that it has about `size` utterances.

    A dialogue comes with all its rows, also those that are not trained on: the others read them. A dialogue without a
    row that is trained on is left out.

    Args:
        dialogue_N: number of each row's dialogue; rows are dialogue after dialogue.
        trained_N: numbers of the rows that are trained on.
        size: wanted number of these in a step.
    """

    def __init__(self, dialogue_N: np.ndarray, trained_N: np.ndarray, size: int) -> None:
        firsts = np.flatnonzero(np.diff(dialogue_N, prepend=-1))
        whole = np.split(np.arange(len(dialogue_N)), firsts[1:])
        wanted = np.isin(dialogue_N[firsts], dialogue_N[trained_N])
        self.dialogues = [rows for rows, is_wanted in zip(whole, wanted, strict=True) if is_wanted]
        self.steps = min(len(self.dialogues), math.ceil(len(trained_N) / size))

    def draw(self) -> list[np.ndarray]:
        """The rows of each of an epoch's steps."""
        order = torch.randperm(len(self.dialogues)).numpy()
        return [np.concatenate([self.dialogues[i] for i in some]) for some in np.array_split(order, self.steps)]
