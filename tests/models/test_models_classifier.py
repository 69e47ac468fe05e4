"""Features to h to class scores: normalisation, layer mixing, widths, row independence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mer.config import HeadConfig
from mer.models import UtteranceClassifier
from mer.models.dropout import Dropout
from mer.models.inputs import InputNorm

N, L, D, C = 20, 3, 8, 4


def features(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(loc=rng.normal(scale=5, size=(5, D)), scale=rng.uniform(0.5, 3, size=(5, D)), size=(N, 5, D))
    array = values.astype(np.float16)
    array.setflags(write=False)
    return array


def build(layers: int = L, probe: bool = False, **options) -> UtteranceClassifier:
    torch.manual_seed(0)
    return UtteranceClassifier(HeadConfig(**options), layers=layers, width=D, classes=C, probe=probe)


@pytest.mark.parametrize("chunk", [3, 7, 2048])
def test_standardize_uses_the_train_statistics(monkeypatch, chunk):
    monkeypatch.setattr("mer.models.inputs._CHUNK_ROWS", chunk)
    array, layers = features(), [4, 0, 1]
    norm = InputNorm("standardize", len(layers), D)
    norm.fit(array, layers)
    exact = array[:, layers].astype(np.float64)
    np.testing.assert_allclose(norm.mean_LD.numpy(), exact.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(norm.scale_LD.numpy(), 1 / exact.std(axis=0), rtol=1e-6)
    out = norm(torch.from_numpy(exact).float())
    np.testing.assert_allclose(out.mean(dim=0).numpy(), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(dim=0, correction=0).numpy(), 1, atol=1e-5)
    assert set(norm.state_dict()) == {"mean_LD", "scale_LD"}


def test_fit_reads_in_chunks(monkeypatch):
    monkeypatch.setattr("mer.models.inputs._CHUNK_ROWS", 6)

    class Watched(np.ndarray):
        largest = 0

        def __getitem__(self, index):
            part = super().__getitem__(index)
            Watched.largest = max(Watched.largest, len(part))
            return part

    InputNorm("standardize", 2, D).fit(features().view(Watched), [0, 1])
    assert Watched.largest == 6


@pytest.mark.parametrize("mean", [0.0, 1.0, 100.0, -1000.0])
def test_a_dead_dimension_does_not_blow_up(mean):
    """One half-precision step away from a constant is rounding: it must stay small."""
    array = np.full((N, 1, D), mean, dtype=np.float16)
    norm = InputNorm("standardize", 1, D)
    norm.fit(array, [0])
    step = np.spacing(np.float16(mean)).astype(np.float32)
    out = norm(torch.full((1, 1, D), mean + float(step)))
    assert torch.isfinite(norm.scale_LD).all() and out.abs().max() <= 1.0


def test_only_standardize_takes_statistics():
    for kind in ("layernorm", "none"):
        norm = InputNorm(kind, L, D)
        before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
        norm.fit(features(), [0, 1, 2])
        assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())
    x = torch.randn(N, L, D)
    assert torch.equal(InputNorm("none", L, D)(x), x)
    torch.testing.assert_close(InputNorm("layernorm", L, D)(x), torch.nn.functional.layer_norm(x, (D,)))


def test_layers_are_mixed_as_named():
    x = torch.randn(N, L, D)
    plain = {"input_norm": "none", "hidden": 0}
    assert torch.equal(build(layer_mix="concat", **plain).represent(x), torch.cat([x[:, 0], x[:, 1], x[:, 2]], dim=1))
    torch.testing.assert_close(build(layer_mix="mean", **plain).represent(x), (x[:, 0] + x[:, 1] + x[:, 2]) / 3)
    learned = build(layer_mix="learned", **plain)
    torch.testing.assert_close(learned.represent(x), x.mean(dim=1))  # equal weights to begin with
    with torch.no_grad():
        learned.layer_mix.layer_logits.copy_(torch.tensor([0.0, 50.0, 0.0]))
    torch.testing.assert_close(learned.represent(x), x[:, 1])


@pytest.mark.parametrize("layer_mix", ["concat", "mean", "learned"])
@pytest.mark.parametrize(("hidden", "depth"), [(0, 1), (0, 3), (6, 1), (6, 3)])
def test_widths(layer_mix, hidden, depth):
    model = build(layer_mix=layer_mix, hidden=hidden, depth=depth)
    h, logits = model(torch.randn(5, L, D))
    width = hidden or (L * D if layer_mix == "concat" else D)
    assert h.shape == (5, width) == (5, model.width) and logits.shape == (5, C)
    assert sum(isinstance(block, torch.nn.Linear) for block in model.blocks) == (depth if hidden else 0)
    assert model.class_centers_CH.shape == (C, width)


@pytest.mark.parametrize(
    ("layer_mix", "input_norm"),
    itertools.product(["concat", "mean", "learned"], ["standardize", "layernorm", "none"]),
)
def test_a_row_does_not_see_its_neighbours(layer_mix, input_norm):
    model = build(layer_mix=layer_mix, input_norm=input_norm, hidden=6, depth=2, dropout=0.5, input_dropout=0.5).eval()
    model.input_norm.fit(features(), [0, 1, 2])
    x = torch.randn(N, L, D)
    h, logits = model(x)
    changed = x.clone()
    changed[1:] = 100 * torch.randn(N - 1, L, D)
    for ours, theirs in zip(model(changed), (h, logits), strict=True):
        torch.testing.assert_close(ours[0], theirs[0])
    alone = model(x[3:4])
    torch.testing.assert_close(alone[1][0], logits[3])


def test_a_probe_shapes_the_classifier_only():
    model = build(probe=True, hidden=6)
    model(torch.randn(5, L, D))[1].sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        "classifier.weight",
        "classifier.bias",
    }
    model = build(hidden=6)
    model(torch.randn(5, L, D))[1].sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_dropout_is_where_the_configuration_says():
    model = build(hidden=6, depth=3, dropout=0.25, input_dropout=0.125)
    assert model.input_dropout.rate == 0.125 and model.dropout.rate == 0.25
    blocks = [block for block in model.blocks if isinstance(block, Dropout)]
    assert [block.rate for block in blocks] == [0.25, 0.25]
    places = [layer.place for layer in (model.input_dropout, model.dropout, *blocks)]
    assert len(set(places)) == 4, "two layers draw the same masks"
    x = torch.randn(5, L, D)
    assert not torch.equal(model(x)[1], model(x)[1])
    model.eval()
    assert torch.equal(model(x)[1], model(x)[1])


def test_center_scores_are_cosines_over_temperature():
    model = build(hidden=6)
    model.class_centers_CH.copy_(torch.randn(C, 6))
    h = torch.randn(5, 6)
    expected = torch.nn.functional.cosine_similarity(h[:, None], model.class_centers_CH[None], dim=2) / 0.2
    torch.testing.assert_close(model.center_scores(h, 0.2), expected)
