"""Dialogue encoders: padding against a loop without any, dialogues apart, no look ahead online."""

from __future__ import annotations

import math

import pytest
import torch
from published_dag import PublishedLayer, get_adj_v1
from pydantic import TypeAdapter
from torch import Tensor

from mer.config import Dialogue, HeadConfig, TrialConfig
from mer.models.dialogue import FAR, AttentionLayer, DialogueEncoder, GraphLayer, GRULayer, layout_of, places
from mer.models.dialogue.graph import TurnGraph, edges
from mer.models.fused import FusedClassifier
from mer.training import FusedBatch

WIDTH = 8
LENGTHS = [5, 1, 9, 3]
KINDS = ("gru", "attention", "gru+", "attention+", "graph")  # +: with relative speakers
EVERY = [(kind, setting, layers) for kind in KINDS for setting in ("online", "offline") for layers in (1, 2)]
every = pytest.mark.parametrize(("kind", "setting", "layers"), EVERY)


def build(kind: str, setting: str, layers: int = 1, **options) -> DialogueEncoder:
    name = kind.removesuffix("+")
    own = {"heads": 2} if name == "attention" else {"reach": 2} if name == "graph" else {}
    own |= {"speakers": "relative"} if name != kind else {}
    settings = {"kind": name, "setting": setting, "layers": layers, **own, **options}
    torch.manual_seed(0)
    encoder = DialogueEncoder(TypeAdapter(Dialogue).validate_python(settings), WIDTH).eval()
    for name, weight in encoder.named_parameters():  # what is learned from zeros says something
        if name.endswith(("speaker_keys", "speaker_values", "before", "behind", "distance_bias")):
            torch.nn.init.normal_(weight)
    return encoder


def rows(lengths: list[int], seed: int = 1) -> tuple[Tensor, Tensor]:
    """Fused vectors and the number of each row's dialogue; numbers need not follow one another."""
    random = torch.Generator().manual_seed(seed)
    numbers = torch.arange(len(lengths)) * 3 + 1
    return torch.randn(sum(lengths), WIDTH, generator=random), numbers.repeat_interleave(torch.tensor(lengths))


def speakers(dialogue_N: Tensor) -> Tensor:
    """Who speaks each row, by its place in its dialogue alone: three people, some of them twice in a row."""
    firsts = [(dialogue_N == number).nonzero()[0].item() for number in dialogue_N.tolist()]
    return torch.tensor([(0, 1, 1, 0, 2, 0, 1)[(row - first) % 7] for row, first in enumerate(firsts)])


def told_by(encoder: DialogueEncoder, x_NW: Tensor, dialogue_N: Tensor) -> Tensor:
    return encoder(x_NW, layout_of(dialogue_N, speakers(dialogue_N)))


# -- against loops


def linear(layer, x: Tensor) -> Tensor:
    return layer.weight @ x + layer.bias


def normed(layer, x: Tensor) -> Tensor:
    centred = x - x.mean()
    return centred / torch.sqrt((centred**2).mean() + layer.eps) * layer.weight + layer.bias


def gru_by_hand(gru: torch.nn.GRU, xs: list[Tensor], suffix: str) -> list[Tensor]:
    """Cho et al. 2014 in PyTorch's form: gates in the order reset, update, new."""
    w_x, w_h = getattr(gru, f"weight_ih_l0{suffix}"), getattr(gru, f"weight_hh_l0{suffix}")
    b_x, b_h = getattr(gru, f"bias_ih_l0{suffix}"), getattr(gru, f"bias_hh_l0{suffix}")
    h, out = torch.zeros(WIDTH), []
    for x in xs:
        from_x, from_h = (w_x @ x + b_x).chunk(3), (w_h @ h + b_h).chunk(3)
        reset, update = torch.sigmoid(from_x[0] + from_h[0]), torch.sigmoid(from_x[1] + from_h[1])
        h = (1 - update) * torch.tanh(from_x[2] + reset * from_h[2]) + update * h
        out.append(h)
    return out


def gru_layer_by_hand(layer: GRULayer, xs: list[Tensor], setting: str, who: list[int]) -> list[Tensor]:
    read = [normed(layer.norm, x) for x in xs]
    if layer.before is not None:
        for at in range(1, len(xs)):
            same = int(who[at] == who[at - 1])
            read[at] = read[at] + layer.before[same]
            if layer.behind is not None:
                read[at - 1] = read[at - 1] + layer.behind[same]
    told = gru_by_hand(layer.gru, read, "")
    if setting == "offline":
        back = gru_by_hand(layer.gru, read[::-1], "_reverse")[::-1]
        told = [torch.cat(pair) for pair in zip(told, back, strict=True)]
    return [x + linear(layer.out, h) for x, h in zip(xs, told, strict=True)]


def attention_layer_by_hand(layer: AttentionLayer, xs: list[Tensor], setting: str, who: list[int]) -> list[Tensor]:
    def of_speaker(vectors: Tensor | None, at: int, other: int, head: int) -> Tensor:
        return torch.zeros(()) if vectors is None else vectors[int(who[at] == who[other])].view(layer.heads, -1)[head]

    split = [linear(layer.queries_keys_values, normed(layer.norm, x)).view(3, layer.heads, -1) for x in xs]
    out = []
    for at, x in enumerate(xs):
        taken = []
        for head in range(layer.heads):
            read = range(at + 1 if setting == "online" else len(xs))
            scores = []
            for other in read:
                key = split[other][1, head] + of_speaker(layer.speaker_keys, at, other, head)
                similar = (split[at][0, head] @ key).item() / math.sqrt(WIDTH / layer.heads)
                distance = max(-FAR, min(FAR, at - other))
                scores.append(math.exp(similar + layer.distance_bias.weight[distance + FAR, head].item()))
            values = [split[other][2, head] + of_speaker(layer.speaker_values, at, other, head) for other in read]
            taken.append(sum(s / sum(scores) * value for s, value in zip(scores, values, strict=True)))
        x = x + linear(layer.out, torch.cat(taken))
        norm, wide, _, _, narrow = layer.feed_forward
        out.append(x + linear(narrow, torch.nn.functional.gelu(linear(wide, normed(norm, x)))))
    return out


def graph_layer_by_hand(layer: GraphLayer, xs: list[Tensor], setting: str, who: list[int]) -> list[Tensor]:
    read = [normed(layer.norm, x) for x in xs]
    told = turn_graph_by_hand(layer.ways[0], read, who, layer.reach)
    if setting == "offline":
        back = turn_graph_by_hand(layer.ways[1], read[::-1], who[::-1], layer.reach)[::-1]
        told = [torch.cat(pair) for pair in zip(told, back, strict=True)]
    return [x + linear(layer.out, h) for x, h in zip(xs, told, strict=True)]


def turn_graph_by_hand(way: TurnGraph, xs: list[Tensor], who: list[int], reach: int) -> list[Tensor]:
    after: list[Tensor] = []
    for at, (x, read) in enumerate(zip(xs, get_adj_v1(who, reach), strict=True)):
        message = torch.zeros(WIDTH)
        if read:
            same = [int(who[at] == who[other]) for other in read]
            bias = [way.distance_bias[min(at - other, FAR) - 1, s] for s, other in zip(same, read, strict=True)]
            scores = torch.stack([way.score.weight[0] @ after[o] + b for o, b in zip(read, bias, strict=True)])
            values = [(way.values_same if s else way.values_other).weight @ after[o]
                      for s, o in zip(same, read, strict=True)]  # fmt: skip
            message = sum(a * value for a, value in zip(scores.softmax(0), values, strict=True))
        after.append(way.turn_cell(x[None], message[None])[0] + way.read_cell(message[None], x[None])[0])
    return after


@every
@torch.no_grad()
def test_a_padded_batch_is_the_loop_over_dialogues(kind: str, setting: str, layers: int):
    """The longest dialogue is longer than the distances that attention tells apart."""
    lengths = [2, FAR + 4, 1]
    encoder, (x_NW, dialogue_N) = build(kind, setting, layers), rows(lengths)
    hands = {"gru": gru_layer_by_hand, "attention": attention_layer_by_hand, "graph": graph_layer_by_hand}
    by_hand = hands[kind.removesuffix("+")]
    expected: list[Tensor] = []
    for own, who in zip(x_NW.split(lengths), speakers(dialogue_N).split(lengths), strict=True):
        xs = list(own)
        for layer in encoder.layers:
            xs = by_hand(layer, xs, setting, who.tolist())
        expected += xs
    torch.testing.assert_close(told_by(encoder, x_NW, dialogue_N), torch.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reach", [1, 2, 5])
def test_the_graph_is_the_published_one(reach: int):
    """Values and gradients, to 1e-6. Their score has a term of the reading turn, which their softmax cancels."""
    torch.manual_seed(0)
    way, published = TurnGraph(WIDTH), PublishedLayer(WIDTH)
    for mine, theirs in ((way.values_same, published.Wr0), (way.values_other, published.Wr1),
                         (way.turn_cell, published.gru_c), (way.read_cell, published.gru_p)):  # fmt: skip
        theirs.load_state_dict(mine.state_dict())
    published.linear.weight.data[0, WIDTH:] = way.score.weight.data[0]
    who = [0, 1, 0, 2, 2, 1, 0, 0, 1, 2, 0]
    x_1UW = torch.randn(1, len(who), WIDTH, requires_grad=True)
    y_UW = x_1UW[0].detach().clone().requires_grad_()
    layout = layout_of(torch.zeros(len(who)), torch.tensor(who))
    same = layout.same_DUK
    told, expected = way(x_1UW, edges(same, layout.there_DU, reach), same)[0], published(y_UW, who, reach)
    torch.testing.assert_close(told, expected, rtol=1e-6, atol=1e-6)
    pull = torch.randn_like(told)
    (told * pull).sum().backward()
    (expected * pull).sum().backward()
    pairs = [(x_1UW.grad[0], y_UW.grad), (way.score.weight.grad[0], published.linear.weight.grad[0, WIDTH:]),
             (way.values_same.weight.grad, published.Wr0.weight.grad),
             (way.values_other.weight.grad, published.Wr1.weight.grad)]  # fmt: skip
    pairs += [(p.grad, q.grad) for p, q in zip(way.turn_cell.parameters(), published.gru_c.parameters(), strict=True)]
    pairs += [(p.grad, q.grad) for p, q in zip(way.read_cell.parameters(), published.gru_p.parameters(), strict=True)]
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=2e-6)
    assert published.linear.weight.grad[0, :WIDTH].abs().max() < 1e-5, "the term that is left out learns nothing"


def test_edges_reach_back_to_the_speakers_own_turns():
    """By hand: turn 5 of speaker 0 reads back to its last turn (3), with reach 2 to 1; padding reads nothing."""
    layout = layout_of(torch.zeros(6), torch.tensor([1, 0, 2, 0, 2, 0]))
    one, two = (edges(layout.same_DUK, layout.there_DU, reach)[0].int().tolist() for reach in (1, 2))
    assert one[5] == [0, 0, 0, 1, 1, 0] and two[5] == [0, 1, 1, 1, 1, 0] and one[2] == [1, 1, 0, 0, 0, 0]
    assert one[0] == two[0] == [0] * 6
    short = layout_of(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 0, 0]))
    assert edges(short.same_DUK, short.there_DU, 1)[1].int().tolist() == [[0] * 3] * 3


@pytest.mark.parametrize("kind", ["gru+", "attention+", "graph"])
@torch.no_grad()
def test_only_who_is_the_same_matters_not_who_it_is(kind: str):
    encoder, (x_NW, dialogue_N) = build(kind, "offline"), rows([6, 3])
    who = speakers(dialogue_N)
    told, renamed = (encoder(x_NW, layout_of(dialogue_N, names)) for names in (who, 7 - who))
    assert torch.equal(told, renamed)
    assert not torch.allclose(encoder(x_NW, layout_of(dialogue_N, torch.zeros_like(who))), told, atol=1e-3)
    with pytest.raises(ValueError, match=r"the batch does not say \(FusedSplit.speaker_N\)"):
        encoder(x_NW, layout_of(dialogue_N))


def test_places_are_those_of_the_rows():
    there_DU = places(rows([2, 3, 1])[1])
    assert there_DU.tolist() == [[True, True, False], [True, True, True], [True, False, False]]
    assert places(torch.tensor([7])).tolist() == [[True]]


# -- who is told what


@every
@torch.no_grad()
def test_dialogues_do_not_see_each_other(kind: str, setting: str, layers: int):
    """Everything that the other dialogues say is replaced; bit for bit."""
    encoder, (x_NW, dialogue_N) = build(kind, setting, layers), rows(LENGTHS)
    whole, others = told_by(encoder, x_NW, dialogue_N), 100 * rows(LENGTHS, seed=2)[0]
    for dialogue in dialogue_N.unique():
        own_N = dialogue_N == dialogue
        replaced = told_by(encoder, torch.where(own_N[:, None], x_NW, others), dialogue_N)
        assert torch.equal(replaced[own_N], whole[own_N])
        assert not torch.isclose(replaced[~own_N], whole[~own_N]).all(dim=1).any()


@every
@torch.no_grad()
def test_alone_as_among_others(kind: str, setting: str, layers: int):
    """Equal up to rounding only: matrix products use another kernel for another batch size."""
    encoder, (x_NW, dialogue_N) = build(kind, setting, layers), rows(LENGTHS)
    whole = told_by(encoder, x_NW, dialogue_N)
    for dialogue in dialogue_N.unique():
        own_N = dialogue_N == dialogue
        torch.testing.assert_close(told_by(encoder, x_NW[own_N], dialogue_N[own_N]), whole[own_N], rtol=1e-5, atol=1e-5)
    order = torch.cat([(dialogue_N == d).nonzero().flatten() for d in dialogue_N.unique().flip(0)])
    torch.testing.assert_close(told_by(encoder, x_NW[order], dialogue_N[order]), whole[order], rtol=1e-5, atol=1e-5)


@every
@torch.no_grad()
def test_online_no_later_utterance_is_heard_and_every_earlier_one_is(kind: str, setting: str, layers: int):
    encoder, (x_NW, dialogue_N) = build(kind, setting, layers), rows([9])
    whole, changed = told_by(encoder, x_NW, dialogue_N), x_NW.clone()
    changed[4] = torch.randn(WIDTH, generator=torch.Generator().manual_seed(5))
    told = told_by(encoder, changed, dialogue_N)
    same = [torch.equal(a, b) for a, b in zip(told, whole, strict=True)]
    assert same == ([True] * 4 + [False] * 5 if setting == "online" else [False] * 9)
    if setting == "online":  # a live model has not even the rows
        torch.testing.assert_close(told_by(encoder, x_NW[:5], dialogue_N[:5]), whole[:5], rtol=1e-5, atol=1e-5)


@every
@torch.no_grad()
def test_padding_is_not_read(kind: str, setting: str, layers: int):
    """Layers are given rubbish where no utterance is, as an earlier layer would leave it there."""
    numbers = rows(LENGTHS)[1]
    encoder, there_DU, layout = build(kind, setting, layers), places(numbers), layout_of(numbers, speakers(numbers))
    x_DUW = torch.randn(*there_DU.shape, WIDTH)
    for layer in encoder.layers:
        clean = layer(x_DUW, layout)
        dirty = layer(torch.where(there_DU[:, :, None], x_DUW, 1e6 * torch.randn_like(x_DUW)), layout)
        assert torch.equal(clean[there_DU], dirty[there_DU]) and clean.isfinite().all()


def test_heads_start_with_different_neighbours():
    behind = {setting: [row - FAR for row in build("attention", setting, heads=4, layers=1).layers[0]
                        .distance_bias.weight.argmax(dim=0).tolist()] for setting in ("online", "offline")}  # fmt: skip
    assert behind == {"online": [1, 2, 3, 4], "offline": [1, -1, 2, -2]}


def test_attention_knows_the_order():
    """Without distances an offline attention would read a shuffled past as the same past."""
    encoder, (x_NW, dialogue_N) = build("attention", "offline"), rows([6])
    order = torch.tensor([3, 1, 2, 0, 4, 5])
    assert not torch.allclose(
        told_by(encoder, x_NW[order], dialogue_N)[5], told_by(encoder, x_NW, dialogue_N)[5], atol=1e-3
    )
    torch.nn.init.zeros_(encoder.layers[0].distance_bias.weight)
    torch.testing.assert_close(told_by(encoder, x_NW[order], dialogue_N)[5], told_by(encoder, x_NW, dialogue_N)[5])


# -- learning


@every
def test_gradients_reach_every_parameter_and_stay_in_the_dialogue(kind: str, setting: str, layers: int):
    encoder, (x_NW, dialogue_N) = build(kind, setting, layers).train(), rows([4, 6])
    x_NW.requires_grad_()
    pull = torch.randn(x_NW.shape, generator=torch.Generator().manual_seed(7))
    told = told_by(encoder, x_NW, dialogue_N)
    (pull * told.square()).sum().backward(retain_graph=True)
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name
    x_NW.grad = None
    told[6].square().sum().backward()  # the third row of the second dialogue
    felt = x_NW.grad.abs().sum(dim=1) > 0
    assert felt.tolist() == [False] * 4 + ([True] * 3 + [False] * 3 if setting == "online" else [True] * 6)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_on_what_is_added(kind: str):
    """With nearly all of it dropped h is what was fused: the residual itself is never dropped."""
    encoder, (x_NW, dialogue_N) = build(kind, "online", layers=2, dropout=0.999).train(), rows([9, 9])
    torch.manual_seed(0)
    told = told_by(encoder, x_NW, dialogue_N)
    assert not torch.equal(told_by(encoder, x_NW, dialogue_N), told)
    assert (told == x_NW).float().mean() > 0.9
    encoder.eval()
    assert torch.equal(told_by(encoder, x_NW, dialogue_N), told_by(encoder, x_NW, dialogue_N))


# -- in the classifier


def classifier(kind: str) -> FusedClassifier:
    config = TrialConfig.model_validate({
        "encoders": {"text": {}, "audio": {}}, "dialogue": {"kind": kind},
        "fusion": {"kind": "self_attention", "width": WIDTH, "heads": 2},
    })  # fmt: skip
    torch.manual_seed(0)
    assert config.fusion is not None
    sizes = {"layers": {"text": 1, "audio": 1}, "width": {"text": 6, "audio": 5}}
    return FusedClassifier(HeadConfig(hidden=0), config.fusion, config.dialogue, **sizes, classes=3).eval()


def fused_batch(present_BM: Tensor, dialogue_B: Tensor | None, rubbish: float = 0.0) -> FusedBatch:
    random = torch.Generator().manual_seed(1)
    parts = {"text": torch.randn(len(present_BM), 1, 6, generator=random),
             "audio": torch.randn(len(present_BM), 1, 5, generator=random)}  # fmt: skip
    for column, part in enumerate(parts.values()):
        part[~present_BM[:, column]] = rubbish
    return FusedBatch(parts, present_BM, dialogue_B)


@pytest.mark.parametrize("kind", ["gru", "attention"])
@torch.no_grad()
def test_an_utterance_of_which_nothing_is_there_stays_in_its_dialogue(kind: str):
    """It is read as an average one, whatever its rows hold, and the others count their distance over it."""
    model, dialogue_B = classifier(kind), torch.tensor([0, 0, 0, 1, 1])
    present_BM = torch.tensor([[1, 1], [0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.bool)
    h_BD, logits_BC = model(fused_batch(present_BM, dialogue_B))
    again, _ = model(fused_batch(present_BM, dialogue_B, rubbish=torch.nan))
    assert torch.equal(h_BD, again) and logits_BC.shape == (5, 3) and logits_BC.isfinite().all()
    whole = fused_batch(present_BM, dialogue_B)
    kept = torch.tensor([0, 2, 3, 4])
    parts = {modality: part[kept] for modality, part in whole.parts.items()}
    without, _ = model(FusedBatch(parts, present_BM[kept], dialogue_B[kept]))
    assert not torch.allclose(without[1], h_BD[2], atol=1e-4)
    torch.testing.assert_close(without[2:], h_BD[3:])


@torch.no_grad()
def test_without_an_encoder_dialogues_change_nothing_and_with_one_they_must_be_known():
    present_BM = torch.ones(4, 2, dtype=torch.bool)
    known, unknown = fused_batch(present_BM, torch.tensor([0, 0, 1, 1])), fused_batch(present_BM, None)
    plain = classifier("none")
    assert torch.equal(plain(known)[1], plain(unknown)[1])
    assert {name.split(".")[0] for name in plain.state_dict()} == {
        "input_norms", "fusion", "classifier", "class_centers_CH",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"the batch does not say which \(FusedSplit.dialogue_N\)"):
        classifier("gru")(unknown)
