"""Runs that train encoders with the heads: adapters, or weights above the frozen layers (methods 6)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer.config import TrialConfig
from mer.errors import TrialFailed
from mer.training.compiling import compile_layers, require_compiler
from mer.training.data import Layers, SequenceSplit, TrainingData, part_of
from mer.training.distillation import DistillationRun
from mer.training.member import Row
from mer.training.memory import free_words, is_out_of_memory
from mer.training.run import TrainingRun, non_finite
from mer.training.scaling import refuse_no_bfloat16, scaler_of


class TuningRun(TrainingRun):
    """A TrainingRun whose model holds encoders. Checkpoints hold the trained weights, never the backbones.

    Raises: MerError when a weight that is to be trained gets no gradient.
    """

    def __init__(self, config: TrialConfig, data: TrainingData, layers: Layers, device: str = "cpu") -> None:
        self.retried_from: int | None = None  # rows per forward pass that did not fit into memory
        refuse_no_bfloat16(config, device)
        if config.training.compile:
            require_compiler(device)
        self.scaler = scaler_of(config, device)
        super().__init__(config, data, layers, device)
        self.model.eval()
        for modality, encoder in self.model.tuned.items():
            part = part_of(data.train, modality)
            if len(part.present_rows):
                encoder.refuse_idle(part, part.present_rows)
            if config.training.compile:
                compile_layers(encoder)

    # -- half precision ----------------------------------------------------------------------------------------

    def _backward(self, loss: Tensor) -> None:
        if self.scaler is None:
            super()._backward(loss)
        else:
            self.scaler.backward(loss, self.optimizer)

    def _update(self, norms: Mapping[str, Tensor]) -> dict[str, float]:
        """Leave the step out where gradients overflow in float16; {} then.

        Raises: TrialFailed when they are not finite at any scale.
        """
        if self.scaler is None:
            return super()._update(norms)
        told = {name: norm.item() for name, norm in norms.items()}
        wrong = [name for name, value in told.items() if not math.isfinite(value)]
        if not self.scaler.step(self.optimizer, overflowed=bool(wrong)):
            name = wrong[0].replace("grad_norm", "gradient norm")
            raise non_finite(name, told[wrong[0]], step=self.step_count + 1, epoch=self.epoch + 1)
        return {} if wrong else told

    # -- memory ------------------------------------------------------------------------------------------------

    def _step(self, rows_B: np.ndarray) -> dict[str, float]:
        """Take a step; if it does not fit into memory, retry with half the rows per forward pass, from then on.

        Raises: TrialFailed when that does not fit either.
        """
        rows = min(self._micro_batch or len(rows_B), len(rows_B))
        try:
            return super()._step(rows_B)
        except RuntimeError as fault:
            if not is_out_of_memory(fault):
                raise
            if self.retried_from is not None or rows == 1:
                raise TrialFailed(self._memory_words(rows, rows_B)) from fault
        self.retried_from = rows
        self._read_at_once(rows // 2)
        self.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self._step(rows_B)

    @property
    def _micro_batch(self) -> int | None:
        """Rows per forward pass, the same for all encoders; None: a whole batch."""
        encoder = next(iter(self.model.tuned.values()))
        rows: int | None = encoder.micro_batch
        return rows

    def _read_at_once(self, rows: int | None) -> None:
        for encoder in self.model.tuned.values():
            encoder.micro_batch = rows

    def _memory_words(self, rows: int, rows_B: np.ndarray) -> str:
        longest, modality = 0, ""
        for name, encoder in self.model.tuned.items():
            part = part_of(self.data.train, name)
            assert isinstance(part, SequenceSplit)
            states = encoder.cost(int(part.sequences.lengths[rows_B].max()))
            longest, modality = max((longest, modality), (states, name))
        found = f"out of memory with {rows} rows of up to {longest} tokens of {modality} per forward pass"
        if self.retried_from is not None:
            found += f", after {self.retried_from}"
        way_out = f"set optim.micro_batch lower, encoders.{modality}.recompute: true, or freeze more layers"
        return f"{found}{free_words()}: {way_out}"

    def _further_scores(self, scores: Any) -> Row:
        """Add the rows per forward pass if memory made them fewer than configured, and the steps that overflowed."""
        row = super()._further_scores(scores)
        row |= {} if self.scaler is None else {"skipped_steps": float(self.scaler.skipped)}
        return row if self.retried_from is None else row | {"micro_batch": float(self._micro_batch or 0)}

    # -- parts -------------------------------------------------------------------------------------------------

    def _build_model(self) -> Any:
        return (
            super()._build_model().to(self.device)
        )  # now, because the norm's statistics need a forward pass of the encoder

    def _parameter_groups(self) -> dict[str, tuple[float, Iterable[nn.Parameter]]]:
        """Add a group per encoder layer to the usual groups; in mode full, lower layers have lower rates."""
        groups = super()._parameter_groups()
        for modality, encoder in self.model.tuned.items():
            own = self.config.tuned[modality]
            decay = own.full.layer_decay if own.mode == "full" else 1.0
            rates = encoder.rates(self.config.encoder_lr(modality), decay)
            groups |= {f"{modality}_{name}": group for name, group in rates.items()}
        return groups

    # -- state -------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, card = super().state()
        card |= {} if self.scaler is None else {"scaler": self.scaler.state()}
        return tensors, card | {"retried_from": self.retried_from, "micro_batch": self._micro_batch}

    def load_state(self, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
        super().load_state(tensors, card)
        if self.scaler is not None:
            self.scaler.load(card["scaler"])
        self.retried_from = card["retried_from"]
        self._read_at_once(card["micro_batch"])


class TunedDistillationRun(TuningRun, DistillationRun):
    """A DistillationRun whose students hold encoders."""
