"""Tiny video backbones with random weights, saved with their image processor as a hub would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mer.features.backbone.files import BackboneFolder

PICTURE, FRAMES = 32, 4
FAMILIES = ("timesformer", "videomae", "vivit", "clip", "clip_vision")
FROZEN = ("dinov2",)  # families that are read as they are
_SIZES: dict[str, Any] = {
    "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 40, "image_size": PICTURE,
}  # fmt: skip


def save_backbone(family: str, folder: Path, **settings: Any) -> BackboneFolder:
    """A model of 3 layers, width 24, 4 frames (CLIP: any) of 32x32, and its processor (36 before the centre crop)."""
    network(family, **settings).save_pretrained(folder)
    processor(family).save_pretrained(folder)
    return BackboneFolder(folder.name, folder)


def network(family: str, **settings: Any) -> Any:
    """The model that `save_backbone` saves; the same weights every time."""
    import torch

    torch.manual_seed(7)
    made = model(family, **settings).eval()
    for parameter in made.parameters():  # the usual initialisation is so small that every token looks alike
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def model(family: str, **settings: Any) -> Any:
    import transformers as hf

    sizes = {**_SIZES, **settings}
    if family == "clip":
        text = {**sizes, "vocab_size": 50, "max_position_embeddings": 12, "eos_token_id": 2}
        return hf.CLIPModel(
            hf.CLIPConfig(vision_config={**sizes, "patch_size": 8}, text_config=text, projection_dim=16)
        )
    if family == "clip_vision":
        return hf.CLIPVisionModel(hf.CLIPVisionConfig(**sizes, patch_size=8))
    if family == "dinov2":  # made for larger pictures than its processor makes, as the published ones are
        return hf.Dinov2Model(hf.Dinov2Config(**{**sizes, "image_size": PICTURE + 16, "mlp_ratio": 2}, patch_size=8))
    sizes = {"num_frames": FRAMES, **sizes}
    if family == "timesformer":
        return hf.TimesformerModel(hf.TimesformerConfig(**sizes, patch_size=8))
    if family == "videomae":
        return hf.VideoMAEModel(hf.VideoMAEConfig(**sizes, patch_size=8))
    if family == "videomae_pretraining":
        decoder = {f"decoder_{name}": sizes[name] for name in _SIZES if name != "image_size"}
        return hf.VideoMAEForPreTraining(hf.VideoMAEConfig(**sizes, **decoder, patch_size=8, use_mean_pooling=False))
    if family == "vivit_classifier":
        return hf.VivitForVideoClassification(hf.VivitConfig(**sizes, tubelet_size=[2, 8, 8]))
    return hf.VivitModel(hf.VivitConfig(**sizes, tubelet_size=[2, 8, 8]))


def processor(family: str) -> Any:
    """The processor of the family's checkpoints, for our small pictures; the classes that need no torchvision."""
    import transformers as hf

    small = {"size": {"shortest_edge": PICTURE + 4}, "crop_size": {"height": PICTURE, "width": PICTURE}}
    if family.startswith("clip"):
        return hf.CLIPImageProcessor(**small)
    if family == "dinov2":
        return hf.BitImageProcessor(**small, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    if family.startswith("vivit"):
        return hf.VivitImageProcessor(**small)
    if family == "timesformer":
        return hf.VideoMAEImageProcessor(**small, image_mean=[0.45] * 3, image_std=[0.225] * 3)
    return hf.VideoMAEImageProcessor(**small)


def moving_square(frames: int, *, size: tuple[int, int] = (64, 48), step: float = 2.0, seed: int = 0) -> np.ndarray:
    """uint8 (frames, H, W, 3): a smooth coloured pattern that wanders `step` pixels to the right per frame."""
    width, height = size
    rng = np.random.default_rng(seed)
    phase, colour = rng.uniform(0, 6, 3), rng.uniform(60, 120, 3)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    made = []
    for index in range(frames):
        across = (x - index * step)[..., None] / 5
        made.append(127 + colour * np.sin(across + phase) * np.cos(y[..., None] / 7 + phase[::-1]))
    return np.stack(made).clip(0, 255).astype(np.uint8)


def write_frames(folder: Path, images: np.ndarray) -> Path:
    """RGB pictures as a clip: a folder of PNG files, which lose nothing."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"{index:03d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


class StandInDetector:
    """Takes bright pixels for faces: each call finds the boxes that `find` gives for the BGR picture."""

    def __init__(self, find: Any) -> None:
        self.find, self.size, self.seen = find, (0, 0), []

    def setInputSize(self, size: tuple[int, int]) -> None:
        self.size = size

    def detect(self, image: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert image.shape[1::-1] == self.size
        self.seen.append(image)
        boxes = self.find(image)
        return 1, np.array([[*box, *[0.0] * 11] for box in boxes], np.float32) if boxes else None
