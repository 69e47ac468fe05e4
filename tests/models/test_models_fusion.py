"""Rules for every fusion: rows do not affect each other (D6), absent modalities have no influence, modality dropout."""

from __future__ import annotations

import itertools

import pytest
import torch
from fusion_cases import WIDTH, batch, build, every_kind, every_subset, outputs, same, take

from mer.models.fusion import MODALITIES, keep_modalities
from mer.models.fusion.contract import ModalityDropout
from mer.training.draws import Draws

ROUTED = ("tgmoe", "tgmoe_cv2", "moe")
EVERY_PATTERN = [p for p in itertools.product((True, False), repeat=3) if any(p)]


@every_kind
@every_subset
class TestEveryFusion:
    def test_shapes_and_float32(self, kind, modalities):
        fusion, (parts, present_BM) = build(kind, modalities), batch(modalities)
        fused = fusion(parts, present_BM)
        assert fused.h_BD.shape == (16, WIDTH) and fusion.width == WIDTH and fusion.modalities == modalities
        assert fused.losses == {}
        assert (fused.logits_BC is not None) == (kind == "late")
        assert all(out.dtype == torch.float32 and out.isfinite().all() for out in outputs(fused))
        assert all(v.ndim == 0 and not v.requires_grad and v.isfinite() for v in fused.monitors.values())

    def test_float32_under_autocast(self, kind, modalities):
        fusion, (parts, present_BM) = build(kind, modalities), batch(modalities)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            half = fusion(parts, present_BM)
        with torch.no_grad():
            full = fusion(parts, present_BM)
        for a, b in zip(outputs(half), outputs(full), strict=True):
            assert a.dtype == torch.float32
            if kind not in ROUTED:  # rounding of the gate's input may send a row to another expert
                torch.testing.assert_close(a, b, rtol=0.1, atol=0.1)

    def test_gradients_reach_every_parameter_and_every_feature_that_is_there(self, kind, modalities):
        fusion, (parts, present_BM) = build(kind, modalities).train(), batch(modalities, rows=42)
        parts = {m: part.requires_grad_() for m, part in parts.items()}
        fused = fusion(parts, present_BM)
        pull = torch.Generator().manual_seed(7)
        loss = sum((torch.randn(out.shape, generator=pull) * out.square()).sum() for out in outputs(fused))
        (loss + sum(fused.losses.values())).backward()
        for name, parameter in fusion.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name
        for i, modality in enumerate(modalities):
            gradient_B = parts[modality].grad.abs().sum(dim=1)
            assert gradient_B.isfinite().all() and not gradient_B[~present_BM[:, i]].any()
            assert gradient_B[present_BM[:, i]].any()

    def test_rows_do_not_see_each_other(self, kind, modalities):
        """D6: every other row is replaced, its presence as well; bit for bit."""
        fusion, (parts, present_BM) = build(kind, modalities), batch(modalities)
        others, _ = batch(modalities, seed=2)
        with torch.no_grad():
            whole = fusion(parts, present_BM)
            for row in range(len(present_BM)):
                kept_B1 = torch.arange(len(present_BM))[:, None] == row
                mixed = {m: torch.where(kept_B1, parts[m], others[m] * 100) for m in modalities}
                replaced = fusion(mixed, torch.where(kept_B1, present_BM, present_BM.flip(0)))
                for a, b in zip(outputs(whole), outputs(replaced), strict=True):
                    assert torch.equal(a[row], b[row])

    def test_order_of_rows_does_not_matter(self, kind, modalities):
        """Equal up to rounding only: the place of a row in a matrix decides which lanes of the kernel compute it."""
        fusion, (parts, present_BM) = build(kind, modalities), batch(modalities)
        order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
        straight, shuffled = fusion(parts, present_BM), fusion(take(parts, order), present_BM[order])
        for a, b in zip(outputs(straight), outputs(shuffled), strict=True):
            torch.testing.assert_close(a[order], b, rtol=1e-5, atol=1e-6)

    def test_alone_as_in_a_batch(self, kind, modalities):
        """Equal up to rounding only: matrix products use another kernel for another batch size."""
        fusion, (parts, present_BM) = build(kind, modalities), batch(modalities)
        whole = outputs(fusion(parts, present_BM))
        for row in range(len(present_BM)):
            alone = outputs(fusion(take(parts, [row]), present_BM[[row]]))
            for a, b in zip(whole, alone, strict=True):
                torch.testing.assert_close(a[[row]], b, rtol=1e-5, atol=1e-6)
        with torch.inference_mode():  # nn.MultiheadAttention has another implementation for it
            for a, b in zip(whole, outputs(fusion(parts, present_BM)), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)

    def test_what_an_absent_row_holds_does_not_matter(self, kind, modalities):
        fusion, (parts, present_BM) = build(kind, modalities), batch(modalities, absent=0.0)
        clean = fusion(parts, present_BM)
        for rubbish in (1e30, torch.inf, torch.nan):
            dirty = fusion(batch(modalities, absent=rubbish)[0], present_BM)
            assert same(clean, dirty)
        sum(out.square().sum() for out in outputs(dirty)).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())
        nothing = fusion({m: torch.full_like(part, torch.nan) for m, part in parts.items()}, present_BM & False)
        assert all(out.isfinite().all() for out in outputs(nothing))

    def test_what_is_there_matters(self, kind, modalities):
        fusion, (parts, present_BM) = build(kind, modalities), batch(modalities)
        before = fusion(parts, present_BM).h_BD
        for i, modality in enumerate(modalities):
            parts_moved = {**parts, modality: torch.flip(parts[modality], dims=(1,))}
            moved_B = (fusion(parts_moved, present_BM).h_BD != before).any(dim=1)
            assert torch.equal(moved_B, present_BM[:, i])

    def test_state_dict_round_trip(self, kind, modalities):
        fusion, other, data = build(kind, modalities), build(kind, modalities, seed=5), batch(modalities)
        assert not same(fusion(*data), other(*data))
        other.load_state_dict(fusion.state_dict())
        assert same(fusion(*data), other(*data))

    def test_seed_decides_everything(self, kind, modalities):
        def train_pass(seed):
            fusion = build(kind, modalities, modality_dropout=0.4).train()
            torch.manual_seed(seed)
            return fusion(*batch(modalities))

        assert same(train_pass(11), train_pass(11)) and not same(train_pass(11), train_pass(12))


@every_kind
def test_order_of_the_mappings_does_not_matter(kind):
    fusion, (parts, present_BM) = build(kind), batch()
    assert same(fusion(parts, present_BM), fusion(dict(reversed(parts.items())), present_BM))


@every_kind
def test_modality_dropout_is_for_training_only(kind):
    fusion, (parts, _) = build(kind, dropout=0.0, modality_dropout=0.9, **_no_noise(kind)), batch()
    whole_BM = torch.ones(16, 3, dtype=torch.bool)
    evaluated = fusion(parts, whole_BM)
    assert same(evaluated, fusion(parts, whole_BM))
    trained = fusion.train()(parts, whole_BM)
    changed_B = (trained.h_BD - evaluated.h_BD).abs().amax(dim=1) > 1e-4
    assert changed_B.sum() > 10
    if kind == "late":
        used_BM = torch.stack([there_B for _, there_B in trained.own_logits.values()], dim=1)
        assert not used_BM.all() and used_BM[:, 0].all() and torch.equal(~used_BM.all(dim=1), changed_B)


def _no_noise(kind: str) -> dict:
    return {"noise": False} if kind in ROUTED else {}


def test_refuses_what_is_no_modality():
    fusion, (parts, present_BM) = build("concat"), batch()
    with pytest.raises(ValueError, match="one column for each of"):
        fusion(parts, present_BM[:, :2])
    with pytest.raises(ValueError, match="one to three of"):
        build("concat", ())


def kept(present_BM: torch.Tensor, rate: float) -> torch.Tensor:
    layer = ModalityDropout(rate, MODALITIES[: present_BM.shape[1]])
    layer.draws = Draws()
    layer.draws.begin([(0, "epoch", 0)], 1)
    return layer.kept(present_BM)


class TestDropModalities:
    whole_BM = torch.ones(20_000, 3, dtype=torch.bool)

    def test_rate_and_independence(self):
        left_BM = keep_modalities(self.whole_BM, kept(self.whole_BM, 0.3), MODALITIES)
        assert left_BM[:, 0].all()
        audio_B, video_B = ~left_BM[:, 1], ~left_BM[:, 2]
        assert abs(audio_B.float().mean() - 0.3) < 0.015 and abs(video_B.float().mean() - 0.3) < 0.015
        assert abs((audio_B & video_B).float().mean() - 0.09) < 0.01

    def test_never_all_of_a_row(self):
        """Two that can both go: a row that would lose both keeps both, so each goes at p - p^2."""
        pair_BM = self.whole_BM[:, :2]
        left_BM = keep_modalities(pair_BM, kept(pair_BM, 0.5), ("audio", "video"))
        assert left_BM.any(dim=1).all()
        assert torch.allclose((~left_BM).float().mean(dim=0), torch.tensor(0.25), atol=0.015)

    def test_adds_nothing_and_keeps_lone_ones(self):
        present_BM = torch.tensor(EVERY_PATTERN).repeat(500, 1)
        left_BM = keep_modalities(present_BM, kept(present_BM, 0.6), MODALITIES)
        assert not (left_BM & ~present_BM).any() and left_BM.any(dim=1).all()
        lone_B = present_BM.sum(dim=1) == 1
        assert torch.equal(left_BM[lone_B], present_BM[lone_B])
        assert torch.equal(present_BM, torch.tensor(EVERY_PATTERN).repeat(500, 1))

    def test_zero_draws_nothing(self):
        before = torch.get_rng_state()
        assert ModalityDropout(0.0, MODALITIES)(self.whole_BM) is self.whole_BM
        assert torch.equal(torch.get_rng_state(), before)
