"""Every kind of fusion and every set of modalities, small, with batches in which everything can be absent."""

from __future__ import annotations

import itertools

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from mer.config import Fusion as FusionConfig
from mer.models.fusion import MODALITIES, Fused, Fusion, build_fusion

WIDTHS = {"text": 10, "audio": 7, "video": 5}
WIDTH, CLASSES = 8, 4
KINDS: dict[str, dict] = {
    "concat": {"kind": "concat"},
    "deep": {"kind": "concat", "depth": 3},
    "lmf": {"kind": "lmf", "factor_width": 6, "rank": 3},
    "self_token": {"kind": "self_attention", "heads": 2},
    "self_mean": {"kind": "self_attention", "heads": 2, "layers": 2, "read": "mean"},
    "cross": {"kind": "cross_attention", "heads": 2, "layers": 2},
    "shifting": {"kind": "shifting", "heads": 2},
    "tgmoe": {"kind": "tgmoe", "heads": 2},
    "tgmoe_cv2": {"kind": "tgmoe", "heads": 2, "experts": 3, "top_k": 1, "balance": "cv2"},
    "late": {"kind": "late"},
    "mean": {"kind": "mean"},
    "tfn": {"kind": "tfn", "factor_width": 3},
    "misa": {"kind": "misa", "subspace_width": 6},
    "moe": {"kind": "moe", "experts": 3},
    "self_mm": {"kind": "self_mm", "own_width": 6},
    "mult": {"kind": "mult", "stream_width": 6, "heads": 2, "read": "mean"},  # of sequences of one state
}
SUBSETS = [("text",), ("audio",), ("text", "video"), ("audio", "video"), MODALITIES]

every_kind = pytest.mark.parametrize("kind", KINDS)
every_subset = pytest.mark.parametrize("modalities", SUBSETS, ids="-".join)


def build(kind: str, modalities: tuple[str, ...] = MODALITIES, seed: int = 0, **options) -> Fusion:
    """In eval mode. Widths are given in the wrong order: the order of a dict must not matter."""
    config = TypeAdapter(FusionConfig).validate_python({"width": WIDTH, **KINDS[kind], **options})
    torch.manual_seed(seed)
    return build_fusion(config, {m: WIDTHS[m] for m in reversed(modalities)}, CLASSES).eval()


def batch(
    modalities: tuple[str, ...] = MODALITIES, rows: int = 16, seed: int = 1, absent: float | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Features, and every pattern of presence in turn; `absent` fills the rows that are not there."""
    random = torch.Generator().manual_seed(seed)
    patterns = [p for p in itertools.product((True, False), repeat=len(modalities)) if any(p)]
    present_BM = torch.tensor([patterns[row % len(patterns)] for row in range(rows)])
    parts = {m: torch.randn(rows, WIDTHS[m], generator=random) * 2 + 1 for m in modalities}
    if absent is not None:
        parts = {m: torch.where(present_BM[:, [i]], parts[m], absent) for i, m in enumerate(modalities)}
    return parts, present_BM


def take(parts: dict[str, Tensor], rows: slice | list[int]) -> dict[str, Tensor]:
    return {modality: part[rows] for modality, part in parts.items()}


def outputs(fused: Fused) -> list[Tensor]:
    """Everything that is per row."""
    own = [logits_BC for logits_BC, _ in fused.own_logits.values()]
    return [fused.h_BD, *([] if fused.logits_BC is None else [fused.logits_BC]), *own, *fused.own_vectors.values()]


def same(left: Fused, right: Fused) -> bool:
    """Bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(outputs(left), outputs(right), strict=True))
