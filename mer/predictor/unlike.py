"""Whether features that others extracted look like those of the training: of the same width, they may be of another
extractor, layer or setting, and nothing in a file of numbers says so."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from mer.features.cache.sequences import Sequences
from mer.features.reading import LiveFeatures
from mer.models.inputs import InputNorm

_FAR = 4.0  # standard deviations of the training; those of another extractor are tens or thousands
_STILL = 0.05  # share of the training's spread; features of another scale hardly differ from one another
_FEW = 8  # rows of which no spread is told


def unlike_words(model: nn.Module, modality: str, live: LiveFeatures) -> str:
    """Say what is odd about new features beside those that the model was trained on; "" for nothing.

    They are compared by mean and standard deviation of each number in the training split, which the input norm keeps.

    Args: live: features of one hidden state, or states.
    """
    norm = _norm_of(model, modality)
    if norm is None:
        return ""
    mean_D, scale_D = (tensor[0].double().cpu().numpy() for tensor in (norm.mean_LD, norm.scale_LD))
    rows_ND = _rows(live).astype(np.float64)
    if not len(rows_ND):
        return ""
    z_ND = (rows_ND - mean_D) * scale_D
    far = float(np.median(np.sqrt(np.mean(z_ND**2, axis=0))))
    if far > _FAR:
        return f"{_words(modality)}: half of their numbers are {far:.3g} standard deviations off or more"
    spread = float(np.median(z_ND.std(axis=0)))
    if len(rows_ND) >= _FEW and spread < _STILL:
        return f"{_words(modality)}: they differ from one another {1 / max(spread, 1e-9):.3g} times less"
    return ""


def _words(modality: str) -> str:
    return (
        f"features of {modality} are unlike those of the training (are they of the same extractor, layer and settings?)"
    )


def _norm_of(model: nn.Module, modality: str) -> Any:
    """Return the input norm of a modality, if it has the statistics of the training."""
    found = dict(model.named_modules())
    for name in (f"input_norms.{modality}", f"students.{modality}.input_norm", "input_norm"):
        norm = found.get(name)
        if isinstance(norm, InputNorm) and norm.kind == "standardize":
            return norm
    return None


def _rows(live: LiveFeatures) -> np.ndarray:
    """Return what was read, a row for each vector or state, without rows that are not there."""
    if isinstance(live.features_NLD, Sequences):
        return live.features_NLD.values
    rows_ND: np.ndarray = live.features_NLD[:, 0]
    return rows_ND if live.present_N is None else rows_ND[live.present_N]
