"""Gradients of encoders in half precision: the scaling that float16 needs, and a GPU that has no bfloat16.

Gradients that are small in float16 vanish, so the loss is multiplied by a large number and gradients are divided by it
again, in float32. Where they overflow, the step is skipped and the number halved; after some thousand steps without, it
doubles (Micikevicius et al. 2018, arXiv 1710.03740). torch.amp.GradScaler does the arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mer.config import TrialConfig
from mer.errors import MerError


class LossScaler:
    """Scale a loss, and leave out the steps whose gradients overflow.

    Args: device: torch device of the loss.
    Attributes: skipped: steps that were left out so far.
    """

    def __init__(self, device: str) -> None:
        self._scaler = torch.amp.GradScaler(torch.device(device).type)
        self.skipped = 0

    @property
    def scale(self) -> float:
        return float(self._scaler.get_scale())

    def backward(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Compute the gradients of the loss itself; they may overflow on the way."""
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer, *, overflowed: bool) -> bool:
        """Step the optimiser unless gradients overflowed. Returns: False if a smaller scale cannot mend that."""
        before = self.scale
        if overflowed:
            self.skipped += 1
        else:
            self._scaler.step(optimizer)
        self._scaler.update()
        return not overflowed or 1.0 <= self.scale < before

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, JSON-able."""
        return {**self._scaler.state_dict(), "skipped": self.skipped}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self._scaler.load_state_dict({name: value for name, value in state.items() if name != "skipped"})
        self.skipped = int(state["skipped"])


def scaler_of(config: TrialConfig, device: str) -> LossScaler | None:
    """Return the scaler that a configuration needs; None without an encoder in float16."""
    return LossScaler(device) if any(encoder.dtype == "float16" for encoder in config.tuned.values()) else None


def refuse_no_bfloat16(config: TrialConfig, device: str) -> None:
    """Raise MerError for an encoder in bfloat16 on a GPU that only emulates it."""
    if not device.startswith("cuda") or torch.cuda.is_bf16_supported(including_emulation=False):
        return
    for modality, encoder in config.tuned.items():
        if encoder.dtype == "bfloat16":
            major, minor = torch.cuda.get_device_capability()
            raise MerError(
                f"encoders.{modality}.dtype",
                f"bfloat16, which this GPU ({torch.cuda.get_device_name()}, compute capability {major}.{minor}) lacks",
                allowed="float32, or float16, whose gradients are scaled",
                then=f"--set encoders.{modality}.dtype=float16",
            )
