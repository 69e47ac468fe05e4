"""safetensors files with one JSON header of ours and a checksum of the content: whole, refused, or absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mer.errors import MerError
from mer.files import atomic_path

HEADER = "mer"  # one metadata entry, since safetensors writes several in an order that changes from run to run
THE_WAY_OUT = "`python -m mer.features verify` checks every file; delete this one and run again: it is extracted anew"


def write(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write atomically; equal content gives equal bytes. Raises: OSError that names `path`."""
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    words = {**header, "content_sha256": checksum(contiguous)}
    metadata = {HEADER: json.dumps(words, sort_keys=True, ensure_ascii=False)}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata=metadata)


def read(path: Path) -> dict[str, np.ndarray]:
    """Read all tensors. Raises: MerError when it is not a whole safetensors file."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in sorted(file.keys())}


def read_header(path: Path) -> dict[str, Any]:
    """Read our header, and under 'shapes' every tensor's shape, without reading the tensors.

    Raises: MerError when it is not a whole safetensors file, or none of ours.
    """
    with _opened(path) as file:
        text = (file.metadata() or {}).get(HEADER)
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in sorted(file.keys())}
    try:
        header = json.loads(text or "")
        return {**header, "shapes": shapes}
    except (ValueError, TypeError) as fault:
        raise MerError(
            path, "a safetensors file that mer did not write (no header of ours)", then=THE_WAY_OUT
        ) from fault


def checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """Hash names, types, shapes and bytes of all arrays, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="np")
    except FileNotFoundError as fault:
        raise MerError(path, "no such feature file", then="python -m mer.features extract --help") from fault
    except SafetensorError as fault:
        size = path.stat().st_size
        raise MerError(
            path,
            f"corrupt or cut short: {size} bytes that are not a whole safetensors file ({fault})",
            then=THE_WAY_OUT,
        ) from fault
