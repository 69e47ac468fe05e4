"""The arithmetic of an encoder: float32, or a half precision by autocast; weights stay in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def half_precision(dtype: str, device: str) -> AbstractContextManager[Any]:
    """Compute in `bfloat16` or `float16` inside the block; with `float32` nothing changes."""
    import torch

    half = torch.float16 if dtype == "float16" else torch.bfloat16
    return torch.autocast(device, half, enabled=dtype != "float32")
