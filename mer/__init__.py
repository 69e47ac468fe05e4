"""mer: hyper-parameter search for multimodal emotion recognition in conversation, on Ray Tune."""

from mer import torchaudio_guard

__version__ = "0.1.0"

torchaudio_guard.install_if_needed()
