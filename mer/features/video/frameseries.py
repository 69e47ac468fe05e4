"""338 numbers for every frame, for models that read sequences: what `framestats` summarises, frame by frame.

| numbers | what |
|---|---|
| 288 | gradients in 6x6 cells, 8 unsigned orientations, unit length |
| 16 | brightness of 4x4 cells, 0 to 1 |
| 6 | Lab colour: mean and standard deviation, 0 to 1 |
| 16 | change of brightness since the frame before, in 4x4 cells |
| 4 | length of the optical flow since the frame before, in 2x2 cells, pixels |
| 8 | flow to the right and downwards in 2x2 cells, pixels |

The first frame has not moved. Shapes: T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.video.framestats import FrameStats, cell_means, flow_of, gradients, grey_and_colour

VERSION = 1  # raise it when numbers change
WIDTH = 338


class FrameSeries(FrameStats):
    """FrameStats frame by frame; gives states of steps of time, and nothing pooled."""

    width = WIDTH

    def load(self, path: Path) -> LoadedClip:
        """Raises: MediaFault when the clip cannot be decoded."""
        pictures = self.reader.read(path)
        return LoadedClip(series(np.asarray(pictures.images)), pictures.notes)

    def steps(self, clips: Sequence[LoadedClip], hidden_state: int) -> list[np.ndarray]:
        """Return float32 (T, 338) for each clip. Args: hidden_state: there is one."""
        return [clip.inputs for clip in clips]


def series(images: np.ndarray) -> np.ndarray:
    """Turn uint8 RGB (T, 72, 96, 3), T >= 1, into float32 (T, 338)."""
    grey, colour_T23 = grey_and_colour(images)
    light = grey.astype(np.float32) / 255
    moved = np.zeros((len(grey), 28), np.float32)
    if len(grey) > 1:
        length_SR, ways_SR2 = flow_of(grey)
        change_SR = cell_means(np.abs(np.diff(light, axis=0)), 4, 4)
        moved[1:] = np.concatenate([change_SR, length_SR, ways_SR2.reshape(len(grey) - 1, 8)], axis=1)
    parts = (gradients(grey), cell_means(light, 4, 4), colour_T23 / 255, moved)
    return np.concatenate(
        [part.reshape(len(grey), -1) for part in parts], axis=1, dtype=np.float32, casting="same_kind"
    )
