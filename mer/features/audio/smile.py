"""Functionals of openSMILE (Eyben et al. 2010): one vector of acoustic statistics for each clip (extra `opensmile`).

    egemaps      eGeMAPSv02 (Eyben et al. 2016), 88 numbers that phoneticians chose
    compare2016  ComParE_2016 (Schuller et al. 2016), 6373 numbers: every statistic of every track

openSMILE's licence allows private, research and educational use, and no commercial product. It is a library in C that
is called for each clip; nothing of it is loaded before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mer.config import AudioEncoderConfig
from mer.data.media.audio import SAMPLE_RATE_HZ, audio_length
from mer.data.media.faults import MediaFault
from mer.errors import MerError
from mer.features.audio.sound import hear
from mer.features.backbone.clip_encoder import LoadedClip

VERSION = 1  # raise it when a number changes: it is part of the key of cached features
PACKAGE = "opensmile"
FULL_SCALE = 1 - 2**-15  # it turns samples into 16-bit numbers, which wrap around beyond this
BATCH_SECONDS = 300  # of sound; `load` does the work, as of melstats


@dataclass(frozen=True)
class Set:
    """A set of features: its name in openSMILE, and how many numbers it has."""

    name: str
    width: int


SETS = {"egemaps": Set("eGeMAPSv02", 88), "compare2016": Set("ComParE_2016", 6373)}


def words(config: AudioEncoderConfig) -> dict[str, Any]:
    """Say how a clip becomes numbers, for the key of its features. Raises: MerError without openSMILE."""
    return {
        "version": VERSION,
        "set": SETS[config.backbone].name,
        "level": "functionals",
        PACKAGE: version_there(config),
    }


def version_there(config: AudioEncoderConfig) -> str:
    """Return the version of the package. Raises: MerError where it is not installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError as fault:
        raise MerError(
            "encoders.audio.backbone",
            f"{config.backbone!r} is computed by openSMILE, which is not installed",
            allowed="'melstats', which needs nothing more",
            then='pip install "mer[opensmile]" (its licence excludes commercial products)',
        ) from fault


class Functionals:
    """A ClipEncoder without weights. `load` computes the numbers; each thread calls the library for its own clip."""

    layers = 1
    batch_length = BATCH_SECONDS * SAMPLE_RATE_HZ

    def __init__(self, config: AudioEncoderConfig) -> None:
        version_there(config)
        import opensmile

        chosen = SETS[config.backbone]
        self.max_seconds, self.width = config.max_seconds, chosen.width
        self._smile: Any = opensmile.Smile(
            feature_set=getattr(opensmile.FeatureSet, chosen.name), feature_level=opensmile.FeatureLevel.Functionals
        )
        if len(self._smile.feature_names) != self.width:
            raise MerError(
                "encoders.audio.backbone",
                f"openSMILE {version_there(config)} gives {len(self._smile.feature_names)} numbers for {chosen.name}",
                allowed=f"{self.width}",
                then="install the version that constraints.txt names",
            )

    def probe(self, path: Path) -> int:
        return audio_length(path, max_seconds=self.max_seconds)

    def load(self, path: Path) -> LoadedClip:
        """Raises: MediaFault when the clip cannot be used, or is shorter than openSMILE's windows."""
        import warnings

        samples, notes = hear(path, max_seconds=self.max_seconds)
        if (loudest := float(np.abs(samples).max())) > FULL_SCALE:
            samples = samples * (FULL_SCALE / loudest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # too short a clip: NaN, said below
            values = np.asarray(self._smile(samples, SAMPLE_RATE_HZ), dtype=np.float32)
        values = values.reshape(-1)
        if len(values) != self.width or not np.isfinite(values).all():
            raise MediaFault("openSMILE gives no numbers: too short, or nothing in it")
        return LoadedClip(values, notes)

    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        return np.stack([clip.inputs for clip in clips])[:, None]
