"""One safetensors file = tensors + one JSON card.

The card lies in the file's header, so that both are written in one step. `mer.checkpoints.publish` moves the card into
a sidecar, `best.json` beside `best.safetensors`. Readers look in the header first, then in the sidecar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mer.checkpoints.header import CARD, sidecar
from mer.errors import MerError
from mer.files import atomic_path
from mer.read_files import Unreadable, as_object, parse_json, read_object
from mer.tensor_header import read_header

_PARTS = "parts"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


def save_tensors(
    path: Path,
    tensors: dict[str, Tensor],
    card: dict[str, Any],
    parts: Mapping[str, dict[str, Tensor]] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    previous: Path | None = None,
) -> None:
    """Write `tensors` and the JSON-able `card` as one file: flushed to disk, then renamed into place.

    Args:
        parts: groups of tensors that stay the same from save to save and from trial to trial, such as a frozen
            backbone. Each group becomes a file of its own beside `path`, `<name>.safetensors`, and is written only when
            it is not there yet. Once published, all trials share one copy. `load_tensors(path)` reads the parts too.
        metadata: further texts for the file's header.
        previous: becomes the name of the file that was at `path`.
    """
    for name, group in (parts or {}).items():
        part = path.with_name(f"{name}.safetensors")
        if not _holds(part, group):
            with atomic_path(part) as temporary:
                save_file(_plain(group), temporary, metadata={"format": "pt"})
    texts = {CARD: json.dumps(card), **(metadata or {})}
    if parts:
        texts[_PARTS] = json.dumps(sorted(parts))
    with atomic_path(path, previous=previous) as temporary:
        save_file(_plain(tensors), temporary, metadata=texts)


def load_tensors(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of `save_tensors` and its parts: tensors by name, and the card.

    Raises: MerError when the file is truncated or not ours.
    """
    try:
        metadata = read_header(path).metadata
        with safe_open(path, framework="pt", device=device) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        card = _card(path, metadata)
        for part in _parts(path, metadata):
            read_header(part)
            tensors |= load_file(part, device=device)
        return tensors, card
    except (SafetensorError, Unreadable) as fault:
        raise _foreign(path, _why(fault)) from fault


def read_card(path: Path) -> dict[str, Any]:
    """Read the JSON card and no tensor. Raises: MerError when there is none."""
    try:
        metadata = read_header(path).metadata
        with safe_open(path, framework="pt"):  # which finds a file that is cut short
            return _card(path, metadata)
    except (SafetensorError, Unreadable) as fault:
        raise _foreign(path, _why(fault)) from fault


def _card(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Take the card from the header, which was written with the tensors, or else from the sidecar of publishing."""
    if CARD in metadata:
        return as_object(parse_json(metadata[CARD], path), path)
    beside = sidecar(path)
    try:
        return as_object(read_object(beside)[CARD], beside)
    except FileNotFoundError:
        raise _foreign(path, f"its header has no card, and there is no {beside.name} beside it") from None
    except (OSError, ValueError, LookupError) as fault:
        raise _foreign(path, f"the card beside it, {beside.name}, is not one of ours") from fault


def _parts(path: Path, metadata: Mapping[str, str]) -> list[Path]:
    """List the files beside `path` that hold the rest of its tensors."""
    names = parse_json(metadata.get(_PARTS, "[]"), path)
    if not isinstance(names, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise _foreign(path, "its parts are no names of files")
    parts = [path.with_name(f"{name}.safetensors") for name in names]
    for part in parts:
        if not part.exists():
            raise _foreign(path, f"its part {part.name} is missing beside it")
    return parts


def _why(fault: Exception) -> str:
    return fault.found if isinstance(fault, MerError) else str(fault)


def _holds(part: Path, group: Mapping[str, Tensor]) -> bool:
    """True when `part` is there and has exactly these tensors."""
    if not part.exists():
        return False
    try:
        with safe_open(part, framework="pt") as file:
            return set(file.keys()) == set(group) and all(
                _same(file.get_tensor(name), tensor) for name, tensor in group.items()
            )
    except SafetensorError:
        return False


def _same(stored: Tensor, tensor: Tensor) -> bool:
    return stored.dtype == tensor.dtype and torch.equal(stored, tensor.detach().cpu())


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _foreign(path: Path, reason: str) -> MerError:
    return MerError(
        path,
        f"not a whole checkpoint of ours ({reason})",
        allowed="a .safetensors file written by mer",
        then="delete this file; the trial is then trained again from its start",
    )


def refuse_infinite(path: Path, tensors: Mapping[str, Tensor], then: str) -> None:
    """Refuse weights with NaN or infinity. Raises: MerError naming the first of them."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise MerError(path, f"{name[:200]} has NaN or infinity", allowed="finite numbers", then=then)


def clone(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy to the CPU, detached, so that later training steps cannot change the copy."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put `prefix.` before every name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Choose the tensors whose names begin with `prefix.`, and take the prefix off."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
