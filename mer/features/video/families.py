"""The families of video backbones, and one backbone as a configuration uses it, from config.json alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mer.config import VideoEncoderConfig
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder, read_config
from mer.read_files import shown

Pooler = Literal["mean", "first"]
MOST_POSITIONS = 2**24  # numbers; TimeSformer with 96 frames has 14 million
MOST_COMPUTED = 2**22  # the largest VideoMAE has 2 million, which take two seconds


@dataclass(frozen=True)
class Family:
    """One architecture.

    Args:
        name: for messages.
        model: class in transformers whose forward returns the hidden states.
        processor: its image processor when preprocessor_config.json does not name one.
        frames: number of frames when the checkpoint does not give it.
        fixed_frames: the position table has one entry per frame, so no other number of frames can be read.
        summary_token: token 0 is no patch; it is left out of the mean, and pooler 'first' reads it.
        pooler: the meaning of 'auto'.
        per_frame: an image encoder: it reads each frame alone, and its vectors are averaged over the frames.
        any_picture: it stretches its table of positions to the pictures that its preprocessor makes.
        frozen_only: nobody has written how it is tuned.
    """

    name: str
    model: str
    processor: Literal["VideoMAE", "CLIP", "Vivit", "Bit"]
    frames: int
    fixed_frames: bool
    summary_token: bool
    pooler: Pooler
    per_frame: bool = False
    any_picture: bool = False
    frozen_only: bool = False

    @property
    def options(self) -> dict[str, bool]:
        """The options that leave ViViT's pooler out: it is never read, and random where the checkpoint has none."""
        return {"add_pooling_layer": False} if self.model == "VivitModel" else {}


# fmt: off
_CLIP = Family("CLIP vision", "CLIPVisionModel", "CLIP", 8, fixed_frames=False, summary_token=True,
               pooler="first", per_frame=True)
FAMILIES = {  # by model_type
    "timesformer": Family("TimeSformer", "TimesformerModel", "VideoMAE", 8, fixed_frames=False,
                          summary_token=True, pooler="first"),  # it stretches its table of times
    "videomae": Family("VideoMAE", "VideoMAEModel", "VideoMAE", 16, fixed_frames=True,
                       summary_token=False, pooler="mean"),
    "vivit": Family("ViViT", "VivitModel", "Vivit", 32, fixed_frames=True,
                    summary_token=True, pooler="first"),
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "dinov2": Family("DINOv2", "Dinov2Model", "Bit", 8, fixed_frames=False, summary_token=True, pooler="first",
                     per_frame=True, any_picture=True, frozen_only=True),
}
# fmt: on
KNOWN = "a video encoder: TimeSformer, VideoMAE, ViViT, or frame by frame CLIP (its vision part) and DINOv2"


@dataclass(frozen=True)
class VideoBackbone:
    """A family's checkpoint as one configuration uses it.

    Args:
        layers: hidden states, i.e. transformer layers + 1 for the embeddings.
        width: numbers per hidden state.
        frames: number of frames read from every clip.
        pooler: over tokens; never 'auto'.
        picture: (height, width) of its input, in pixels.
    """

    family: Family
    layers: int
    width: int
    frames: int
    pooler: Pooler
    picture: tuple[int, int]


def resolve(config: VideoEncoderConfig, found: BackboneFolder) -> VideoBackbone:
    """Read config.json.

    Raises: MerError for a family we do not know, and for frames or a pooler that it does not support.
    """
    path = found.folder / "config.json"
    settings = read_config(found, encoder_only=False)
    kind = settings.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise MerError(path, f"model type {kind!r} is no video encoder we know", allowed=KNOWN)
    if kind == "clip":
        settings = settings.get("vision_config") or {}
        if not isinstance(settings, dict):
            raise MerError(path, f"vision_config is {settings!r}", allowed="the settings of CLIP's vision part")
    if kind == "timesformer" and settings.get("attention_type", "divided_space_time") == "space_only":
        raise MerError(path, "attention_type 'space_only' has no state per clip", allowed="'divided_space_time'")
    # Settings that equal the class's own default may be left out of a nested configuration.
    width, depth = (
        _count(path, settings, key, given) for key, given in (("hidden_size", 768), ("num_hidden_layers", 12))
    )
    frames, picture = _frames(config, family, found, settings), _picture(path, settings.get("image_size", 224))
    _refuse_many_positions(path, settings, family, picture, width)
    return VideoBackbone(
        family,
        layers=depth + 1,
        width=width,
        frames=frames,
        pooler=_pooler(config, family, found),
        picture=picture,
    )


def _refuse_many_positions(
    path: Path, settings: dict[str, Any], family: Family, picture: tuple[int, int], width: int
) -> None:
    """Refuse a table of positions that no encoder has: transformers computes VideoMAE's before any weight is read."""
    frames = 1 if family.per_frame else _count(path, settings, "num_frames", family.frames)
    patch, deep = settings.get("patch_size", 16), settings.get("tubelet_size", 1)
    for name, value in (("patch_size", patch), ("tubelet_size", deep)):
        sides = value if isinstance(value, list) else [value]
        if not sides or not all(type(side) is int and side > 0 for side in sides):
            raise MerError(path, f"{name} is {shown(value)}", allowed="whole numbers above 0")
    if isinstance(deep, list):
        deep, patch = deep[0], deep[-1]
    side = patch[-1] if isinstance(patch, list) else patch
    tokens = max(1, frames // deep) * (picture[0] // side) * (picture[1] // side)
    largest = MOST_COMPUTED if family.model == "VideoMAEModel" else MOST_POSITIONS
    if tokens * width > largest:
        found = f"{frames} frames of {picture[1]}x{picture[0]} pixels are {tokens} tokens of width {width}"
        raise MerError(path, found, allowed=f"tokens and widths of at most {largest} numbers together")


def _frames(config: VideoEncoderConfig, family: Family, found: BackboneFolder, settings: dict[str, Any]) -> int:
    own = family.frames
    if not family.per_frame:
        own = _count(found.folder / "config.json", settings, "num_frames", own)
    if config.frames is None or config.frames == own or not family.fixed_frames:
        return own if config.frames is None else config.frames
    raise MerError(
        "encoders.video.frames",
        f"{config.frames} frames asked of {found.name!r}, whose position table has a place for {own}",
        allowed=f"{own}, or null (a {family.name} reads the number of frames it was made for)",
    )


def _pooler(config: VideoEncoderConfig, family: Family, found: BackboneFolder) -> Pooler:
    if config.pooler in ("auto", "none"):  # none: the way in which the tokens of one step of time become one state
        return family.pooler
    if config.pooler == "first" and not family.summary_token:
        raise MerError(
            "encoders.video.pooler",
            f"'first' asked of {found.name!r}: a {family.name} has no summary token, its first token is a corner",
            allowed="'auto' or 'mean'",
        )
    return "first" if config.pooler == "first" else "mean"


def _count(path: Path, settings: dict[str, Any], key: str, default: int) -> int:
    value = settings.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise MerError(path, f"{key} is {value!r}", allowed="a whole number above 0")


def _picture(path: Path, value: Any) -> tuple[int, int]:
    sides = [value, value] if isinstance(value, int) else value
    if isinstance(sides, list) and len(sides) == 2 and all(isinstance(side, int) and side > 0 for side in sides):
        return sides[0], sides[1]
    raise MerError(path, f"image_size is {value!r}", allowed="a number of pixels, or [height, width]")
