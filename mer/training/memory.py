"""Tell a failed allocation from other faults."""

from __future__ import annotations

import torch

_WORDS = ("not enough memory", "can't allocate memory", "STATUS_ALLOC_FAILED")  # the CPU's allocator (two), cuBLAS


def is_out_of_memory(fault: BaseException) -> bool:
    """Say whether memory was too little. torch.OutOfMemoryError is a RuntimeError; the CPU raises a plain one."""
    if isinstance(fault, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(fault, RuntimeError) and any(word in str(fault) for word in _WORDS)


def free_words() -> str:
    """Return the free memory of the GPU in words; "" where there is none."""
    if not torch.cuda.is_available():
        return ""
    free, total = torch.cuda.mem_get_info()
    return f" ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)"
