"""Frames are made of an array, and become one vector. Shapes: T frames, D width."""

from __future__ import annotations

import numpy as np

from mer.features.given.unfit import Unfit


def frames_of(array: np.ndarray) -> np.ndarray:
    """Return an array of one clip as frames (T, D) float32; axes of one entry are left out, as extractors write them.

    Raises: Unfit for other shapes, nothing at all, and numbers that are not finite.
    """
    shape = array.shape
    if array.ndim > 2:
        array = array.reshape([side for side in shape[:-1] if side != 1] + [shape[-1]])
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise Unfit(f"has shape {shape}, (width,) or (frames, width) is expected")
    if not array.size:
        raise Unfit(f"is empty: shape {shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        frames_TD = array.astype(np.float32)
    if not np.isfinite(frames_TD).all():
        raise Unfit("holds NaN or infinity")
    return frames_TD


def said(frames_TD: np.ndarray) -> np.ndarray:
    """Leave out frames of zeros alone: they are padding, or frames without a face."""
    kept: np.ndarray = frames_TD[frames_TD.any(axis=1)]
    return kept


def pool(frames_TD: np.ndarray, pooler: str) -> np.ndarray | None:
    """Average the frames (pooler "mean"), or take the first ("first"); (D,) float32.

    Returns: None when all are zeros: extractors write them for a clip that they could not read.
    """
    said_TD = said(frames_TD)
    if not len(said_TD):
        return None
    if pooler == "first":
        return np.asarray(said_TD[0])
    return said_TD.mean(axis=0, dtype=np.float64).astype(np.float32)
