"""The objectives the training loop sees: totals, state, the order of a step, EACL's two stages, the curriculum."""

import copy

import pytest
import torch
from pydantic import TypeAdapter

from mer.config import LossConfig
from mer.losses import Outputs, build_objective, curriculum_keep_probability
from mer.losses.classification import ClassificationLoss
from mer.losses.contrastive import angle_loss, decoupled_loss, prototype_contrastive_loss, supcon_loss

C, D, N = 7, 16, 24
COUNTS = torch.tensor([4710, 1743, 683, 1109, 268, 271, 1205])
KINDS = ["none", "supcon", "spcl", "apcl", "eacl"]


def configuration(kind, **options):
    return TypeAdapter(LossConfig).validate_python({"contrastive": {"kind": kind, **options}})


def build(kind, label_vectors=None, **options):
    return build_objective(configuration(kind, **options), width=D, counts_C=COUNTS, anchors_CD=label_vectors)


def batch(n=N, dtype=torch.float32):
    h = torch.randn(n, D).to(dtype).requires_grad_()
    logits = torch.randn(n, C).to(dtype).requires_grad_()
    anchors = torch.randn(C, D).to(dtype).requires_grad_()
    return Outputs(h, logits, anchors), torch.randint(C, (n,))


def reseeded(objective, outputs, y):
    torch.manual_seed(9)  # SPCL draws its supports
    return objective(outputs, y)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_totals_are_the_weighted_sums():
    outputs, y = batch()
    h, logits, anchors, *_ = outputs
    ce = ClassificationLoss(configuration("none").classification, COUNTS)(logits, y)
    total, parts = build("none")(outputs, y)
    assert total == ce and set(parts) == {"classification"}

    total, parts = build("supcon", weight=0.3)(outputs, y)
    torch.testing.assert_close(total, ce + 0.3 * supcon_loss(h, y, temperature=0.07))
    torch.testing.assert_close(parts["contrastive"], supcon_loss(h, y, temperature=0.07))

    apcl = build("apcl", weight=2.0, temperature=0.2, hinge=0.1, anchors="all")
    expected = decoupled_loss(h, y, apcl.prototypes.mu, temperature=0.2, hinge=0.1, anchors="all")
    torch.testing.assert_close(apcl(outputs, y)[0], ce + 2 * expected)

    spcl = build("spcl", weight=0.5, temperature=0.2, hinge=0.1, form="spdcl", support_size=4, pool_size=8)
    centers = torch.randn(C, D)
    spcl.start_epoch(centers)
    expected = prototype_contrastive_loss(h, y, centers, temperature=0.2, form="spdcl", hinge=0.1)
    torch.testing.assert_close(spcl(outputs, y)[0], ce + 0.5 * expected)

    eacl = build("eacl", ce_weight=0.2, angle_weight=0.3, temperature=0.4)
    mapper = eacl.eacl.mapper
    contrast = prototype_contrastive_loss(mapper(h), y, mapper(anchors), temperature=0.4, anchors="all")
    angle = angle_loss(mapper(anchors))
    total, parts = eacl(outputs, y)
    torch.testing.assert_close(total, 0.2 * ce + 0.8 * (contrast + 0.3 * angle))
    assert set(parts) == {"classification", "contrastive", "angle"}
    torch.testing.assert_close(parts["angle"], angle.detach())


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_detached_and_the_total_trains(kind):
    objective = build(kind)
    objective.start_epoch(torch.randn(C, D))
    outputs, y = batch()
    total, parts = objective(outputs, y)
    total.backward()
    assert total.shape == () and not any(part.requires_grad for part in parts.values())
    assert outputs.logits_NC.grad.any()
    assert (outputs.h_ND.grad is None) == (kind == "none")
    assert (outputs.anchors_CD.grad is not None) == (kind == "eacl")
    assert all(parameter.grad.any() for parameter in objective.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_changes_nothing(kind):
    objective = build(kind)
    objective.start_epoch(torch.randn(C, D))
    outputs, y = batch()
    full, _ = reseeded(objective, outputs, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, _ = reseeded(objective, outputs, y)
        scores = objective.anchor_scores(outputs) if kind == "eacl" else None
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, full, atol=1e-3, rtol=0)
    if scores is not None:
        torch.testing.assert_close(scores, objective.anchor_scores(outputs), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", [[4], [4, 4], [0, 5], [2] * 20], ids=str)
def test_steps_on_small_and_one_sided_batches(kind, labels):
    objective = build(kind, **({} if kind == "none" else {"temperature": 0.01}))
    y = torch.tensor(labels)
    for _ in range(3):
        objective.start_epoch(torch.randn(C, D))
        outputs, _ = batch(len(labels))
        total, _ = objective(outputs, y)
        total.backward()
        objective.after_step(outputs, y)
        assert total.isfinite() and outputs.logits_NC.grad.isfinite().all()
        assert outputs.h_ND.grad is None or outputs.h_ND.grad.isfinite().all()


def test_spcl_works_before_its_first_epoch():
    outputs, y = batch()
    total, _ = build("spcl")(outputs, y)
    total.backward()
    assert total.isfinite() and outputs.h_ND.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_outputs_are_accepted(kind):
    objective = build(kind)
    objective.start_epoch(torch.randn(C, D))
    outputs, y = batch(dtype=torch.bfloat16)
    total, _ = objective(outputs, y)
    total.backward()
    objective.after_step(outputs, y)
    assert total.dtype == torch.float32 and outputs.logits_NC.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_state_round_trips_and_goes_on_alike(kind):
    one, other = build(kind), build(kind)
    one.start_epoch(torch.randn(C, D))
    for _ in range(3):
        one.after_step(*batch())
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    centers = torch.randn(C, D)
    for each in (one, other):  # a state is taken between two epochs
        each.start_epoch(centers)
    outputs, y = batch()
    assert reseeded(one, outputs, y)[0] == reseeded(other, outputs, y)[0]
    for each in (one, other):
        torch.manual_seed(3)
        each.after_step(outputs, y)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_objective(kind):
    states = []
    for _ in range(2):
        torch.manual_seed(4)
        states.append(build(kind).state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_only_spcl_needs_centers():
    assert [build(kind).needs_centers for kind in KINDS] == [False, False, True, False, False]
    with pytest.raises(ValueError, match="starts an epoch from class centres"):
        build("spcl").start_epoch(None)
    for kind in ("none", "supcon", "apcl", "eacl"):
        build(kind).start_epoch(None)


def test_spcl_prototypes_exclude_the_current_batch():
    objective = build("spcl", pool_size=32, support_size=8)
    centers = torch.randn(C, D)
    objective.start_epoch(centers)
    outputs, y = batch()
    objective(outputs, y)
    assert objective.pools.count.tolist() == [1] * C, "a forward pass pushes nothing"
    torch.testing.assert_close(objective.pools.prototypes(8), centers)
    objective.after_step(outputs, y)
    assert torch.equal(objective.pools.count, 1 + torch.bincount(y, minlength=C))
    members = [row for c in range(C) for row in objective.pools.pool[c, 1 : objective.pools.count[c]]]
    assert torch.equal(torch.stack(members), outputs.h_ND[y.argsort(stable=True)])


def test_apcl_moves_once_per_step_and_only_then():
    objective = build("apcl")
    before = objective.prototypes.mu.clone()
    outputs, y = batch()
    total, _ = objective(outputs, y)
    assert torch.equal(objective.prototypes.mu, before)
    objective.after_step(outputs, y)
    assert not torch.equal(objective.prototypes.mu, before)
    total.backward()  # the step must not spoil a graph that is still wanted
    assert not objective.prototypes.mu.requires_grad


def test_apcl_from_label_vectors():
    with pytest.raises(ValueError, match="proto_init 'label_text' needs anchors_CD"):
        build("apcl", proto_init="label_text")
    labels = torch.randn(C, D)
    objective = build("apcl", label_vectors=labels, proto_init="label_text", orthogonalize="none")
    torch.testing.assert_close(objective.prototypes.mu, labels / labels.norm(dim=1, keepdim=True))


# --- EACL


def test_eacl_needs_its_label_words():
    outputs, y = batch()
    objective = build("eacl")
    for call in (lambda o: objective(o, y), objective.anchor_scores):
        with pytest.raises(ValueError, match=r"'eacl' needs Outputs.anchors_CD"):
            call(outputs._replace(anchors_CD=None))
    with pytest.raises(ValueError, match=r"set loss.contrastive.stage_two_epochs to 1 or more"):
        objective.begin_stage_two(outputs.anchors_CD)
    with pytest.raises(ValueError, match="has a stage two"):
        build("spcl").begin_stage_two(outputs.anchors_CD)
    with pytest.raises(ValueError, match="anchor scores need"):
        build("spcl").anchor_scores(outputs)


def test_eacl_anchor_scores_are_similarities_to_mapped_anchors():
    objective = build("eacl", temperature=0.5)
    outputs, _ = batch()
    mapper = objective.eacl.mapper
    scores = objective.anchor_scores(outputs)
    for i in range(N):
        for c in range(C):
            cosine = torch.cosine_similarity(mapper(outputs.h_ND[i]), mapper(outputs.anchors_CD[c]), dim=0)
            torch.testing.assert_close(scores[i, c], (1 + cosine) / 2 / 0.5, atol=1e-5, rtol=1e-5)


def test_stage_two_starts_where_stage_one_ended():
    objective = build("eacl", stage_two_epochs=2)
    outputs, _ = batch()
    assert objective.stage_two_epochs == 2 and not objective.eacl.adapted_anchors.any()
    before = objective.anchor_scores(outputs)
    objective.begin_stage_two(outputs.anchors_CD)
    assert objective.eacl.adapted_anchors.requires_grad
    torch.testing.assert_close(objective.anchor_scores(outputs), before)
    torch.testing.assert_close(objective.anchor_scores(outputs._replace(anchors_CD=None)), before)


def test_stage_two_trains_the_adapted_anchors_alone():
    objective = build("eacl", stage_two_epochs=1, temperature=0.3)
    outputs, y = batch()
    total, _ = objective(outputs, y)
    total.backward()
    assert objective.eacl.adapted_anchors.grad is None, "stage one leaves them alone"
    objective.zero_grad()
    objective.begin_stage_two(outputs.anchors_CD)

    outputs, y = batch()
    total, parts = objective(outputs, y)
    torch.testing.assert_close(total, torch.nn.functional.cross_entropy(objective.anchor_scores(outputs), y))
    assert set(parts) == {"adaptation"}
    total.backward()
    assert objective.eacl.adapted_anchors.grad.any()
    assert all(tensor.grad is None for tensor in (*outputs[:3], *objective.eacl.mapper.parameters()))

    optimizer = torch.optim.Adam(objective.parameter_groups()["anchors"], lr=0.01)
    first = total.item()
    for _ in range(20):
        optimizer.zero_grad()
        total, _ = objective(outputs, y)
        total.backward()
        optimizer.step()
    assert total.item() < first - 0.01


def test_stage_two_survives_a_checkpoint():
    one, other = build("eacl", stage_two_epochs=1), build("eacl", stage_two_epochs=1)
    outputs, y = batch()
    one.begin_stage_two(outputs.anchors_CD)
    other.load_state_dict(one.state_dict())
    assert other.eacl.in_stage_two
    assert torch.equal(one.anchor_scores(outputs), other.anchor_scores(outputs))
    assert one(outputs, y)[0] == other(outputs, y)[0]


@pytest.mark.parametrize("stage_two_epochs", [0, 1])
def test_every_parameter_is_in_one_group(stage_two_epochs):
    objective = build("eacl", stage_two_epochs=stage_two_epochs)
    groups = objective.parameter_groups()
    assert list(groups) == (["loss", "anchors"] if stage_two_epochs else ["loss"])
    grouped = [id(parameter) for group in groups.values() for parameter in group]
    assert sorted(grouped) == sorted(map(id, objective.parameters()))
    assert all(build(kind).parameter_groups() == {} and not list(build(kind).parameters()) for kind in KINDS[:-1])


# --- the curriculum


def test_curriculum_equals_the_literal_version():
    h, y, centers = torch.randn(9, D), torch.randint(C, (9,)), torch.randn(C, D)

    def distance(u, v):
        return ((1 - torch.cosine_similarity(u, v, dim=0)) / 2).item()

    difficulty = [distance(h[i], centers[y[i]]) / sum(distance(h[i], c) for c in centers) for i in range(9)]
    ranked = sorted(range(9), key=difficulty.__getitem__)
    for epoch in range(4):
        start, end = 1 - epoch / 4, epoch / 4
        expected = torch.zeros(9)
        for rank, i in enumerate(ranked):
            expected[i] = start + (end - start) * rank / 8
        torch.testing.assert_close(curriculum_keep_probability(h, y, centers, epoch, 4), expected)
        assert expected.mean().item() == pytest.approx(0.5)  # both arms of a comparison see the same amount of data


def test_curriculum_at_its_ends():
    h, centers = torch.randn(1, D), torch.randn(C, D)
    assert curriculum_keep_probability(h, torch.tensor([3]), centers, 0, 5).tolist() == [1.0]
    assert curriculum_keep_probability(h[:0], torch.tensor([], dtype=torch.int64), centers, 0, 5).shape == (0,)
    same = curriculum_keep_probability(h.repeat(4, 1), torch.zeros(4, dtype=torch.int64), h.repeat(C, 1), 4, 5)
    assert same.isfinite().all() and same.min() >= 0 and same.max() <= 1
    first = curriculum_keep_probability(centers, torch.arange(C), centers, 0, 5)
    assert first.max() == 1.0 and first.min() == 0.0
    for epoch in (-1, 5):
        with pytest.raises(ValueError, match=r"epoch must be in \[0, 5\)"):
            curriculum_keep_probability(h, torch.tensor([3]), centers, epoch, 5)
