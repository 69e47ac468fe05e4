"""417 numbers of appearance and motion that need no weights: the video baseline that runs everywhere.

Per clip, from 16 frames at 96x72 (T frames, S = T - 1 steps from each to the next; cells in reading order):

| numbers | what |
|---|---|
| 288 | gradients in 6x6 cells, 8 unsigned orientations (0: upright edges), unit length per frame, mean over frames |
| 36 | how much each of these cells changes: root of its orientations' mean variance over frames |
| 16 | brightness of 4x4 cells, 0 to 1, mean over frames |
| 6 | Lab colour: mean and standard deviation within a frame, 0 to 1, mean over frames |
| 48 | change of brightness from frame to frame in 4x4 cells: mean, standard deviation and maximum over steps |
| 12 | length of the optical flow in 2x2 cells, pixels per step: mean, standard deviation and maximum over steps |
| 8 | flow to the right and downwards in 2x2 cells, pixels per step: mean over steps |
| 2 | standard deviation over steps of the whole picture's flow to the right and downwards |
| 1 | share of steps at which sideways motion turns round: a head that shakes |
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from mer.config import VideoEncoderConfig
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.video.frames import FrameReader

VERSION = 1  # raise it when numbers change
FRAMES = 16
SIZE = (96, 72)  # width, height
ORIENTATIONS = 8
DARK = 100.0  # length of a frame's gradients (in grey levels) under which noise is not blown up to unit length
STILL = 0.05  # pixels per step under which a picture has not moved sideways
LONGEST_STEP = 96.0  # pixels; flow between unrelated pictures can be anything


def _cells(rows: int, columns: int) -> list[str]:
    return [f"r{row}c{column}" for row in range(rows) for column in range(columns)]


NAMES = (
    *(f"gradient_{cell}_o{turn}" for cell in _cells(6, 6) for turn in range(ORIENTATIONS)),
    *(f"gradient_sd_{cell}" for cell in _cells(6, 6)),
    *(f"brightness_{cell}" for cell in _cells(4, 4)),
    *(f"lab_{of}_{channel}" for of in ("mean", "sd") for channel in "lab"),
    *(f"change_{of}_{cell}" for of in ("mean", "sd", "max") for cell in _cells(4, 4)),
    *(f"flow_{of}_{cell}" for of in ("mean", "sd", "max") for cell in _cells(2, 2)),
    *(f"flow_{way}_{cell}" for cell in _cells(2, 2) for way in ("right", "down")),
    *(f"flow_sd_{way}" for way in ("right", "down")),
    "sideways_turns",
)


class FrameStats:
    """A ClipEncoder without weights: `load` computes one row of NAMES per clip. It ignores pooler and dtype.

    Raises: MerError when the face detector cannot be opened.
    """

    layers, width, batch_length = 1, len(NAMES), 64

    def __init__(self, config: VideoEncoderConfig) -> None:
        import cv2

        cv2.setNumThreads(1)  # for the whole process: clips are read in parallel, one thread each
        self.reader = FrameReader(config, config.frames or FRAMES, SIZE)

    def probe(self, path: Path) -> int:
        return self.reader.probe(path)

    def load(self, path: Path) -> LoadedClip:
        """Raises: MediaFault when the clip cannot be decoded."""
        pictures = self.reader.read(path)
        return LoadedClip(statistics(np.asarray(pictures.images)), pictures.notes)

    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        """float32 (B, 1, 417)."""
        return np.stack([clip.inputs for clip in clips])[:, None]


def statistics(images: np.ndarray) -> np.ndarray:
    """Turn uint8 RGB (T, 72, 96, 3), T >= 1, into float32 (417,) in the order of NAMES; one frame has zero motion."""
    grey, colour_T23 = grey_and_colour(images)
    light = grey.astype(np.float32) / 255
    gradients_TRO = gradients(grey)
    change_SR = cell_means(np.abs(np.diff(light, axis=0)), 4, 4)
    return np.concatenate(
        [
            gradients_TRO.mean(axis=0).ravel(),
            np.sqrt(gradients_TRO.var(axis=0).mean(axis=-1)),
            cell_means(light, 4, 4).mean(axis=0),
            colour_T23.mean(axis=0).ravel() / 255,
            _over_steps(change_SR),
            _motion(grey),
        ],
        dtype=np.float32,
        casting="same_kind",
    )


def grey_and_colour(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn uint8 RGB (T, H, W, 3) into grey uint8 (T, H, W), and mean and sd of Lab, 0 to 255, (T, 2, 3)."""
    import cv2

    lab = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in images])
    grey = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])
    return grey, np.stack([cv2.meanStdDev(image) for image in lab])[..., 0]


def gradients(grey: np.ndarray) -> np.ndarray:
    """Turn uint8 (T, H, W) into (T, 36, 8): strength of each direction in each cell, of unit length per frame."""
    import cv2

    stacked = np.concatenate([[cv2.Sobel(g, cv2.CV_32F, *way) for g in grey] for way in ((1, 0), (0, 1))])
    frames, height, width = grey.shape
    across, down = stacked.reshape(2, frames * height, width)
    strength, angle = cv2.cartToPolar(across, down)
    # Shifted by half a bin: an exactly upright edge lies in the middle of a bin, so that noise does not move it.
    turn = (angle * (ORIENTATIONS / np.pi) + 0.5).astype(np.int64) % ORIENTATIONS
    row, column = np.arange(height) * 6 // height, np.arange(width) * 6 // width
    cell = np.arange(frames)[:, None, None] * 36 + row[:, None] * 6 + column
    place = cell.reshape(frames * height, width) * ORIENTATIONS + turn
    sums = np.bincount(place.ravel(), strength.ravel(), minlength=frames * 36 * ORIENTATIONS).reshape(frames, -1)
    return (sums / np.sqrt((sums**2).sum(axis=1, keepdims=True) + DARK**2)).reshape(frames, 36, ORIENTATIONS)


def flow_of(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn uint8 (T, H, W), T > 1, into the flow of 2x2 cells: its length (S, 4), and right and down (S, 4, 2)."""
    import cv2

    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)  # it has a memory: one per clip
    flow = np.stack([finder.calc(before, after, None) for before, after in pairwise(grey)])
    flow = flow.clip(-LONGEST_STEP, LONGEST_STEP)
    length_SR = cell_means(np.hypot(flow[..., 0], flow[..., 1]), 2, 2)
    return length_SR, np.stack([cell_means(flow[..., way], 2, 2) for way in (0, 1)], axis=-1)


def _motion(grey: np.ndarray) -> np.ndarray:
    """Turn uint8 (T, H, W) into the last 23 numbers."""
    if len(grey) < 2:
        return np.zeros(23, np.float32)
    length_SR, ways_SR2 = flow_of(grey)
    whole_S2 = ways_SR2.mean(axis=1)
    sideways = whole_S2[:, 0][np.abs(whole_S2[:, 0]) > STILL]
    turns = np.count_nonzero(np.diff(np.sign(sideways))) / max(1, len(whole_S2) - 1)
    return np.concatenate([_over_steps(length_SR), ways_SR2.mean(axis=0).ravel(), whole_S2.std(axis=0), [turns]])


def cell_means(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Average (N, H, W) within cells: (N, rows * columns). H and W are multiples of rows and columns."""
    count, height, width = values.shape
    cells = values.reshape(count, rows, height // rows, columns, width // columns)
    return cells.mean(axis=(2, 4)).reshape(count, rows * columns)


def _over_steps(values_SR: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and maximum of (S, R) over the steps: (3 R,); zeros without a step."""
    if not len(values_SR):
        return np.zeros(3 * values_SR.shape[1], np.float32)
    return np.concatenate([values_SR.mean(axis=0), values_SR.std(axis=0), values_SR.max(axis=0)])
