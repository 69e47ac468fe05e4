"""Trials that train the encoder too: adapters or weights above the frozen layers, with the head (methods 6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer.config import TrialConfig
from mer.errors import TrialFailed
from mer.models.adapters import ENCODER
from mer.models.tuned import TunedClassifier
from mer.training.data import Layers, TokenSplit, TrainingData
from mer.training.run import Row, TrainingRun


class TuningRun(TrainingRun):
    """A TrainingRun whose model holds its encoder. Checkpoints hold what is trained, never the backbone.

    Raises: MerError when a weight that is to be trained gets no gradient.
    """

    model: TunedClassifier

    def __init__(self, config: TrialConfig, data: TrainingData, layers: Layers, device: str = "cpu") -> None:
        self.retried_from: int | None = None  # rows of a forward pass that did not fit into memory
        super().__init__(config, data, layers, device)
        self.model.refuse_idle(data.train, layers, self._train_rows_N)

    # -- memory ------------------------------------------------------------------------------------------------

    def _step(self, rows_B: np.ndarray) -> dict[str, float]:
        """A step that does not fit into memory is tried once more with half the rows per forward pass, from then on.

        Raises: TrialFailed when that does not fit either.
        """
        encoder = self.model.encoder
        rows = min(encoder.micro_batch or len(rows_B), len(rows_B))
        try:
            return super()._step(rows_B)
        except RuntimeError as fault:  # torch.OutOfMemoryError is one; on the CPU it is a plain one
            if not _is_memory(fault):
                raise
            if self.retried_from is not None or rows == 1:
                raise TrialFailed(self._memory_words(rows, rows_B)) from fault
        self.retried_from, encoder.micro_batch = rows, rows // 2
        self.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self._step(rows_B)

    def _memory_words(self, rows: int, rows_B: np.ndarray) -> str:
        assert isinstance(self.data.train, TokenSplit)
        tokens = int(self.data.train.tokens.lengths[rows_B].max())
        found = f"out of memory with {rows} rows of up to {tokens} tokens per forward pass"
        if self.retried_from is not None:
            found += f", after {self.retried_from}"
        if torch.cuda.is_available():
            free, total = torch.cuda.mem_get_info()
            found += f" ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)"
        return f"{found}: set optim.micro_batch lower, encoders.text.recompute: true, or freeze more layers"

    def _further_scores(self, scores: Any) -> Row:
        """Rows per forward pass, where memory made them fewer than the configuration says."""
        row = super()._further_scores(scores)
        return row if self.retried_from is None else row | {"micro_batch": float(self.model.encoder.micro_batch or 0)}

    # -- parts -------------------------------------------------------------------------------------------------

    def _build_model(self) -> TunedClassifier:
        return super()._build_model().to(self.device)  # at once: the norm's statistics are a pass of the encoder

    def _parameter_groups(self) -> dict[str, tuple[float, Iterable[nn.Parameter]]]:
        """The head and the objective as ever; the encoder's layers, in mode full the lower the slower."""
        groups = super()._parameter_groups()
        rate, _ = groups["head"]
        groups["head"] = (rate, [p for name, p in self.model.named_parameters() if not name.startswith(ENCODER)])
        ((_, own),) = self.config.tuned.items()
        decay = own.full.layer_decay if own.mode == "full" else 1.0
        return groups | dict(self.model.encoder.rates(self.config.encoder_lr, decay))

    # -- state -------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, card = super().state()
        return tensors, card | {"retried_from": self.retried_from, "micro_batch": self.model.encoder.micro_batch}

    def load_state(self, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
        super().load_state(tensors, card)
        self.retried_from, self.model.encoder.micro_batch = card["retried_from"], card["micro_batch"]


def _is_memory(fault: BaseException) -> bool:
    words = ("not enough memory", "can't allocate memory")  # of the CPU's allocator
    return isinstance(fault, torch.OutOfMemoryError) or any(word in str(fault) for word in words)
