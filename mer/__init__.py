"""mer: hyper-parameter search for multimodal emotion recognition in conversation, on Ray Tune.

`mer.load(DIR)` opens an exported model.
"""

from typing import Any

from mer import torchaudio_guard

__version__ = "0.1.0"

torchaudio_guard.install_if_needed()


def __getattr__(name: str) -> Any:
    """`mer.load`, imported when it is first asked for: `import mer` stays cheap."""
    if name == "load":
        import importlib

        return importlib.import_module("mer.predictor").load
    raise AttributeError(f"module 'mer' has no attribute {name!r}")
