"""Splits of states (pooler none): what toy data say in one vector, said in some of a row's states."""

from __future__ import annotations

import numpy as np

from mer.features.cache.sequences import Sequences
from mer.training import SequenceSplit, SplitArrays


def as_states(part: SplitArrays, most: int = 6) -> SequenceSplit:
    """One to `most` states a row: noise, and at one place the row's first hidden state. Absent rows have none."""
    rows, spans = [], []
    for number, features_LD in enumerate(part.features_NLD):
        rng = np.random.default_rng([number, len(part)])
        there = part.present_N is None or bool(part.present_N[number])
        states = rng.normal(0, 0.3, (int(rng.integers(1, most + 1)) if there else 0, part.width))
        if there:
            states[rng.integers(len(states))] += 3 * features_LD[0].astype(np.float64)
        rows.append(states.astype(np.float16))
        spans.append((0, len(states)))
    sequences = Sequences.join(rows, spans)
    for array in (sequences.values, sequences.offsets, sequences.spans):
        array.setflags(write=False)  # as Ray hands them out
    return SequenceSplit(part.ids, sequences, part.labels_N, part.width, part.present_N, are_states=True)
