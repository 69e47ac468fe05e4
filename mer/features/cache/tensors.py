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
from mer.read_files import NoRegularFile, Unreadable, as_object, parse_json
from mer.tensor_header import TensorHeader
from mer.tensor_header import read_header as read_tensor_header

_DTYPES = {"BOOL", "F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64"}  # those of numpy
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
    header, opened = _opened(path)
    with opened as file:
        if unknown := {dtype for dtype in header.dtypes.values() if dtype not in _DTYPES}:
            raise MerError(path, f"tensors of type {min(unknown)}, which mer does not write", then=THE_WAY_OUT)
        return {name: file.get_tensor(name) for name in sorted(file.keys())}


def read_header(path: Path) -> dict[str, Any]:
    """Read our header, and under 'shapes' every tensor's shape, without reading the tensors.

    Raises: MerError when it is not a whole safetensors file, or none of ours.
    """
    header, opened = _opened(path)
    with opened:
        shapes = {name: header.shapes[name] for name in sorted(header.shapes)}
    try:
        return {**as_object(parse_json(header.metadata.get(HEADER, ""), path), path), "shapes": shapes}
    except Unreadable as fault:
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


def _opened(path: Path) -> tuple[TensorHeader, Any]:
    """Open a file whose header was read; the library finds one that is cut short."""
    from safetensors import SafetensorError, safe_open

    try:
        return read_tensor_header(path), safe_open(path, framework="np")
    except FileNotFoundError as fault:
        raise MerError(path, "no such feature file", then="python -m mer.features extract --help") from fault
    except NoRegularFile as fault:
        raise MerError(path, str(fault.strerror), then=THE_WAY_OUT) from fault
    except (SafetensorError, Unreadable) as fault:
        why = fault.found if isinstance(fault, Unreadable) else fault
        raise MerError(
            path,
            f"corrupt or cut short: {path.stat().st_size} bytes that are not a whole safetensors file ({why})",
            then=THE_WAY_OUT,
        ) from fault
