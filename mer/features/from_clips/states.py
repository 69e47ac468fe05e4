"""One clip for a tuned encoder of sound or pictures: raw input, or hidden states after its frozen first layers.

Shapes: B clips, T units (samples, mel frames, pictures, or hidden states).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mer.config import ClipEncoderConfig
from mer.features.backbone.arithmetic import half_precision
from mer.features.backbone.clip_encoder import ClipReader, LoadedClip
from mer.features.backbone.files import BackboneFolder
from mer.features.modalities import clip_wiring, open_clip_reader

if TYPE_CHECKING:
    from mer.features.partial import BaseWeights

_EXAMPLE_SAMPLES = 8000  # of the noise on which the parts of a speech encoder are compared with the whole


@dataclass(frozen=True, eq=False)
class SequenceRow:
    """One clip's row of `Sequences`: float32 (T, ...), and the range [start, end) of hidden states to be pooled."""

    values: np.ndarray
    span: tuple[int, int]


class RaggedReader(ClipReader, Protocol):
    """Gives rows of any length from clips.

    Attributes:
        start: number of the hidden state that a row has; None: raw input.
        unit_shape: shape of one unit of a row.
    """

    start: int | None
    unit_shape: tuple[int, ...]

    def encode(self, clips: Sequence[LoadedClip]) -> list[SequenceRow]:
        """Give the row of each clip."""
        ...


class ClipStates:
    """Reads clips, and runs the frozen first layers on the GPU if there is one.

    On a CPU each clip runs alone, in the thread that loaded it (see `mer.features.backbone.clip_encoder.SideBySide`).

    Args: base: the backbone's weights; None: they are read from its folder if there is a layer to run.
    Raises: MerError when the preprocessing does not fit, weights are missing, or the family's layers do not compose.
    """

    def __init__(self, config: ClipEncoderConfig, found: BackboneFolder, base: BaseWeights | None = None) -> None:
        import torch

        self.config, self.start = config, config.first_tuned
        self.reader, self.wiring = open_clip_reader(config, found), clip_wiring(config, found)
        self.batch_length, self.probe = self.reader.batch_length, self.reader.probe
        self.unit_shape = self.wiring.unit_shape(self.start)
        self.device, self._lower = "cpu", None
        if self.start is not None:
            from mer.features.partial import lower_part

            self.device = "cuda" if torch.cuda.is_available() else "cpu"
            noise = torch.Generator().manual_seed(0)
            shape = (1, self.wiring.raw_units(_EXAMPLE_SAMPLES), *self.wiring.unit_shape(None))
            example = torch.randn(shape, generator=noise)
            self._lower = lower_part(config, found, base, self.start, example).to(self.device)

    def load(self, path: Path) -> LoadedClip:
        """Load a clip; its `inputs` are a SequenceRow. Raises: MediaFault when it cannot be used."""
        clip = self.reader.load(path)
        row = self._raw(clip)
        return LoadedClip(self._states([row])[0] if self._lower and self.device == "cpu" else row, clip.notes)

    def encode(self, clips: Sequence[LoadedClip]) -> list[SequenceRow]:
        """Give the sequence of each clip."""
        rows = [clip.inputs for clip in clips]
        return self._states(rows) if self._lower and self.device != "cpu" else rows

    def _raw(self, clip: LoadedClip) -> SequenceRow:
        from mer.features.audio.preprocessing import SpeechInput

        if not isinstance(clip.inputs, SpeechInput):
            values, frames = clip.inputs.numpy(), None
        else:  # log-mels with the frames first
            values, frames = clip.inputs.values.T, clip.inputs.frames
        return SequenceRow(values, self.wiring.span(len(values), frames))

    def _states(self, rows: Sequence[SequenceRow]) -> list[SequenceRow]:
        """Run the frozen layers on clips of raw input."""
        assert self._lower is not None
        groups: dict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            groups[len(row.values) if self._lower.equal_lengths else 0].append(place)
        done: dict[int, SequenceRow] = {}
        for group in groups.values():
            states = self._run([rows[place].values for place in group])
            done |= {p: SequenceRow(state, rows[p].span) for p, state in zip(group, states, strict=True)}
        return [done[place] for place in range(len(rows))]

    def _run(self, raw: Sequence[np.ndarray]) -> list[np.ndarray]:
        import torch

        assert self._lower is not None
        given = torch.zeros(len(raw), max(map(len, raw)), *raw[0].shape[1:])
        real_BT = torch.zeros(given.shape[:2], dtype=torch.long)
        for place, values in enumerate(raw):
            given[place, : len(values)] = torch.from_numpy(np.ascontiguousarray(values))
            real_BT[place, : len(values)] = 1
        with torch.inference_mode(), half_precision(self.config.dtype, self.device):
            (states,) = self._lower.unreduced(given.to(self.device), real_BT.to(self.device))
        cut = [state[: self.wiring.units(len(values), self.start)] for state, values in zip(states, raw, strict=True)]
        return [state.float().cpu().numpy() for state in cut]
