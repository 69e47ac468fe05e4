"""Speech backbones in parts: see `mer.features.backbone.wiring`.

Shapes: B clips, S samples, T hidden states, M mel bands, D width.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mer.config import AudioEncoderConfig
from mer.data.media.audio import MIN_SAMPLES
from mer.features.audio.families import KNOWN, resolve
from mer.features.audio.pretrained import (
    keep_grouped_convolutions_exact,
    load_speech_model,
    masks_padding,
    speech_config,
)
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.loading import refusing
from mer.features.backbone.wiring import ClipWiring, Given, LayersBetween, no_weights


def speech_wiring(encoder: AudioEncoderConfig, found: BackboneFolder) -> ClipWiring:
    """The wiring of a speech backbone. Raises: MerError when config.json belongs to no family we know."""
    return (WhisperWiring if resolve(found).family.reads_mels else SpeechWiring)(encoder, found)


class SpeechWiring(ClipWiring):
    """wav2vec2, HuBERT, WavLM, data2vec-audio: samples (B, S)."""

    encoder: AudioEncoderConfig
    length_key = "max_seconds"

    def __init__(self, encoder: AudioEncoderConfig, found: BackboneFolder) -> None:
        super().__init__(encoder, found)
        self.backbone = resolve(found)
        self.depth, self.width = self.backbone.layers - 1, self.backbone.width
        self.equal_lengths = not masks_padding(self.config)
        stem = ("feature_extractor.", "feature_projection.", "encoder.pos_conv_embed.", "encoder.dropout.")
        # Large models have their norm after the layers, the others before them.
        stable = getattr(self.config, "do_stable_layer_norm", False)
        self.below = stem if stable else (*stem, "encoder.layer_norm.")
        self.above = ("encoder.layer_norm",) if stable else ()

    @cached_property
    def config(self) -> Any:
        with refusing(self.found, allowed=KNOWN, offline="melstats"):
            config = speech_config(self.found)
        config.layerdrop = config.encoder_layerdrop = 0.0  # a skipped layer would leave a hidden state without a value
        config.mask_time_prob = config.mask_feature_prob = 0.0  # otherwise the model has a weight for masked frames
        return config

    def skeleton(self) -> nn.Module:
        from transformers import AutoModel

        with refusing(self.found, allowed=KNOWN, offline="melstats"), no_weights():
            model: Any = AutoModel.from_config(self.config, dtype=torch.float32)
        if self.backbone.family.reads_mels:
            model = model.get_encoder()
        if self.encoder.dtype != "float32":
            keep_grouped_convolutions_exact(model)
        return model

    def load(self) -> nn.Module:
        model: nn.Module = load_speech_model(self.found, self.backbone)
        if hasattr(model, "masked_spec_embed"):  # replaces masked frames; no frame is masked here
            del model.masked_spec_embed
        return model

    def layers_name(self, model: nn.Module) -> str:
        return "encoder.layers"

    def states(self, raw: int) -> int:
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            raw = (raw - kernel) // stride + 1
        return raw

    def raw_units(self, length: int) -> int:
        return max(length, MIN_SAMPLES)

    def span(self, raw: int, frames: int | None) -> tuple[int, int]:
        return 0, 1 if self.encoder.pooler == "first" else frames or self.states(raw)

    def needed_above(self, start: int) -> tuple[str, ...]:
        return (f"encoder.layers.0.{_BIAS}.",) if self._hands_on_a_bias and start else ()

    @property
    def _hands_on_a_bias(self) -> bool:
        return bool(self.config.model_type == "wavlm")

    def enter(self, model: nn.Module, layers: LayersBetween, start: int) -> None:
        first = model.get_submodule("encoder.layers.0")
        super().enter(model, layers, start)
        model.set_submodule("encoder.pos_conv_embed", NoPositions())
        if self._hands_on_a_bias and start:
            hand_on_bias(layers, first)

    def run(self, model: Any, given: Tensor, real_BT: Tensor, start: int | None) -> Tensor:
        real_BT = real_BT.bool()
        if bool(real_BT.all()):  # several threads come here, with one clip each
            return self._run(model, given, None, start)
        with warnings.catch_warnings():  # as in `pretrained`: WavLM gives torch two kinds of mask
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            return self._run(model, given, real_BT, start)

    def _run(self, model: Any, given: Tensor, real_BT: Tensor | None, start: int | None) -> Tensor:
        if start is None:
            out = model(given, attention_mask=None if real_BT is None else real_BT.long())
        else:  # cloned, since the encoder writes zeros into its input at padding
            out = model.encoder(given if real_BT is None else given.clone(), attention_mask=real_BT)
        state: Tensor = out.last_hidden_state
        return state


_BIAS = "attention.rel_attn_embed"


class NoPositions(nn.Module):
    """Stub in place of the positional convolution; returns zeros."""

    def forward(self, states_BTD: Tensor) -> Tensor:
        return torch.zeros_like(states_BTD)


def hand_on_bias(layers: LayersBetween, first: nn.Module) -> None:
    """Keep the part of WavLM's layer 0 that makes the position biases of all layers, under its own name.

    Args:
        layers: the layers of the upper part.
        first: layer 0 of the whole model.
    """
    for name, _ in list(first.named_children()):
        if name != "attention":
            delattr(first, name)
    attention: Any = first.attention
    for name, _ in [*attention.named_children(), *attention.named_parameters(recurse=False)]:
        if name != "rel_attn_embed":
            delattr(attention, name)
    layers.add_module("0", first)

    def with_bias(_: nn.Module, args: tuple[Tensor, ...], named: dict[str, Any]) -> Any:
        if named.get("position_bias") is not None:
            return None
        rows, length = args[0].shape[:2]
        bias = attention.compute_bias(length, length)
        named["position_bias"] = bias.repeat(rows, 1, 1)
        return args, named

    layers[0].register_forward_pre_hook(with_bias, with_kwargs=True)


class WhisperWiring(SpeechWiring):
    """The encoder of Whisper: log-mels (B, 3000, M), 1500 hidden states, and no mask."""

    def __init__(self, encoder: AudioEncoderConfig, found: BackboneFolder) -> None:
        super().__init__(encoder, found)
        self.equal_lengths, self.length_key = False, ""  # all clips have one length, so that any may share a batch
        self.below, self.above = ("conv1.", "conv2.", "embed_positions."), ("layer_norm",)

    def skeleton(self) -> nn.Module:
        model: Any = super().skeleton()
        model.dropout = 0.0  # the stem's dropout is no module: it would run whenever the model is in training mode
        return model

    def layers_name(self, model: nn.Module) -> str:
        return "layers"

    def states(self, raw: int) -> int:
        return raw // 2

    def raw_units(self, length: int) -> int:
        return 2 * int(self.config.max_source_positions)

    def unit_shape(self, start: int | None) -> tuple[int, ...]:
        return (int(self.config.num_mel_bins) if start is None else self.width,)

    def enter(self, model: nn.Module, layers: LayersBetween, start: int) -> None:
        for name in self.below:
            model.set_submodule(name.removesuffix("."), Given())

    def run(self, model: Any, given: Tensor, real_BT: Tensor, start: int | None) -> Tensor:
        if start is None:
            state: Tensor = model(given.transpose(1, 2)).last_hidden_state
            return state
        for layer in model.layers:  # not the model's own forward: it applies a GELU before the layers
            given = layer(given, None)
        normed: Tensor = model.layer_norm(given)
        return normed
