"""Contrastive losses against literal loops over anchors and points, and at the edges (methods 1.3, 2.3, 2.4, 3.4)."""

import math

import pytest
import torch

from mer.losses.contrastive import angle_loss, decoupled_loss, prototype_contrastive_loss, supcon_loss

C, D = 7, 24


def literal_cosine(u, v):
    return (u * v).sum() / (u.norm() * v.norm())


def literal_supcon(h, y, temperature):
    losses = []
    for i in range(len(y)):
        others = [j for j in range(len(y)) if j != i]
        positives = [j for j in others if y[j] == y[i]]
        if positives:
            total = torch.log(sum(torch.exp(literal_cosine(h[i], h[j]) / temperature) for j in others))
            terms = [literal_cosine(h[i], h[j]) / temperature - total for j in positives]
            losses.append(-sum(terms) / len(positives))
    return sum(losses) / len(losses)


def literal_anchor_losses(h, y, prototypes, temperature, form, anchors):
    points, labels = [*h, *prototypes], [*y.tolist(), *range(len(prototypes))]
    losses = []
    for i in range(len(points) if anchors == "all" else len(h)):

        def s(j, i=i):
            return (1 + literal_cosine(points[i], points[j])) / 2 / temperature

        positives = [j for j in range(len(points)) if labels[j] == labels[i] and j != i]
        negatives = [j for j in range(len(points)) if labels[j] != labels[i]]
        if not positives:
            continue
        attract, repel = sum(torch.exp(s(j)) for j in positives), sum(torch.exp(s(j)) for j in negatives)
        if form == "spcl":
            losses.append(-torch.log(attract / (attract + repel)))
        else:
            losses.append(-sum(s(j) for j in positives) / len(positives) + torch.log(repel))
    return losses


def literal_spcl(h, y, prototypes, temperature, form="spcl", anchors="batch", hinge=0.0):
    losses = literal_anchor_losses(h, y, prototypes, temperature, form, anchors)
    kept = [loss for loss in losses if loss > hinge]
    return sum(kept) / len(kept)


def literal_decoupled(h, y, prototypes, temperature, anchors="batch", hinge=0.0):
    losses = literal_anchor_losses(h, y, prototypes.detach(), temperature, "spdcl", anchors)
    return sum(max(loss - hinge, loss * 0) for loss in losses) / len(losses)


def clustered(n, seed=0, spread=1.0, dtype=torch.float32):
    """Features around class directions, labels (class 6 absent), and prototypes near the directions."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(C, D, generator=generator, dtype=torch.float64)
    y = torch.randint(C - 1, (n,), generator=generator)
    h = directions[y] + spread * torch.randn(n, D, generator=generator, dtype=torch.float64)
    prototypes = 3 * directions + torch.randn(C, D, generator=generator, dtype=torch.float64)
    return h.to(dtype).requires_grad_(), y, prototypes.to(dtype).requires_grad_()


def assert_same(fast, slow, *leaves):
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)
    for grads in zip(*(torch.autograd.grad(loss, leaves, retain_graph=True) for loss in (fast, slow)), strict=True):
        assert grads[1].abs().max() > 1e-4  # a comparison of zeros would prove nothing
        torch.testing.assert_close(*grads, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_supcon_equals_the_loop(temperature):
    h, y, _ = clustered(14)
    assert_same(supcon_loss(h, y, temperature=temperature), literal_supcon(h, y, temperature), h)


@pytest.mark.parametrize("anchors", ["batch", "all"])
@pytest.mark.parametrize("form", ["spcl", "spdcl"])
@pytest.mark.parametrize("hinge", [0.0, 1.0])
def test_spcl_equals_the_loop(form, anchors, hinge):
    h, y, prototypes = clustered(12, spread=2.0)
    options = {"temperature": 0.1, "form": form, "anchors": anchors, "hinge": hinge}
    fast = prototype_contrastive_loss(h, y, prototypes, **options)
    slow = literal_spcl(h, y, prototypes, **options)
    assert_same(fast, slow, h, prototypes)


@pytest.mark.parametrize("anchors", ["batch", "all"])
@pytest.mark.parametrize("hinge", [0.0, 1.0])
def test_apcl_equals_the_loop(anchors, hinge):
    h, y, prototypes = clustered(12, spread=2.0)
    options = {"temperature": 0.1, "anchors": anchors, "hinge": hinge}
    fast = decoupled_loss(h, y, prototypes, **options)
    assert_same(fast, literal_decoupled(h, y, prototypes, **options), h)
    assert torch.autograd.grad(fast, prototypes, allow_unused=True) == (None,)


def test_hinge_of_spcl_leaves_out_and_hinge_of_apcl_subtracts():
    h, y, prototypes = clustered(12, spread=2.0)
    for form in ("spcl", "spdcl"):
        losses = torch.stack(literal_anchor_losses(h, y, prototypes, 0.1, form, "batch")).detach()
        hinge = losses.sort().values[5:7].mean().item()  # between two anchors
        assert (losses <= hinge).sum() == 6
        kept = prototype_contrastive_loss(h, y, prototypes, temperature=0.1, form=form, hinge=hinge)
        assert kept.item() == pytest.approx(losses[losses > hinge].mean().item(), rel=1e-4)
    subtracted = decoupled_loss(h, y, prototypes, temperature=0.1, hinge=hinge)
    assert subtracted.item() == pytest.approx((losses - hinge).clamp(min=0).mean().item(), rel=1e-4)
    nothing = prototype_contrastive_loss(h, y, prototypes, temperature=0.1, hinge=1e6)
    assert nothing.item() == 0 and not torch.autograd.grad(nothing, h)[0].any()


def test_hinge_zero_of_spcl_leaves_out_no_anchor():
    directions = torch.eye(3)
    h = torch.cat([directions[:2], directions[:1] + directions[1:2]])  # two perfect rows and one torn one
    y = torch.tensor([0, 1, 0])
    fast = prototype_contrastive_loss(h, y, directions, temperature=0.02)
    exact = literal_anchor_losses(h.double(), y, directions.double(), 0.02, "spcl", "batch")
    assert min(exact) < 1e-6  # would round to 0 as a difference of two sums, and leave the mean
    assert fast.item() == pytest.approx((sum(exact) / 3).item(), rel=1e-5)


def test_without_a_hinge_only_losses_above_zero_are_in_the_mean():
    h, y, prototypes = clustered(12, spread=1.0)
    losses = torch.stack(literal_anchor_losses(h, y, prototypes, 0.1, "spdcl", "batch")).detach()
    assert (losses > 0).sum() == 4 and ((losses > -1) & (losses < 0)).any()
    kept = prototype_contrastive_loss(h, y, prototypes, temperature=0.1, form="spdcl")
    assert kept.item() == pytest.approx(losses[losses > 0].mean().item(), rel=1e-4)
    cut = decoupled_loss(h, y, prototypes, temperature=0.1)
    assert cut.item() == pytest.approx(losses.clamp(min=0).mean().item(), rel=1e-4)


LOSSES = {
    "supcon": lambda h, y, p, t: supcon_loss(h, y, temperature=t),
    "spcl": lambda h, y, p, t: prototype_contrastive_loss(h, y, p, temperature=t),
    "spdcl": lambda h, y, p, t: prototype_contrastive_loss(h, y, p, temperature=t, form="spdcl"),
    "spcl_all": lambda h, y, p, t: prototype_contrastive_loss(h, y, p, temperature=t, anchors="all"),
    "apcl": lambda h, y, p, t: decoupled_loss(h, y, p, temperature=t),
    "apcl_all": lambda h, y, p, t: decoupled_loss(h, y, p, temperature=t, anchors="all"),
    "angle": lambda h, y, p, t: angle_loss(h[:C]) + angle_loss(p),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_autocast_changes_nothing(loss):
    h, y, prototypes = clustered(16)
    full = loss(h, y, prototypes, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (h @ h.T).dtype == torch.bfloat16
        mixed = loss(h, y, prototypes, 0.05)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, full, atol=1e-3, rtol=0)
    torch.testing.assert_close(*(torch.autograd.grad(x, h)[0] for x in (mixed, full)), atol=1e-3, rtol=0)
    assert loss(h.bfloat16(), y, prototypes.bfloat16(), 0.05).dtype == torch.float32


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"angle"}))
@pytest.mark.parametrize("temperature", [0.01, 0.5])
@pytest.mark.parametrize("labels", [[0, 1, 1, 2, 5, 5, 5], [3] * 7, [0, 1, 2, 3, 4, 5, 6]], ids=str)
def test_finite_on_odd_batches(name, temperature, labels):
    torch.manual_seed(1)
    h = torch.randn(len(labels), D)
    h[-1] = h[0]
    h[1] = 0.0  # a dead row: no direction
    h.requires_grad_()
    value = LOSSES[name](h, torch.tensor(labels), torch.randn(C, D), temperature)
    (grad,) = torch.autograd.grad(value, h)
    assert value.isfinite() and grad.isfinite().all()
    assert grad.abs().max() < 1e4 and not grad[1].any()


@pytest.mark.parametrize("name", ["supcon", "spcl", "spdcl", "spcl_all", "apcl", "apcl_all"])
@pytest.mark.parametrize("labels", [[2], [2, 2], [2, 3]], ids=str)
def test_finite_on_one_and_two_rows(name, labels):
    h, _, prototypes = clustered(len(labels))
    value = LOSSES[name](h, torch.tensor(labels), prototypes, 0.01)
    (grad,) = torch.autograd.grad(value, h)
    assert value.isfinite() and grad.isfinite().all()


@pytest.mark.parametrize("n", [1, 3])
def test_supcon_without_positives_is_a_zero_attached_to_the_graph(n):
    h, _, _ = clustered(n)
    loss = supcon_loss(h, torch.arange(n), temperature=0.01)
    assert loss.item() == 0.0 and loss.requires_grad
    assert torch.equal(torch.autograd.grad(loss, h)[0], torch.zeros(n, D))


def test_prototypes_without_a_positive_are_no_anchors():
    h, y, prototypes = clustered(10)
    losses = literal_anchor_losses(h, y, prototypes, 0.1, "spcl", "all")
    assert len(losses) == 10 + len(set(y.tolist())) < 10 + C


@pytest.mark.parametrize("name", ["spcl", "spdcl", "apcl"])
def test_nan_features_are_not_hidden(name):
    h, y, prototypes = clustered(6)
    h = h.detach().clone()
    h[2] = torch.nan
    assert LOSSES[name](h, y, prototypes, 0.1).isnan()


def simplex(n):
    return torch.eye(n) - 1 / n


def literal_angle(anchors):
    centre = sum(anchors) / len(anchors)
    angles = []
    for i in range(len(anchors)):
        cosines = [literal_cosine(anchors[i] - centre, anchors[j] - centre) for j in range(len(anchors)) if j != i]
        angles.append(torch.arccos(max(cosines)))
    return -sum(angles) / len(angles)


def test_angle_equals_the_loop():
    torch.manual_seed(2)
    anchors = torch.randn(C, D, requires_grad=True)
    assert_same(angle_loss(anchors), literal_angle(anchors), anchors)


def test_angle_is_lowest_at_the_simplex():
    best = -math.acos(-1 / 6)
    assert math.degrees(-best) == pytest.approx(99.6, abs=0.01)
    anchors = simplex(7) * 5 + 3  # neither scale nor place matters
    assert angle_loss(anchors).item() == pytest.approx(best, abs=1e-5)
    torch.manual_seed(0)
    for _ in range(5):
        assert angle_loss(anchors + 0.3 * torch.randn(7, 7)).item() > best


def test_angle_loss_has_a_finite_gradient_for_identical_anchors():
    for anchors in (torch.ones(C, D), torch.cat([torch.randn(5, D), torch.ones(2, D)])):
        anchors.requires_grad_()
        loss = angle_loss(anchors)
        (grad,) = torch.autograd.grad(loss, anchors)
        assert loss.isfinite() and grad.isfinite().all()


def test_angle_loss_pushes_nearly_identical_anchors_apart():
    torch.manual_seed(0)
    anchors = torch.randn(C, D)
    anchors[1] = anchors[0] + 1e-3 * torch.randn(D)  # closer than the value is bounded
    anchors.requires_grad_()
    (grad,) = torch.autograd.grad(angle_loss(anchors), anchors)
    gap = (anchors[0] - anchors[1]).detach()
    assert torch.dot(-grad[0] + grad[1], gap) > 0
    assert grad[:2].norm() > 0.01
