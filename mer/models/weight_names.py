"""Prefixes of weight names in a model and its checkpoints."""

from __future__ import annotations

from mer.config import TrialConfig

ENCODERS = "encoders"  # of a classifier: its tuned encoders by modality, also in the names of their weights


def backbone_prefix(config: TrialConfig, modality: str) -> str:
    """What the names of a tuned backbone's weights begin with in the model; they go on as in the whole backbone."""
    student = f"students.{modality}." if config.distill is not None and config.fusion is not None else ""
    return f"{student}{ENCODERS}.{modality}.model."
