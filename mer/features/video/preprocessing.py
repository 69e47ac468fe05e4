"""Pictures to a video backbone's input, as the image processor in its preprocessor_config.json would make it.

We do it ourselves: the processors that need no torchvision (Pillow) are five times slower, and they differ by one grey
level from those that checkpoints were trained with. This code equals the latter to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mer.data.media import MediaFault
from mer.errors import MerError
from mer.features.video.families import Family
from mer.read_files import read_object

if TYPE_CHECKING:
    import torch

VERSION = 1  # of everything between a clip and a backbone's input; raise it when numbers change
LONGEST_ASPECT = 16  # a wider picture would take gigabytes once it is scaled to a height of 224 pixels

# The defaults of each processor class, for settings that its file leaves out.
_HALF, _CLIP_MEAN, _CLIP_STD = [0.5] * 3, [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_VIDEOMAE = {
    "do_resize": True, "size": {"shortest_edge": 224}, "resample": 2,
    "do_center_crop": True, "crop_size": {"height": 224, "width": 224},
    "do_rescale": True, "rescale_factor": 1 / 255, "offset": False,
    "do_normalize": True, "image_mean": _HALF, "image_std": _HALF,
}  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "VideoMAE": _VIDEOMAE,
    "CLIP": {**_VIDEOMAE, "resample": 3, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD},
    "Bit": {**_VIDEOMAE, "resample": 3, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD},
    "Vivit": {**_VIDEOMAE, "size": {"shortest_edge": 256}, "rescale_factor": 1 / 127.5, "offset": True},
}
_MODES: dict[str, Literal["bilinear", "bicubic"]] = {"2": "bilinear", "3": "bicubic"}  # Pillow's numbers
_SUFFIXES = ("ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor")


@dataclass(frozen=True)
class Preprocessing:
    """Resizes pictures, crops their centre, scales their values.

    Args:
        resize: pixels of the shorter side, or (height, width) whatever the picture's shape.
        size: (height, width) of the crop.
        mode: of interpolation, always with antialiasing.
        factor, shift: per channel; the output is `grey value * factor + shift`.
    """

    resize: int | tuple[int, int]
    size: tuple[int, int]
    mode: Literal["bilinear", "bicubic"]
    factor: tuple[float, ...]
    shift: tuple[float, ...]

    def __call__(self, images: np.ndarray | Sequence[np.ndarray]) -> torch.Tensor:
        """uint8 RGB (T, H, W, 3), or T pictures (H, W, 3) of differing sizes -> float32 (T, 3, height, width).

        Raises: MediaFault when a picture is a thin strip.
        """
        import torch

        if not isinstance(images, np.ndarray):
            return torch.cat([self(image[None]) for image in images])
        within = self._resized(*images.shape[1:3])
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)  # channels last in memory: fast
        pixels = torch.nn.functional.interpolate(pixels, within, mode=self.mode, antialias=True, align_corners=False)
        top, left = ((inner - outer) // 2 for inner, outer in zip(within, self.size, strict=True))
        pixels = pixels[..., top : top + self.size[0], left : left + self.size[1]].float()
        factor, shift = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (self.factor, self.shift))
        return (pixels * factor + shift).contiguous()

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if max(height, width) > LONGEST_ASPECT * min(height, width):
            raise MediaFault(f"a picture of {width}x{height} pixels: too thin a strip")
        if isinstance(self.resize, tuple):
            return self.resize
        long_side = int(self.resize * max(height, width) / min(height, width))
        return (self.resize, long_side) if height <= width else (long_side, self.resize)


def read_preprocessing(folder: Path, family: Family) -> Preprocessing:
    """Read preprocessor_config.json.

    Raises: MerError when it is missing, broken, or asks for a step that this code does not do; nothing is guessed.
    """
    path = folder / "preprocessor_config.json"
    try:
        given = read_object(path, then="fetch the backbone again")
    except FileNotFoundError as fault:
        then = "fetch the backbone again, or copy the file from the backbone that this one was trained from"
        raise MerError(folder, "no preprocessor_config.json", then=then) from fault
    return _Settings(path, given, family).preprocessing()


class _Settings:
    """One preprocessor_config.json on top of the defaults of its class; unknown steps raise a fault."""

    def __init__(self, path: Path, given: dict[str, Any], family: Family) -> None:
        self.path = path
        self.known = DEFAULTS[self._processor(given, family)]
        self.values = {**self.known, **{key: given[key] for key in self.known if given.get(key) is not None}}
        harmless = {"do_convert_rgb"}  # our pictures are RGB
        if extra := sorted(
            k for k, v in given.items() if k.startswith("do_") and v and k not in {*self.known, *harmless}
        ):
            raise self._fault(extra[0], given[extra[0]], "resize, centre crop, rescale and normalise only")

    def preprocessing(self) -> Preprocessing:
        values = self.values
        if not values["do_resize"]:
            raise self._fault("do_resize", values["do_resize"], "true: clips come in any size")
        if str(values["resample"]) not in _MODES:
            raise self._fault("resample", values["resample"], "2 (bilinear) or 3 (bicubic)")
        resize = self._size("size")
        size = self._size("crop_size", square=True) if values["do_center_crop"] else resize
        smallest = (resize, resize) if isinstance(resize, int) else resize
        if isinstance(size, int) or size[0] > smallest[0] or size[1] > smallest[1]:
            key = "crop_size" if values["do_center_crop"] else "size"
            raise self._fault(key, values[key], f"a height and a width, to crop to at most {smallest}")
        scale, offset = (self._numbers("rescale_factor")[0], 0.0) if values["do_rescale"] else (1.0, 0.0)
        if values["offset"]:
            if not values["do_rescale"]:
                raise self._fault("offset", True, "false without do_rescale")
            offset = -1.0
        mean: tuple[float, ...] = (0.0,) * 3
        std: tuple[float, ...] = (1.0,) * 3
        if values["do_normalize"]:
            mean, std = self._numbers("image_mean"), self._numbers("image_std")
            if min(std) <= 0:
                raise self._fault("image_std", values["image_std"], "numbers above 0")
        return Preprocessing(
            resize,
            size,
            _MODES[str(values["resample"])],
            factor=tuple(scale / sd for sd in std),
            shift=tuple((offset - middle) / sd for middle, sd in zip(mean, std, strict=True)),
        )

    def _processor(self, given: dict[str, Any], family: Family) -> str:
        named = given.get("image_processor_type") or given.get("feature_extractor_type")
        if named is None:
            return family.processor
        for suffix in _SUFFIXES:
            if str(named).endswith(suffix) and str(named).removesuffix(suffix) in DEFAULTS:
                return str(named).removesuffix(suffix)
        raise self._fault("image_processor_type", named, ", ".join(f"{name}ImageProcessor" for name in DEFAULTS))

    def _size(self, key: str, *, square: bool = False) -> int | tuple[int, int]:
        """Read the shortest edge, or (height, width); a bare number is the former, or the latter if `square`."""
        value = self.values[key]
        if _is_length(value):
            return (value, value) if square else int(value)
        sides = {name: side for name, side in value.items() if side is not None} if isinstance(value, dict) else {}
        if set(sides) == {"shortest_edge"} and _is_length(sides["shortest_edge"]):
            return int(sides["shortest_edge"])
        if set(sides) == {"height", "width"} and all(_is_length(side) for side in sides.values()):
            return sides["height"], sides["width"]
        raise self._fault(key, value, "shortest_edge, or height and width, in pixels")

    def _numbers(self, key: str) -> tuple[float, ...]:
        """Read one finite number per colour; a single number counts for all three."""
        value = self.values[key]
        numbers = [value] * 3 if isinstance(value, (int, float)) else value
        if isinstance(numbers, list) and len(numbers) == 3 and all(_is_finite(number) for number in numbers):
            return tuple(float(number) for number in numbers)
        raise self._fault(key, value, "a number, or one per colour")

    def _fault(self, key: str, value: Any, allowed: str) -> MerError:
        found = f"{key} is {value!r}, which is not done here"
        return MerError(self.path, found, allowed=allowed, then="choose another backbone (framestats needs no hub)")


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 4096


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
