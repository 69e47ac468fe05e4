"""Adapters that learn, in every family; files that peft reads by itself."""

from __future__ import annotations

import json

import pytest
import torch
from tiers import slow_except
from torch import nn
from tuning_lab import Lab

from mer.config import LoraTuning
from mer.errors import MerError
from mer.features.text.pretrained import load_text_model
from mer.models.adapters import from_peft_tensors, peft_config, peft_tensors, refuse_idle, target_modules
from mer.models.weight_names import backbone_prefix
from mer.study.export.merge_adapters import merged
from mer.training.tuning import TuningRun

BACKBONE = "encoders.text.model."  # what the names of its weights begin with
EXPECTED = {
    "bert": {"query", "key", "value", "dense"},
    "roberta": {"query", "key", "value", "dense"},
    "mpnet": {"q", "k", "v", "o"},
    "deberta": {"query_proj", "key_proj", "value_proj"},
    "modernbert": {"Wqkv", "Wi", "Wo"},
}


def prefix(run: TuningRun) -> str:
    return backbone_prefix(run.config, "text")


def noisy(lab: Lab, **settings) -> TuningRun:
    """A run whose adapters are far from doing nothing."""
    run = lab.run(**settings)
    torch.manual_seed(2)
    for weight in run.model.tuned["text"].trained().values():
        nn.init.normal_(weight, std=0.3)
    return run


@pytest.mark.parametrize("family", EXPECTED)
def test_the_recommended_targets_learn(lab, family):
    """Building a run makes the check; the weights must then move."""
    run = lab.run(family=family, depth=3, freeze_layers=1)
    names = {name.split(".lora_")[0].split(".")[-1] for name in run.model.tuned["text"].trained()}
    assert names == EXPECTED[family]
    numbers = {part for name in run.model.tuned["text"].trained() for part in name.split(".") if part.isdigit()}
    assert numbers == {"1", "2"}
    before = {name: weight.detach().clone() for name, weight in run.model.tuned["text"].trained().items()}
    run.train_epoch()
    run.train_epoch()
    assert all(not torch.equal(weight, before[name]) for name, weight in run.model.tuned["text"].trained().items())


def test_adapters_that_are_never_called_are_refused():
    """Adapters around layers whose weights are read by name would get no gradient."""
    weights = {f"q_proj.lora_{kind}.default.weight": nn.Parameter(torch.ones(2, 2)) for kind in "AB"}
    with pytest.raises(MerError, match="2 of 2 trained weights get no gradient") as refused:
        refuse_idle(weights, modality="audio")
    assert "encoders.audio.lora.targets" in refused.value.message


def test_a_gradient_that_is_always_zero_is_refused():
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.zeros(2, 2)
    with pytest.raises(MerError, match=r"1 of 1 trained weights get no gradient, e.g. x.lora_B.default.weight"):
        refuse_idle({"x.lora_B.default.weight": weight})
    refuse_idle({"x.lora_A.default.weight": weight})  # its B is zero at first


@pytest.mark.parametrize(
    ("targets", "found"),
    [(("query", "qeury"), "no linear layer of 'roberta' is called qeury"), (("LayerNorm",), "is called LayerNorm")],
)
def test_targets_that_name_nothing_are_refused(lab, targets, found):
    with pytest.raises(MerError, match=found) as refused:
        lab.run(lora={"targets": targets})
    assert "some of dense, key, query, value, or 'auto'" in refused.value.message


def test_an_unknown_family_needs_names(lab):
    model = load_text_model(lab.found("roberta"), torch.float32)
    model.config.model_type = "novelbert"
    layers = {"encoder.layer.0": model.encoder.layer[0]}
    with pytest.raises(MerError, match="'auto' knows no targets of the family 'novelbert'"):
        target_modules(model, layers, LoraTuning())
    assert target_modules(model, layers, LoraTuning(targets=("query",))) == ["encoder.layer.0.attention.self.query"]


KINDS = {"plain": {}, "rslora": {"rslora": True, "rank": 4}, "dora": {"dora": True}, "alpha": {"alpha": 3.0, "rank": 6}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", slow_except(["bert", "deberta", "modernbert"], "bert"))
def test_peft_alone_loads_the_adapter_on_the_base_model(lab, family, kind, tmp_path):
    from peft import PeftModel
    from safetensors.torch import save_file

    lora = {"rank": 3, **KINDS[kind]}
    run = noisy(lab, family=family, depth=3, freeze_layers=1, lora=lora, layers=[2, 3], pooler="first")
    adapter, rest = peft_tensors(run.model.state_dict(), prefix(run))
    assert adapter and not any(name.startswith("encoders.") for name in rest)
    save_file(adapter, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(peft_config(adapter, run.config.encoders.text.lora, "a name"))
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "a name"

    base = load_text_model(lab.found(family, 3), torch.float32).eval()
    model = PeftModel.from_pretrained(base, tmp_path).eval()
    whole = lab.run(
        family=family, depth=3, freeze_layers=1, lora=lora, layers=[2, 3], pooler="first", split_cache=False
    )
    whole.model.load_state_dict(run.model.state_dict())
    whole.model.eval()
    batch = whole.data.dev.batch(torch.arange(5).numpy(), whole.layers)[0]
    with torch.no_grad():
        pooled = whole.model.tuned["text"].pooled(batch)
        start = 0
        for row, length in enumerate(batch.lengths):
            ids = batch.values[start : start + length].long()[None]
            start += length
            out = model(input_ids=ids, output_hidden_states=True)
            torch.testing.assert_close(pooled[row, 0], out.hidden_states[2][0, 0], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(pooled[row, 1], out.last_hidden_state[0, 0], rtol=1e-4, atol=1e-4)
        off = load_text_model(lab.found(family, 3), torch.float32).eval()(input_ids=ids).last_hidden_state
    assert not torch.allclose(off, out.last_hidden_state, atol=0.1), "an adapter that does nothing would prove nothing"
    back = from_peft_tensors(adapter, prefix(run))
    assert back.keys() == {name for name in run.model.state_dict() if ".lora_" in name}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", slow_except(EXPECTED, "roberta"))
def test_merged_weights_give_the_same_scores(lab, family, kind):
    run = noisy(lab, family=family, depth=3, freeze_layers=1, lora={"rank": 3, **KINDS[kind]})
    weights = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    plain = merged(run.config, weights, layers=run.layers, width=run.data.train.width, classes=7)
    assert not any("lora" in name for name in plain)
    from mer.checkpoints.tensors import under
    from mer.training import build_model

    model = build_model(run.config, layers=run.layers, width=run.data.train.width, classes=7, adapters=False)
    model.load_state_dict(under("model", plain))
    run.model.eval()
    model.eval()
    batch = run.data.dev.batch(torch.arange(8).numpy(), run.layers)[0]
    with torch.no_grad():
        expected, found = run.model(batch)[1], model(batch)[1]
        untrained = build_model(
            run.config, layers=run.layers, width=run.data.train.width, classes=7, adapters=False
        ).eval()
        untrained.load_state_dict(
            {**under("model", plain), **{n: t for n, t in untrained.state_dict().items() if n.startswith(prefix(run))}}
        )
        assert not torch.allclose(untrained(batch)[1], expected, atol=1e-2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["full", "frozen"])
def test_only_adapters_can_be_merged(lab, mode):
    config = lab.config(mode=mode) if mode == "full" else lab.config(mode=mode, optim={"encoder_lr": None})
    with pytest.raises(MerError, match=f"there is nothing to merge: the encoder's mode is {mode}"):
        merged(config, {}, layers=[2], width=32, classes=7)
