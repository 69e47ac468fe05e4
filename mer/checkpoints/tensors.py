"""One safetensors file = tensors + one JSON card.

The card lies in the file's header, so that both are written in one step. `mer.checkpoints.publish` moves the card into
a sidecar, `best.json` beside `best.safetensors`. Readers look in the header first, then in the sidecar.
"""

from __future__ import annotations

import json
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

_PARTS = "parts"


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
        with safe_open(path, framework="pt", device=device) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        card = _card(path, metadata)
        for name in json.loads(metadata.get(_PARTS, "[]")):
            tensors |= load_file(_part(path, name), device=device)
        return tensors, card
    except SafetensorError as fault:
        raise _foreign(path, str(fault)) from fault


def read_card(path: Path) -> dict[str, Any]:
    """Read the JSON card and no tensor. Raises: MerError when there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return _card(path, file.metadata())
    except SafetensorError as fault:
        raise _foreign(path, str(fault)) from fault


def _card(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    """Take the card from the header, which was written with the tensors, or else from the sidecar of publishing."""
    if metadata and CARD in metadata:
        return json.loads(metadata[CARD])
    beside = sidecar(path)
    try:
        return dict(json.loads(beside.read_text(encoding="utf-8"))[CARD])
    except FileNotFoundError:
        raise _foreign(path, f"its header has no card, and there is no {beside.name} beside it") from None
    except (ValueError, LookupError, TypeError) as fault:
        raise _foreign(path, f"the card beside it, {beside.name}, is not one of ours") from fault


def _part(path: Path, name: str) -> Path:
    part = path.with_name(f"{name}.safetensors")
    if not part.exists():
        raise _foreign(path, f"its part {part.name} is missing beside it")
    return part


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
