"""A loaded video backbone: pictures in, pooled hidden states of every layer out.

Shapes: B clips, T frames, N tokens of a clip (of a frame, for CLIP), L stored hidden states, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer.config import VideoEncoderConfig
from mer.errors import MerError
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.loading import quiet, refusing, require_whole
from mer.features.video.families import KNOWN, VideoBackbone, resolve
from mer.features.video.frames import FrameReader
from mer.features.video.preprocessing import read_preprocessing

BATCH_CLIPS = 8  # the hidden states of one clip take 60 to 250 MB


class VideoReader:
    """Prepares a video backbone's input from files. Loads no weights.

    Args: found: the backbone's folder, with preprocessor_config.json.
    Raises: MerError when its preprocessing is not understood or does not fit.
    """

    batch_length = BATCH_CLIPS

    def __init__(self, config: VideoEncoderConfig, found: BackboneFolder) -> None:
        self.backbone = resolve(config, found)
        self.prepare = read_preprocessing(found.folder, self.backbone.family)
        if self.prepare.size != self.backbone.picture and not self.backbone.family.any_picture:
            raise MerError(
                found.folder / "preprocessor_config.json",
                f"makes pictures of {self.prepare.size} pixels, the backbone was made for {self.backbone.picture}",
                then="the folder mixes two models: fetch weights and preprocessor of the same one",
            )
        self.reader = FrameReader(config, self.backbone.frames)

    def probe(self, path: Path) -> int:
        return self.reader.probe(path)

    def load(self, path: Path) -> LoadedClip:
        """Raises: MediaFault when the clip cannot be decoded."""
        pictures = self.reader.read(path)
        return LoadedClip(self.prepare(pictures.images), pictures.notes)


class VideoEncoder(VideoReader):
    """A ClipEncoder around a frozen backbone, on the GPU if there is one.

    Args: found: the backbone's folder, with weights and preprocessor_config.json.
    Raises: MerError when the folder cannot be loaded whole, or its preprocessing is not understood or does not fit.
    """

    def __init__(self, config: VideoEncoderConfig, found: BackboneFolder) -> None:
        super().__init__(config, found)
        self.layers, self.width = self.backbone.layers, self.backbone.width
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = getattr(torch, config.dtype)
        model = load_video_model(found, self.backbone)
        # TimeSformer's layers cut tokens into frames by this number and not by the shape of their input: with a wrong
        # number they would attend across the wrong tokens without an error. The model stretches its table of times.
        model.config.num_frames = self.backbone.frames
        self.model = model.eval().requires_grad_(False).to(self.device)

    @torch.inference_mode()
    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        """Pool every hidden state: float32 (B, L, D). Index 0 is the embedding layer, -1 the model's last state."""
        pooled = torch.stack([self._pool(state.float()) for state in self._states(clips)], dim=1)
        if self.backbone.family.per_frame:
            pooled = pooled.unflatten(0, (len(clips), -1)).mean(dim=1)
        return pooled.cpu().numpy()

    @torch.inference_mode()
    def steps(self, clips: Sequence[LoadedClip], hidden_state: int) -> list[np.ndarray]:
        """Return one hidden state of each step of time, float32 (T, D) for each clip.

        A step is a frame, or as many as the family's tokens cover; its patches are averaged. Of a frame that is read
        alone (CLIP) it is what the family's own pooler takes.
        """
        state = self._states(clips)[hidden_state].float()
        if self.backbone.family.per_frame:
            told_BTD = self._pool(state).unflatten(0, (len(clips), -1))
        else:
            told_BTD = mean_of_patches(state[:, int(self.backbone.family.summary_token) :], self.model.config)
        return list(told_BTD.cpu().numpy())

    def _states(self, clips: Sequence[LoadedClip]) -> tuple[torch.Tensor, ...]:
        """Run the model: its hidden states (B, N, D), of CLIP (B T, N, D)."""
        pixels = torch.stack([clip.inputs for clip in clips]).to(self.device)  # (B, T, 3, height, width)
        per_frame = self.backbone.family.per_frame
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            out = self.model(pixel_values=pixels.flatten(0, 1) if per_frame else pixels, output_hidden_states=True)
        # Some families apply a norm after the last of hidden_states: 'last' means the model's own output.
        return (*out.hidden_states[:-1], out.last_hidden_state)

    def _pool(self, state_BND: torch.Tensor) -> torch.Tensor:
        if self.backbone.pooler == "first":
            return state_BND[:, 0]
        return state_BND[:, 1 if self.backbone.family.summary_token else 0 :].mean(dim=1)


def mean_of_patches(tokens_BND: torch.Tensor, config: Any) -> torch.Tensor:
    """Average the patches of each step of time, (B, T, D).

    Args:
        tokens_BND: without summary token.
        config: of the model; how its tokens are ordered differs.
    """
    steps = time_steps(config, config.num_frames)
    if config.model_type == "timesformer":  # place by place, the frames of each
        return tokens_BND.unflatten(1, (-1, steps)).mean(dim=1)
    return tokens_BND.unflatten(1, (steps, -1)).mean(dim=2)


def time_steps(config: Any, frames: int) -> int:
    """Count the steps of time that a model makes of so many frames."""
    deep = getattr(config, "tubelet_size", 1)
    return frames // int(deep[0] if isinstance(deep, (list, tuple)) else deep)


def load_video_model(found: BackboneFolder, backbone: VideoBackbone) -> Any:
    """Load the whole encoder. Raises: MerError when it cannot be loaded, or weights are missing."""
    import transformers

    model_class = getattr(transformers, backbone.family.model)
    allowed = f"{KNOWN}, with safetensors weights and without code of its own"
    with refusing(found, allowed=allowed, offline="framestats"), quiet():
        model, report = model_class.from_pretrained(
            found.folder,
            dtype=torch.float32,  # whatever it was saved in; bfloat16 is done by autocast, so that sums stay exact
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **backbone.family.options,
        )
    require_whole(found, model, report["missing_keys"])
    return model
