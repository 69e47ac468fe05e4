"""Video backbones in parts: see `mer.features.backbone.wiring`.

Shapes: B clips, F frames, N tokens of a clip (of a frame, for CLIP), D width.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mer.config import VideoEncoderConfig
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.loading import refusing
from mer.features.backbone.wiring import ClipWiring, no_weights
from mer.features.video.families import KNOWN, resolve
from mer.features.video.pretrained import load_video_model


def video_wiring(encoder: VideoEncoderConfig, found: BackboneFolder) -> ClipWiring:
    """The wiring of a video backbone.

    Raises: MerError for a family we do not know, and for frames or a pooler that it does not support.
    """
    family = resolve(encoder, found).family
    if family.frozen_only:
        raise MerError(
            "encoders.video.mode",
            f"{encoder.mode!r} asked of {found.name!r}: a {family.name} is read as it is",
            allowed="mode: frozen",
            then="--set encoders.video.mode=frozen, or choose another backbone",
        )
    return (FrameWiring if family.per_frame else VideoWiring)(encoder, found)


class VideoWiring(ClipWiring):
    """TimeSformer, VideoMAE, ViViT: pixels (B, F, 3, H, W), the same number of frames for every clip."""

    above = ("layernorm",)

    def __init__(self, encoder: VideoEncoderConfig, found: BackboneFolder) -> None:
        super().__init__(encoder, found)
        self.backbone = resolve(encoder, found)
        self.depth, self.width = self.backbone.layers - 1, self.backbone.width
        self.length_key = "" if self.backbone.family.fixed_frames else "frames"

    @cached_property
    def config(self) -> Any:
        import transformers

        model_class = getattr(transformers, self.backbone.family.model)
        with refusing(self.found, allowed=KNOWN, offline="framestats"):
            return model_class.config_class.from_pretrained(self.found.folder, local_files_only=True)

    def skeleton(self) -> nn.Module:
        import transformers

        model_class, options = getattr(transformers, self.backbone.family.model), self.backbone.family.options
        with refusing(self.found, allowed=KNOWN, offline="framestats"), no_weights():
            model: Any = model_class._from_config(self.config, dtype=torch.float32, **options)
        model.config.num_frames = self.backbone.frames  # see `pretrained`: TimeSformer's layers cut tokens by it
        return model

    def load(self) -> nn.Module:
        model: nn.Module = load_video_model(self.found, self.backbone)
        return model

    def layers_name(self, model: nn.Module) -> str:
        return {"timesformer": "encoder.layer", "videomae": "encoder.layer", "vivit": "layers"}[self.config.model_type]

    def states(self, raw: int) -> int:
        """Count the tokens of a clip. Args: raw: its frames."""
        deep, *patch = getattr(self.config, "tubelet_size", 1), getattr(self.config, "patch_size", 1)
        if isinstance(deep, (list, tuple)):  # ViViT's has all three sides of a patch
            deep, *patch = deep
        return raw // deep * _patches(self.backbone.picture, patch) + self.backbone.family.summary_token

    def raw_units(self, length: int) -> int:
        return self.backbone.frames

    def unit_shape(self, start: int | None) -> tuple[int, ...]:
        return (3, *self.backbone.picture) if start is None else (self.width,)

    def span(self, raw: int, frames: int | None) -> tuple[int, int]:
        if self.backbone.pooler == "first":
            return 0, 1
        return int(self.backbone.family.summary_token), self.states(raw)

    def run(self, model: Any, given: Tensor, real_BT: Tensor, start: int | None) -> Tensor:
        state: Tensor = model(pixel_values=given).last_hidden_state
        return state


class FrameWiring(VideoWiring):
    """CLIP's vision part reads each frame alone: pixels (B, F, 3, H, W), hidden states (B, F, N, D)."""

    below = ("embeddings.", "pre_layrnorm.")
    above = ("post_layernorm",)  # it norms the pooled state; the last hidden state comes before it

    def skeleton(self) -> nn.Module:
        model = super().skeleton()
        self.leave(model)
        return model

    def load(self) -> nn.Module:
        model = super().load()
        self.leave(model)
        return model

    def layers_name(self, model: nn.Module) -> str:
        return "encoder.layers"

    def states(self, raw: int) -> int:
        return raw * self.per_frame

    def units(self, raw: int, start: int | None) -> int:
        return raw

    def unit_shape(self, start: int | None) -> tuple[int, ...]:
        return super().unit_shape(start) if start is None else (self.per_frame, self.width)

    def span(self, raw: int, frames: int | None) -> tuple[int, int]:
        return 0, raw if self.backbone.pooler == "first" else raw * (self.per_frame - 1)

    def cost(self, units: int, start: int | None) -> int:
        return units * self.per_frame

    @property
    def per_frame(self) -> int:
        """N: tokens of a frame, the summary token included."""
        return _patches(self.backbone.picture, [self.config.patch_size]) + 1

    def run(self, model: Any, given: Tensor, real_BT: Tensor, start: int | None) -> Tensor:
        return super().run(model, given.flatten(0, 1), real_BT, start)

    def unfold(self, state: Tensor, rows: int) -> Tensor:
        return state.unflatten(0, (rows, -1))

    def reduce(self, state: Tensor) -> Tensor:
        return state[:, :, 0] if self.backbone.pooler == "first" else state[:, :, 1:].flatten(1, 2)


def _patches(picture: tuple[int, int], patch: Any) -> int:
    """Count the patches of a picture.

    Args:
        picture: (height, width) in pixels.
        patch: the side of a patch in pixels, or its height and width, possibly inside one more list.
    """
    sides = patch[0] if len(patch) == 1 else patch
    high, wide = (sides, sides) if isinstance(sides, int) else sides
    return picture[0] // high * (picture[1] // wide)
