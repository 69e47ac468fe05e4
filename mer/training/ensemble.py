"""Average the answers of several models: probabilities of classes and of labels, numbers as they are.

Shape suffixes: K models, N rows, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer.config import TargetKind
from mer.training.calibration import cooled

_LEAST, _MOST = float(np.finfo(np.float64).tiny), 1.0 - 2.0**-53  # probabilities whose logarithms are finite


def mean_outputs(
    kind: TargetKind,
    outputs: Sequence[np.ndarray],
    temperatures: Sequence[float | None],
    there: Sequence[np.ndarray | None],
) -> np.ndarray:
    """Compute outputs (N, C) float64 that answer with the mean of the models: softmax or sigmoid gives it back.

    Args:
        outputs: class scores, scores of labels, or numbers of each model, (N, C).
        temperatures: of each model's probabilities; None: 1.
        there: rows of which a model could read something, bool (N,); None: all. A model that could read nothing of a
            row is left out of that row's mean, unless none could: then all count, as each answers from nothing.
    """
    rows = len(outputs[0])
    there_KN = np.stack([np.ones(rows, dtype=bool) if one is None else one for one in there])
    there_KN = there_KN | ~there_KN.any(axis=0)
    told_KNC = np.stack([_answers(kind, one, value) for one, value in zip(outputs, temperatures, strict=True)])
    counted_KNC = np.where(there_KN[:, :, None], told_KNC, 0.0)
    mean_NC: np.ndarray = counted_KNC.sum(axis=0) / there_KN.sum(axis=0)[:, None]
    if kind == "regression":
        return mean_NC
    mean_NC = np.clip(mean_NC, _LEAST, _MOST)
    return np.log(mean_NC) if kind == "class" else np.log(mean_NC) - np.log1p(-mean_NC)


def _answers(kind: TargetKind, outputs_NC: np.ndarray, temperature: float | None) -> np.ndarray:
    """Turn outputs into what is averaged."""
    values_NC = np.asarray(cooled(outputs_NC, temperature), dtype=np.float64)
    if kind == "regression":
        return values_NC
    if kind == "multilabel":
        return 0.5 * (1.0 + np.tanh(0.5 * values_NC))
    weights_NC = np.exp(values_NC - values_NC.max(axis=1, keepdims=True))
    chances_NC: np.ndarray = weights_NC / weights_NC.sum(axis=1, keepdims=True)
    return chances_NC
