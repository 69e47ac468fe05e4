"""Prefixes of weight names in a model and in its checkpoints."""

from __future__ import annotations

from mer.config import TrialConfig

ENCODERS = "encoders"  # attribute of a classifier that holds its tuned encoders, and so part of their weights' names


def backbone_prefix(config: TrialConfig, modality: str) -> str:
    """Prefix of a tuned backbone's weights in the model; behind it come the names of the backbone itself."""
    student = f"students.{modality}." if config.distill is not None and config.fusion is not None else ""
    return f"{student}{ENCODERS}.{modality}.model."
