"""Require that an exported model repeats the dev scores of its trial."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from mer.checkpoints.export_folder import Export
from mer.errors import MerError
from mer.features import FeatureTable
from mer.model_outputs import read_of
from mer.predictor.opening import open_predictor

# Largest difference allowed, in class scores; where the largest score is above 1, a share of it.
LOGIT_TOLERANCE = 1e-5  # another machine may add in another order
MERGED_TOLERANCE = 1e-4  # x (W + BA) is computed where the trial computed x W + x A B
HALF_TOLERANCE = 2e-2  # an encoder in half precision: two orders of adding differ by 3e-3 in its states


def require_same_scores(export: Export, tables: Mapping[str, FeatureTable], stored_NC: np.ndarray) -> float:
    """Score dev with the exported model and compare with the scores that the trial stored.

    Args:
        tables: dev features by modality, and SPEAKERS where the model reads them.
        stored_NC: class scores of the trial.
    Returns: the largest difference.
    Raises: MerError when the difference is larger than rounding explains.
    """
    device = "cuda" if export.config.tuned and torch.cuda.is_available() else "cpu"  # encoders take long on a CPU
    logits_NC = open_predictor(export, device=device).scores(*read_of(tables))
    if logits_NC.shape != stored_NC.shape:
        raise MerError(export.folder, f"dev scores of shape {logits_NC.shape}", allowed=f"{stored_NC.shape}")
    largest = float(np.abs(logits_NC - stored_NC).max())
    tolerance = LOGIT_TOLERANCE if export.provenance.get("merged") is None else MERGED_TOLERANCE
    if any(encoder.dtype != "float32" for encoder in export.config.tuned.values()):
        tolerance = HALF_TOLERANCE
    if not largest <= tolerance * max(1.0, float(np.abs(stored_NC).max())):
        raise MerError(
            "round trip",
            f"the exported model's dev scores differ from the trial's by up to {largest:.3g}; nothing was written",
            allowed=f"at most {tolerance:g}",
            then="the weights are not those that made the stored scores, or the code has changed since: run the trial "
            "again with this code",
        )
    return largest
