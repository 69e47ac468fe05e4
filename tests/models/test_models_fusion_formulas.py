"""Each fusion equals a slow literal version: one row at a time, and only the modalities that are there."""

from __future__ import annotations

import math

import pytest
import torch
from fusion_cases import CLASSES, WIDTH, WIDTHS, batch, build, every_subset
from torch import Tensor

from mer.models.fusion import MODALITIES
from mer.models.fusion.attention import Attention


def linear(layer, x: Tensor) -> Tensor:
    out = [sum(w * v for w, v in zip(row, x, strict=True)) for row in layer.weight]
    bias = [0.0] * len(out) if layer.bias is None else layer.bias
    return torch.stack([o + b for o, b in zip(out, bias, strict=True)])


def layer_norm(layer, x: Tensor) -> Tensor:
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return (x - mean) / math.sqrt(variance + 1e-5) * layer.weight + layer.bias


def token(inputs, modality: str, x: Tensor, there: bool) -> Tensor:
    """Placeholder, or norm and projection; without what may follow."""
    if not there:
        return inputs[modality].placeholder_D
    return linear(inputs[modality].path[2], layer_norm(inputs[modality].path[0], x))


def attend(module: Attention, query: Tensor, keys: list[Tensor]) -> Tensor:
    """One query, head by head."""
    layer, heads = module.multihead, module.multihead.num_heads
    size = len(query) // heads
    weight, bias = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    q = weight[0] @ query + bias[0]
    k, v = ([weight[i] @ key + bias[i] for key in keys] for i in (1, 2))
    if layer.add_zero_attn:
        k, v = [*k, torch.zeros_like(q)], [*v, torch.zeros_like(q)]
    out = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = [(q[part] @ key[part]).item() / math.sqrt(size) for key in k]
        total = sum(math.exp(s) for s in scores)
        out.append(sum(math.exp(s) / total * value[part] for s, value in zip(scores, v, strict=True)))
    return linear(layer.out_proj, torch.cat(out))


def rows(parts, present_BM, modalities=MODALITIES):
    for row, present in enumerate(present_BM.tolist()):
        yield {m: parts[m][row] for m in modalities}, dict(zip(modalities, present, strict=True))


def close(actual_BD: Tensor, rows_D: list[Tensor]) -> None:
    torch.testing.assert_close(actual_BD, torch.stack(rows_D), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_concat_is_a_linear_layer_on_normalised_features():
    fusion, (parts, present_BM) = build("concat"), batch()
    expected = []
    for x, there in rows(parts, present_BM):
        side_by_side = [
            layer_norm(fusion.inputs[m].path, x[m]) if there[m] else fusion.inputs[m].placeholder_D for m in MODALITIES
        ]
        expected.append(linear(fusion.blocks[1], torch.cat(side_by_side)))
    close(fusion(parts, present_BM).h_BD, expected)


@every_subset
@torch.no_grad()
def test_lmf_is_the_sum_of_products(modalities):
    fusion, (parts, present_BM) = build("lmf", modalities), batch(modalities)
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        out = fusion.bias_D.clone()
        for rank in range(3):
            product = torch.ones(WIDTH)
            for m in modalities:
                factor = fusion.factors[m][rank]
                reduced = torch.zeros(6)
                if there[m]:
                    reduced = layer_norm(fusion.reduce.inputs[m].path[3], token(fusion.reduce.inputs, m, x[m], True))
                product = product * (factor[0] + sum(v * row for v, row in zip(reduced, factor[1:], strict=True)))
            out += fusion.rank_weights_1R[0, rank] * product
        expected.append(out)
    close(fusion(parts, present_BM).h_BD, expected)


@torch.no_grad()
def test_lmf_of_zeros_is_its_bias_path():
    fusion, (parts, present_BM) = build("lmf"), batch()
    bias_rows = [fusion.factors[m][:, 0] for m in MODALITIES]
    path_D = (fusion.rank_weights_1R[0][:, None] * bias_rows[0] * bias_rows[1] * bias_rows[2]).sum(dim=0)
    close(fusion(parts, torch.zeros_like(present_BM)).h_BD, [path_D + fusion.bias_D] * 16)
    for module in fusion.reduce.inputs.values():  # present, but reduced to zero
        module.path[3].weight.zero_()
        module.path[3].bias.zero_()
    close(fusion(parts, torch.ones_like(present_BM)).h_BD, [path_D + fusion.bias_D] * 16)


def test_lmf_multiplies_in_float32_under_autocast():
    fusion, (parts, _) = build("lmf"), batch()
    fusion.reduce = torch.nn.Identity()  # hands over what it is given: only the product remains
    reduced_BMD, present_BM = torch.randn(16, 3, 6), torch.ones(16, 3, dtype=torch.bool)
    fusion.reduce.forward = lambda parts, present_BM: reduced_BMD
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = fusion(parts, present_BM).h_BD
    assert torch.equal(half, fusion(parts, present_BM).h_BD)


@pytest.mark.parametrize("threshold", [0.01, 0.5, 100.0])
@every_subset
@torch.no_grad()
def test_shifting_is_telmes_formula(modalities, threshold):
    fusion, (parts, present_BM) = build("shifting", modalities, threshold=threshold), batch(modalities)
    inputs, guide, others = fusion.tokens.inputs, modalities[0], modalities[1:]
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        z = token(inputs, guide, x[guide], there[guide])
        if any(there[m] for m in others):
            tokens = {m: token(inputs, m, x[m], there[m]) for m in others}
            keys = [tokens[m] for m in others if there[m]]
            a = torch.cat(
                [
                    layer_norm(fusion.attended_norm, attend(fusion.attention, tokens[m], keys) + tokens[m])
                    for m in others
                ]
            )
            g = linear(fusion.gate, torch.cat([a, z])).clamp(min=0)
            shift = g * linear(fusion.shift, a)
            length = math.sqrt(sum(v.item() ** 2 for v in shift))
            scale = min(threshold * math.sqrt(sum(v.item() ** 2 for v in z)) / (length + 1e-6), 1) if length else 1
            z = z + scale * shift
        expected.append(layer_norm(fusion.norm, z))
    close(fusion(parts, present_BM).h_BD, expected)


def test_shift_of_length_zero_moves_nothing_and_stays_finite():
    fusion, (parts, present_BM) = build("shifting"), batch()
    torch.nn.init.constant_(fusion.gate.bias, -1e4)  # ReLU closed everywhere
    fused = fusion(parts, present_BM)
    assert fused.monitors["shift_length"] == 0 and fused.monitors["shift_scale"] == 1
    close(fused.h_BD, list(fusion.norm(fusion.tokens(parts, present_BM)[:, 0])))
    fused.h_BD.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


@torch.no_grad()
def test_the_shift_never_exceeds_its_threshold():
    fusion, (parts, present_BM) = build("shifting", threshold=0.05), batch()
    guide_BD = fusion.tokens(parts, present_BM)[:, 0]
    seen = []
    fusion.norm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    fusion(parts, present_BM)
    ratio_B = (seen[0] - guide_BD).norm(dim=1) / guide_BD.norm(dim=1)
    assert ratio_B.max() <= 0.05 + 1e-6 and ratio_B[present_BM[:, 1:].any(dim=1)].min() > 0
    assert not ratio_B[~present_BM[:, 1:].any(dim=1)].any()


@pytest.mark.parametrize(("experts", "top_k"), [(4, 2), (4, 1), (3, 3), (1, 1)])
@every_subset
@torch.no_grad()
def test_tgmoe_is_its_definition(modalities, experts, top_k):
    fusion, (parts, present_BM) = build("tgmoe", modalities, experts=experts, top_k=top_k), batch(modalities)
    inputs, guide, others = fusion.tokens.inputs, modalities[0], modalities[1:]
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        tokens = {m: token(inputs, m, x[m], there[m]) for m in modalities}
        streams = [attend(fusion.streams[m], tokens[guide], [tokens[m]]) for m in others]
        read = torch.cat([tokens[guide], *streams])
        gate_input = tokens[guide]
        if not there[guide]:
            left = [tokens[m] for m in others if there[m]]
            gate_input = sum(left) / len(left) + fusion.no_guide_D
        logits = linear(fusion.router.gate, gate_input).tolist()
        best = sorted(range(experts), key=lambda e: -logits[e])[:top_k]
        among = range(experts) if top_k == 1 else best
        total = sum(math.exp(logits[e]) for e in among)
        out = torch.zeros(WIDTH)
        for e in best:
            first, _, _, second = fusion.experts[e]
            hidden = linear(first, read)
            hidden = torch.tensor([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in hidden.tolist()])
            out += math.exp(logits[e]) / total * linear(second, hidden)
        expected.append(out)
    close(fusion(parts, present_BM).h_BD, expected)


@every_subset
@torch.no_grad()
def test_one_expert_is_a_dense_mlp(modalities):
    fusion, (parts, present_BM) = build("tgmoe", modalities, experts=1, top_k=1), batch(modalities)
    read = []
    fusion.experts[0].register_forward_pre_hook(lambda module, args: read.append(args[0]))
    fused = fusion(parts, present_BM)
    assert torch.equal(fused.h_BD, fusion.experts[0](read[0]))
    assert fused.monitors["expert_load_0"] == 1 and fused.monitors["gate_entropy"] == 0
    fusion.train()
    torch.manual_seed(0)
    assert fusion(parts, present_BM).losses["expert_balance"] == pytest.approx(0.01)


def test_text_decides_how_much_a_stream_gives():
    """With a single key plain attention gives all of it whatever the query: the guide would have no say."""
    query_BQD = torch.randn(2, 1, WIDTH)
    key_BKD, there_BK = torch.randn(1, 1, WIDTH).expand(2, 1, WIDTH), torch.ones(2, 1, dtype=torch.bool)
    plain = Attention(WIDTH, 2)(query_BQD, key_BKD, there_BK)
    assert torch.allclose(plain[0], plain[1])
    for guided in (build("tgmoe").streams["audio"], build("cross").layers[0].attention):
        taken = guided(query_BQD, key_BKD, there_BK)
        assert not torch.allclose(taken[0], taken[1])


@pytest.mark.parametrize("may_take_nothing", [False, True])
def test_attention_without_any_key_is_zero_and_never_nan(may_take_nothing):
    """A softmax over no key is NaN, which `where` would hide from the answer and not from the gradient."""
    attention = Attention(WIDTH, 2, may_take_nothing=may_take_nothing).eval()
    torch.nn.init.ones_(attention.multihead.out_proj.bias)
    x_BKD, present_BK = torch.randn(3, 2, WIDTH), torch.tensor([[False, False], [True, False], [True, True]])
    taken = attention(x_BKD, x_BKD, present_BK)
    assert not taken[0].any() and taken[1:].all()
    taken.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in attention.parameters())


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_task_teaches_the_router(top_k):
    fusion = build("tgmoe", top_k=top_k, balance="none", z_weight=0.0).train()
    fused = fusion(*batch())
    assert fused.losses == {}
    fused.h_BD.square().sum().backward()
    assert fusion.router.gate.weight.grad.any() and fusion.router.noise.weight.grad.any()


@pytest.mark.parametrize("balance", ["switch", "cv2", "none"])
def test_tgmoe_losses_are_weighted_and_for_training(balance):
    def losses(**options):
        fusion = build("tgmoe", balance=balance, dropout=0.0, **options).train()
        torch.manual_seed(3)
        return fusion(*batch()).losses

    once = losses(balance_weight=1.0, z_weight=1.0)
    scaled = losses(balance_weight=0.25, z_weight=0.5)
    assert set(once) == {"router_z"} | ({"expert_balance"} if balance != "none" else set())
    factor = {"router_z": 0.5, "expert_balance": 0.25}
    for name, value in once.items():
        assert scaled[name].item() == pytest.approx(factor[name] * value.item())
    assert losses(balance_weight=0.0, z_weight=0.0) == {}


@every_subset
@torch.no_grad()
def test_late_is_the_average_of_log_probabilities(modalities):
    fusion, (parts, present_BM) = build("late", modalities), batch(modalities)
    weight_of = dict.fromkeys(modalities, 0.0)
    if fusion.weight_logits_M is not None:
        fusion.weight_logits_M.copy_(torch.tensor([0.7, -0.4, 0.2])[: len(modalities)])
        weight_of = dict(zip(modalities, fusion.weight_logits_M.tolist(), strict=True))
    expected_h, expected = [], []
    for x, there in rows(parts, present_BM, modalities):
        left = [m for m in modalities if there[m]]
        total = sum(math.exp(weight_of[m]) for m in left)
        out, hidden = torch.zeros(CLASSES), {}
        for m in left:
            hidden[m] = torch.nn.functional.gelu(token(fusion.tokens.inputs, m, x[m], True))
            scores = linear(fusion.heads[m], hidden[m])
            normaliser = math.log(sum(math.exp(s) for s in scores.tolist()))
            out += math.exp(weight_of[m]) / total * (scores - normaliser)
        expected.append(out)
        expected_h.append(sum(hidden.values()) / len(left))
    fused = fusion(parts, present_BM)
    close(fused.logits_BC, expected)
    close(fused.h_BD, expected_h)
    assert torch.stack(list(fused.monitors.values())).sum() == pytest.approx(1.0)


def test_late_keeps_the_scores_of_each_modality_and_where_they_hold():
    fusion, (parts, present_BM) = build("late"), batch()
    fused = fusion(parts, present_BM)
    assert tuple(fused.own_logits) == MODALITIES
    for i, (modality, (logits_BC, there_B)) in enumerate(fused.own_logits.items()):
        assert torch.equal(there_B, present_BM[:, i])
        lone_B = there_B & (present_BM.sum(dim=1) == 1)
        torch.testing.assert_close(fused.logits_BC[lone_B], logits_BC[lone_B].log_softmax(dim=1))
        assert parts[modality].shape[1] == WIDTHS[modality] and lone_B.any()
