"""safetensors as the simulated world has it: its library reads and writes files behind Python's back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from safetensors import SafetensorError

_REAL_OPEN = safetensors.safe_open


def save_file(tensors: dict[str, Any], path: Any, metadata: dict[str, str] | None = None) -> None:
    """Write a file as the library does, and refuse as it does: the system's error number is in the words."""
    data = memoryview(safetensors.torch.save(tensors, metadata))
    try:
        with Path(path).open("wb", buffering=0) as file:
            while data:
                data = data[file.write(data) :]
    except OSError as fault:
        words = f"Error while serializing: I/O error: {fault.strerror} (os error {fault.errno})"
        raise SafetensorError(words) from fault


def safe_open_through(operate: Callable[[Any, Callable[[], Any]], Any]) -> Callable[..., Any]:
    """Return a stand-in for `safe_open`.

    Args: operate: opens a path through the file layer.
    """

    def safe_open(path: Any, *args: Any, **kwargs: Any) -> Any:
        return operate(path, lambda: _REAL_OPEN(path, *args, **kwargs))

    return safe_open
