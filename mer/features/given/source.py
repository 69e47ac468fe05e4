"""A folder or a table of features behind one door, opened by a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from mer.config import GIVEN, EncoderConfig, given_place
from mer.errors import MerError
from mer.features.backbone.files import BackboneCard
from mer.features.backbone.hash_memo import HashMemo
from mer.features.given.folder import ENDINGS, Folder
from mer.features.given.index import Index
from mer.features.given.numbers import ENDINGS as TABLES
from mer.features.given.numbers import width_of
from mer.features.given.pooling import frames_of
from mer.features.given.table import Table
from mer.features.given.unfit import Unfit
from mer.places import home
from mer.terminal.commands import command

VERSION = 1  # raise it when the same file would give other features: it is part of the key
_OWN_KEYS = {"backbone", "mode", "layers", "pooler", "max_states"}
_POOLERS = {"auto": "mean", "mean": "mean", "first": "first", "none": "none"}
_PICKLES = (".pkl", ".pickle", ".p", ".pk")
_DOCS = "docs/howto/given_features.md"


class Source(Protocol):
    """Features of many utterances.

    Args:
        path: of the folder or the file.
        index: from names to places in it.
    """

    path: Path
    index: Index

    @property
    def first(self) -> str: ...

    def read(self, place: str) -> np.ndarray:
        """Read the array of a place. Raises: Unfit."""
        ...

    def listed(self) -> list[tuple[str, str]]:
        """Name every utterance that has features: (part of the data, or "", name).

        Raises: Unfit where nobody can tell.
        """
        ...

    def hashes(self, places: list[str], memo: HashMemo) -> tuple[str, dict[str, str | None]]:
        """Hash what decides the arrays of these places: the whole, and each. Raises: OSError."""
        ...


def open_source(encoder: EncoderConfig, where: str = "") -> Source:
    """Open the features that a configuration names: lists what they hold, reads headers.

    Args: where: what named them, for messages; "": the configuration.
    Raises: MerError when they are not there, or hold nothing that can be read.
    """
    where, named = where or _where(encoder), given_place(encoder) if where else encoder.backbone
    path = home(given_place(encoder), where)
    if not path.exists():
        raise MerError(where, f"{named}: no such file or folder", allowed=_allowed(), then=_then())
    if path.suffix.lower() in _PICKLES and not path.is_dir():
        raise MerError(
            path,
            "is a pickle, which can run code when it is read",
            allowed=_allowed(),
            then=f"{command('mer.features', 'convert', path, path.with_suffix(''))}",
        )
    try:
        if path.is_dir():
            return Folder(path, encoder.modality)
        if path.suffix.lower() not in ENDINGS:
            raise Unfit(f"ends in {path.suffix or 'nothing'}, which is no file of features")
        return Table(path, encoder.modality)
    except Unfit as fault:
        raise MerError(path, str(fault), allowed=_allowed(), then=_then()) from fault


def describe(encoder: EncoderConfig) -> BackboneCard:
    """Say how wide the features are, by the first of them.

    Raises: MerError when they are not to be had, or the encoder has settings that only a backbone reads.
    """
    said, usual = encoder.model_dump(exclude=_OWN_KEYS), type(encoder)().model_dump(exclude=_OWN_KEYS)
    if other := [name for name in said if said[name] != usual[name]]:
        raise MerError(
            _where(encoder),
            f"{encoder.backbone} is read as it is: {', '.join(other)} cannot be set beside it",
            then=f"remove encoders.{encoder.modality}.{other[0]}",
        )
    return BackboneCard(name_of(encoder), None, None, layers=1, width=_width(encoder), pooler=pooler_of(encoder))


def pooler_of(encoder: EncoderConfig) -> str:
    """Return mean, first or none. Raises: MerError for the span of a text, which others' frames do not have."""
    if encoder.pooler not in _POOLERS:
        where = f"encoders.{encoder.modality}.pooler"
        raise MerError(where, f"{encoder.pooler!r} asked of {encoder.backbone}", allowed="mean, first or none")
    return _POOLERS[encoder.pooler]


def name_of(encoder: EncoderConfig) -> str:
    """Name the features without the place where they lie on this machine: `file:wavlm-UTT`."""
    place = home(given_place(encoder))
    try:
        return GIVEN + (place.resolve().name or "root")
    except (OSError, RuntimeError):  # a loop of links, which `open_source` refuses
        return GIVEN + place.name


def _width(encoder: EncoderConfig) -> int:
    """Read the width of the first features. Raises: MerError."""
    place = home(given_place(encoder), _where(encoder))
    try:
        if place.is_file() and place.suffix.lower() in TABLES:  # a table of numbers is not read whole for this
            return width_of(place)
        source = open_source(encoder)
        place = source.path / source.first if source.path.is_dir() else source.path
        return int(frames_of(source.read(source.first)).shape[1])
    except (Unfit, OSError) as fault:
        raise MerError(place, str(fault), allowed=_allowed(), then=_then()) from fault


def _where(encoder: EncoderConfig) -> str:
    return f"encoders.{encoder.modality}.backbone"


def _allowed() -> str:
    return f"a folder with a file for each clip, or one table, of {', '.join(ENDINGS)}"


def _then() -> str:
    return f"{_DOCS} shows the layouts that are read"
