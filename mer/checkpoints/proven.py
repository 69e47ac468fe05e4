"""Checkpoints that a trial goes on from: each proves itself when it is read, and keeps the one before as a reserve.

A check number over the card and all tensors lies in the header. It finds what safetensors itself does not look for: a
flipped bit, a block that was never written. Saving renames the former file instead of copying it.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from mer.checkpoints.header import CARD, read_front
from mer.checkpoints.tensors import save_tensors
from mer.errors import MerError

_CHECK = "crc32"

State = tuple[dict[str, Tensor], dict[str, Any]]  # tensors by name, and the card


def previous(path: Path) -> Path:
    """Name the checkpoint before this one. No pattern for tensors files matches it."""
    return path.with_name(f"{path.name}.previous")


def damaged(path: Path) -> Path:
    """Name the place to which a checkpoint is put that cannot be trusted."""
    return path.with_name(f"{path.name}.damaged")


def save_proven(path: Path, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write a checkpoint with its check number, flushed to disk; the one that was there becomes `previous(path)`.

    Args: tensors: on the CPU.
    """
    check = {_CHECK: _check(tensors, json.dumps(card))}
    save_tensors(path, tensors, card, metadata=check, previous=previous(path))


def load_proven(path: Path) -> State:
    """Read a checkpoint. One without a check number, of an older version, is believed when it is whole.

    Raises: MerError when it is damaged; OSError when the file cannot be read.
    """
    if path.exists() and not path.is_file():
        raise MerError(path, "is no file")
    data = path.read_bytes()  # no mapping: a disk that fails meanwhile would kill the process
    try:
        front = read_front(io.BytesIO(data), path)
        metadata: Mapping[str, str] = json.loads(front[8:]).get("__metadata__") or {}
        tensors, card = load(data), json.loads(metadata[CARD])
        known = metadata.get(_CHECK)
        sound = isinstance(card, dict) and known in (None, _check(tensors, metadata[CARD]))
    except (MemoryError, OSError):
        raise
    except Exception as fault:  # whatever a damaged header makes of a JSON reader and of safetensors
        raise MerError(path, f"is damaged ({_first_line(fault)})") from fault
    if not sound:
        raise MerError(path, "is damaged (its bytes are not those that were written)")
    return tensors, card


def trusted(path: Path) -> Iterator[tuple[Path, State | MerError]]:
    """Go through a checkpoint and the one before: what each holds, or why it cannot be trusted; absent ones are none.

    Raises: OSError when a file cannot be read.
    """
    for each in (path, previous(path)):
        try:
            yield each, load_proven(each)
        except FileNotFoundError:
            continue
        except MerError as fault:
            yield each, fault


def _check(tensors: Mapping[str, Tensor], card: str) -> str:
    number = zlib.crc32(card.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        number = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), number)
        number = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, number)
    return f"{number:08x}"


def _first_line(fault: Exception) -> str:
    return (fault.found if isinstance(fault, MerError) else str(fault) or type(fault).__name__).splitlines()[0]
