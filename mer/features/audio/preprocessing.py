"""Samples to a speech backbone's input, by the feature extractor that was saved with it.

The extractor of transformers is called clip by clip: 0.1 ms for the wav2vec2 family, 12 ms for Whisper, which is little
beside the backbone. It never pads a batch; `pretrained` decides which clips may share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mer.data.media.audio import MIN_SAMPLES, SAMPLE_RATE_HZ
from mer.errors import MerError
from mer.features.audio.families import AudioBackbone
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.loading import quiet, refusing

FILE = "preprocessor_config.json"


@dataclass(frozen=True, eq=False)
class SpeechInput:
    """One clip for a backbone.

    Args:
        values: float32, samples (S,) or log-mels (M, 3000).
        frames: with log-mels, the number of hidden states that hear the clip and not the silence after it; else None.
    """

    values: np.ndarray
    frames: int | None = None


class Preprocessing:
    """Turns float32 (S,) at 16 kHz into a SpeechInput. Thread safe.

    Raises: MerError when the folder has no extractor of the backbone's family, or one for another sample rate.
    """

    def __init__(self, found: BackboneFolder, backbone: AudioBackbone) -> None:
        self.reads_mels = backbone.family.reads_mels
        self.extractor = _load(found, backbone)
        # With random noise on the samples, two extractions would give different numbers.
        self.extractor.dither = 0.0
        self.max_samples = int(self.extractor.n_samples) if self.reads_mels else None

    def __call__(self, samples: np.ndarray) -> SpeechInput:
        if self.reads_mels:
            out = self.extractor(samples, sampling_rate=SAMPLE_RATE_HZ, return_attention_mask=True, return_tensors="np")
            # The second convolution halves the frames.
            return SpeechInput(out["input_features"][0], max(1, int(out["attention_mask"].sum()) // 2))
        values = self.extractor(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="np")["input_values"][0]
        return SpeechInput(np.pad(values, (0, max(0, MIN_SAMPLES - len(values)))))


def _load(found: BackboneFolder, backbone: AudioBackbone) -> Any:
    import transformers

    path, name = found.folder / FILE, backbone.family.extractor
    if not path.is_file():
        raise MerError(
            found.folder,
            f"no {FILE}: how the sound has to be prepared for this backbone is not known",
            allowed=f"the {FILE} of the same checkpoint",
            then=f"copy it into the folder, or once: transformers.{name}.from_pretrained(ID).save_pretrained(FOLDER)",
        )
    with quiet(), refusing(found, allowed=f"a {FILE} of {name}", offline="melstats"):
        extractor = getattr(transformers, name).from_pretrained(found.folder, local_files_only=True)
    _check(path, extractor, backbone)
    return extractor


def _check(path: Path, extractor: Any, backbone: AudioBackbone) -> None:
    name = backbone.family.extractor
    declared = getattr(extractor, "feature_extractor_type", None) or name
    if declared != name:
        raise MerError(path, f"is of {declared}", allowed=name, then="fetch weights and preprocessor of the same model")
    if extractor.sampling_rate != SAMPLE_RATE_HZ:
        raise MerError(
            path,
            f"is for sound at {extractor.sampling_rate} Hz",
            allowed=f"{SAMPLE_RATE_HZ} Hz",
            then="choose another encoders.audio.backbone",
        )
