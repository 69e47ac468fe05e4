"""Live input from clips that belong to no dataset: the backbone encodes them as extraction would."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer.config import ClipEncoderConfig
from mer.data.media import MediaFault
from mer.data.media.notices import SEPARATOR, notices_in
from mer.features.backbone.clip_encoder import ClipEncoder
from mer.features.backbone.files import BackboneFolder
from mer.features.reading import ClipRow, Extracted, LiveFeatures
from mer.progress import Progress, reporting

if TYPE_CHECKING:
    from mer.features.from_clips.states import ClipStates
    from mer.features.from_clips.unpooled import ClipSteps


class LiveClips:
    """Encodes media files with a frozen backbone as `from_clips.pooled` does. Loads the backbone at the first call.

    Args:
        config: how the encoder reads.
        found: where its files lie; None for signal statistics.
    """

    def __init__(self, config: ClipEncoderConfig, found: BackboneFolder | None) -> None:
        self.config, self.found = config, found
        self.modality = config.modality
        self._encoder: ClipEncoder | None = None

    def encode(self, paths: Sequence[Path | MediaFault], *, progress: Progress = False) -> LiveFeatures:
        """Encode every clip to pooled hidden states (L, D). A clip that cannot be read, or is a fault, is masked."""
        from mer.features.from_clips.extraction import read_clips
        from mer.features.modalities import open_clip_encoder

        encoder = self._encoder = self._encoder or open_clip_encoder(self.config, self.found)
        with reporting(progress, f"reading {self.modality}", "clips") as step:
            done = read_clips(_clip_rows(paths), encoder, step)
        return _told(paths, done, done.features_NLD)


class LiveClipSequences:
    """Makes the input of a tuned encoder from media files, as `from_clips.sequences` caches it.

    Args:
        config: how the encoder reads.
        found: where its files lie.
    """

    def __init__(self, config: ClipEncoderConfig, found: BackboneFolder) -> None:
        self.config, self.found = config, found
        self.modality = config.modality
        self._states: ClipStates | None = None

    @cached_property
    def base(self) -> dict[str, np.ndarray]:
        """Weights of the whole backbone: the lower layers run here, the upper ones in the model."""
        from mer.features.partial import base_weights

        return base_weights(self.config, self.found)

    def encode(self, paths: Sequence[Path | MediaFault], *, progress: Progress = False) -> LiveFeatures:
        """Make the sequence of every clip; the row of a clip that cannot be read is empty."""
        from mer.features.from_clips.sequence_extraction import read_sequences
        from mer.features.from_clips.states import ClipStates

        base = self.base if self.config.first_tuned is not None else None
        states = self._states = self._states or ClipStates(self.config, self.found, base)
        with reporting(progress, f"reading {self.modality}", "clips") as step:
            done = read_sequences(_clip_rows(paths), states, states.wiring.width, step)
        return _told(paths, done, done.sequences)


class LiveClipSteps:
    """Makes the states of each step of time from media files, as `from_clips.unpooled` caches them.

    Args:
        config: how the encoder reads.
        found: where its files lie; None for signal statistics.
    """

    def __init__(self, config: ClipEncoderConfig, found: BackboneFolder | None) -> None:
        self.config, self.found = config, found
        self.modality = config.modality
        self._steps: ClipSteps | None = None

    def encode(self, paths: Sequence[Path | MediaFault], *, progress: Progress = False) -> LiveFeatures:
        """Make the sequence of every clip; the row of a clip that cannot be read is empty."""
        from mer.features.from_clips.sequence_extraction import read_sequences
        from mer.features.from_clips.unpooled import ClipSteps

        steps = self._steps = self._steps or ClipSteps(self.config, self.found)
        with reporting(progress, f"reading {self.modality}", "clips") as step:
            done = read_sequences(_clip_rows(paths), steps, steps.width, step)
        return _told(paths, done, done.sequences)


def _clip_rows(paths: Sequence[Path | MediaFault]) -> list[ClipRow]:
    return [
        ClipRow(f"{place}", None, None, str(path)) if isinstance(path, MediaFault) else ClipRow(f"{place}", path, "")
        for place, path in enumerate(paths)
    ]


def _told(paths: Sequence[Path | MediaFault], done: Extracted, features: Any) -> LiveFeatures:
    """Turn an extraction's result into live features."""
    from mer.features.from_clips.extraction import VANISHED

    faults, cut = [], []
    for place in range(len(paths)):
        notes, fault = done.notes.get(f"{place}", ""), done.faults.get(f"{place}", "")
        fault = "no such file" if fault == VANISHED else fault
        faults.append(fault or SEPARATOR.join(notices_in(notes)))
        cut.append("cut to its first" in notes)
    return LiveFeatures(features, np.array(cut, dtype=bool), faults, done.present_N)
