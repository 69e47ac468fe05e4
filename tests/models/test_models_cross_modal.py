"""The contrast between modalities against CLIP's loss as public code computes it, with rows absent, and in a model."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mer.config import CrossModalConfig, HeadConfig, TrialConfig, nest
from mer.models.cross_modal import CrossModal
from mer.models.fused import FusedClassifier
from mer.training import FusedBatch

ROWS, WIDTH = 20, 6


def clip_loss(image_features: Tensor, text_features: Tensor, logit_scale: float) -> Tensor:
    """openai/CLIP, model.py and the pseudocode of the paper: normalise, scale, cross-entropy of rows and of columns."""
    image_features = image_features / image_features.norm(dim=1, keepdim=True)
    text_features = text_features / text_features.norm(dim=1, keepdim=True)
    logits_per_image = logit_scale * image_features @ text_features.t()
    labels = torch.arange(len(logits_per_image))
    return (F.cross_entropy(logits_per_image, labels) + F.cross_entropy(logits_per_image.t(), labels)) / 2


def contrast(temperature: float = 0.1) -> CrossModal:
    return CrossModal(CrossModalConfig(weight=1.0, temperature=temperature))


@pytest.mark.parametrize("modalities", [("text", "audio"), ("text", "audio", "video")])
def test_value_and_gradient_are_clips_over_the_rows_that_have_both(modalities: tuple[str, ...]):
    torch.manual_seed(0)
    parts = {m: torch.randn(ROWS, WIDTH, dtype=torch.float64, requires_grad=True) for m in modalities}
    there = torch.rand(ROWS, len(modalities)) > 0.3
    loss, compared = contrast()(parts, there)
    expected = []
    for a, b in combinations(range(len(modalities)), 2):
        both = there[:, a] & there[:, b]
        assert both.sum() > 2
        expected.append(clip_loss(parts[modalities[a]][both], parts[modalities[b]][both], 10.0))
    torch.testing.assert_close(loss, torch.stack(expected).mean(), rtol=1e-6, atol=1e-9)
    mine = torch.autograd.grad(loss, list(parts.values()), retain_graph=True)
    theirs = torch.autograd.grad(torch.stack(expected).mean(), list(parts.values()))
    for own, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-9)
    assert bool(compared)


def test_one_row_and_none_are_compared_with_nothing():
    parts = {m: torch.randn(3, WIDTH, requires_grad=True) for m in ("text", "audio")}
    for count in (0, 1):
        there = torch.zeros(3, 2, dtype=torch.bool)
        there[:count] = True
        loss, compared = contrast()(parts, there)
        loss.backward()
        assert loss.item() == pytest.approx(0.0, abs=1e-6) and not compared


def test_members_have_their_own_temperature():
    module, parts = contrast(), {m: torch.randn(2, ROWS, WIDTH) for m in ("text", "audio")}
    module.temperature = torch.tensor([0.1, 0.5])
    there = torch.ones(2, ROWS, 2, dtype=torch.bool)
    told = module(parts, there)[0]
    for member, temperature in enumerate((0.1, 0.5)):
        own = {m: part[member] for m, part in parts.items()}
        torch.testing.assert_close(told[member], contrast(temperature)(own, there[member])[0])


def model(weight: float = 1.0) -> FusedClassifier:
    config = TrialConfig.model_validate(nest({
        "encoders": {"text": {}, "audio": {}}, "fusion.kind": "self_attention", "fusion.width": 8, "fusion.heads": 2,
        "loss.cross_modal.weight": weight,
    }))  # fmt: skip
    torch.manual_seed(0)
    assert config.fusion is not None
    sizes = {"layers": {"text": 1, "audio": 1}, "width": {"text": 6, "audio": 5}}
    return FusedClassifier(HeadConfig(hidden=0, input_norm="none"), config.fusion, config.dialogue, **sizes, classes=3,
                           cross_modal=config.loss.cross_modal)  # fmt: skip


def batch(rubbish: float = 0.0) -> FusedBatch:
    present = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1], [0, 0], [1, 1]], dtype=torch.bool)
    random = torch.Generator().manual_seed(1)
    parts = {"text": torch.randn(6, 1, 6, generator=random), "audio": torch.randn(6, 1, 5, generator=random)}
    for column, part in enumerate(parts.values()):
        part[~present[:, column]] = rubbish
    return FusedBatch(parts, present)


def test_in_a_model_it_is_a_loss_of_training_alone_and_shapes_what_is_fused():
    one = model().train()
    one(batch())
    losses, shown = one.auxiliary(torch.zeros(6, dtype=torch.long))
    assert set(losses) == {"cross_modal"} and shown["loss_cross_modal"].item() == pytest.approx(
        losses["cross_modal"].item()
    )
    losses["cross_modal"].backward()
    reached = {name for name, weight in one.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert reached == {f"meeting.{m}.0.{kind}" for m in ("text", "audio") for kind in ("weight", "bias")}
    one.eval()
    h, logits = one(batch())
    assert one.auxiliary(torch.zeros(6, dtype=torch.long))[0] == {}
    again, _ = one(batch(rubbish=torch.nan))
    assert torch.equal(h, again) and logits.isfinite().all(), "what an absent row holds is not read"
    counted = torch.tensor([True, True, True, True, True, False])
    told = []
    for some in (batch(), batch()._replace(counted_B=counted)):
        two = model().train()
        two(some)
        told.append(two.auxiliary(torch.zeros(6, dtype=torch.long))[0]["cross_modal"].item())
    assert told[0] != pytest.approx(told[1]), "a row that only fills the batch is contrasted with nothing"


def test_without_it_the_model_is_as_before():
    plain = model(0.0)
    assert not any(name.startswith(("meeting", "cross_modal")) for name in plain.state_dict())
    assert not any(name.startswith("cross_modal") for name in model().state_dict()), "it has no weights of its own"
