"""Which rows make a training step: single utterances, or whole dialogues where the model reads dialogues.

Both say beforehand how many steps an epoch has, since the learning rate counts steps. Both draw from torch's global
generator, once an epoch.
"""

from __future__ import annotations

import math

import numpy as np
import torch


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
