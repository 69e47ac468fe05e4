"""Sums over masks that the contrastive losses share: the same as torch's own, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mer.losses.geometry import masked_logsumexp


def torchs_own(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.logsumexp(scores.masked_fill(~mask, -torch.inf), dim=-1)


def gradient(loss: Tensor, scores: Tensor) -> Tensor:
    (grad,) = torch.autograd.grad(loss.sum(), scores)
    return grad


@pytest.mark.parametrize("shape", [(6, 9), (3, 6, 9)])
def test_log_sum_exp_over_a_mask(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    scores = (torch.randn(*shape, dtype=torch.float64) * 50).requires_grad_()
    mask = torch.rand(6, 9) > 0.4  # one mask for all members, or of the shape of the scores
    mask[:, 0] = True
    own, wanted = masked_logsumexp(scores, mask), torchs_own(scores, mask)
    torch.testing.assert_close(own, wanted)
    torch.testing.assert_close(gradient(own, scores), gradient(wanted, scores))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_an_empty_mask_gives_minus_infinity_and_no_gradient(dtype: torch.dtype) -> None:
    """In half precision too, where the number that stands for a masked score would be infinite."""
    scores = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=dtype).requires_grad_()
    own = masked_logsumexp(scores, torch.tensor([[False, False], [True, False]]))
    assert own.tolist() == [-torch.inf, 3.0]
    assert gradient(own, scores).tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_what_is_not_a_number_is_seen() -> None:
    scores = torch.tensor([[1.0, torch.nan], [1.0, torch.inf], [1.0, 2.0]])
    found = masked_logsumexp(scores, torch.ones(3, 2, dtype=torch.bool)).isfinite()
    assert found.tolist() == [False, False, True]
