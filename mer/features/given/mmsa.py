"""Others' pickles become a folder: features.safetensors, features.json and, where it says texts, utterances.csv.

MMSA's files (Mao et al. 2022) hold a dictionary for each of train, valid and test: `id` (VIDEO$_$CLIP), `raw_text`,
`text`, `audio`, `vision` (N, T, D), `annotations`, `regression_labels` and, unaligned, `audio_lengths`. The same
without parts, and {id: array}, are read too.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mer.errors import MerError
from mer.features.given.arrays import IDS
from mer.features.given.names import part_of
from mer.features.given.pickled import read_plain
from mer.features.given.which import WORDS, last_word
from mer.files import atomic_path, sha256_file, write_json, write_text

FEATURES, ABOUT, UTTERANCES = "features.safetensors", "features.json", "utterances.csv"
_LABELS = "regression_labels"
_LAYOUTS = (
    "a dictionary with train, valid and test, each with id and arrays (MMSA); or one with id and arrays; or {id: array}"
)


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote.

    Args:
        arrays: (name, shape) of each.
        rows: utterances by part; "" where there are no parts.
        replaced: numbers that were NaN or infinite, and are 0.
        table: the table of utterances; None where the file says no texts or no labels.
        modalities: those that arrays are called after.
    """

    features: Path
    arrays: tuple[tuple[str, tuple[int, ...]], ...]
    rows: Mapping[str, int]
    replaced: int
    table: Path | None
    modalities: tuple[str, ...]


def convert(source: Path, out: Path, *, zero_unfit: bool = False) -> Converted:
    """Write the arrays of a pickle as a folder of features. Runs nothing that the pickle says.

    Args:
        out: new folder.
        zero_unfit: write 0 for NaN and infinity, as MMSA's own reader does for -infinity.
    Raises: MerError; then nothing is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MerError(out, "is there already", allowed="a new folder")
    said = read_plain(source)
    if not isinstance(said, dict) or not said:
        raise MerError(source, f"holds a {type(said).__name__}", allowed=_LAYOUTS)
    parts = _parts(said, source)
    arrays, ids = _arrays(parts, source)
    replaced = 0
    for name, array in arrays.items():
        unfit = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(0, dtype=bool)
        if unfit.any() and not zero_unfit:
            raise MerError(
                source,
                f"{name} has {int(unfit.sum())} numbers that are NaN or infinite",
                allowed="finite numbers",
                then="--zero-unfit writes 0 for them, as MMSA's reader does for -infinity",
            )
        if unfit.any():
            arrays[name] = np.where(unfit, 0, array)
            replaced += int(unfit.sum())
    rows = {part: len(names) for part, names in ids.items()}
    out.mkdir(parents=True, exist_ok=True)
    _write(out / FEATURES, arrays, ids)
    table = _utterances(parts, ids)
    if table:
        write_text(out / UTTERANCES, table)
    shapes = tuple((name, array.shape) for name, array in arrays.items())
    about = {"made_of": {"name": source.name, "sha256": sha256_file(source)}, "rows": rows, "replaced": replaced}
    write_json(out / ABOUT, {**about, "arrays": {name: [str(arrays[name].dtype), *shape] for name, shape in shapes}})
    words = {last_word(name) for name in arrays}
    modalities = tuple(modality for modality, called in WORDS.items() if words & set(called))
    return Converted(out / FEATURES, shapes, rows, replaced, out / UTTERANCES if table else None, modalities)


def _parts(said: Mapping[Any, Any], source: Path) -> dict[str, dict[str, Any]]:
    """Return the parts of the data by name; "" for a file without parts. Raises: MerError."""
    if all(isinstance(key, str) and part_of(key) and isinstance(value, dict) for key, value in said.items()):
        return {str(key): value for key, value in said.items()}
    if any(isinstance(value, dict) for value in said.values()):
        raise MerError(source, f"holds {', '.join(map(str, list(said)[:8]))}", allowed=_LAYOUTS)
    return {"": dict(said)}


def _arrays(
    parts: Mapping[str, Mapping[str, Any]], source: Path
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
    """Name the arrays of numbers of all parts, and the ids of each. Raises: MerError."""
    arrays: dict[str, np.ndarray] = {}
    ids: dict[str, tuple[str, ...]] = {}
    for part, fields in parts.items():
        before = f"{part}." if part else ""
        names = fields.get("id", fields.get("ids"))
        if isinstance(names, np.ndarray):
            names = names.tolist()
        if names is not None:
            if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
                raise MerError(source, f"{before}id is no list of texts", allowed=_LAYOUTS)
            ids[part] = tuple(map(str, names))
        for name, value in fields.items():
            array = np.array(value) if isinstance(value, list) and _is_numbers(value) else value
            if isinstance(array, np.ndarray):
                arrays[f"{before}{name}"] = np.ascontiguousarray(array)
                if part in ids and array.shape[:1] != (len(ids[part]),):
                    rows = array.shape[0] if array.ndim else "no"
                    raise MerError(source, f"{before}{name} has {rows} rows for {len(ids[part])} ids")
    if not arrays:
        raise MerError(source, "holds no array of numbers", allowed=_LAYOUTS)
    if without := [part for part in parts if part not in ids and (part or len(ids))]:
        raise MerError(source, f"{without[0]} has no id", allowed=_LAYOUTS)
    return arrays, ids


def _is_numbers(value: list[Any]) -> bool:
    return bool(value) and all(type(item) in (int, float) for item in value)


def _write(path: Path, arrays: Mapping[str, np.ndarray], ids: Mapping[str, tuple[str, ...]]) -> None:
    from safetensors.numpy import save_file

    named: Any = ids[""] if list(ids) == [""] else dict(ids)
    metadata = {IDS: json.dumps(named, ensure_ascii=False)} if ids else {}
    with atomic_path(path) as temporary:
        save_file({name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}, temporary,
                  metadata=metadata)  # fmt: skip


def _utterances(parts: Mapping[str, Mapping[str, Any]], ids: Mapping[str, tuple[str, ...]]) -> str:
    """Write a table that `data.dataset: csv` reads; "" where texts or labels are not told."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["id", "dialogue", "turn", "split", "text", "sentiment", "score"])
    for part, fields in parts.items():
        texts, scores = fields.get("raw_text"), fields.get(_LABELS)
        if not isinstance(texts, list) or scores is None or part not in ids or len(texts) != len(ids[part]):
            return ""
        labels = fields.get("annotations")
        numbers = np.asarray(scores, dtype=np.float64).reshape(len(ids[part]), -1)[:, 0]
        for row, name in enumerate(ids[part]):
            video, _, clip = name.partition("$_$")
            said = str(labels[row]).lower() if isinstance(labels, list) else _sign(numbers[row])
            place = [video, clip] if clip.isdigit() else [name, "0"]
            writer.writerow([name, *place, part_of(part) or "train", texts[row], said, f"{numbers[row]:.6g}"])
    return stream.getvalue()


def _sign(score: float) -> str:
    return "neutral" if score == 0 else "positive" if score > 0 else "negative"
