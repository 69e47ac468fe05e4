"""A loaded speech backbone: clips in, pooled hidden states of every layer out.

Shapes: B clips, S samples, T frames (about 50 a second), M mel bands, L stored hidden states, D width.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer.config import AudioEncoderConfig
from mer.data.media.audio import SAMPLE_RATE_HZ, audio_length
from mer.errors import MerError
from mer.features.audio.families import KNOWN, POOLER, AudioBackbone, resolve
from mer.features.audio.preprocessing import Preprocessing, SpeechInput
from mer.features.audio.sound import hear
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.loading import quiet, refusing, require_whole

# 16 clips of 5 s (on a CPU each runs alone, see `SideBySide`). The first convolution takes most of a batch's memory:
# its 512 channels at 3.2 kHz in float32 are 0.5 GB for these 80 s, and three such arrays live at once. A clip of
# Whisper counts as 30 s, so 2 of them share a batch.
BATCH_SAMPLES = 16 * 5 * SAMPLE_RATE_HZ
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


class AudioReader:
    """Prepares a speech backbone's input from files. Loads no weights.

    Args: found: the backbone's folder, with preprocessor_config.json.
    Raises: MerError when its preprocessing does not fit.
    """

    batch_length = BATCH_SAMPLES

    def __init__(self, config: AudioEncoderConfig, found: BackboneFolder) -> None:
        self.backbone = resolve(found)
        self.prepare = Preprocessing(found, self.backbone)
        self.reads_mels = self.backbone.family.reads_mels
        self.max_seconds = config.max_seconds
        if self.prepare.max_samples is not None:
            self.max_seconds = min(self.max_seconds, self.prepare.max_samples / SAMPLE_RATE_HZ)
        if self.reads_mels:
            _require_fit(found, speech_config(found), self.prepare.extractor)

    def probe(self, path: Path) -> int:
        """Count the samples of a clip; for Whisper those of its full window, to which every clip is padded."""
        length = audio_length(path, max_seconds=self.max_seconds)
        return self.prepare.max_samples or length

    def load(self, path: Path) -> LoadedClip:
        samples, notes = hear(path, max_seconds=self.max_seconds)
        return LoadedClip(self.prepare(samples), notes)


class AudioEncoder(AudioReader):
    """A ClipEncoder around a frozen backbone, on the GPU if there is one.

    Args: found: the backbone's folder, with weights and preprocessor_config.json.
    Raises: MerError when the folder cannot be loaded whole, or its preprocessing does not fit.
    """

    def __init__(self, config: AudioEncoderConfig, found: BackboneFolder) -> None:
        super().__init__(config, found)
        self.layers, self.width = self.backbone.layers, self.backbone.width
        self.pooler = POOLER if config.pooler == "auto" else config.pooler
        self.dtype = getattr(torch, config.dtype)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = load_speech_model(found, self.backbone)
        self.masks_padding = not self.reads_mels and masks_padding(model.config)
        self.model = model.eval().requires_grad_(False).to(self.device)
        if self.device.type == "cpu":
            keep_grouped_convolutions_exact(self.model)

    @torch.inference_mode()
    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        """Pool every hidden state: float32 (B, L, D). Index 0 is the first layer's input, -1 the model's last state."""
        inputs: list[SpeechInput] = [clip.inputs for clip in clips]
        rows_BLD = np.empty((len(inputs), self.layers, self.width), dtype=np.float32)
        for group in self._groups(inputs):
            rows_BLD[group] = self._forward([inputs[row] for row in group])
        return rows_BLD

    @torch.inference_mode()
    def steps(self, clips: Sequence[LoadedClip], hidden_state: int) -> list[np.ndarray]:
        """Return one hidden state of every frame that is no padding, float32 (T, D) for each clip."""
        inputs: list[SpeechInput] = [clip.inputs for clip in clips]
        rows: dict[int, np.ndarray] = {}
        for group in self._groups(inputs):
            states, real_BT = self._states([inputs[row] for row in group])
            told_BTD, lengths_B = states[hidden_state].float().cpu().numpy(), real_BT.sum(1).long().tolist()
            rows |= {row: told_BTD[at, : lengths_B[at]] for at, row in enumerate(group)}
        return [rows[row] for row in range(len(inputs))]

    def _groups(self, inputs: Sequence[SpeechInput]) -> list[list[int]]:
        """Divide rows into groups that may share a batch.

        Padding changes the result of most families even under a mask; their groups have rows of equal length.
        """
        if self.masks_padding:
            return [list(range(len(inputs)))]
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, item in enumerate(inputs):
            by_length[item.values.shape[-1]].append(row)
        return list(by_length.values())

    def _states(self, inputs: Sequence[SpeechInput]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Return the hidden states (B, T, D) from the first layer's input on, and `_listen`'s mask."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            out, real_BT = self._listen(inputs)
        # Large models apply one more norm after the last of hidden_states: 'last' means the model's own output.
        return (*out.hidden_states[:-1], out.last_hidden_state), real_BT

    def _forward(self, inputs: Sequence[SpeechInput]) -> np.ndarray:
        states, real_BT = self._states(inputs)
        if self.pooler == "first":
            return torch.stack([state[:, 0].float() for state in states], dim=1).cpu().numpy()
        weights_B1T = (real_BT / real_BT.sum(1, keepdim=True))[:, None]
        return torch.cat([weights_B1T @ state.float() for state in states], dim=1).cpu().numpy()

    def _listen(self, inputs: Sequence[SpeechInput]) -> tuple[Any, torch.Tensor]:
        """Run the model; the second result, float32 (B, T), is 1 for frames that are no padding."""
        if self.reads_mels:
            mels_BMT = torch.from_numpy(np.stack([item.values for item in inputs])).to(self.device)
            out = self.model(mels_BMT, output_hidden_states=True)
            frames_B1 = torch.tensor([[item.frames] for item in inputs], device=self.device)
            real_BT = torch.arange(out.last_hidden_state.shape[1], device=self.device) < frames_B1
            return out, real_BT.float()

        lengths = [len(item.values) for item in inputs]
        samples_BS = torch.zeros(len(inputs), max(lengths))
        mask_BS = torch.zeros(len(inputs), max(lengths), dtype=torch.long)
        for row, item in enumerate(inputs):
            samples_BS[row, : lengths[row]] = torch.from_numpy(item.values)
            mask_BS[row, : lengths[row]] = 1
        samples_BS, mask_BS = samples_BS.to(self.device), mask_BS.to(self.device)
        if min(lengths) == max(lengths):
            out = self.model(samples_BS, output_hidden_states=True)
        else:
            with warnings.catch_warnings():  # not thread safe, but threads have one clip each and never come here
                # WavLM's attention gives torch two kinds of mask; the result is right (4e-6).
                warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
                out = self.model(samples_BS, attention_mask=mask_BS, output_hidden_states=True)
        frames = out.last_hidden_state.shape[1]
        return out, self.model._get_feature_vector_attention_mask(frames, mask_BS).float()


def masks_padding(config: Any) -> bool:
    """True when padding under a mask leaves a clip's result as it is alone (measured with layer norm: 4e-6).

    It does not for three kinds of model: a group norm runs over the padding (differences of 1.4), the stacked
    positional convolutions of data2vec mix it in (1.7 at the border), and a batch norm makes it different from zero.
    """
    layer_norm = getattr(config, "feat_extract_norm", "group") == "layer"  # data2vec has no choice, nor the field
    return layer_norm and config.model_type != "data2vec-audio" and not getattr(config, "conv_pos_batch_norm", False)


def _require_fit(found: BackboneFolder, config: Any, extractor: Any) -> None:
    wanted = config.num_mel_bins, 2 * config.max_source_positions
    given = extractor.feature_size, extractor.nb_max_frames
    if wanted != given:
        raise MerError(
            found.folder / "preprocessor_config.json",
            f"makes {given[0]} mel bands x {given[1]} frames, the backbone was made for {wanted[0]} x {wanted[1]}",
            then="the folder mixes two models: fetch weights and preprocessor of the same one",
        )


def speech_config(found: BackboneFolder) -> Any:
    """Read the configuration through transformers, without the parts for training and those after the encoder."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(found.folder, **_LOCAL)
    config.apply_spec_augment = False  # it raises for short clips
    config.add_adapter = False  # layers behind the encoder that thin out its frames
    return config


def load_speech_model(found: BackboneFolder, backbone: AudioBackbone) -> Any:
    """Load the whole encoder. Raises: MerError when it cannot be loaded, or weights are missing."""
    from transformers import AutoModel

    allowed = f"{KNOWN}, with safetensors weights and without code of its own"
    with quiet(), refusing(found, allowed=allowed, offline="melstats"):
        config = speech_config(found)
        # Without a dtype, transformers would take the checkpoint's own, which is float16 in some.
        model, report = AutoModel.from_pretrained(
            found.folder, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **_LOCAL
        )
    missing = set(report["missing_keys"]) - {"masked_spec_embed"}  # stands for masked frames in training only
    if backbone.family.reads_mels:
        # WhisperEncoder.from_pretrained finds none of its weights in a full checkpoint, without a warning.
        missing = {name for name in missing if name.startswith("encoder.")}
        model = model.get_encoder()
    require_whole(found, model, missing)
    return model


def keep_grouped_convolutions_exact(model: torch.nn.Module) -> None:
    """Run grouped convolutions in float32 under autocast; every wav2vec2-like model has one, for positions.

    On a processor with AMX, torch 2.13 computes them wrongly in bfloat16: the errors are as large as the values.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Conv1d) and module.groups > 1:
            module.forward = _outside_autocast(module.forward)  # type: ignore[method-assign, assignment]


def _outside_autocast(forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    def exact(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return forward(x.float())

    return exact
