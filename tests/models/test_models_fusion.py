"""Fusions: rows stay apart (D6), what is absent has no influence, formulas against loops, balance, modality dropout."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from fusion_cases import CLASSES, KINDS, SUBSETS, WIDTH, WIDTHS, batch, build, outputs, same, take
from torch import Tensor

from mer.models.fusion import MODALITIES, drop_modalities
from mer.models.fusion.attention import Attention
from mer.models.fusion.router import (
    Router,
    cv2_balance,
    expert_load,
    smooth_load,
    squared_variation,
    switch_balance,
    z_loss,
)

every_kind = pytest.mark.parametrize("kind", KINDS)
every_subset = pytest.mark.parametrize("modalities", SUBSETS, ids="-".join)
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
            if not kind.startswith("tgmoe"):  # rounding of the gate's input may send a row to another expert
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
        """Not bit for bit: where a row lies in a matrix decides which lanes of the kernel compute it."""
        fusion, (parts, present_BM) = build(kind, modalities), batch(modalities)
        order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
        straight, shuffled = fusion(parts, present_BM), fusion(take(parts, order), present_BM[order])
        for a, b in zip(outputs(straight), outputs(shuffled), strict=True):
            torch.testing.assert_close(a[order], b, rtol=1e-5, atol=1e-6)

    def test_alone_as_in_a_batch(self, kind, modalities):
        """Not bit for bit: matrix products choose another kernel for another batch size."""
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
    return {"noise": False} if kind.startswith("tgmoe") else {}


def test_refuses_what_is_no_modality():
    fusion, (parts, present_BM) = build("concat"), batch()
    with pytest.raises(ValueError, match="one column for each of"):
        fusion(parts, present_BM[:, :2])
    with pytest.raises(ValueError, match="one to three of"):
        build("concat", ())


class TestDropModalities:
    whole_BM = torch.ones(20_000, 3, dtype=torch.bool)

    def test_rate_and_independence(self):
        left_BM = drop_modalities(self.whole_BM, 0.3, MODALITIES, torch.Generator().manual_seed(0))
        assert left_BM[:, 0].all()
        audio_B, video_B = ~left_BM[:, 1], ~left_BM[:, 2]
        assert abs(audio_B.float().mean() - 0.3) < 0.015 and abs(video_B.float().mean() - 0.3) < 0.015
        assert abs((audio_B & video_B).float().mean() - 0.09) < 0.01

    def test_never_all_of_a_row(self):
        """Two that can both go: a row that would lose both keeps both, so each goes at p - p^2."""
        pair_BM = self.whole_BM[:, :2]
        left_BM = drop_modalities(pair_BM, 0.5, ("audio", "video"), torch.Generator().manual_seed(0))
        assert left_BM.any(dim=1).all()
        assert torch.allclose((~left_BM).float().mean(dim=0), torch.tensor(0.25), atol=0.015)

    def test_adds_nothing_and_keeps_lone_ones(self):
        present_BM = torch.tensor(EVERY_PATTERN).repeat(500, 1)
        left_BM = drop_modalities(present_BM, 0.6, MODALITIES, torch.Generator().manual_seed(0))
        assert not (left_BM & ~present_BM).any() and left_BM.any(dim=1).all()
        lone_B = present_BM.sum(dim=1) == 1
        assert torch.equal(left_BM[lone_B], present_BM[lone_B])
        assert torch.equal(present_BM, torch.tensor(EVERY_PATTERN).repeat(500, 1))

    def test_zero_draws_nothing(self):
        before = torch.get_rng_state()
        assert drop_modalities(self.whole_BM, 0.0, MODALITIES) is self.whole_BM
        assert torch.equal(torch.get_rng_state(), before)


# Literal slow versions: one row at a time, only what is there.


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
@torch.inference_mode()
def test_attention_without_any_key_is_zero_and_never_nan(may_take_nothing):
    """The inference path of nn.MultiheadAttention answers NaN where all keys of a row are masked."""
    attention = Attention(WIDTH, 2, may_take_nothing=may_take_nothing).eval()
    torch.nn.init.ones_(attention.multihead.out_proj.bias)
    inside = []
    attention.multihead.register_forward_hook(lambda module, args, result: inside.append(result[0]))
    x_BKD, present_BK = torch.randn(3, 2, WIDTH), torch.tensor([[False, False], [True, False], [True, True]])
    taken = attention(x_BKD, x_BKD, present_BK)
    assert not taken[0].any() and taken[1:].all()
    assert inside[0].isfinite().all()


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
