"""One safetensors file = tensors + one JSON card in its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mer.errors import MerError
from mer.files import atomic_path

CARD = "card"


def save_tensors(path: Path, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-able `card` as one file: flushed to disk, then renamed into place."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata={CARD: json.dumps(card)})


def load_tensors(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote. Raises MerError when the file is truncated or not ours."""
    try:
        with safe_open(path, framework="pt", device=device) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, _card(path, file.metadata())  # noqa: SIM118
    except SafetensorError as fault:
        raise _foreign(path, str(fault)) from fault


def read_card(path: Path) -> dict[str, Any]:
    """The JSON card alone; no tensor is read."""
    try:
        with safe_open(path, framework="pt") as file:
            return _card(path, file.metadata())
    except SafetensorError as fault:
        raise _foreign(path, str(fault)) from fault


def _card(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    if not metadata or CARD not in metadata:
        raise _foreign(path, "its header has no card")
    return json.loads(metadata[CARD])


def _foreign(path: Path, reason: str) -> MerError:
    return MerError(
        path,
        f"not a whole checkpoint of ours ({reason})",
        allowed="a .safetensors file written by mer",
        then="delete this file; the trial is then trained again from its start",
    )


def clone(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A detached copy on the CPU that later training steps cannot change."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below `prefix.`, with the prefix taken off."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
