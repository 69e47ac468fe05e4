"""Make torchaudio importable beside a CPU-only torch.

Why this exists: the PyPI wheel of torchaudio links CUDA (libtorch_cuda, libc10_cuda, libcudart). Beside a CPU build
of torch its compiled extension cannot be loaded, so `import torchaudio` raises OSError; and transformers imports
torchaudio whenever it is installed, so even text models (`RobertaModel`) cannot be loaded. The parts of torchaudio we
use (resample, mel, MFCC, Kaldi fbank, speed perturbation) are pure PyTorch. A stand-in for `torchaudio._extension`,
the module that loads the compiled file, says "not available", and all of that works.

What does not work with the stand-in is what the extension holds: forced_align and rnnt_loss raise. Reading and writing
files needs torchcodec in either case: read audio with soundfile.

`import mer` calls `install_if_needed`, so every process that imports anything of ours is covered: Ray workers, spawned
and forked children, tests. It imports nothing heavy and costs about 2 ms.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_EXTENSION = "torchaudio._extension"


def install_if_needed() -> None:
    """Put the stand-in in place, unless torchaudio works as it is, is absent, or is imported already."""
    if "torchaudio" in sys.modules or _EXTENSION in sys.modules:
        return
    if needed():
        sys.modules[_EXTENSION] = _stand_in()


def needed() -> bool:
    """True when torch has no accelerator library and torchaudio's extension wants CUDA's. Imports neither."""
    torch, audio = _find("torch"), _find("torchaudio")
    if not (torch and torch.origin and audio and audio.origin):
        return False
    torch_lib = Path(torch.origin).parent / "lib"
    if any(torch_lib.glob("*torch_cuda.*")) or any(torch_lib.glob("*torch_hip.*")):
        return False
    # Linked libraries are named in the file, so its bytes say whether it wants CUDA without loading it.
    return any(b"torch_cuda" in _read(file) for file in (Path(audio.origin).parent / "lib").glob("libtorchaudio*"))


def _find(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ValueError:  # in sys.modules without a __spec__: somebody's stand-in, not ours to judge
        return None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _stand_in() -> ModuleType:
    module = ModuleType(_EXTENSION, "Stand-in from mer.torchaudio_guard: the compiled extension is not available.")
    module.__spec__ = ModuleSpec(_EXTENSION, loader=None, origin=__file__)
    names: dict[str, Any] = {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "fail_if_no_align": _fail_if_no_align,
        "_load_lib": lambda lib: False,
        "_check_cuda_version": lambda: None,
    }
    module.__dict__.update(names)
    return module


def _fail_if_no_align(func: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise RuntimeError(
            f"torchaudio.{func.__name__} needs torchaudio's compiled extension, which wants CUDA; "
            "this torch is a CPU build (mer.torchaudio_guard)"
        )

    return refuse
