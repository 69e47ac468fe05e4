"""Recognise speech with faster-whisper (optional extra `asr`), which is imported when its model is loaded."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from mer.data.transcribe.speech_models import known_name, refuse_unconverted, spoken_by
from mer.errors import MerError
from mer.files import sha256_file, sha256_json
from mer.places import home

MAX_NO_SPEECH_PROB = 0.6  # segments above either of these are dropped: laughter and music become words there
MAX_COMPRESSION_RATIO = 2.4


class SpeechModel(Protocol):
    """The part of faster_whisper.WhisperModel that is used here."""

    def transcribe(self, audio: np.ndarray, **options: Any) -> tuple[Iterable[Any], Any]:
        """Turn float32 samples (S,) at 16 kHz into (lazy segments, info).

        A segment has text, no_speech_prob and compression_ratio.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recogniser:
    """All settings that decide a transcript.

    Attributes:
        model: a name that faster-whisper knows, an id of the hub, or a local folder of a CTranslate2 model.
        language: code of the language spoken; clips are too short to guess it from.
        compute_type: a CTranslate2 type; "auto" is float16 on a GPU and int8 on a CPU.
        vad: leave out stretches that the voice activity detector takes for silence.
        max_seconds: longest part of a clip that is read; MELD has a clip of five minutes that should have two seconds.
    """

    model: str = "distil-large-v3"
    language: str = "en"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compute_type: str = "auto"
    vad: bool = True
    max_seconds: float = 20.0

    def resolved(self) -> Recogniser:
        """Replace "auto" by what it means on this machine, so that transcripts of two machines are kept apart.

        Raises: MerError for a model that knows another language only, and a checkpoint that must be converted first.
        """
        model = known_name(self.model)
        refuse_unconverted(model, _local_folder(model))
        if (only := spoken_by(model)) is not None and only != self.language:
            raise MerError(
                f"--language {self.language}",
                f"{self.model} understands {only} alone, by its name",
                then=f"--language {only}, or another model",
            )
        device, compute_type = self.device, self.compute_type
        if device == "auto":
            import torch

            device = "cuda" if torch.cuda.is_available() else "cpu"
        if compute_type == "auto":
            compute_type = "float16" if device == "cuda" else "int8"
        return replace(self, model=model, device=device, compute_type=compute_type)

    def decoding(self) -> dict[str, Any]:
        """Return the keyword arguments of `SpeechModel.transcribe`.

        Temperature is 0 only. The library's fallback temperatures draw at random, so a transcript would depend on the
        clips before it and on where an interrupted run went on.
        """
        return {
            "language": self.language,
            "beam_size": 5,
            "temperature": 0.0,
            "condition_on_previous_text": False,
            "vad_filter": self.vad,
        }

    def identity(self) -> dict[str, Any]:
        """Return the key of the cache besides the clip. The compute type stands for the device's arithmetic."""
        return {
            "model": _model_identity(self.model),
            "options": self.decoding()
            | {
                "compute_type": self.compute_type,
                "max_seconds": self.max_seconds,
                "max_no_speech_prob": MAX_NO_SPEECH_PROB,
                "max_compression_ratio": MAX_COMPRESSION_RATIO,
            },
        }

    def load(self) -> SpeechModel:
        """Load the model. Raises: MerError when faster-whisper is not installed or has no such model."""
        try:
            from faster_whisper import WhisperModel
        except ImportError as fault:
            found = "is not installed" if fault.name == "faster_whisper" else f"cannot be imported: {fault}"
            raise MerError("faster-whisper", found, then="pip install 'mer[asr]'") from fault
        try:
            model: SpeechModel = WhisperModel(
                _local_folder(self.model) or self.model, device=self.device, compute_type=self.compute_type
            )
        except Exception as fault:  # the hub's client and its transport raise many kinds
            raise MerError(
                f"--model {self.model}",
                f"cannot be loaded (device {self.device}, compute type {self.compute_type}): {brief(fault)}",
                allowed="a name or hub id that can be downloaded or is in the hub's cache, such as distil-large-v3 or "
                "small.en, or a local folder with a CTranslate2 Whisper model (model.bin, config.json, tokenizer.json)",
                then="without a network, copy the model's folder here and name it: --model FOLDER; "
                "if the device is at fault, --device cpu --compute-type int8",
            ) from fault
        return model


def transcript(model: SpeechModel, samples: np.ndarray, decoding: Mapping[str, Any]) -> str:
    """Return the words of a clip, "" if there are none.

    Args:
        samples: float32 (S,) at 16 kHz.
        decoding: as `Recogniser.decoding` gives it.
    """
    segments, _ = model.transcribe(samples, **decoding)
    kept = [  # the segments are a lazy generator, so the model runs inside this loop
        segment.text
        for segment in segments
        if segment.no_speech_prob <= MAX_NO_SPEECH_PROB and segment.compression_ratio <= MAX_COMPRESSION_RATIO
    ]
    return " ".join(" ".join(kept).split())


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that compute a transcript; None for one that is not installed."""

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {name: version(name) for name in ("faster-whisper", "ctranslate2")}


def brief(fault: Exception) -> str:
    """Return the kind and first line of an exception."""
    return f"{type(fault).__name__}: {(str(fault).strip().splitlines() or ['no message'])[0]}"


def _local_folder(model: str) -> str | None:
    """Return the folder that `model` names, or None for a hub model."""
    folder = home(model)
    return str(folder) if folder.is_dir() else None


def _model_identity(model: str) -> str:
    """Return the name of a hub model, or of a local folder its name with a hash of its files."""
    if (local := _local_folder(model)) is None:
        return model
    folder = Path(local).resolve()
    files = {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()}
    return f"{folder.name}@{sha256_json(files)[:16]}"
