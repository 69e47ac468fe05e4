"""Choose how many trials of a shape a worker trains as one program.

A model is measured, not described: one is built, its weights are counted, and a few rows pass through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mer.config import SPCLConfig, TrialConfig
from mer.models.dropout import draw_masks_from
from mer.training.data import CHUNK_ROWS, FusedBatch
from mer.training.draws import Draws
from mer.training.scoring import build_model
from mer.training.seeding import seeded

MOST_ON_CPU, MOST_ON_GPU = 8, 256
CPU_BYTES = 64 * 2**20  # of stacked weights, gradients and moments: larger packs leave a core's caches
_GPU_SHARE = 0.8  # of the free memory: allocators round up
_NUMBER, _CLASSES = 4, 8  # bytes of a float32; classes, about
_KEPT = 2  # gradients of what a backward pass keeps, at most as large again
_PROBED_ROWS = 32


class Reads(NamedTuple):
    """What a model reads of one modality.

    Args: width: of a hidden state. layers: hidden states.
    """

    width: int
    layers: int


def model_of(config: TrialConfig, reads: Mapping[str, Reads]) -> Any:
    """Build the untrained model of a configuration.

    Args: reads: by modality; of one modality its name does not matter.
    """
    layers: Any = {modality: list(range(own.layers)) for modality, own in reads.items()}
    width: Any = {modality: own.width for modality, own in reads.items()}
    if config.fusion is None:
        (layers,), (width,) = layers.values(), width.values()
    with seeded("the size of a model"):
        return build_model(config, layers=layers, width=width, classes=_CLASSES)


def weight_count(model: nn.Module) -> int:
    """Count the weights that are trained."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def trained_bytes(model: nn.Module) -> int:
    """Return the bytes that every step reads and writes: weights, gradients and two moments."""
    return 4 * _NUMBER * weight_count(model)


def row_bytes(config: TrialConfig, model: Any, reads: Mapping[str, Reads]) -> int:
    """Return what a training step keeps of each row for its backward pass."""
    rows, kept = _PROBED_ROWS, {}
    weights = {weight.untyped_storage()._cdata for weight in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = (storage.nbytes(), storage)  # held, so that no other gets its address
        return tensor

    given: dict[str, Tensor] = {m: torch.zeros(rows, own.layers, own.width) for m, own in reads.items()}
    x: Any = next(iter(given.values()))
    if config.fusion is not None:
        x = FusedBatch(given, torch.ones(rows, len(given), dtype=torch.bool))
    draws = Draws()
    draws.begin([("the size of a model",)], 1)
    draw_masks_from(model, draws)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(x)
    return (sum(size for size, _ in kept.values()) + sum(x.nbytes for x in given.values())) // rows


def member_bytes(config: TrialConfig, reads: Mapping[str, Reads]) -> int:
    """Return the memory that a member takes: what is trained, its average, pools, a batch, dev rows that are scored."""
    model = model_of(config, reads)
    trained, row = trained_bytes(model), row_bytes(config, model, reads)
    averages = config.optim.ema_decay is not None or config.optim.swa.kind != "none"
    average = trained // 4 if averages else 0
    contrastive = config.loss.contrastive
    pools = _CLASSES * contrastive.pool_size * model.width if isinstance(contrastive, SPCLConfig) else 0
    return trained + average + _NUMBER * pools + _KEPT * config.optim.batch_size * row + CHUNK_ROWS * row // 2


def auto_size(config: TrialConfig, reads: Mapping[str, Reads], device: str, share: float = 1.0) -> int:
    """Return the members of a pack of trials like this one, at least 1.

    On a CPU the weights of a pack stay within the caches of a core; on a GPU a pack fills the free memory.

    Args:
        reads: as for `model_of`.
        device: cpu or cuda.
        share: of the GPU that one worker has.
    """
    if device == "cpu":
        return max(1, min(MOST_ON_CPU, CPU_BYTES // trained_bytes(model_of(config, reads))))
    if not torch.cuda.is_available():  # the driver has no GPU, its workers have
        return MOST_ON_CPU
    free, _ = torch.cuda.mem_get_info()
    return max(1, min(MOST_ON_GPU, int(free * share * _GPU_SHARE) // member_bytes(config, reads)))
