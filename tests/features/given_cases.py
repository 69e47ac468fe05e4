"""Features of a small corpus as other tools write them: the same numbers in every layout."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WIDTH, FRAMES = 6, 4
Clips = dict[str, list[np.ndarray]]  # split -> frames (T, D) of each row
LABELS = ("joy", "anger", "neutral")
SPACE = """study: given
trainable: fusion
objective: {metric: dev_weighted_f1, mode: max}
budget: {trials: 1, epochs: 8}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: "file:TEXTS"}, audio: {backbone: "file:SOUNDS"}}
  fusion: {kind: concat}
  head.hidden: 8
params:
  optim.head_lr: {float: [2e-2, 3e-2], log: true}
"""


def make_clips(rows: dict[str, int], seed: int = 0) -> Clips:
    """Frames of every row; of every third, the last are zeros, as padding is."""
    rng = np.random.default_rng(seed)
    clips: Clips = {}
    for split, count in rows.items():
        clips[split] = [rng.normal(size=(FRAMES, WIDTH)).astype(np.float32) for _ in range(count)]
        for row in range(0, count, 3):
            clips[split][row][-2:] = 0
    return clips


def pooled(frames_TD: np.ndarray) -> np.ndarray:
    said = [frame for frame in frames_TD.astype(np.float64) if np.abs(frame).sum() > 0]
    return (sum(said) / len(said)).astype(np.float32)


def bare(row: int, per_dialogue: int) -> str:
    dialogue, number = divmod(row, per_dialogue)
    return f"dia{dialogue}_utt{number}"


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def _parts(place: Path, clips: Clips, per: int) -> Path:
    """A folder for each part of the data."""
    for split, rows in clips.items():
        for row, frames in enumerate(rows):
            _save(place / {"dev": "valid"}.get(split, split) / f"{bare(row, per)}.npy", frames)
    return place


def _mertools(place: Path, clips: Clips, per: int) -> Path:
    for split, rows in clips.items():
        for row, frames in enumerate(rows):
            _save(place / f"{ {'dev': 'val'}.get(split, split) }_{bare(row, per)}.npy", frames[None])
    return place


def _frames(place: Path, clips: Clips, per: int) -> Path:
    """MERTools' folders of faces: a file for each frame."""
    for split, rows in clips.items():
        for row, frames in enumerate(rows):
            for number, frame in enumerate(frames):
                name = {"dev": "val"}.get(split, split)
                _save(place / f"{name}_{bare(row, per)}" / f"{number:05d}.npy", frame)
    return place


def _paths(place: Path, clips: Clips, per: int) -> Path:
    """Called as the sounds of the corpus, with arrays that others are beside."""
    for split, rows in clips.items():
        for row, frames in enumerate(rows):
            path = place / "audios" / split / f"{bare(row, per)}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, audio=frames.astype(np.float64), video=np.zeros((1, 3)))
    return place


def _clip_csv(place: Path, clips: Clips, per: int) -> Path:
    for split, rows in clips.items():
        for row, frames in enumerate(rows):
            path = place / split / f"{bare(row, per)}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            header = ["frame", *(f"f{at}" for at in range(WIDTH))]
            _csv(path, header, [[number, *map(repr, frame.tolist())] for number, frame in enumerate(frames)])
    return place


def _csv(path: Path, header: list[str], rows: list[list[object]], separator: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=separator).writerows([header, *rows])


def _table_csv(place: Path, clips: Clips, per: int) -> Path:
    """What openSMILE writes: the file, times, and numbers; a row for each frame."""
    rows = [
        [f"/data/{split}/{bare(row, per)}.flac", number / 100, number / 100 + 0.1, *map(repr, frame.tolist())]
        for split, clip in clips.items()
        for row, frames in enumerate(clip)
        for number, frame in enumerate(frames)
    ]
    rows = [[str(cells[0]).removeprefix("/data/"), *cells[1:]] for cells in rows]
    path = place.with_suffix(".csv")
    _csv(path, ["file", "start", "end", *(f"f{at}" for at in range(WIDTH))], rows, ";")
    return path


def _npz_parts(place: Path, clips: Clips, per: int) -> Path:
    """MMSA's shape, as named arrays."""
    arrays: dict[str, np.ndarray] = {}
    for split, rows in clips.items():
        part = {"dev": "valid"}.get(split, split)
        arrays[f"{part}/audio"], arrays[f"{part}/text"] = np.stack(rows), np.ones((len(rows), 3, 2))
        arrays[f"{part}/id"] = np.array([bare(row, per) for row in range(len(rows))])
    np.savez(path := place.with_suffix(".npz"), **arrays)
    return path


def _npz_each(place: Path, clips: Clips, per: int) -> Path:
    arrays = {f"{split}/{bare(row, per)}": frames for split, rows in clips.items() for row, frames in enumerate(rows)}
    np.savez(path := place.with_suffix(".npz"), **arrays)
    return path


def _safetensors(place: Path, clips: Clips, per: int) -> Path:
    arrays = {f"{split}.audio": np.stack(rows) for split, rows in clips.items()}
    ids = {split: [bare(row, per) for row in range(len(rows))] for split, rows in clips.items()}
    save_file(arrays, path := place.with_suffix(".safetensors"), metadata={"ids": json.dumps(ids)})
    return path


def _h5(place: Path, clips: Clips, per: int) -> Path:
    import h5py

    with h5py.File(path := place.with_suffix(".h5"), "w") as file:
        for split, rows in clips.items():
            for row, frames in enumerate(rows):
                file[f"{split}/{bare(row, per)}/audio"] = frames
                file[f"{split}/{bare(row, per)}/text"] = np.ones((2, 9))
    return path


LAYOUTS: dict[str, Callable[[Path, Clips, int], Path]] = {
    "parts": _parts, "mertools": _mertools, "frames": _frames, "paths": _paths, "clip-csv": _clip_csv,
    "table-csv": _table_csv, "npz-parts": _npz_parts, "npz-each": _npz_each, "safetensors": _safetensors, "h5": _h5,
}  # fmt: skip
