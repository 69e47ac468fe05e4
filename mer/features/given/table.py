"""Features in one file: an array for each clip, or arrays of all clips beside their ids (MMSA's, converted), or CSV.

audio (N, T, D), ids (N,)                 in parts: train/audio, train/ids, valid/audio, ...
a001 (D,), a002 (T, D), ...               in groups of HDF5 also: a001/audio
id,f0,f1,...                              CSV
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mer.features.backbone.hash_memo import HashMemo
from mer.features.given.arrays import NamedArrays, as_unfit, open_arrays
from mer.features.given.index import Index
from mer.features.given.names import part_of
from mer.features.given.numbers import ENDINGS as TABLES
from mer.features.given.numbers import read_named
from mer.features.given.unfit import Unfit
from mer.features.given.which import ANY, WORDS, array_of, last_word

_IDS = ("ids", "id", "names", "name", "keys", "utterance_ids", "files", "file")


class Table:
    """A file of features; a `mer.features.given.source.Source`.

    Args: modality: of the arrays to take.
    Raises: Unfit for a file that cannot be read, or in which no utterance is named.
    """

    def __init__(self, path: Path, modality: str) -> None:
        self.path, self.modality, self.index = path, modality, Index()
        self._rows: dict[str, np.ndarray] | None = None
        self._places: dict[str, tuple[str, int | None]] = {}
        self._open = contextlib.ExitStack()  # until this is forgotten: a row is asked for at a time
        self._arrays: NamedArrays | None = None
        if path.suffix.lower() in TABLES:
            self._rows = _of_csv(path)
            for name in self._rows:
                self.index.add("", name, name)
        else:
            with open_arrays(path) as arrays:
                self._understand(arrays)
        if not self.index.at:
            raise Unfit("names no clip")

    @property
    def first(self) -> str:
        """The place that says how wide the features are."""
        return next(iter(self.index.at.values()))

    def read(self, place: str) -> np.ndarray:
        """Read the array of a clip. Raises: Unfit."""
        if self._rows is not None:
            return self._rows[place]
        name, row = self._places[place]
        if self._arrays is None:
            self._arrays = self._open.enter_context(open_arrays(self.path))
        with as_unfit(self.path.suffix.lower()):
            return self._arrays.read(name, row)

    def listed(self) -> list[tuple[str, str]]:
        """Name every utterance that has features: (part of the data, or "", name)."""
        return list(self.index.by_place.values())

    def hashes(self, places: list[str], memo: HashMemo) -> tuple[str, dict[str, str | None]]:
        """Hash what is read: the whole file; a place in it is itself."""
        return memo.sha256(self.path), {place: place for place in places}

    def _understand(self, arrays: NamedArrays) -> None:
        named = {name: ids for name, ids in arrays.texts.items() if last_word(name) in _IDS}
        if not named:
            self._one_each(arrays.shapes)
        for name, ids in named.items():
            self._part(re.split(r"[./]", name)[:-1], ids, arrays.shapes)

    def _part(self, folder: list[str], ids: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Take the rows of one part of the data: those of an array beside its ids."""
        beside = [name for name, shape in shapes.items() if len(shape) > 1 and re.split(r"[./]", name)[:-1] == folder]
        array = array_of(beside, self.modality)
        if shapes[array][0] != len(ids):
            raise Unfit(f"array {array!r} has {shapes[array][0]} rows for {len(ids)} ids")
        part = part_of(folder[0]) if folder else ""
        for row, name in enumerate(ids):
            self._add(part, name, array, row)

    def _one_each(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Take each array as a clip; in a group that is a clip, the array that is called as the modality is."""
        others = {word for modality, words in WORDS.items() if modality != self.modality for word in words}
        grouped = all("/" in name for name in shapes)
        for name in shapes:
            group, word = name.rpartition("/")[0], last_word(name)
            of_group = grouped and word in (*WORDS[self.modality], *ANY)
            if grouped and word in others:
                continue
            clip = group if of_group else name
            first, _, rest = clip.partition("/")
            part = part_of(first) if rest else ""
            self._add(part, rest if part else clip, name, None)

    def _add(self, part: str, name: str, array: str, row: int | None) -> None:
        place = array if row is None else f"{array}[{row}]"
        self._places[place] = (array, row)
        self.index.add(part, name, place)


def _of_csv(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_named(path)
    except OSError as fault:
        raise Unfit(f"cannot be opened: {fault.strerror or fault}") from fault
