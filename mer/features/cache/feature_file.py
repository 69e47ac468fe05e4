"""The feature file of one split: its tensors, and the checks that it passes before a trial may read it.

Tensors (N utterances, L+1 hidden states, D width, C classes):
    features             (N, L+1, D)  float16, or float32 if float16 would overflow
    ids                  (bytes,)     uint8, UTF-8, one id per line
    labels.<task>        (N,)         int64; of numbers or several labels (N, C) float32, NaN where the data do not say
    label_text.<task>    (C, L+1, D)  float32, each label word encoded alone; text only
    present              (N,)         uint8, 0 for a clip that could not be read and whose row is zero; not for text
    logits               (N, C)       float32, class scores; only in the outputs of a whole model (modality "model")
    tokens.*             see `sequences`; only for tuned encoders and pooler none (modality "tokens"), whose L+1 is 0
The header holds the key, its ingredients in words, the label names, and a checksum of all tensors. The sidecar .json
repeats the words for people and adds when, how long and on which machine; no code decides anything by it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from mer.errors import MerError
from mer.features.cache import tensors
from mer.features.cache.key import FORMAT_VERSION, key_of
from mer.features.cache.sequences import Sequences
from mer.features.cache.tensors import THE_WAY_OUT
from mer.files import write_json
from mer.read_files import as_model, read_object

_TYPES = {  # of tensors, by the first part of their names
    "features": ("float16", "float32"), "ids": ("uint8",), "labels": ("int64", "float32"), "label_text": ("float32",),
    "present": ("uint8",), "logits": ("float32",), "tokens": ("int32", "int64", "float16", "float32"),
}  # fmt: skip
KEY_LENGTH = 12  # of the key in a file name; the header has all of it


class _Tokens(BaseModel):
    model_config = ConfigDict(strict=True)
    of: int


class _Ingredients(BaseModel):
    model_config = ConfigDict(strict=True)
    format: int
    split: str
    modality: str
    tokens: _Tokens | None = None


class _Header(BaseModel):
    """The part of a file's header that its reader stands on."""

    model_config = ConfigDict(strict=True)
    key: str
    ingredients: _Ingredients
    label_names: dict[str, list[str]]


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """One split, in memory. Row i of every array is the utterance `ids[i]`.

    Args:
        features: (N, L+1, D) float16 (float32 where a value exceeds float16).
        ids: N utterance ids.
        labels: per task, int64 (N,), indices into `label_names[task]`; -1 for a row without a label. Of numbers or
            several labels float32 (N, C), NaN where the data do not say.
        label_names: per task, C names.
        label_text: per task, (C, L+1, D) float32: each label word encoded alone, all tokens averaged (methods 2.4);
            empty for audio and video.
        present: (N,) bool; False for a masked row, which is zero.
        card: the sidecar's words.
        key: SHA-256 of all ingredients.
        logits: (N, C) float32 class scores in a whole model's outputs; else None.
        sequences: the input of a tuned encoder, or the states of pooler none; else None.
    """

    features: np.ndarray
    ids: tuple[str, ...]
    labels: dict[str, np.ndarray]
    label_names: dict[str, tuple[str, ...]]
    label_text: dict[str, np.ndarray]
    present: np.ndarray
    card: dict[str, Any]
    key: str
    logits: np.ndarray | None = None
    sequences: Sequences | None = None

    @property
    def hidden_states(self) -> int:
        """Count the hidden states that a head can read: the stored ones, or those that the encoder makes."""
        return self.features.shape[1] if self.sequences is None else int(self.card["ingredients"]["tokens"]["of"])

    @property
    def keeps_states(self) -> bool:
        """True for states that the trial's model pools, False for the input of a tuned encoder."""
        return self.sequences is not None and self.card["ingredients"]["pooler"] == "none"

    @property
    def inputs(self) -> np.ndarray | Sequences:
        """The array (N, L+1, D) or the sequences that a model reads."""
        return self.features if self.sequences is None else self.sequences


def file_name(split: str, key: str) -> str:
    """The name of a split's file, in which the beginning of its key stands."""
    return f"{split}-{key[:KEY_LENGTH]}.safetensors"


def place_of(ingredients: Mapping[str, Any], *, cache: Path, slug: str) -> Path:
    """The path of the file with these ingredients: `<cache>/meld/text/<slug>/dev-<key>.safetensors`.

    Args: slug: the backbone's name as a folder.
    """
    folder = cache / ingredients["dataset"] / ingredients["modality"] / slug
    return folder / file_name(ingredients["split"], key_of(ingredients))


def write_features(
    path: Path,
    *,
    ingredients: Mapping[str, Any],
    features: np.ndarray,
    ids: tuple[str, ...],
    labels: Mapping[str, np.ndarray],
    label_names: Mapping[str, tuple[str, ...]],
    label_text: Mapping[str, np.ndarray],
    circumstances: Mapping[str, Any],
    present: np.ndarray | None = None,
    logits: np.ndarray | None = None,
    sequences: Sequences | None = None,
) -> None:
    """Write the file and its sidecar. The file comes last: where it is, everything is.

    Args:
        present: None: every row is there.
        circumstances: when, how long, where; they go to the sidecar only, so that equal features are equal bytes.
    """
    arrays = {"features": features, "ids": np.frombuffer("\n".join(ids).encode(), dtype=np.uint8)}
    arrays |= {f"labels.{task}": values.astype(label_dtype(values)) for task, values in labels.items()}
    arrays |= {f"label_text.{task}": values.astype(np.float32) for task, values in label_text.items()}
    if present is not None:
        arrays["present"] = present.astype(np.uint8)
    if logits is not None:
        arrays["logits"] = logits.astype(np.float32)
    if sequences is not None:
        arrays |= sequences.arrays()
    header = {
        "key": key_of(ingredients),
        "ingredients": ingredients,
        "label_names": {task: list(names) for task, names in label_names.items()},
    }
    rows, layers, width = features.shape
    stored = {"rows": rows, "hidden_states": layers, "width": width, "dtype": str(features.dtype)}
    told = {task: number_facts(values, label_names[task]) for task, values in labels.items() if values.ndim == 2}
    facts = {"numbers": told} if told else {}
    write_json(path.with_suffix(".json"), {**header, "stored": stored, **facts, **circumstances})
    tensors.write(path, arrays, header)


def label_dtype(values: np.ndarray) -> type[np.generic]:
    """Return the type in which labels are stored: numbers of classes, or what is predicted itself."""
    return np.float32 if values.ndim == 2 else np.int64


def number_facts(values_NC: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Say of each predicted number or label how many rows have it, and from where to where it goes, for the card."""
    told: dict[str, dict[str, float | int]] = {}
    for name, values_N in zip(names, values_NC.T, strict=True):
        said = values_N[~np.isnan(values_N)].astype(np.float64)
        spread = {"least": said.min(), "mean": said.mean(), "most": said.max()} if len(said) else {}
        told[name] = {"rows": len(said), **{key: round(float(value), 6) for key, value in spread.items()}}
    return told


def check_header(path: Path, expected_key: str | None = None) -> dict[str, Any]:
    """Check everything that can be checked without reading the tensors; this takes a millisecond or two.

    Args: expected_key: computed by the caller from its own configuration and data.
    Returns: the header, with 'shapes'.
    Raises: MerError naming the file, what was found, and the way out.
    """
    header = tensors.read_header(path)
    said = as_model(header, _Header, path, then=THE_WAY_OUT)
    key, ingredients, names, shapes = said.key, header["ingredients"], said.label_names, header["shapes"]
    made_as, split = said.ingredients.format, said.ingredients.split
    if len(shapes.get("features", ())) != 3 or "ids" not in shapes:
        raise MerError(path, "not a feature file: features or ids are missing from it", then=THE_WAY_OUT)
    rows, layers, width = shapes["features"]
    if made_as != FORMAT_VERSION:
        raise MerError(path, f"format {made_as}", allowed=f"format {FORMAT_VERSION}", then=THE_WAY_OUT)
    if key_of(ingredients) != key:
        raise MerError(path, f"its key {key[:12]} is not the hash of its ingredients: it was altered", then=THE_WAY_OUT)
    if path.name != file_name(split, key):
        raise MerError(path, f"holds {file_name(split, key)}: it was renamed or copied over another", then=THE_WAY_OUT)
    if expected_key is not None and key != expected_key:
        raise MerError(path, f"was made from other ingredients: key {key}", allowed=expected_key, then=THE_WAY_OUT)
    for task, classes in names.items():
        several = shapes.get(f"labels.{task}") == (rows, len(classes))
        wanted: dict[str, tuple[int, ...]] = {f"labels.{task}": (rows, len(classes)) if several else (rows,)}
        if ingredients["modality"] == "text":
            wanted[f"label_text.{task}"] = (len(classes), layers, width)
        else:
            wanted["present"] = (rows,)
        for tensor, shape in wanted.items():
            if shapes.get(tensor) != shape:
                raise MerError(path, f"{tensor} is {shapes.get(tensor)}", allowed=f"{shape}", then=THE_WAY_OUT)
    of_tokens = said.ingredients.tokens is not None and shapes.get("tokens.spans") == (rows, 2)
    if ingredients["modality"] == "tokens" and not of_tokens:
        raise MerError(path, "it has no tokens", then=THE_WAY_OUT)
    if ingredients["modality"] == "model" and len(shapes.get("logits", ())) != 2:
        raise MerError(path, "it has no class scores (logits)", then=THE_WAY_OUT)
    return header


def load_features(path: Path) -> FeatureTable:
    """Read a file that `ensure_features` gave.

    Checks that it is whole, its key is the hash of its ingredients, shapes agree, labels are in range and every number
    is finite; the checksum of the content is left to `python -m mer.features verify`.
    Raises: MerError naming the file, what was found, and the way out.
    """
    return _load(path, checksum=False)


def verify_features(path: Path) -> FeatureTable:
    """`load_features`, and the checksum of every byte."""
    return _load(path, checksum=True)


def touch(path: Path) -> None:
    """Note that a file is in use: `gc --older-than` takes its time of change for its time of last use."""
    with contextlib.suppress(OSError):  # a cache that others own may be read-only
        os.utime(path)


def _load(path: Path, *, checksum: bool) -> FeatureTable:
    path = Path(path)
    header = check_header(path)
    arrays = tensors.read(path)
    for name, array in arrays.items():
        if array.dtype.name not in _TYPES.get(name.split(".")[0], ()):
            raise MerError(path, f"{name} is of type {array.dtype.name}", then=THE_WAY_OUT)
    if checksum and tensors.checksum(arrays) != header.get("content_sha256"):
        raise MerError(path, "its content does not match its checksum: bytes were altered", then=THE_WAY_OUT)
    features = arrays["features"]
    try:
        ids = tuple(arrays["ids"].tobytes().decode().split("\n"))
    except (KeyError, UnicodeDecodeError) as fault:
        raise MerError(path, "its utterance ids cannot be read", then=THE_WAY_OUT) from fault
    if len(ids) != len(features):
        raise MerError(path, f"{len(ids)} ids for {len(features)} rows", then=THE_WAY_OUT)
    label_names = {task: tuple(names) for task, names in header["label_names"].items()}
    labels = {task: arrays[f"labels.{task}"] for task in label_names}
    label_text = {task: arrays[name] for task in label_names if (name := f"label_text.{task}") in arrays}
    present = arrays["present"].astype(bool) if "present" in arrays else np.ones(len(ids), dtype=bool)
    for task, values in labels.items():
        if values.ndim == 2 or values.dtype.kind == "f":
            if values.ndim != 2 or values.dtype.kind != "f" or np.isinf(values).any():
                raise MerError(path, f"labels.{task} are no numbers", then=THE_WAY_OUT)
        elif len(values) and not -1 <= values.min() <= values.max() < len(label_names[task]):
            raise MerError(path, f"labels.{task} go outside their {len(label_names[task])} names", then=THE_WAY_OUT)
    logits = arrays.get("logits")
    said = {} if logits is None else {"logits": logits}
    for name, array in {"features": features, **{f"label_text.{t}": a for t, a in label_text.items()}, **said}.items():
        if not np.isfinite(array).all():
            raise MerError(path, f"{name} has NaN or infinity", then=THE_WAY_OUT)
    sequences = Sequences.from_arrays(arrays)
    if sequences is not None and (reason := sequences.fault(present)):
        raise MerError(path, reason, then=THE_WAY_OUT)
    if not checksum:
        touch(path)
    card = _card(path, header)
    return FeatureTable(features, ids, labels, label_names, label_text, present, card, header["key"], logits, sequences)


def _card(path: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the header says, and of the sidecar, if it belongs to this file, what it adds."""
    ours = {name: header[name] for name in ("key", "ingredients", "label_names")}
    with contextlib.suppress(OSError, ValueError):
        card = read_object(path.with_suffix(".json"))
        return {**card, **ours} if card.get("key") == header["key"] else ours
    return ours
