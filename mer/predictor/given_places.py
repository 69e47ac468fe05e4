"""Where the features of new utterances lie, for exports that read features of others (`backbone: file:PATH`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mer.checkpoints.ensemble_folder import Ensemble
from mer.checkpoints.export_folder import Export
from mer.config import is_given
from mer.errors import MerError
from mer.features.from_files.live import OPTION, no_live_features

_MODALITIES = ("text", "audio", "video")
Places = Path | str | Mapping[str, Path | str]  # one place for all modalities, or one for each


def typed_places(words: Sequence[str], found: Export | Ensemble) -> dict[str, Path]:
    """Read PLACE or MODALITY=PLACE as typed: modality -> place; {} for an export that reads no features of others.

    Raises: MerError for places that it does not read, or that are not named.
    """
    several: list[tuple[str, str]] = []
    for word in words:
        before, sign, after = word.partition("=")
        is_named = bool(sign) and before in _MODALITIES
        several += [(before, after)] if is_named else [(modality, word) for modality in given_by(found) or ("",)]
    places: dict[str, Path] = {}
    for modality, place in several:
        if modality in places:
            then = f"one for each modality: {' '.join(f'{OPTION} {one}=PLACE' for one in given_by(found))}"
            raise MerError(OPTION, f"names two places for {modality}: {places[modality]} and {place}", then=then)
        places[modality] = Path(place)
    return checked_places(places, found)


def checked_places(said: Places | None, found: Export | Ensemble) -> dict[str, Path]:
    """Return the place of each modality whose features others extract. Raises: MerError, as `typed_places`."""
    if said is None:
        return {}
    given = given_by(found)
    named = dict(said) if isinstance(said, Mapping) else dict.fromkeys(given or ("",), said)
    if named and not given:
        reads = " and ".join(found.reads)
        raise MerError(OPTION, f"{found.folder} makes its own features of {reads}", then="leave it out")
    if other := [modality for modality in named if modality not in given]:
        found_words = f"{other[0]}: {found.folder} reads features of {', '.join(given)} alone"
        raise MerError(OPTION, found_words, allowed=", ".join(f"{one}=PLACE" for one in given))
    if named and (lacking := [modality for modality in given if modality not in named]):
        raise MerError(
            OPTION,
            f"no place of {lacking[0]} is named, and {found.folder} reads features of {', '.join(given)}",
            allowed="PLACE for all of them, or MODALITY=PLACE for each",
            then=f"add {OPTION} {lacking[0]}=PLACE",
        )
    return {modality: Path(named[modality]) for modality in given if modality in named}


def refuse_given(found: Export | Ensemble, places: Mapping[str, Path] | None = None) -> None:
    """Refuse to read new texts and clips by a model of features that others extracted. Raises: MerError.

    Args: places: of the new features by modality.
    """
    for export in found.members if isinstance(found, Ensemble) else (found,):
        for modality, encoder in export.config.encoders.present.items():
            if is_given(encoder) and modality not in (places or {}):
                raise no_live_features(encoder, export.folder)


def given_by(found: Export | Ensemble) -> tuple[str, ...]:
    """List the modalities of which a model, or a member, reads features of others."""
    return _modalities(found, given=True)


def read_live(found: Export | Ensemble) -> tuple[str, ...]:
    """List the modalities that a model, or a member, reads from texts and clips themselves."""
    return _modalities(found, given=False)


def _modalities(found: Export | Ensemble, *, given: bool) -> tuple[str, ...]:
    members = found.members if isinstance(found, Ensemble) else (found,)
    encoders = [encoder for export in members for encoder in export.config.encoders.present.items()]
    read = {modality for modality, encoder in encoders if is_given(encoder) == given}
    return tuple(modality for modality in _MODALITIES if modality in read)
