"""The epoch loop: it learns, picks its best epoch, stops when told, and fails in words."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_data import CLASSES, VARIANTS, loss, outcome, read_only, split, toy_config, toy_data, toy_run

from mer.errors import MerError, TrialFailed
from mer.training import Scores, SplitArrays, TrainingData, TrainingRun
from mer.training.optimizer import parameter_groups, rate_multiplier

LEARNERS = [name for name in VARIANTS if name not in ("patience",)]


def trained(**dotted) -> TrainingRun:
    run = toy_run(**dotted)
    while not run.finished:
        run.train_epoch()
    return run


def scripted(run: TrainingRun, monkeypatch, values: list[float]) -> TrainingRun:
    """Let dev accuracy take the given values, epoch by epoch."""
    scores = iter(values)
    rows = np.arange(len(run.data.dev))

    def evaluate(dev: SplitArrays) -> Scores:
        wrong = rows >= round(next(scores) * len(rows))
        logits = np.eye(len(CLASSES), dtype=np.float32)[(dev.labels_N + wrong) % len(CLASSES)]
        return Scores(logits, dev.labels_N, CLASSES)

    monkeypatch.setattr(run, "evaluate", evaluate)
    while not run.finished:
        run.train_epoch()
    return run


# -- learning --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNERS)
def test_four_dialogues_train_to_f1_one(name):
    settings = {**VARIANTS[name], "training__epochs": 12, "head__dropout": 0.0, "head__input_dropout": 0.0}
    run = toy_run(toy_data(noise=1e-4), **settings)
    while not run.finished and not (run.member.best and run.member.best.row["dev_weighted_f1"] == 1.0):
        run.train_epoch()
    assert run.member.best.row["dev_weighted_f1"] == 1.0


def test_a_class_that_train_and_dev_lack_is_not_in_macro_f1():
    data = toy_data()
    more = replace(data, class_names=(*data.class_names, "never"))
    run = toy_run(more)
    row = run.train_epoch()
    known = [row[f"dev_f1_{name}"] for name in data.class_names]
    assert row["dev_macro_f1"] == pytest.approx(np.mean(known)) and row["dev_f1_never"] == 0.0


def test_a_row_says_what_happened():
    run = toy_run(**loss("supcon"))
    row = run.train_epoch()
    scores = run.evaluate(run.data.dev)
    assert row == run.history[0] and row["epoch"] == 1.0
    assert {name: row[name] for name in scores.as_metrics("dev")} == scores.as_metrics("dev")
    assert row["train_loss"] == pytest.approx(row["train_loss_classification"] + row["train_loss_contrastive"], 1e-5)
    assert row["train_grad_norm"] > 0 and row["seconds"] > 0 and row["timestamp_ms"] > 1.7e12
    assert all(isinstance(value, float) for value in row.values())


def test_the_shared_arrays_are_not_written_or_kept():
    data = toy_data()
    before = data.train.features_NLD.tobytes()
    run = TrainingRun(toy_config(**VARIANTS["spcl-curriculum"]), data, [0, 2])
    run.train_epoch()
    assert data.train.features_NLD.tobytes() == before
    rows = np.array([3, 1])
    x, y = data.train.batch(rows, [2, 0])
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    assert np.array_equal(x.numpy(), data.train.features_NLD[[3, 1]][:, [2, 0]].astype(np.float32))
    x.fill_(7), y.fill_(2)
    assert data.train.features_NLD.tobytes() == before and data.train.labels_N[1] == 1


def test_float32_features_are_copied_too():
    arrays = split("dev", 1)
    arrays = read_only(SplitArrays(arrays.ids, arrays.features_NLD.astype(np.float32), arrays.labels_N))
    x, _ = arrays.batch(np.arange(len(arrays)), [0, 1, 2])
    assert not np.shares_memory(x.numpy(), arrays.features_NLD)


# -- the best epoch and the end --------------------------------------------------------------------------------


def test_the_best_epoch_is_the_first_of_equals(monkeypatch):
    run = scripted(toy_run(training__epochs=5), monkeypatch, [0.5, 0.7, 0.6, 0.7, 0.7])
    assert run.member.best.row is run.history[1]


def test_the_best_epoch_can_be_the_lowest(monkeypatch):
    settings = {"training__metric": "dev_loss", "training__mode": "min", "training__epochs": 5}
    run = scripted(toy_run(**settings), monkeypatch, [0.5, 0.6, 0.9, 0.9, 0.7])
    losses = [row["dev_loss"] for row in run.history]
    assert losses[2] == min(losses) and run.member.best.row is run.history[2]


def test_best_weights_and_scores_are_those_of_the_best_epoch():
    run = toy_run(training__epochs=6, optim__head_lr=0.05)
    seen = {}
    while not run.finished:
        row = run.train_epoch()
        seen[row["epoch"]] = {name: tensor.clone() for name, tensor in run.weights().items()}
    best = run.member.best.row["epoch"]
    assert run.member.best.weights.keys() == seen[best].keys()
    assert all(torch.equal(run.member.best.weights[name], seen[best][name]) for name in seen[best])
    run.load_weights(run.member.best.weights)
    assert np.array_equal(run.predict(run.data.dev), run.member.best.logits_NC)
    assert (
        Scores(run.member.best.logits_NC, run.data.dev.labels_N, CLASSES).weighted_f1
        == run.member.best.row["dev_weighted_f1"]
    )


@pytest.mark.parametrize(
    ("patience", "accuracies", "epochs"),
    [
        (0, [0.9, 0.1, 0.1, 0.1, 0.1, 0.1], 6),
        (2, [0.5, 0.6, 0.6, 0.6, 0.9, 0.9], 4),  # a tie is no gain
        (2, [0.5, 0.4, 0.6, 0.5, 0.7, 0.8], 6),
        (1, [0.5, 0.5, 0.9, 0.9, 0.9, 0.9], 2),
    ],
)
def test_patience_counts_epochs_without_a_gain(monkeypatch, patience, accuracies, epochs):
    run = toy_run(training__epochs=6, training__patience=patience, training__metric="dev_accuracy")
    assert scripted(run, monkeypatch, accuracies).epoch == epochs


def test_patience_does_not_skip_stage_two(monkeypatch):
    settings = VARIANTS["eacl-two-stages"] | {"training__patience": 1, "training__epochs": 8}
    settings["loss__contrastive__stage_two_epochs"] = 4
    run = scripted(toy_run(**settings), monkeypatch, [0.9, 0.8, 0.7, 0.6, 0.8, 0.8, 0.8, 0.8])
    assert run.epoch == 5 and bool(run.objective.eacl.in_stage_two)


# -- failures --------------------------------------------------------------------------------------------------


def test_a_nonfinite_loss_names_step_and_epoch():
    run = toy_run(head__input_norm="none", optim__batch_size=8)
    run.train_epoch()
    features = run.data.train.features_NLD.copy()
    features[:] = np.inf
    run.data = TrainingData(SplitArrays(run.data.train.ids, features, run.data.train.labels_N), run.data.dev, CLASSES)
    with pytest.raises(TrialFailed, match=r"the loss became nan at step 6 \(epoch 2\)"):
        run.train_epoch()
    assert len(run.history) == 1 and run.epoch == 1


def test_a_huge_learning_rate_fails_in_words_and_not_in_numbers():
    run = toy_run(optim__head_lr=1e38, training__epochs=50, head__input_norm="none")
    with pytest.raises(TrialFailed, match=r"at step \d+ \(epoch \d+\)|not finite after step \d+ \(epoch \d+\)"):
        while not run.finished:
            run.train_epoch()
    assert all(math.isfinite(value) for row in run.history for value in row.values())


def test_a_nonfinite_gradient_never_reaches_the_weights():
    run = toy_run()
    run.train_epoch()
    before = {name: tensor.clone() for name, tensor in run.weights().items()}
    next(run.model.parameters()).register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrialFailed, match=r"the gradient norm became (nan|inf) at step 6 \(epoch 2\)"):
        run.train_epoch()
    assert all(torch.equal(run.weights()[name], before[name]) for name in before)


def test_nonfinite_dev_scores_fail():
    data = toy_data()
    features = data.dev.features_NLD.copy()
    features[3] = np.inf
    run = toy_run(TrainingData(data.train, SplitArrays(data.dev.ids, features, data.dev.labels_N), CLASSES))
    with pytest.raises(TrialFailed, match=r"class scores of the dev split .* after step 5 \(epoch 1\)"):
        run.train_epoch()


@pytest.mark.parametrize("name", ["eacl", "apcl-label-text"])
def test_missing_label_words_are_the_users_to_mend(name):
    data = toy_data()
    with pytest.raises(MerError, match="needs label words"):
        toy_run(TrainingData(data.train, data.dev, CLASSES), **VARIANTS[name])


# -- evaluation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["none", "spcl-nearest-center", "eacl-anchors", "mean-layernorm", "learned-standardize"]
)
def test_evaluation_knows_nothing_of_chunks_order_or_neighbours(name, monkeypatch):
    run = trained(**VARIANTS[name])
    dev = run.data.dev
    logits = run.evaluate(dev).logits_NC
    order = np.random.default_rng(0).permutation(len(dev))
    mixed = SplitArrays(tuple(dev.ids[i] for i in order), dev.features_NLD[order], dev.labels_N[order])
    np.testing.assert_allclose(run.evaluate(mixed).logits_NC, logits[order], atol=2e-5)
    others = dev.features_NLD.copy()
    others[1:] = 3 * others[1:][::-1]
    np.testing.assert_allclose(run.predict(SplitArrays(dev.ids, others, dev.labels_N))[0], logits[0], atol=2e-5)
    for rows in (1, 5, 17):
        monkeypatch.setattr("mer.training.data.CHUNK_ROWS", rows)
        np.testing.assert_allclose(run.evaluate(dev).logits_NC, logits, atol=2e-5)


def test_evaluating_between_epochs_changes_nothing():
    plain, nosy = toy_run(**VARIANTS["spcl-nearest-center"]), toy_run(**VARIANTS["spcl-nearest-center"])
    while not plain.finished:
        plain.train_epoch()
        nosy.train_epoch()
        nosy.evaluate(nosy.data.train)
        nosy.evaluate(nosy.data.dev)
    assert outcome(plain) == outcome(nosy)


def test_class_centres_are_the_means_of_h_in_eval_mode():
    run = trained(**VARIANTS["nearest-center"])
    train = run.data.train
    run.model.eval()
    with torch.no_grad():
        h = run.model.represent(train.batch(np.arange(len(train)), run.layers)[0]).double().numpy()
    means = np.stack([h[train.labels_N == c].mean(axis=0) for c in range(len(CLASSES))])
    np.testing.assert_allclose(run.model.class_centers_CH.numpy(), means, atol=1e-6)


# -- optimiser and schedule ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_is_in_one_group_and_vectors_are_not_decayed(name):
    run = toy_run(**VARIANTS[name], optim__weight_decay=0.1)
    named = {f"model.{n}": p for n, p in run.model.named_parameters()}
    named |= {f"objective.{n}": p for n, p in run.objective.named_parameters()}
    placed = [id(p) for group in run.optimizer.param_groups for p in group["params"]]
    assert sorted(placed) == sorted(id(p) for p in named.values())
    group_of = {id(p): group for group in run.optimizer.param_groups for p in group["params"]}
    for parameter_name, parameter in named.items():
        group = group_of[id(parameter)]
        part = "anchors" if "adapted_anchors" in parameter_name else "loss" if "objective" in parameter_name else "head"
        decayed = parameter.ndim > 1
        assert group["name"] == (part if decayed else f"{part}_no_decay")
        assert group["weight_decay"] == (0.1 if decayed and part != "anchors" else 0.0)


def test_a_parameter_in_two_groups_is_refused():
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="'loss' is in another group"):
        parameter_groups({"head": layer.parameters(), "loss": [layer.bias]}, {"head": 1, "loss": 1}, 0.0)


def test_frozen_parameters_are_in_no_group():
    layer = torch.nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    groups = parameter_groups({"head": layer.parameters()}, {"head": 1e-3}, 0.1)
    assert [group["name"] for group in groups] == ["head_no_decay"]


def test_stage_two_moves_the_anchors_only_and_starts_from_the_best_weights():
    run = toy_run(**VARIANTS["eacl-two-stages"], optim__schedule="cosine")
    while run.epoch < 3:
        run.train_epoch()
    assert run.objective.eacl.adapted_anchors.count_nonzero() == 0
    best = {name: tensor * 1.5 if tensor.is_floating_point() else tensor for name, tensor in run.weights().items()}
    best["objective.eacl.in_stage_two"] = torch.tensor(False)
    run.member.keep(run.member.best.row, best, run.member.best.logits_NC)
    anchors = []
    while not run.finished:
        row = run.train_epoch()
        assert row["learning_rate"] == 0.01 and "train_loss_adaptation" in row
        anchors.append(run.objective.eacl.adapted_anchors.detach().clone())
        same = {name for name, tensor in run.weights().items() if torch.equal(tensor, best[name])}
        assert run.weights().keys() - same == {"objective.eacl.adapted_anchors", "objective.eacl.in_stage_two"}
    assert len(anchors) == 2 and not torch.equal(*anchors)
    rates = {group["name"]: group["lr"] for group in run.optimizer.param_groups}
    assert rates["anchors"] == 0.01 and rates["head"] == 0.0 == rates["loss"]


def test_the_schedule_of_stage_one_ends_with_stage_one():
    run = toy_run(**VARIANTS["eacl-two-stages"])
    rows = [run.train_epoch() for _ in range(5)]
    assert run.total_steps == 3 * 5 and run.step_count == 25
    assert rows[2]["learning_rate"] < 0.05 * rows[0]["learning_rate"]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_schedule_counts_steps(schedule):
    config = toy_config(optim__schedule=schedule, optim__warmup_ratio=0.1).optim
    rates = [rate_multiplier(step, 200, config) for step in range(200)]
    assert rates[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert rates[20] == 1.0 == max(rates)
    after = np.diff(rates[20:])
    if schedule == "constant":
        assert not after.any()
        return
    assert (after < 0).all() and 0 < rates[-1] < 0.01
    middle = rates[110]  # half way from warm-up to the end
    assert middle == pytest.approx(0.5)
    assert rates[65] == pytest.approx({"linear": 0.75, "cosine": 0.5 + math.sqrt(0.125)}[schedule])
    assert rate_multiplier(500, 200, config) == 0.0


def test_no_warmup_starts_at_the_full_rate():
    assert rate_multiplier(0, 10, toy_config(optim__warmup_ratio=0.0).optim) == 1.0


def test_steps_are_counted_per_batch():
    run = trained(optim__batch_size=8)  # 36 rows: 4 full batches and one of 4
    assert run.step_count == 3 * 5 == run.total_steps
    assert run.history[-1]["learning_rate"] == pytest.approx(0.02 * rate_multiplier(14, 15, run.config.optim))


def test_the_curriculum_plans_for_half_of_the_rows():
    run = toy_run(**VARIANTS["spcl-curriculum"])
    assert run.total_steps == 3 * math.ceil(18 / 8)
    plain = toy_run(**VARIANTS["spcl"])
    assert plain.total_steps == 3 * math.ceil(36 / 8)
    while not run.finished:
        run.train_epoch()
    assert 3 <= run.step_count < plain.total_steps


def test_an_epoch_visits_every_row_once(monkeypatch):
    run = toy_run()
    visited = []
    step = run._step
    monkeypatch.setattr(run, "_step", lambda rows: visited.append(rows) or step(rows))
    run.train_epoch(), run.train_epoch()
    first, second = np.concatenate(visited[:5]), np.concatenate(visited[5:])
    assert sorted(first) == sorted(second) == list(range(36))
    assert not np.array_equal(first, second) and not np.array_equal(first, np.arange(36))


@pytest.mark.parametrize("name", ["none", "spcl-curriculum", "spcl-nearest-center", "eacl-two-stages"])
def test_dropout_is_on_in_every_step_but_those_of_stage_two(name, monkeypatch):
    run = toy_run(**VARIANTS[name])
    modes: dict[int, set[bool]] = {}
    step = run._step

    def watched(rows):
        modes.setdefault(run.epoch, set()).add(run.model.training)
        return step(rows)

    monkeypatch.setattr(run, "_step", watched)
    while not run.finished:
        run.train_epoch()
    stage_two = {3, 4} if "stages" in name else set()
    assert modes == {epoch: {epoch not in stage_two} for epoch in range(run.epoch)}
