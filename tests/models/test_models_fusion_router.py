"""The router of the mixture of experts: noise, gates, and the terms that balance the load."""

from __future__ import annotations

import math

import pytest
import torch
from fusion_cases import WIDTH

from mer.models.fusion.router import (
    Router,
    cv2_balance,
    expert_load,
    smooth_load,
    squared_variation,
    switch_balance,
    z_loss,
)


class TestRouter:
    def test_noise_in_training_only(self):
        router, x_BD = Router(WIDTH, 4, top_k=2, noise=True), torch.randn(32, WIDTH)
        assert not torch.equal(router(x_BD).logits_BE, router(x_BD).logits_BE)
        assert router(x_BD).smooth_load_BE is not None
        router.eval()
        assert torch.equal(router(x_BD).logits_BE, router.gate(x_BD)) and router(x_BD).smooth_load_BE is None
        quiet = Router(WIDTH, 4, top_k=2, noise=False)
        assert torch.equal(quiet(x_BD).logits_BE, quiet.gate(x_BD))

    def test_float32_under_autocast(self):
        router, x_BD = Router(WIDTH, 4, top_k=2, noise=False), torch.randn(32, WIDTH)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = router(x_BD)
        assert torch.equal(half.gates_BE, router(x_BD).gates_BE) and half.logits_BE.dtype == torch.float32

    @pytest.mark.parametrize("top_k", [2, 3, 4])
    def test_gates_sum_to_one_among_the_chosen(self, top_k):
        routing = Router(WIDTH, 4, top_k=top_k, noise=True)(torch.randn(32, WIDTH))
        assert (routing.chosen_BE.sum(dim=1) == top_k).all()
        assert torch.equal(routing.gates_BE > 0, routing.chosen_BE)
        assert torch.allclose(routing.gates_BE.sum(dim=1), torch.ones(32))

    def test_ties_choose_no_more_than_top_k(self):
        router = Router(WIDTH, 4, top_k=2, noise=False)
        torch.nn.init.zeros_(router.gate.weight)
        routing = router(torch.randn(8, WIDTH))
        assert (routing.chosen_BE.sum(dim=1) == 2).all()
        assert torch.equal(routing.gates_BE[routing.chosen_BE], torch.full((16,), 0.5))

    def test_smooth_load_is_the_chance_of_a_new_draw(self):
        random = torch.Generator().manual_seed(0)
        clean_E, sd_E = torch.tensor([0.5, 0.0, -0.4, 0.3]), torch.tensor([0.4, 0.8, 0.6, 0.2])
        noisy_E = clean_E + sd_E * torch.randn(4, generator=random)
        load_E = smooth_load(clean_E[None], noisy_E[None], sd_E[None], 2)[0]
        for e in range(4):
            drawn = noisy_E.repeat(40_000, 1)
            drawn[:, e] = clean_E[e] + sd_E[e] * torch.randn(40_000, generator=random)
            chosen = (drawn.topk(2, dim=1).indices == e).any(dim=1)
            assert abs(chosen.float().mean() - load_E[e]) < 0.01
        assert torch.equal(smooth_load(clean_E[None], noisy_E[None], sd_E[None], 4), torch.ones(1, 4))


class TestBalance:
    def test_switch_is_one_when_perfectly_balanced(self):
        chosen_BE = torch.eye(4, dtype=torch.bool).repeat(2, 1)
        assert switch_balance(chosen_BE, torch.full((8, 4), 0.25)) == 1.0
        pairs_BE = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.bool).repeat(4, 1)
        assert switch_balance(pairs_BE, torch.full((8, 4), 0.25)) == 1.0

    def test_switch_is_the_loop_and_grows_to_the_number_of_experts(self):
        probability_BE = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
        chosen_BE = torch.zeros(9, 3, dtype=torch.bool).scatter(1, probability_BE.topk(2, dim=1).indices, True)
        by_hand = 0.0
        for e in range(3):
            by_hand += chosen_BE[:, e].sum().item() / 18 * sum(probability_BE[:, e].tolist()) / 9
        assert switch_balance(chosen_BE, probability_BE) == pytest.approx(3 * by_hand)
        one_BE = torch.tensor([[1.0, 0, 0, 0]]).repeat(8, 1)
        assert switch_balance(one_BE.bool(), one_BE) == 4.0

    def test_switch_pushes_the_crowded_expert_down(self):
        logits_BE = torch.tensor([[2.0, 0.0, 0.0]]).repeat(6, 1).requires_grad_()
        chosen_BE = torch.tensor([[True, False, False]]).repeat(6, 1)
        switch_balance(chosen_BE, logits_BE.softmax(dim=1)).backward()
        assert (logits_BE.grad[:, 0] > 0).all() and (logits_BE.grad[:, 1:] < 0).all()

    def test_squared_variation(self):
        assert squared_variation(torch.full((5,), 3.0)) == 0 and squared_variation(torch.tensor([7.0])) == 0
        assert squared_variation(torch.tensor([1.0, 3.0])) == pytest.approx(0.25)

    def test_cv2_counts_importance_and_smooth_load(self):
        routing = Router(WIDTH, 4, top_k=2, noise=True)(torch.randn(32, WIDTH))
        importance, load = routing.gates_BE.sum(dim=0), routing.smooth_load_BE.sum(dim=0)
        assert torch.equal(cv2_balance(routing), squared_variation(importance) + squared_variation(load))

    def test_z_loss_and_load(self):
        assert z_loss(torch.zeros(5, 4)) == pytest.approx(math.log(4) ** 2)
        load_E = expert_load(torch.tensor([[1, 1, 0], [1, 0, 1]], dtype=torch.bool))
        assert load_E.tolist() == [0.5, 0.25, 0.25]
