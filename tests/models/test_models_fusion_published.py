"""Mean, TFN, MISA, routed experts, MulT and Self-MM equal slow literal versions: row by row, head by head, no masks."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from fusion_cases import WIDTH, WIDTHS, batch, build, every_subset
from test_models_fusion_formulas import attend, close, layer_norm, linear, rows, token
from torch import Tensor

from mer.models.fusion import MODALITIES
from mer.models.fusion.subspace_losses import difference, discrepancy, reconstruction
from mer.models.fusion.unaligned import places
from mer.models.states import States


def gelu(x: Tensor) -> Tensor:
    return torch.tensor([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])


@every_subset
@torch.no_grad()
def test_mean_is_the_mean_of_what_is_there(modalities):
    fusion, (parts, present_BM) = build("mean", modalities), batch(modalities)
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        said = [gelu(token(fusion.tokens.inputs, m, x[m], True)) for m in modalities if there[m]]
        expected.append(sum(said) / len(said))
    close(fusion(parts, present_BM).h_BD, expected)


@every_subset
@torch.no_grad()
def test_tfn_is_a_linear_layer_on_every_product(modalities):
    """The published tensor: for every choice of one number of [1; x_m] of each modality, their product."""
    fusion, (parts, present_BM) = build("tfn", modalities), batch(modalities)
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        factors = [
            [1.0, *(gelu(token(fusion.reduce.inputs, m, x[m], True)).tolist() if there[m] else [0.0] * 3)]
            for m in modalities
        ]
        products = [math.prod(numbers) for numbers in itertools.product(*factors)]
        expected.append(linear(fusion.out, torch.tensor(products)))
    close(fusion(parts, present_BM).h_BD, expected)


@every_subset
@torch.no_grad()
def test_every_modality_has_a_router(modalities):
    fusion, (parts, present_BM) = build("moe", modalities, experts=3, top_k=2), batch(modalities)
    own = dict(zip(modalities, fusion.router.gate.weight.split(WIDTH, dim=1), strict=True))
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        tokens = {m: token(fusion.tokens.inputs, m, x[m], there[m]) for m in modalities}
        logits = sum(own[m] @ tokens[m] for m in modalities if there[m]).tolist()
        best = sorted(range(3), key=lambda e: -logits[e])[:2]
        total = sum(math.exp(logits[e]) for e in best)
        out = torch.zeros(WIDTH)
        for e in best:
            first, _, _, second = fusion.experts[e]
            hidden = gelu(linear(first, torch.cat([tokens[m] for m in modalities])))
            out += math.exp(logits[e]) / total * linear(second, hidden)
        expected.append(out)
    close(fusion(parts, present_BM).h_BD, expected)


# -- MISA ----------------------------------------------------------------------------------------------------------


def pre_norm_layer(layer: Any, tokens: list[Tensor]) -> list[Tensor]:
    normed = [layer_norm(layer.norm, x) for x in tokens]
    met = [x + attend(layer.attention, own, normed) for x, own in zip(tokens, normed, strict=True)]
    norm, wide, _, _, back = layer.feed_forward
    return [x + linear(back, gelu(linear(wide, layer_norm(norm, x)))) for x in met]


def seen(fusion: Any, modality: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The projection, the private and the shared vector of a row."""
    norm = fusion.project.inputs[modality].path[3][1]
    projected = layer_norm(norm, token(fusion.project.inputs, modality, x, True).clamp(min=0))
    return projected, *(torch.sigmoid(linear(e[0], projected)) for e in (fusion.private[modality], fusion.shared))


@every_subset
@torch.no_grad()
def test_misa_joins_private_and_shared_vectors(modalities):
    fusion, (parts, present_BM) = build("misa", modalities), batch(modalities)
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        here = [m for m in modalities if there[m]]
        told = {m: seen(fusion, m, x[m]) for m in here}
        met = pre_norm_layer(fusion.layer, [told[m][1] for m in here] + [told[m][2] for m in here])
        private, shared = dict(zip(here, met[: len(here)], strict=True)), dict(zip(here, met[len(here) :], strict=True))
        side_by_side = [found.get(m, torch.zeros(6)) for found in (private, shared) for m in modalities]
        expected.append(linear(fusion.out, torch.cat(side_by_side)))
    close(fusion(parts, present_BM).h_BD, expected)


def literal_discrepancy(x: Tensor, y: Tensor) -> float:
    """The published loss, column by column: five moments of the numbers in [0, 1]."""
    total = 0.0
    for order in range(1, 6):
        squares = 0.0
        for a, b in zip(x.T.tolist(), y.T.tolist(), strict=True):
            middle_a, middle_b = sum(a) / len(a), sum(b) / len(b)
            if order == 1:
                squares += (middle_a - middle_b) ** 2
            else:
                moment_a, moment_b = (
                    sum((v - middle) ** order for v in own) / len(own) for own, middle in ((a, middle_a), (b, middle_b))
                )
                squares += (moment_a - moment_b) ** 2
        total += math.sqrt(squares)
    return total


def literal_difference(x: Tensor, y: Tensor) -> float:
    """The published loss: rows centred over the batch, of unit length; then every number of x with every one of y."""

    def unit(rows_BD: Tensor) -> list[list[float]]:
        columns = [sum(c) / len(c) for c in rows_BD.T.tolist()]
        centred = [[v - m for v, m in zip(row, columns, strict=True)] for row in rows_BD.tolist()]
        lengths = [math.sqrt(sum(v * v for v in row)) + 1e-6 for row in centred]
        return [[v / length for v in row] for row, length in zip(centred, lengths, strict=True)]

    left, right = unit(x), unit(y)
    width = x.shape[1]
    sums = [sum(a[i] * b[j] for a, b in zip(left, right, strict=True)) for i in range(width) for j in range(width)]
    return sum(s * s for s in sums) / len(sums)


@pytest.mark.parametrize("counted", [False, True])
def test_misa_losses_are_the_published_ones_over_the_rows_that_count(counted):
    fusion, (parts, present_BM) = build("misa", dropout=0.0).train(), batch(rows=14)
    counted_B = (torch.arange(14) % 5 != 0) if counted else None
    losses = fusion(parts, present_BM, counted_B).losses
    with torch.no_grad():
        told: dict[str, dict[int, tuple[Tensor, ...]]] = {m: {} for m in MODALITIES}
        for row, (x, there) in enumerate(rows(parts, present_BM)):
            if counted_B is None or counted_B[row]:
                for m in (m for m in MODALITIES if there[m]):
                    told[m][row] = seen(fusion, m, x[m])

        def pair(a: str, b: str, which_a: int, which_b: int) -> tuple[Tensor, Tensor]:
            both = [row for row in told[a] if row in told[b]]
            return tuple(torch.stack([told[m][r][w] for r in both]) for m, w in ((a, which_a), (b, which_b)))

        pairs = list(itertools.combinations(MODALITIES, 2))
        similar = sum(literal_discrepancy(*pair(a, b, 2, 2)) for a, b in pairs) / 3
        apart = sum(literal_difference(*pair(m, m, 1, 2)) for m in MODALITIES)
        apart += sum(literal_difference(*pair(a, b, 1, 1)) for a, b in pairs)
        errors = [
            sum(float((linear(fusion.rebuild[m], p + s) - x).square().mean()) for x, p, s in told[m].values())
            / len(told[m])
            for m in MODALITIES
        ]
    assert losses["similarity"].item() == pytest.approx(similar, rel=1e-4)
    assert losses["difference"].item() == pytest.approx(0.3 * apart, rel=1e-4)
    assert losses["reconstruction"].item() == pytest.approx(sum(errors) / 3, rel=1e-4)


def test_misa_losses_of_no_row_are_zero_and_give_finite_gradients():
    x_BD, y_BD = (torch.rand(4, 3, requires_grad=True) for _ in range(2))
    for counts_B in (torch.zeros(4, dtype=torch.bool), torch.tensor([True, False, False, False])):
        for loss in (discrepancy, difference, reconstruction):
            value = loss(x_BD, y_BD, counts_B)
            value.backward()
            assert value.isfinite() and (counts_B.any() or value == 0)
            assert x_BD.grad.isfinite().all() and not x_BD.grad[~counts_B].any()
            x_BD.grad = y_BD.grad = None
    same = discrepancy(x_BD, x_BD.detach().clone(), torch.ones(4, dtype=torch.bool))
    same.backward()
    assert same == 0 and x_BD.grad.isfinite().all()


@pytest.mark.parametrize("name", ["similarity", "difference", "reconstruction"])
def test_misa_weights_weigh_and_a_loss_of_weight_0_is_not_there(name):
    def losses(**options):
        return build("misa", dropout=0.0, **options).train()(*batch()).losses

    once, twice = losses(**{f"{name}_weight": 1.0}), losses(**{f"{name}_weight": 2.0})
    assert twice[name].item() == pytest.approx(2 * once[name].item())
    assert set(losses(**{f"{name}_weight": 0.0})) == set(once) - {name}


# -- MulT ----------------------------------------------------------------------------------------------------------

LENGTHS = {"text": (1, 5), "audio": (2, 9), "video": (0, 4)}


def sequences(seed: int = 1, count: int = 14, rubbish: float = 7.0) -> tuple[dict[str, Any], Tensor]:
    """Ragged states of three modalities, rubbish behind them; every pattern of presence in turn."""
    random = torch.Generator().manual_seed(seed)
    _, present_BM = batch(rows=count)
    parts = {}
    for i, m in enumerate(MODALITIES):
        low, high = LENGTHS[m]
        lengths = torch.randint(low, high + 1, (count,), generator=random)
        there_BT = torch.arange(high) < lengths[:, None]
        x_BTD = torch.randn(count, high, WIDTHS[m], generator=random)
        parts[m] = States(torch.where(there_BT.unsqueeze(-1), x_BTD, rubbish), there_BT)
        present_BM[:, i] &= lengths > 0
    present_BM[:, 0] |= ~present_BM.any(dim=1)
    return parts, present_BM


def stack(module: Any, own: list[Tensor], others: list[Tensor] | None = None) -> list[Tensor]:
    """The published encoder: scaled states plus places, pre-norm layers with one norm for queries and keys."""

    def placed(rows_TD: list[Tensor]) -> list[Tensor]:
        width = len(rows_TD[0])
        return [math.sqrt(width) * x + place(t + 1, width) for t, x in enumerate(rows_TD)]

    x, keys = placed(own), None if others is None else placed(others) if others else []
    for layer in module.layers:
        queries = [layer_norm(layer.norm, row) for row in x]
        read = queries if keys is None else [layer_norm(layer.norm, row) for row in keys]
        x = [row + (attend(layer.attention, query, read) if read else 0) for row, query in zip(x, queries, strict=True)]
        wide, _, _, back = layer.feed_forward
        x = [row + linear(back, linear(wide, layer_norm(layer.forward_norm, row)).clamp(min=0)) for row in x]
    return [layer_norm(module.norm, row) for row in x]


def place(at: int, width: int) -> Tensor:
    half = width // 2
    rates = [math.exp(-i * math.log(10_000) / max(1, half - 1)) for i in range(half)]
    said = [math.sin(at * rate) for rate in rates] + [math.cos(at * rate) for rate in rates]
    return torch.tensor(said + [0.0] * (width % 2))


@pytest.mark.parametrize("width", [2, 7, 30])
def test_places_are_those_of_tensor2tensor(width):
    close(places(9, width), [place(t + 1, width) for t in range(9)])


@pytest.mark.parametrize("read", ["last", "mean"])
@torch.no_grad()
def test_mult_is_its_literal_version_without_padding_and_masks(read):
    fusion, (parts, present_BM) = build("mult", read=read, memory_layers=2), sequences()
    expected = []
    for row, present in enumerate(present_BM.tolist()):
        steps: dict[str, list[Tensor]] = {}
        for m, there in zip(MODALITIES, present, strict=True):
            norm, _, project = fusion.project[m]
            own = parts[m].x_BTD[row][parts[m].there_BT[row]] if there else []
            steps[m] = [linear(project, layer_norm(norm, x)) for x in own]
        told = []
        for m in MODALITIES:
            if not steps[m]:
                told.append(fusion.absent[m])
                continue
            others = [o for o in MODALITIES if o != m]
            streams = [stack(fusion.streams[f"{m}_reads_{o}"], steps[m], steps[o]) for o in others]
            memory = stack(fusion.memories[m], [torch.cat(pair) for pair in zip(*streams, strict=True)])
            told.append(memory[-1] if read == "last" else sum(memory) / len(memory))
        y = torch.cat(told)
        first, _, _, second = fusion.block
        expected.append(linear(fusion.out, y + linear(second, linear(first, y).clamp(min=0))))
    close(fusion(parts, present_BM).h_BD, expected)


def test_mult_rows_and_padding_do_not_matter():
    fusion, (parts, present_BM) = build("mult"), sequences()
    others, _ = sequences(seed=2)
    with torch.no_grad():
        whole = fusion(parts, present_BM).h_BD
        longer = {
            m: States(torch.nn.functional.pad(x, (0, 0, 0, 3), value=torch.nan), torch.nn.functional.pad(there, (0, 3)))
            for m, (x, there) in parts.items()
        }
        torch.testing.assert_close(fusion(longer, present_BM).h_BD, whole, rtol=1e-5, atol=1e-6)
        for row in range(len(present_BM)):
            mixed = {}
            for m, (x, there) in parts.items():
                x, there = others[m].x_BTD.clone() * 100, others[m].there_BT.clone()
                x[row], there[row] = parts[m].x_BTD[row], parts[m].there_BT[row]
                mixed[m] = States(x, there)
            other_BM = present_BM.flip(0).clone()
            other_BM[row] = present_BM[row]
            assert torch.equal(fusion(mixed, other_BM).h_BD[row], whole[row])


def test_mult_of_absent_modalities_has_finite_gradients_whatever_they_hold():
    fusion, (parts, present_BM) = build("mult").train(), sequences(rubbish=torch.nan)
    fused = fusion(parts, present_BM)
    fused.h_BD.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())


@torch.no_grad()
def test_mult_reads_the_order_of_a_sequence_and_every_state():
    fusion = build("mult")
    parts, present_BM = sequences()
    before = fusion(parts, present_BM).h_BD
    x, there = parts["audio"]
    turned = x.clone()
    turned[:, [0, 1]] = x[:, [1, 0]]
    changed_B = (fusion(parts | {"audio": States(turned, there)}, present_BM).h_BD != before).any(dim=1)
    assert torch.equal(changed_B, present_BM[:, 1])


# -- Self-MM -------------------------------------------------------------------------------------------------------


@every_subset
@torch.no_grad()
def test_self_mm_joins_modalities_and_lets_each_speak_for_itself(modalities):
    fusion, (parts, present_BM) = build("self_mm", modalities), batch(modalities)
    expected: list[Tensor] = []
    vectors: dict[str, list[Tensor]] = {m: [] for m in modalities}
    says: dict[str, list[Tensor]] = {m: [] for m in modalities}
    for x, there in rows(parts, present_BM, modalities):
        read = {m: token(fusion.tokens.inputs, m, x[m], there[m]) for m in modalities}
        read = {m: gelu(t) if there[m] else t for m, t in read.items()}
        expected.append(gelu(linear(fusion.join[1], torch.cat(list(read.values())))))
        for m in modalities:
            own = gelu(linear(fusion.own[m][1], read[m]))
            vectors[m].append(own)
            first, _, last = fusion.heads[m]
            says[m].append(linear(last, gelu(linear(first, own))))
    fused = fusion(parts, present_BM)
    close(fused.h_BD, expected)
    for i, m in enumerate(modalities):
        close(fused.own_vectors[m], vectors[m])
        close(fused.own_logits[m][0], says[m])
        assert torch.equal(fused.own_logits[m][1], present_BM[:, i])


def test_self_mm_without_its_loss_has_no_classifiers_of_modalities():
    fused = build("self_mm", unimodal_weight=0.0)
    assert not list(fused.heads.parameters()) and fused(*batch()).own_logits == {}


def test_what_modalities_say_by_themselves_shapes_what_the_fused_vector_is_made_of():
    fusion, (parts, present_BM) = build("self_mm").train(), batch()
    said = fusion(parts, present_BM).own_logits
    sum(logits_BC[there_B].square().sum() for logits_BC, there_B in said.values()).backward()
    grads = {name: weight.grad for name, weight in fusion.named_parameters()}
    for m in MODALITIES:
        assert grads[f"tokens.inputs.{m}.path.2.weight"].any(), "the token that h reads learns of its modality's labels"
    assert all(grad is None for name, grad in grads.items() if name.startswith("join."))
