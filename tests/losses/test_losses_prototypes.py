"""SPCL's pools and APCL's adaptive prototypes (methods 1.2, 2.3, 12)."""

import copy

import pytest
import torch

from mer.losses.prototypes import AdaptivePrototypes, ClassPools

C, D = 7, 16


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# --- pools


def test_pools_keep_no_graph():
    pools, y = ClassPools(C, 8, D), torch.arange(C)
    pools.reset(torch.randn(C, D, requires_grad=True))
    pools.push(torch.randn(C, D, requires_grad=True), y)
    assert not any(buffer.requires_grad for buffer in pools.buffers())
    assert not pools.prototypes(4).requires_grad


def test_pools_hold_what_was_pushed_with_that_class():
    """A long random life: every member carries its class and a serial number, and the whole row is checked."""
    pools = ClassPools(C, 8, 3)
    centers = torch.stack([torch.arange(C).float(), torch.full((C,), -1.0), torch.arange(C).float() / 8], dim=1)
    pools.reset(centers)
    pushed = {c: {tuple(centers[c].tolist())} for c in range(C)}
    serial = 0
    for step in range(60):
        n = int(torch.randint(1, 24, ()))  # more than a pool can hold, at times
        y = torch.randint(C - 1, (n,)) if step % 3 else torch.full((n,), step % C)
        y[y == 6] = 5  # class 6 never comes
        h = torch.stack([y.float(), torch.arange(serial, serial + n).float(), y.float() / 8], dim=1)
        serial += n
        before = [set(map(tuple, pool[:k].tolist())) for pool, k in zip(pools.pool, pools.count.tolist(), strict=True)]
        pools.push(h, y)
        for c in range(C):
            new = {tuple(row) for row in h[y == c].tolist()}
            pushed[c] |= new
            count = int(pools.count[c])
            members = {tuple(row) for row in pools.pool[c, :count].tolist()}
            assert len(members) == count == min(8, len(before[c]) + len(new)), "no duplicate, no gap, no loss"
            assert members <= pushed[c] and members <= before[c] | new
    assert pools.count.tolist() == [8] * 6 + [1]
    assert pools.pool.shape == (C, 8, 3)


@pytest.mark.parametrize("new", [1, 3, 9])
def test_eviction_is_uniform(new):
    """Each of old and new stays with the same probability, and so does each pair."""
    size, num_classes, rounds = 4, 50, 80  # classes are independent repeats
    members, label = torch.eye(size + new), torch.arange(num_classes)
    stays = []
    for _ in range(rounds):
        pools = ClassPools(num_classes, size, size + new)
        pools.push(members[:size].repeat(num_classes, 1), label.repeat_interleave(size))
        pools.push(members[size:].repeat(num_classes, 1), label.repeat_interleave(new))
        stays.append(pools.pool.sum(1))
    stays = torch.cat(stays)
    runs = len(stays)
    assert torch.equal(stays.sum(1), torch.full((runs,), float(size)))
    p = size / (size + new)
    z = (stays.mean(0) - p) / (p * (1 - p) / runs) ** 0.5
    assert z.abs().max() < 4, "a member's chance to stay depends on its place"
    pairs = (stays.T @ stays / runs)[~torch.eye(size + new, dtype=torch.bool)]
    q = p * (size - 1) / (size + new - 1)
    assert ((pairs - q) / (q * (1 - q) / runs) ** 0.5).abs().max() < 4.5


def test_prototype_is_the_mean_of_a_uniform_sample_without_replacement():
    pools = ClassPools(2, 6, 6)
    pools.push(torch.eye(6), torch.ones(6, dtype=torch.int64))
    runs = 3000
    draws = torch.stack([pools.prototypes(4)[1] for _ in range(runs)]) * 4
    assert torch.equal(draws.unique(), torch.tensor([0.0, 1.0])) and torch.equal(draws.sum(1), torch.full((runs,), 4.0))
    z = (draws.mean(0) - 4 / 6) / (4 / 6 * 2 / 6 / runs) ** 0.5
    assert z.abs().max() < 4


@pytest.mark.parametrize("small_pool", ["available", "center"])
def test_small_pool_uses_what_is_there_or_the_center(small_pool):
    pools = ClassPools(3, 8, D)
    centers = torch.randn(3, D)
    pools.reset(centers)
    h = torch.randn(7, D)
    pools.push(h, torch.tensor([0, 0, 1, 1, 1, 1, 1]))
    prototypes = pools.prototypes(4, small_pool)
    few = torch.stack([centers[0], h[0], h[1]]).mean(0)
    torch.testing.assert_close(prototypes[0], few if small_pool == "available" else centers[0])
    torch.testing.assert_close(prototypes[2], centers[2])
    assert not torch.allclose(prototypes[1], centers[1])  # 6 members: a mean of 4 of them either way
    full = torch.cat([centers[1:2], h[2:]]).mean(0)
    torch.testing.assert_close(pools.prototypes(6, small_pool)[1], full)


def test_empty_pools_give_the_center():
    pools = ClassPools(3, 8, D)
    assert torch.equal(pools.prototypes(4), torch.zeros(3, D))


def test_reset_forgets_everything_but_the_new_center():
    pools = ClassPools(3, 8, D)
    pools.push(torch.randn(40, D), torch.randint(3, (40,)))
    centers = torch.randn(3, D)
    pools.reset(centers)
    centers_before = centers.clone()
    assert pools.count.tolist() == [1, 1, 1]
    torch.testing.assert_close(pools.prototypes(8), centers)
    pools.push(torch.randn(40, D), torch.randint(3, (40,)))
    assert torch.equal(centers, centers_before) and torch.equal(pools.center, centers_before), "writes stay inside"


def test_support_larger_than_the_pool_is_refused():
    with pytest.raises(ValueError, match="support_size must be at most pool_size, got 9 with 8"):
        ClassPools(3, 8, D).prototypes(9)


def test_pools_keep_no_graph_and_store_fp32():
    pools = ClassPools(C, 8, D)
    h = torch.randn(5, D, requires_grad=True)
    pools.push(h, torch.arange(5))
    pools.push(h.bfloat16(), torch.arange(5))
    assert not pools.pool.requires_grad and pools.pool.dtype == torch.float32
    assert not pools.prototypes(2).requires_grad


def test_pools_are_not_saved_and_those_of_older_checkpoints_are_passed_over():
    pools = ClassPools(C, 8, D)
    assert pools.state_dict() == {}
    pools.load_state_dict({"pool": torch.ones(C, 4, D), "count": torch.ones(C), "center": torch.ones(C, D)})
    assert not pools.pool.any() and pools.pool.shape == (C, 8, D)


# --- adaptive prototypes


def adaptive(width=D, **options):
    return AdaptivePrototypes(C, width, **{"beta": 0.1, "gamma": 0.1, **options})


def departure(mu):
    return (mu @ mu.T - torch.eye(len(mu))).norm().item()


def literal_update(mu, momentum, h, y, beta, gamma, how):
    mu, momentum = mu.clone(), momentum.clone()
    moved = mu.clone()
    for c in set(y.tolist()):
        rows = [row / row.norm() for row, label in zip(h, y.tolist(), strict=True) if label == c]
        momentum[c] = gamma * momentum[c] + beta * (sum(rows) / len(rows) - mu[c])
        moved[c] = mu[c] + momentum[c]
    if how == "polar":  # (M M')^-1/2 M
        values, vectors = torch.linalg.eigh(moved @ moved.T)
        mu = vectors @ torch.diag(values**-0.5) @ vectors.T @ moved
    elif how == "qr_signed":  # Gram-Schmidt, whose signs are those of the rows
        for c in range(len(mu)):
            row = moved[c] - sum(((moved[c] @ mu[k]) * mu[k] for k in range(c)), torch.zeros_like(moved[c]))
            mu[c] = row / row.norm()
    else:
        mu = torch.stack([row / row.norm() for row in moved])
    return mu, momentum


@pytest.mark.parametrize("how", ["polar", "qr_signed", "none"])
def test_update_equals_the_literal_version(how):
    prototypes = adaptive(beta=0.3, gamma=0.5, orthogonalize=how)
    mu, momentum = prototypes.mu.double(), prototypes.momentum.double()
    for _ in range(5):
        h, y = 15 * torch.randn(12, D), torch.randint(C, (12,))
        prototypes.update(h, y)
        mu, momentum = literal_update(mu, momentum, h.double(), y, 0.3, 0.5, how)
    torch.testing.assert_close(prototypes.mu.double(), mu, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(prototypes.momentum.double(), momentum, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("how", ["polar", "qr_signed"])
def test_rows_stay_orthonormal(how):
    prototypes = adaptive(orthogonalize=how, gamma=0.9)
    for _ in range(1000):
        prototypes.update(torch.randn(8, D) * 20, torch.randint(C, (8,)))
    assert departure(prototypes.mu) < 1e-5
    assert prototypes.seen.min() > 500 and prototypes.seen.max() <= 1000


@pytest.mark.parametrize("how", ["polar", "qr_signed", "none"])
@pytest.mark.parametrize("width", [D, 256])
def test_converges_to_orthogonal_class_means(how, width):
    prototypes = adaptive(width, orthogonalize=how)
    means = torch.nn.init.orthogonal_(torch.empty(C, width))
    for _ in range(60):
        prototypes.update(15 * means, torch.arange(C))
    assert (prototypes.mu * means).sum(1).min() > 0.99


def test_order_of_samples_does_not_matter():
    one = adaptive()
    other = copy.deepcopy(one)
    for _ in range(20):
        h, y = torch.randn(32, D), torch.randint(C, (32,))
        order = torch.randperm(32)
        one.update(h, y)
        other.update(h[order], y[order])
    torch.testing.assert_close(one.mu, other.mu, atol=1e-5, rtol=0)


def test_absent_class_does_not_move_without_projection():
    prototypes = adaptive(orthogonalize="none")
    prototypes.update(torch.randn(28, D), torch.arange(28) % C)  # momentum in every class
    before = copy.deepcopy(prototypes)
    prototypes.update(torch.randn(12, D), torch.arange(12) % (C - 1))
    torch.testing.assert_close(prototypes.mu[6], before.mu[6], atol=1e-7, rtol=0)
    assert torch.equal(prototypes.momentum[6], before.momentum[6])
    assert (prototypes.mu[:6] - before.mu[:6]).abs().amax(1).min() > 1e-3
    assert (prototypes.seen - before.seen).tolist() == [1] * 6 + [0]


@pytest.mark.parametrize("how", ["polar", "qr_signed"])
def test_ill_defined_projection_is_skipped(how):
    prototypes = adaptive(beta=1.0, gamma=0.0, orthogonalize=how)  # mu + momentum = class means at once
    h = torch.nn.init.orthogonal_(torch.empty(C, D))
    h[1] = h[0]
    prototypes.update(h, torch.arange(C))
    torch.testing.assert_close(prototypes.mu, h, atol=1e-6, rtol=0)
    prototypes.update(torch.nn.init.orthogonal_(torch.empty(C, D)), torch.arange(C))
    assert departure(prototypes.mu) < 1e-5, "the next good step mends it"


def test_start_is_orthonormal_and_follows_the_seed():
    starts = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        starts.append(adaptive().mu)
    assert departure(starts[0]) < 1e-5
    assert torch.equal(starts[0], starts[1]) and not torch.allclose(starts[0], starts[2])


def test_start_from_label_vectors():
    labels = torch.randn(C, D) + 2 * torch.randn(D)  # similar to each other, as word vectors are
    polar = adaptive(init_CD=labels).mu
    assert departure(polar) < 1e-5
    unit = labels / labels.norm(dim=1, keepdim=True)
    values, vectors = torch.linalg.eigh((unit @ unit.T).double())
    nearest = vectors @ torch.diag(values**-0.5) @ vectors.T @ unit.double()
    torch.testing.assert_close(polar, nearest.float(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(adaptive(init_CD=labels, orthogonalize="qr_signed").mu, polar)
    torch.testing.assert_close(adaptive(init_CD=labels, orthogonalize="none").mu, unit)


def test_faults_are_named():
    with pytest.raises(ValueError, match="7 orthonormal prototypes need features at least 7 wide, got 6"):
        adaptive(6)
    assert adaptive(6, orthogonalize="none").mu.norm(dim=1).allclose(torch.ones(C))
    with pytest.raises(ValueError, match=r"label vectors must be \(7, 16\) \(C, D\), got \(7, 12\)"):
        adaptive(init_CD=torch.randn(C, 12))


def test_no_gradient_and_no_autocast_reach_mu():
    prototypes = adaptive()
    other = copy.deepcopy(prototypes)
    h, y = torch.randn(32, D, requires_grad=True), torch.randint(C, (32,))
    prototypes.update(h, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        other.update(h, y)
    assert not prototypes.mu.requires_grad and not list(prototypes.parameters())
    torch.testing.assert_close(other.mu, prototypes.mu, atol=1e-6, rtol=0)
    assert departure(other.mu) < 1e-5


def test_adaptive_prototypes_round_trip():
    one, other = adaptive(), adaptive()
    for _ in range(3):
        one.update(torch.randn(32, D), torch.randint(C, (32,)))
    other.load_state_dict(one.state_dict())
    h, y = torch.randn(32, D), torch.randint(C, (32,))
    one.update(h, y)
    other.update(h, y)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert set(one.state_dict()) == {"mu", "momentum", "seen"}
