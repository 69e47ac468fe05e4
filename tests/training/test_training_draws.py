"""Random numbers by name: their quality, and that they depend on nothing but their names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mer.training.draws import PLACES, Draws, thresholds

STEPS = 40


def drawn(seeds: list[int], steps: int = STEPS, place: int = 3, size: int = 4096) -> torch.Tensor:
    """int32 (members, steps, size)."""
    draws = Draws(len(seeds))
    draws.begin([(seed, "epoch", 0) for seed in seeds], steps)
    rows = []
    for draws.step in range(steps):
        rows.append(draws.bits(place, size))
    return torch.stack(rows, dim=1)


def z_of_bits(bits: torch.Tensor) -> torch.Tensor:
    """For each of 32 bits, how many standard deviations its share of ones is from a half."""
    ones = ((bits.unsqueeze(-1) >> torch.arange(32, dtype=torch.int32)) & 1).double()
    return (ones.flatten(0, -2).mean(0) - 0.5) * 2 * bits.numel() ** 0.5


def test_every_bit_is_fair_and_independent_of_the_next_steps_members_and_places():
    bits = drawn(list(range(8)))
    assert z_of_bits(bits).abs().max() < 4.5
    assert z_of_bits(bits[:, 1:] ^ bits[:, :-1]).abs().max() < 4.5, "a step tells of the next"
    assert z_of_bits(bits[1:] ^ bits[:-1]).abs().max() < 4.5, "a member tells of another"
    assert z_of_bits(bits ^ drawn(list(range(8)), place=4)).abs().max() < 4.5, "a layer tells of another"
    assert z_of_bits(bits[..., 1:] ^ bits[..., :-1]).abs().max() < 4.5, "a number tells of its neighbour"


def test_numbers_do_not_correlate_with_each_other_at_any_small_lag():
    values = drawn([0], steps=STEPS).double().flatten() / 2**31
    for lag in (1, 2, 3, 7, 16, 64, 512, 4096):
        z = (values[:-lag] * values[lag:]).mean() * 3 * len(values) ** 0.5
        assert abs(z) < 4.5, lag


def test_streams_do_not_correlate():
    streams = drawn(list(range(4))).double().flatten(0, 1)
    correlation = torch.corrcoef(streams).fill_diagonal_(0.0)
    assert correlation.abs().max() * streams.shape[1] ** 0.5 < 5.2  # the largest of 12 720 pairs


def test_numbers_are_uniform():
    draws = Draws()
    draws.begin([(7, "epoch", 1)], 1)
    values = draws.bits(0, 1_000_000)
    counts = torch.histc(values.double(), 1000, -(2.0**31), 2.0**31)
    assert abs(((counts - 1000) ** 2 / 1000).sum() - 999) < 5 * (2 * 999) ** 0.5


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_share_that_is_kept_is_the_rate_s(rate: float):
    draws = Draws(2)
    draws.begin([(0,), (1,)], 1)
    limits, scales = thresholds(torch.tensor([rate, rate])).view(2, 1), torch.full((2, 1), 1.0 / (1.0 - rate))
    mask = draws.scaled_mask(5, limits, scales, 500_000)
    assert set(mask.unique().tolist()) <= {0.0, scales[0].item()}
    assert torch.equal(mask.double(), draws.scaled_mask(5, limits, scales.double(), 500_000).float().double())
    dropped = (mask == 0).double().mean(1)
    assert torch.all((dropped - rate).abs() <= 5 * (rate * (1 - rate) / 500_000) ** 0.5)


def test_a_member_draws_the_same_alone_and_in_company_and_at_any_shape():
    alone, company = Draws(), Draws(3)
    alone.begin([(5, "epoch", 2)], 9)
    company.begin([(1, "epoch", 0), (5, "epoch", 2), (5, "epoch", 3)], 9)
    alone.step = company.step = 8
    assert torch.equal(alone.bits(1, 6, 4), company.bits(1, 6, 4)[1])
    assert torch.equal(alone.bits(1, 6, 4)[:2], alone.bits(1, 2, 4)), "more rows change nothing of the first ones"
    assert not torch.equal(company.bits(1, 6, 4)[1], company.bits(1, 6, 4)[2])


def test_a_longer_stretch_begins_alike():
    short, long = Draws(), Draws()
    short.begin([("a",)], 3)
    long.begin([("a",)], 30)
    short.step = long.step = 2
    assert torch.equal(short.bits(PLACES - 1, 50), long.bits(PLACES - 1, 50))


def test_beside_draws_other_numbers_and_ends():
    draws = Draws()
    draws.begin([("a",)], 1)
    usual = draws.bits(0, 100)
    with draws.beside(34):
        assert not torch.equal(draws.bits(0, 100), usual)
    assert torch.equal(draws.bits(0, 100), usual)


def test_known_numbers_stay():
    """Checkpoints of interrupted trials rely on them: a change here changes the numbers of every seed."""
    draws = Draws()
    draws.begin([(0, "epoch", 0)], 2)
    draws.step = 1
    literal = literal_bits((0, "epoch", 0), step=1, place=2, size=8)
    assert draws.bits(2, 8).tolist() == literal


def literal_bits(names: tuple[object, ...], step: int, place: int, size: int) -> list[int]:
    """The definition in plain Python integers."""
    import hashlib

    mask32, mask64 = 2**32 - 1, 2**64 - 1
    seed = int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8], "big") >> 1
    key = (seed + (step * PLACES + place + 1) * 0x9E3779B97F4A7C15) & mask64
    key = ((key ^ key >> 30) * 0xBF58476D1CE4E5B9) & mask64
    key = ((key ^ key >> 27) * 0x94D049BB133111EB) & mask64
    key ^= key >> 31
    first, second = key & mask32, key >> 32
    bits = []
    for index in range(size):
        x = ((index ^ index >> 16) * 0x7FEB352D) & mask32
        x = ((x ^ x >> 15) * 0x846CA68B) & mask32
        x ^= x >> 16
        x = ((x ^ first) * 0x7FEB352D) & mask32
        x ^= x >> 15
        x = ((x + second) * 0x846CA68B) & mask32
        x ^= x >> 16
        bits.append(int(np.int64(x) - (2**32 if x >= 2**31 else 0)))
    return bits
