"""The front of a safetensors file, read and rewritten without touching its tensors (and without torch).

A file is 8 bytes of length, a JSON header, then the tensors. Our checkpoints keep a JSON card in that header. The cards
of two trials differ (in the trial's number, in times) even where their tensors are equal; once the card is taken out,
equal tensors make equal files.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

from mer.errors import MerError
from mer.read_files import as_object, parse_json

CARD = "card"
_METADATA, _LENGTH = "__metadata__", struct.Struct("<Q")
_LONGEST = 100_000_000  # what safetensors itself accepts


def sidecar(path: Path) -> Path:
    """The path of a published checkpoint's card: `best.json` beside `best.safetensors`."""
    return path.with_suffix(".json")


def read_front(stream: BinaryIO, path: Path) -> bytes:
    """Read length and header unchanged, and leave `stream` at the first tensor byte.

    Args: path: for the message.
    Raises: MerError when the file is torn.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    start = stream.read(_LENGTH.size)
    length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
    if not 2 <= length <= min(_LONGEST, size - _LENGTH.size):
        raise _torn(path, "it has no safetensors header")
    header = stream.read(length)
    try:
        entries = parse_json(header, path)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != _METADATA]
    except (ValueError, LookupError, TypeError, AttributeError) as fault:
        raise _torn(path, "its header is no safetensors header") from fault
    if size != _LENGTH.size + length + max(ends, default=0):
        raise _torn(path, f"its header promises {_LENGTH.size + length + max(ends, default=0)} bytes, it has {size}")
    return start + header


def without_card(front: bytes) -> tuple[bytes, dict[str, Any] | None]:
    """Take the card out of a front: the front without it, and the card; where there is none, the front and None."""
    entries = parse_json(front[_LENGTH.size :], "a tensors file")
    metadata = dict(entries.pop(_METADATA, {}))
    if CARD not in metadata:
        return front, None
    card = as_object(parse_json(metadata.pop(CARD), "a tensors file"), "a tensors file")
    metadata = {"format": "pt", **metadata}
    text = json.dumps({_METADATA: dict(sorted(metadata.items())), **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # safetensors begins the tensors at a multiple of 8
    return _LENGTH.pack(len(text)) + text, card


def _torn(path: Path, reason: str) -> MerError:
    return MerError(path, f"not a whole tensors file ({reason})", allowed="a finished .safetensors file")
