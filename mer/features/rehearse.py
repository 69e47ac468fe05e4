"""What extraction would refuse, found out without extracting: the backbone is whole, the clips are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.config import EncoderConfig, TextEncoderConfig, has_weights, is_given
from mer.data import Corpus
from mer.data.media import FoundClip, MediaFault
from mer.data.media.files import require_content
from mer.features.backbone.files import is_here, locate, require_weights
from mer.features.failures import FailureWatch
from mer.features.from_clips.live import LiveClips
from mer.features.from_clips.pooled import ClipReading
from mer.features.from_files.placing import MEND
from mer.features.from_files.pooled import GivenReading
from mer.features.from_text.live import LiveTexts
from mer.features.lacking import refuse_no_text


def rehearse(encoder: EncoderConfig, corpus: Corpus, splits: Sequence[str], *, max_failed: float | None = None) -> None:
    """Refuse what `ensure_features` would refuse of a backbone's files, texts and places of clips. Writes nothing.

    Args: max_failed: share of a split's clips that may be absent, empty or no clips at all; None: any.
    Raises: MerError.
    """
    if has_weights(encoder):
        require_weights(encoder)
    if is_given(encoder):
        given = GivenReading(encoder, Path())
        for split in splits:
            _watch(corpus, split, given.name, given.absent(corpus, split), max_failed, MEND)
    elif isinstance(encoder, TextEncoderConfig):
        for split in splits:
            refuse_no_text(corpus, split)
    else:
        reading = ClipReading(encoder, Path())
        for split in splits:
            placed = reading.placed(corpus, split)
            if max_failed is not None:
                ids = (utterance.id for utterance in corpus.utterances(split))
                said = {name: _fault(place) for name, place in zip(ids, placed, strict=True)}
                faults = {name: words for name, words in said.items() if words}
                _watch(corpus, split, reading.name, faults, max_failed)


def _watch(
    corpus: Corpus, split: str, name: str, faults: dict[str, str], max_failed: float | None, mend: str = ""
) -> None:
    title, count = f"{corpus.name}/{split} with {name}", len(corpus.utterances(split))
    FailureWatch(title, count, max_failed, corpus.root, mend).add(faults)


def _fault(place: FoundClip | str) -> str:
    """Say why a clip cannot be read, as far as its first bytes show; "" if they look well."""
    if isinstance(place, str):
        return place
    try:
        if not place.path.is_dir():  # a folder of pictures
            require_content(place.path)
    except MediaFault as fault:
        return str(fault)
    return ""


def rehearse_one(encoder: EncoderConfig, corpus: Corpus, split: str) -> None:
    """Load the backbone and read one dialogue, or one clip, with it: a folder may be whole and yet not load.

    A backbone that would have to be downloaded first is passed over. Raises: MerError.
    """
    if not has_weights(encoder) or not is_here(encoder):
        return
    found = locate(encoder, weights=True)
    if isinstance(encoder, TextEncoderConfig):
        LiveTexts(encoder, found).encode(corpus.dialogues(split)[:1])
        return
    placed = ClipReading(encoder, Path()).placed(corpus, split)
    clips = [place.path for place in placed if isinstance(place, FoundClip)]
    LiveClips(encoder, found).encode(clips[:1])
