"""Tiny speech backbones with random weights, saved with their feature extractor as a hub would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mer.data.media.audio import SAMPLE_RATE_HZ
from mer.features.backbone.files import BackboneFolder

WAVE_FAMILIES = ("wav2vec2_group", "wav2vec2_layer", "hubert", "hubert_layer", "data2vec", "wavlm", "wavlm_layer")
FAMILIES = (*WAVE_FAMILIES, "whisper")
LAYERS, WIDTH, MELS = 4, 24, 20  # stored hidden states: 3 transformer layers and what they start from
_WAVE: dict[str, Any] = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS - 1, "num_attention_heads": 2, "intermediate_size": 40,
    "conv_dim": (16,) * 7, "num_conv_pos_embedding_groups": 2, "vocab_size": 12,
    "mask_time_prob": 0.5, "layerdrop": 0.5, "hidden_dropout": 0.5,  # must be off in a frozen encoder
}  # fmt: skip


def save_backbone(family: str, folder: Path, **settings: Any) -> BackboneFolder:
    """A checkpoint of 3 layers, width 24, and preprocessor_config.json."""
    import torch

    torch.manual_seed(7)
    network = model(family, **settings).eval()
    for parameter in network.parameters():  # the usual initialisation is so small that every frame looks alike
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)
    extractor(family).save_pretrained(folder)
    return BackboneFolder(folder.name, folder)


def model(family: str, **settings: Any) -> Any:
    """Whisper: the whole speech recogniser, as its checkpoints are."""
    import transformers as hf

    if family == "whisper":
        config = hf.WhisperConfig(
            d_model=WIDTH, encoder_layers=LAYERS - 1, encoder_attention_heads=2, encoder_ffn_dim=40, decoder_layers=1,
            decoder_attention_heads=2, decoder_ffn_dim=40, num_mel_bins=MELS, vocab_size=30, max_target_positions=8,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
        return hf.WhisperForConditionalGeneration(config)
    name, _, norm = family.partition("_")
    sizes: dict[str, Any] = {**_WAVE, "feat_extract_norm": norm or "group", **settings}
    if norm == "layer":
        sizes = {"do_stable_layer_norm": True, "conv_bias": True, **sizes}  # as the large models
    if name == "data2vec":
        del sizes["feat_extract_norm"]
        return hf.Data2VecAudioModel(hf.Data2VecAudioConfig(**sizes, num_conv_pos_embeddings=3))
    if name == "hubert":
        return hf.HubertModel(hf.HubertConfig(**sizes))
    if name == "wavlm":
        return hf.WavLMModel(hf.WavLMConfig(**sizes))
    return hf.Wav2Vec2Model(hf.Wav2Vec2Config(**sizes))


def extractor(family: str) -> Any:
    """The extractor of the family's checkpoints: WavLM base does not normalise, the others do."""
    import transformers as hf

    if family == "whisper":
        return hf.WhisperFeatureExtractor(feature_size=MELS)
    return hf.Wav2Vec2FeatureExtractor(
        do_normalize=family != "wavlm", return_attention_mask=family.endswith("layer") or family == "data2vec"
    )


def voice(seconds: float, *, hz: float = 150.0, seed: int = 0) -> np.ndarray:
    """float32 (S,) at 16 kHz: harmonics that swell and fade, and a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tones = sum(np.sin(2 * np.pi * hz * k * time + rng.uniform(0, 6)) / k for k in range(1, 8))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * time)
    return (0.1 * tones * swell + 0.005 * rng.normal(size=len(time)) + 0.02).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray) -> Path:
    """Bit-exact: as floats."""
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    return path
