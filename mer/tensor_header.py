"""The header of a safetensors file, read before a library maps the file: names, types and shapes, and no tensor.

Eight bytes of length, a JSON header, then the tensors.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.read_files import Unreadable, open_regular, parse_json

MOST_TENSORS = 50_000
LONGEST_HEADER_BYTES = 16 * 2**20  # of 1 000 tensors: 0.1 MB
_METADATA, _LENGTH = "__metadata__", struct.Struct("<Q")
_LARGEST_SIDE = 2**48
_BYTES = {"BOOL": 1, "I8": 1, "U8": 1, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "F32": 4, "I32": 4, "U32": 4,
          "F64": 8, "I64": 8, "U64": 8}  # fmt: skip


@dataclass(frozen=True)
class TensorHeader:
    """What a file says of its tensors, by name.

    Args:
        metadata: text by name.
        dtypes: as safetensors writes them, e.g. F32.
    """

    metadata: dict[str, str]
    dtypes: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


def read_header(path: Path) -> TensorHeader:
    """Read the header of a safetensors file, and compare the size that it promises with that of the file.

    Raises: OSError, also for what is no regular file; Unreadable for a file that has no such header.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(_LENGTH.size)
        length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
        if not 2 <= length <= size - _LENGTH.size:
            raise Unreadable(path, f"{size} bytes without a safetensors header")
        if length > LONGEST_HEADER_BYTES:
            raise Unreadable(path, f"its header has {length} bytes", allowed=f"at most {LONGEST_HEADER_BYTES}")
        entries = parse_json(stream.read(length).rstrip(b" "), path)
    metadata: Any = entries.pop(_METADATA, {}) if isinstance(entries, dict) else None
    are_texts = isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())
    if not are_texts or not all(map(_is_tensor, entries.values())):
        raise Unreadable(path, "its header is no safetensors header")
    if len(entries) > MOST_TENSORS:
        raise Unreadable(path, f"holds {len(entries)} tensors", allowed=f"at most {MOST_TENSORS}")
    dtypes = {name: entry["dtype"] for name, entry in entries.items()}
    shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
    promised = sum(_BYTES.get(dtypes[name], 0) * math.prod(shape) for name, shape in shapes.items())
    there = size - _LENGTH.size - length
    if set(dtypes.values()) <= set(_BYTES) and promised != there:
        raise Unreadable(path, f"its header promises {promised} bytes of tensors, {there} are there")
    return TensorHeader(metadata, dtypes, shapes)


def _is_tensor(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape = entry.get("shape")
    return isinstance(shape, list) and all(type(side) is int and 0 <= side < _LARGEST_SIDE for side in shape)
