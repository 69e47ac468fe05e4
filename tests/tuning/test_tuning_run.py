"""Training an encoder: the same numbers from the cache as live, from memory that nobody writes to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tiers import slow_except
from tuning_lab import checksum, step_losses

from mer.checkpoints import load_tensors, save_tensors
from mer.errors import MerError, TrialFailed
from mer.models.sequence_batch import cheapest_groups
from mer.training import build_run
from mer.training.tuning import TuningRun

_ROUNDING = 1e-2
STILL = {"tuned_dropout": 0.0, "lora": {"dropout": 0.0}}


def told(run: TuningRun) -> list[dict[str, float]]:
    return [{n: v for n, v in row.items() if n not in ("seconds", "timestamp_ms")} for row in run.history]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lora", "full"])
@pytest.mark.parametrize("frozen", [0, 2, 3], ids=["none", "half", "all-but-one"])
@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_three_steps_from_the_cache_are_three_steps_live(lab, family, frozen, mode):
    """With dropout in what is trained. The cache rounds to float16, which these layers (weights of sd 0.3, and another
    vocabulary whenever the tokenizer is trained) amplify to as much as 0.5 %; another frozen layer is farther off."""
    slow = {"encoder_lr": 5e-4 if mode == "lora" else 1e-4, "head_lr": 1e-3, "warmup_ratio": 0.0}
    where = {"family": family, "depth": 4, "freeze_layers": frozen, "mode": mode, "optim": slow}
    cached, live = (step_losses(lab.run(split_cache=split, **where), 3) for split in (True, False))
    np.testing.assert_allclose(cached, live, rtol=_ROUNDING)
    assert len(set(live)) == 3, "three steps that change nothing would prove nothing"
    if frozen:
        other = step_losses(lab.run(**where | {"freeze_layers": frozen - 1}), 3)
        assert not np.allclose(other, cached, rtol=_ROUNDING), "the tolerance tells one frozen layer from another"


def gradients(run: TuningRun) -> dict[str, torch.Tensor]:
    run.model.train()
    outputs, y_B = run._answer(np.arange(12))
    run.objective(outputs, y_B)[0].backward()
    return {name: weight.grad.clone() for name, weight in run.model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize(
    "settings",
    [{"optim": {"micro_batch": 5}}, {"optim": {"micro_batch": 1}}, {"recompute": True}],
    ids=["micro-5", "micro-1", "recompute"],
)
@pytest.mark.parametrize("loss", ["none", "supcon"])
def test_saving_memory_changes_no_gradient(lab, settings, loss):
    """The loss may compare rows of the whole batch."""
    common = {"loss": {"contrastive": {"kind": loss}}, "head": {"dropout": 0.0}, **STILL}
    usual, saving = gradients(lab.run(**common)), gradients(lab.run(**common, **settings))
    assert usual.keys() == saving.keys() and len(usual) > 10
    for name, gradient in usual.items():
        atol = 1e-4 * gradient.abs().max().item() + 1e-6
        torch.testing.assert_close(saving[name], gradient, rtol=1e-4, atol=atol, msg=name)


@pytest.mark.parametrize("split", [True, False], ids=["cached", "live"])
@pytest.mark.parametrize("mode", ["lora", "full"])
def test_recomputing_stops_at_the_frozen_layers(lab, mode, split):
    """transformers would make the output of the embeddings require a gradient, which may not even be there."""
    where = {"mode": mode, "depth": 3, "freeze_layers": 1, "split_cache": split, "tuned_dropout": 0.0}
    where |= {"head": {"dropout": 0.0}} | ({"lora": {"dropout": 0.0}} if mode == "lora" else {})
    saving = lab.run(**where, recompute=True)
    needed = []
    for number, layer in saving.model.tuned["text"].numbered_layers():
        layer.register_forward_pre_hook(lambda _, args, number=number: needed.append((number, args[0].requires_grad)))
    usual, found = gradients(lab.run(**where)), gradients(saving)
    assert all(torch.allclose(found[name], usual[name], rtol=1e-4, atol=1e-6) for name in usual)
    assert not any(grad for number, grad in needed if number <= 1) and dict(needed)[2]


def test_with_a_micro_batch_dropout_is_the_same_on_the_way_back(lab):
    """The forward pass that is repeated must draw what it drew: else its gradient is of another function."""
    run = lab.run(optim={"micro_batch": 4}, tuned_dropout=0.5, head={"dropout": 0.0})
    weight = next(w for name, w in run.model.named_parameters() if "lora_B" in name)

    def loss() -> torch.Tensor:
        torch.manual_seed(4)
        outputs, y_B = run._answer(np.arange(8))
        return run.objective(outputs, y_B)[0]

    run.model.train()
    loss().backward()
    place = np.unravel_index(int(weight.grad.abs().argmax()), weight.shape)
    step, gradient = 1e-2, weight.grad[place].item()
    values = []
    for change in (step, -2 * step):
        with torch.no_grad():
            weight[place] += change
        values.append(loss().item())
    measured = (values[0] - values[1]) / (2 * step)
    assert gradient == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("settings", [{"mode": "lora"}, {"mode": "full"}, {"mode": "full", "freeze_layers": 1}])
def test_training_leaves_shared_arrays_alone(lab, settings):
    config = lab.config(**settings)
    data, layers = lab.training_data(config)
    before = checksum(data.base["text"]), checksum({"values": data.train.sequences.values})
    run = build_run(config, data, layers)
    start = {name: weight.detach().clone() for name, weight in run.model.tuned["text"].trained().items()}
    while not run.finished:
        run.train_epoch()
    assert (checksum(data.base["text"]), checksum({"values": data.train.sequences.values})) == before
    moved = [name for name, weight in run.model.tuned["text"].trained().items() if not torch.equal(weight, start[name])]
    assert len(moved) == len(start)
    shared = {array.__array_interface__["data"][0] for array in data.base["text"].values()}
    for weight in run.model.tuned["text"].parameters():
        assert (weight.data_ptr() in shared) == (not weight.requires_grad)


def test_two_runs_use_one_base(lab):
    config = lab.config()
    data, layers = lab.training_data(config)
    places = [
        {w.data_ptr() for w in build_run(config, data, layers).model.tuned["text"].parameters() if not w.requires_grad}
        for _ in range(2)
    ]
    assert places[0] == places[1] and len(places[0]) > 10


def test_nothing_is_kept_of_what_is_frozen(lab):
    """Neither optimiser state nor checkpoints."""
    run = lab.run(depth=4, freeze_layers=2)
    run.train_epoch()
    trained = [weight for weight in run.model.parameters() if weight.requires_grad]
    assert {id(w) for group in run.optimizer.param_groups for w in group["params"]} == {id(w) for w in trained}
    assert len(run.optimizer.state) == len(trained)
    names = run.weights()
    assert any("layer.2.attention.self.query.lora_A" in name for name in names)
    assert not any("base_layer" in name or "layer.1." in name for name in names if name.startswith("model.encoders."))


def test_the_lower_the_slower(lab):
    run = lab.run(depth=4, mode="full", freeze_layers=1, full={"layer_decay": 0.5}, optim={"encoder_lr": 0.08})
    rates = {group["name"]: group["base_lr"] for group in run.optimizer.param_groups}
    assert {name: rate for name, rate in rates.items() if "no_decay" not in name} == pytest.approx(
        {"head": 0.01, "text_layer_03": 0.08, "text_layer_02": 0.04, "text_layer_01": 0.02}
    )
    lora = lab.run(depth=4, optim={"encoder_lr": 0.08})
    assert {g["base_lr"] for g in lora.optimizer.param_groups if g["name"].startswith("text_layer")} == {0.08}


def test_embeddings_are_trained_on_request_only(lab):
    def trained(**settings):
        return [name for name in lab.run(mode="full", **settings).model.tuned["text"].trained() if "embeddings" in name]

    assert trained() == []
    assert "model.embeddings.word_embeddings.weight" in trained(full={"embeddings": True})


def test_dropout_is_for_what_learns(lab):
    run = lab.run(depth=4, freeze_layers=2, split_cache=False)
    run.model.train()
    layers = dict(run.model.tuned["text"].numbered_layers())
    assert [layers[i].training for i in range(4)] == [False, False, True, True]
    assert not run.model.tuned["text"].model.embeddings.training
    given = run.data.train.batch(np.arange(6), run.layers)[0]
    with torch.no_grad():
        assert not torch.equal(run.model.tuned["text"].pooled(given), run.model.tuned["text"].pooled(given))
        run.model.eval()
        assert torch.equal(run.model.tuned["text"].pooled(given), run.model.tuned["text"].pooled(given))


def test_scores_do_not_depend_on_who_is_read_beside(lab):
    run = lab.run(depth=4, freeze_layers=2)
    run.train_epoch()
    whole = run.predict(run.data.dev)
    run.model.eval()
    with torch.no_grad():
        alone = [run.model(run.data.dev.batch(np.array([row]), run.layers)[0])[1][0] for row in range(len(whole))]
    np.testing.assert_allclose(torch.stack(alone).numpy(), whole, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    slow_except(
        [
            {"freeze_layers": 1},
            {"mode": "full", "optim": {"micro_batch": 3}},
            {"loss": {"contrastive": {"kind": "spcl", "pool_size": 16, "support_size": 4, "curriculum": True}}},
            {"loss": {"contrastive": {"kind": "apcl"}}, "lora": {"dora": True}},
        ],
        {"freeze_layers": 1},
    ),
    ids=["lora", "full-micro", "spcl-curriculum", "apcl-dora"],
)
def test_resume_equals_uninterrupted(lab, settings, tmp_path):
    whole = lab.run(**settings)
    while not whole.finished:
        whole.train_epoch()
        save_tensors(tmp_path / f"{whole.epoch}.safetensors", *whole.state())
    for epoch in (1, 2):
        resumed = lab.run(**settings)
        resumed.load_state(*load_tensors(tmp_path / f"{epoch}.safetensors"))
        while not resumed.finished:
            resumed.train_epoch()
        assert told(resumed) == told(whole)
        for name, tensor in whole.state()[0].items():
            assert torch.equal(resumed.state()[0][name], tensor), name


def short_of_memory(run: TuningRun, monkeypatch, most_rows: int) -> list[int]:
    """Run out of memory above a number of rows at once. Returns the list that notes how many were read."""
    read, usual = [], run.model.tuned["text"]._read

    def limited(given, real_BT, spans_B2):
        if run.model.training:
            read.append(len(given))
            if len(given) > most_rows:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        return usual(given, real_BT, spans_B2)

    monkeypatch.setattr(run.model.tuned["text"], "_read", limited)
    return read


def test_out_of_memory_is_tried_once_with_half_the_rows(lab, monkeypatch, tmp_path):
    run = lab.run(**STILL)
    read = short_of_memory(run, monkeypatch, most_rows=4)
    row = run.train_epoch()
    assert row["micro_batch"] == 4 and max(read) == 8 and max(read[1:]) <= 4
    plain = lab.run(**STILL)
    assert "micro_batch" not in plain.train_epoch()
    assert row["train_loss"] == pytest.approx(plain.history[0]["train_loss"], rel=1e-2)
    save_tensors(tmp_path / "run.safetensors", *run.state())
    resumed = lab.run(**STILL)
    resumed.load_state(*load_tensors(tmp_path / "run.safetensors"))
    assert resumed.model.tuned["text"].micro_batch == 4 and resumed.retried_from == 8


def test_out_of_memory_twice_fails_the_trial_with_figures(lab, monkeypatch):
    run = lab.run()
    short_of_memory(run, monkeypatch, most_rows=2)
    with pytest.raises(
        TrialFailed, match=r"out of memory with 4 rows of up to \d+ tokens of text per forward pass, after 8"
    ):
        run.train_epoch()


def test_other_faults_are_not_taken_for_memory(lab, monkeypatch):
    run = lab.run()
    monkeypatch.setattr(run.model.tuned["text"], "_read", lambda *_: torch.zeros(2, 3) @ torch.zeros(2, 3))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run._step(np.arange(8))


def test_what_would_not_learn_is_refused_at_the_start(lab, monkeypatch):
    from mer.features.partial import PartialBackbone

    usual = PartialBackbone.forward
    monkeypatch.setattr(
        PartialBackbone, "forward", lambda self, *given: [s.detach() + 0 * self.probe for s in usual(self, *given)]
    )
    monkeypatch.setattr(PartialBackbone, "probe", torch.zeros(1, requires_grad=True), raising=False)
    with pytest.raises(MerError, match=r"24 of 24 trained weights get no gradient") as refused:
        lab.run()
    assert "mode: full" in refused.value.message


def test_recomputing_is_refused_where_transformers_cannot(lab):
    with pytest.raises(MerError, match=r"cannot recompute single layers of 'mpnet'") as refused:
        lab.run(family="mpnet", recompute=True)
    assert "optim.micro_batch" in refused.value.message


@pytest.mark.parametrize("cost", [0, 7, 10_000])
@pytest.mark.parametrize("most_rows", [2, 3, 7])
def test_groups_cost_as_little_as_any(most_rows, cost):
    """Against every way to cut the sorted rows."""
    lengths = np.array([4, 30, 5, 5, 12, 4, 29])
    rows = sorted(lengths)

    def price(cuts: tuple[int, ...]) -> int:
        edges = [0, *cuts, len(rows)]
        parts = [rows[a:b] for a, b in itertools.pairwise(edges)]
        return sum(len(part) * max(part) + cost for part in parts) if max(map(len, parts)) <= most_rows else 10**9

    every = [cuts for n in range(7) for cuts in itertools.combinations(range(1, 7), n)]
    groups = cheapest_groups(lengths, most_rows, cost)
    assert sorted(row for group in groups for row in group) == list(range(7))
    assert sum(len(g) * max(lengths[g]) + cost for g in groups) == min(map(price, every))
