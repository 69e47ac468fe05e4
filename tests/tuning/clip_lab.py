"""Tiny speech and video backbones, and what a clip gives: raw input, and pooled hidden states of the frozen encoder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import audio_backbones
import numpy as np
import torch
import video_backbones

from mer.config import AudioEncoderConfig, ClipEncoderConfig, VideoEncoderConfig
from mer.features import audio, video
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.backbone.files import BackboneFolder
from mer.features.modalities import clip_wiring
from mer.features.partial import PartialBackbone, base_weights

FAMILIES = (*audio_backbones.FAMILIES, *video_backbones.FAMILIES)
SPEECH = audio_backbones.WAVE_FAMILIES
DEPTH = 3
SECONDS = (0.3, 0.52)


class ClipLab:
    """Backbones are made once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._made = folder, dict[str, BackboneFolder]()
        self._bases: dict[str, dict[str, np.ndarray]] = {}

    def found(self, family: str) -> BackboneFolder:
        if family not in self._made:
            source = audio_backbones if family in audio_backbones.FAMILIES else video_backbones
            self._made[family] = source.save_backbone(family, self.folder / family)
        return self._made[family]

    def base(self, family: str) -> dict[str, np.ndarray]:
        if family not in self._bases:
            self._bases[family] = base_weights(self.config(family), self.found(family))
        return self._bases[family]

    def part(self, family: str, start: int | None, reads: Iterable[int], **settings: Any) -> PartialBackbone:
        config = self.config(family, **settings)
        made = PartialBackbone(config, self.found(family), self.base(family), start=start, reads=list(reads))
        return made.eval()

    def config(self, family: str, **settings: Any) -> ClipEncoderConfig:
        made = AudioEncoderConfig if family in audio_backbones.FAMILIES else VideoEncoderConfig
        return made(backbone=str(self.found(family).folder), **settings)

    def clips(self, family: str, **settings: Any) -> tuple[list[torch.Tensor], list[tuple[int, int]], np.ndarray]:
        """Two clips: raw input, spans, and pooled hidden states (2, L, D) of the frozen encoder."""
        config, found = self.config(family, **settings), self.found(family)
        wiring, raw, spans = clip_wiring(config, found), [], []
        if isinstance(config, AudioEncoderConfig):
            encoder: Any = audio.open_encoder(config, found)
            inputs = [encoder.prepare(audio_backbones.voice(s, hz=100 + 90 * s, seed=i)) for i, s in enumerate(SECONDS)]
            for item in inputs:
                raw.append(torch.from_numpy(np.ascontiguousarray(item.values.T)))
                spans.append(wiring.span(len(raw[-1]), item.frames))
        else:
            encoder = video.open_encoder(config, found)
            frames = config.frames or encoder.backbone.frames
            inputs = [encoder.prepare(video_backbones.moving_square(frames, seed=i)) for i in range(2)]
            raw, spans = inputs, [wiring.span(frames, None)] * 2
        return raw, spans, encoder.encode([LoadedClip(item) for item in inputs])


def real(given: torch.Tensor) -> torch.Tensor:
    return torch.ones(given.shape[:2], dtype=torch.long)


def padded(rows: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of any length as one batch, with rubbish behind the shorter ones; and which of it is real."""
    longest = max(map(len, rows))
    given = torch.full((len(rows), longest, *rows[0].shape[1:]), 7.0)
    real_BT = torch.zeros(len(rows), longest, dtype=torch.long)
    for place, row in enumerate(rows):
        given[place, : len(row)], real_BT[place, : len(row)] = row, 1
    return given, real_BT
