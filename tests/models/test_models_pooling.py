"""Poolers of states equal their formulas, written state by state."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mer.models.pooling import AttentivePool, MeanPool
from mer.models.states import States

ROWS, LONGEST, WIDTH = 5, 6, 4


def states(rubbish: float = 9.0) -> States:
    """Rows of 0 to 5 states, rubbish behind them."""
    random = torch.Generator().manual_seed(2)
    there_BT = torch.arange(LONGEST) < torch.tensor([5, 1, 0, 3, 5])[:, None]
    x_BTD = torch.randn(ROWS, LONGEST, WIDTH, generator=random)
    return States(torch.where(there_BT.unsqueeze(-1), x_BTD, rubbish), there_BT)


@pytest.mark.parametrize("hops", [1, 3])
@torch.no_grad()
def test_attentive_pool_is_the_literal_weighted_mean(hops: int) -> None:
    torch.manual_seed(0)
    pool, (x_BTD, there_BT) = AttentivePool(WIDTH, hops), states()
    expected: list[Tensor] = []
    for x_TD, there_T in zip(x_BTD, there_BT, strict=True):
        own = x_TD[there_T]
        side_by_side = []
        for hop in range(hops):
            scores = [float(pool.score.weight[hop] @ torch.tanh(pool.hidden(x))) for x in own]
            total = sum(math.exp(score) for score in scores)
            weighed = [math.exp(s) / total * x for s, x in zip(scores, own, strict=True)]
            side_by_side.append(sum(weighed, torch.zeros(WIDTH)))
        expected.append(torch.cat(side_by_side))
    torch.testing.assert_close(pool(states()), torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert torch.equal(pool(states()), pool(states(rubbish=-3.0)))


def test_mean_pool_is_the_mean_of_what_is_there() -> None:
    x_BTD, there_BT = states(rubbish=torch.nan)
    found = MeanPool()(States(x_BTD, there_BT))
    for row in range(ROWS):
        own = x_BTD[row][there_BT[row]]
        expected = own.mean(dim=0) if len(own) else torch.zeros(WIDTH)
        torch.testing.assert_close(found[row], expected)
