"""Choose how many trials of a shape a worker trains as one program."""

from __future__ import annotations

import torch

from mer.config import SPCLConfig, TrialConfig
from mer.training.data import CHUNK_ROWS

MOST_ON_CPU, MOST_ON_GPU = 8, 256
CPU_BYTES = 64 * 2**20  # of stacked weights, gradients and moments: larger packs leave a core's caches
_GPU_SHARE = 0.8  # of the free memory: allocators round up
_NUMBER, _CLASSES = 4, 8  # bytes of a float32; classes, about
_KEPT = 4  # tensors of a layer that a backward pass keeps


def weight_count(config: TrialConfig, width: int, layers: int) -> int:
    """Count the weights of a member's head, about: those of the class scores and of norms are few.

    Args:
        width: of a hidden state.
        layers: hidden states that the head reads.
    """
    head = config.head
    read = width * layers if head.layer_mix == "concat" else width
    if not head.hidden:
        return read * _CLASSES
    return read * head.hidden + max(0, head.depth - 1) * head.hidden**2 + head.hidden * _CLASSES


def trained_bytes(config: TrialConfig, width: int, layers: int) -> int:
    """Return the bytes that every step reads and writes: weights, gradients and two moments."""
    return 4 * _NUMBER * weight_count(config, width, layers)


def member_bytes(config: TrialConfig, width: int, layers: int) -> int:
    """Return the memory that a member takes: what is trained, its average, pools, a batch, dev rows that are scored."""
    h = config.head.hidden or width
    trained = trained_bytes(config, width, layers)
    average = 0 if config.optim.ema_decay is None else trained // 4
    contrastive = config.loss.contrastive
    pools = _CLASSES * contrastive.pool_size * h if isinstance(contrastive, SPCLConfig) else 0
    rows = config.optim.batch_size * (width * layers + _KEPT * max(1, config.head.depth) * h)
    scored = CHUNK_ROWS * (width + 2 * h)
    return trained + average + _NUMBER * (pools + rows + scored)


def auto_size(config: TrialConfig, width: int, layers: int, device: str, share: float = 1.0) -> int:
    """Return the members of a pack of trials like this one, at least 1.

    On a CPU the weights of a pack stay within the caches of a core; on a GPU a pack fills the free memory.

    Args:
        device: cpu or cuda.
        share: of the GPU that one worker has.
    """
    if device == "cpu":
        return max(1, min(MOST_ON_CPU, CPU_BYTES // trained_bytes(config, width, layers)))
    if not torch.cuda.is_available():  # the driver has no GPU, its workers have
        return MOST_ON_CPU
    free, _ = torch.cuda.mem_get_info()
    return max(1, min(MOST_ON_GPU, int(free * share * _GPU_SHARE) // member_bytes(config, width, layers)))
