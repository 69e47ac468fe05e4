"""Every fault of a search space is one message: file:line, what was found, what is allowed, the next move."""

from __future__ import annotations

import pytest
from study_helpers import KEYS, NO_POINT, lr, make_spec, message, write_space

from mer.errors import Faults
from mer.study.space.load import load_spec

METRICS = (
    "dev_weighted_f1, dev_macro_f1, dev_accuracy, dev_unweighted_accuracy, dev_loss, dev_ece, dev_f1_<class>, "
    "dev_recall_<class>"
)
PARTS = (
    "study, description, trainable, objective, budget, sampler, scheduler, resources, keep_weights, max_failed, "
    "depends_on, provenance, fixed, params, points"
)
LINE = {"study": 1, "trainable": 2, "objective": 3, "budget": 4, "sampler": 5, "scheduler": 6, "loss": 9, "lr": 11}


def test_the_small_study_loads(tmp_path):
    spec = make_spec(tmp_path)
    assert spec.fixed == {"encoders.text.backbone": "minilm", "loss.contrastive.kind": "spcl"}
    assert list(spec.params) == ["optim.head_lr", "head.hidden"]
    assert spec.points == ({"optim.head_lr": 1e-3, "head.hidden": 32},)
    config = spec.trial_config({"optim.head_lr": 0.002, "head.hidden": 16})
    assert (config.training.epochs, config.training.metric, config.training.mode) == (6, "dev_weighted_f1", "max")


# -- one test per kind of fault -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("budget:", "budgte:"), f"FILE:4: budgte: unknown key. Did you mean 'budget'?\n  allowed: {PARTS}"),
        (
            ("epochs: 6", "epoch: 6"),
            "FILE:4: budget.epoch: unknown key. Did you mean 'epochs'?\n  allowed: trials, epochs, hours",
        ),
        (
            ("{kind: spcl}", "{kindd: spcl}"),
            "FILE:9: fixed.loss.contrastive.kindd: unknown key. Did you mean 'loss.contrastive.kind'?\n  next: " + KEYS,
        ),
        (
            ("log: true", "logg: true"),
            "FILE:11: params.optim.head_lr.logg: unknown key. Did you mean 'log'?\n  allowed: log, step, when",
        ),
    ],
)
def test_misspelt_key(tmp_path, change, expected):
    assert expected in message(tmp_path, change)


def test_misspelt_parameter(tmp_path):
    assert message(tmp_path, ("optim.head_lr: {", "optim.head_rl: {"), NO_POINT) == (
        f"FILE:11: params.optim.head_rl: unknown key. Did you mean 'optim.head_lr'?\n  next: {KEYS}"
    )


def test_repeated_key(tmp_path):
    assert message(tmp_path, ("budget:", "study: other\nbudget:")) == (
        "FILE:4: study: repeated key, first on line 1\n  allowed: each key once\n  next: remove one of the two"
    )


def test_key_repeated_in_another_spelling(tmp_path):
    change = ("fixed:\n", "fixed:\n  data.root: a\n  data: {root: b}\n")
    assert message(tmp_path, change) == (
        "FILE:9: fixed.data.root: repeated key, first at FILE:8\n  next: remove one of the two"
    )


@pytest.mark.parametrize("objective", ["{metric: test_weighted_f1, mode: max}", "test_weighted_f1"])
def test_test_metric(tmp_path, objective):
    assert message(tmp_path, ("{metric: dev_weighted_f1, mode: max}", objective)) == (
        "FILE:3: objective.metric: 'test_weighted_f1' would select on the test split\n"
        f"  allowed: dev metrics only: {METRICS}\n"
        "  next: search on dev; the test split is evaluated once, after selection"
    )


def test_inverted_range(tmp_path):
    assert message(tmp_path, *lr("{float: [1e-2, 1e-4]}")) == (
        "FILE:11: params.optim.head_lr: the range is inverted or empty: low < high must hold, got [0.01, 0.0001]"
    )


SUPPORT = "support_size must be at most pool_size, got support_size=64 with pool_size=32"


def test_support_above_pool_both_searched(tmp_path):
    added = "  loss.contrastive.pool_size: {choice: [32, 64]}\n  loss.contrastive.support_size: {choice: [16, 64]}\n"
    assert message(tmp_path, ("  optim.head_lr: {", added + "  optim.head_lr: {")) == (
        f"FILE:11: loss.contrastive: {SUPPORT}\n"
        "  next: mend the ranges of loss.contrastive.pool_size, loss.contrastive.support_size"
    )


def test_support_above_pool_both_fixed(tmp_path):
    fixed = "kind: spcl, \n    pool_size: 32, support_size: 64"
    assert message(tmp_path, ("kind: spcl", fixed)) == f"FILE:10: loss.contrastive: {SUPPORT}"


def test_support_above_pool_in_a_point(tmp_path):
    added = "  loss.contrastive.pool_size: {choice: [64, 32]}\n  optim.head_lr: {"
    point = ("- {optim", "- {loss.contrastive.pool_size: 32, optim")
    text = message(tmp_path, ("  optim.head_lr: {", added), point, ("kind: spcl", "kind: spcl, support_size: 64"))
    assert text == f"FILE:15: loss.contrastive: {SUPPORT}"


def test_unknown_trainable(tmp_path):
    assert message(tmp_path, ("trainable: text", "trainable: txet")) == (
        "FILE:2: trainable: unknown trainable 'txet'. Did you mean 'text'?\n"
        "  allowed: text, audio, video, fusion, distill"
    )
    assert message(tmp_path, ("trainable: text", "trainable: [text]")).startswith(
        "FILE:2: trainable: unknown trainable"
    )


# -- parts ---------------------------------------------------------------------------------------------------------


NAMES = "letters, digits, '.', '_' and '-', at most 100; the first is a letter or a digit (it names a folder)"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "-x", "a b", "2024", "x" * 101])
def test_study_names_that_are_no_folders(tmp_path, name):
    shown = name if name == "2024" else repr(name)
    assert message(tmp_path, ("study: small", f"study: {name}")) == f"FILE:1: study: got {shown}\n  allowed: {NAMES}"


@pytest.mark.parametrize(("text", "where"), [("", "FILE:1: "), ("study:\n", "FILE:1: study: ")])
def test_missing_study(tmp_path, text, where):
    assert message(tmp_path, ("study: small\n", text)) == (
        f"{where}the key 'study' is missing\n  allowed: a name for the study's folder, e.g. spcl-meld-text"
    )


@pytest.mark.parametrize(
    ("part", "old", "new", "expected"),
    [
        (
            "objective",
            "{metric: dev_weighted_f1, mode: max}",
            "dev_loss",
            "objective: got 'dev_loss'\n  allowed: a mapping with metric, mode\n  next: write {metric: dev_loss}",
        ),
        (
            "objective",
            "{metric: dev_weighted_f1, mode: max}",
            "{mode: max}",
            f"objective: the key 'metric' is missing\n  allowed: {METRICS}",
        ),
        (
            "objective",
            "{metric: dev_weighted_f1, mode: max}",
            "[]",
            "objective: got []\n  allowed: {metric: ..., mode: max}, or a list of them",
        ),
        (
            "objective",
            "metric: dev_weighted_f1",
            "metric: dev_wf1",
            f"objective.metric: got 'dev_wf1'. Did you mean 'dev_weighted_f1'?\n  allowed: {METRICS}",
        ),
        (
            "objective",
            "metric: dev_weighted_f1",
            "metric: dev_loss",
            "objective: dev_loss is better when it is smaller: mode min",
        ),
        (
            "objective",
            "mode: max",
            "mode: min",
            "objective: dev_weighted_f1 is better when it is larger: mode max",
        ),
        ("objective", "mode: max", "mode: up", "objective.mode: got 'up'\n  allowed: one of 'max' or 'min'"),
        ("budget", "trials: 4", "trials: 0", "budget.trials: got 0\n  allowed: at least 1"),
        (
            "budget",
            "{trials: 4, epochs: 6}",
            "12",
            "budget: got 12\n  allowed: a mapping with trials, epochs, hours, total_epochs, cost, cost_per_hour\n"
            "  next: write {trials: 12}",
        ),
        (
            "sampler",
            "kind: random",
            "kind: bayes",
            "sampler.kind: got 'bayes'\n  allowed: one of 'tpe', 'gp', 'cmaes', 'random', 'grid' or 'qmc'",
        ),
        (
            "scheduler",
            "{kind: none}",
            "none",
            "scheduler: got 'none'\n  allowed: a mapping with kind, grace_epochs, reduction\n"
            "  next: write {kind: none}",
        ),
        (
            "scheduler",
            "kind: none",
            "kind: off",
            "scheduler.kind: got false (YAML reads no, off, yes and on as false and true: put words in quotes)\n"
            "  allowed: one of 'asha', 'hyperband', 'median' or 'none'",
        ),
        (
            "scheduler",
            "kind: none",
            "kind: asha, grace_epochs: 7",
            "scheduler: grace_epochs 7 is above budget.epochs 6",
        ),
    ],
)
def test_parts(tmp_path, part, old, new, expected):
    assert message(tmp_path, (old, new)) == f"FILE:{LINE[part]}: {expected}"


def test_several_objectives(tmp_path):
    both = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]")
    assert [o.mode for o in make_spec(tmp_path, both).objective] == ["max", "min"]
    assert message(tmp_path, both, ("{kind: none}", "{kind: asha}")) == (
        "FILE:6: scheduler: several objectives have no single score to stop by: kind must be none"
    )
    assert "'cmaes' knows one objective only" in message(tmp_path, both, ("kind: random", "kind: cmaes"))
    twice = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_loss, mode: min}, {metric: dev_loss, mode: min}]")
    assert message(tmp_path, twice) == "FILE:3: objective: each metric once"
    tested = ("{metric: dev_weighted_f1, mode: max}", "\n  - {metric: dev_weighted_f1}\n  - {metric: test_loss}")
    assert "FILE:5: objective.1.metric: 'test_loss' would select on the test split" in message(tmp_path, tested)


def test_cmaes_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert message(tmp_path, ("kind: random", "kind: cmaes")) == (
        "FILE:5: sampler.kind: 'cmaes' needs the package cmaes\n  next: pip install \"mer[samplers]\""
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "FILE: is empty\n  allowed: keys such as study, description, trainable, objective"),
        ("- 1\n", "FILE:1: got [1]\n  allowed: keys such as study, description, trainable, objective"),
        ("study\n", "FILE:1: got 'study'\n  allowed: keys such as study, description, trainable, objective"),
    ],
)
def test_files_that_are_no_mapping(tmp_path, text, expected):
    path = write_space(tmp_path, text=text)
    with pytest.raises(Faults) as caught:
        load_spec(path)
    assert str(caught.value).replace(str(path), "FILE") == expected


def test_all_faults_in_one_message(tmp_path):
    text = message(
        tmp_path,
        ("study: small", "study: a/b"),
        ("metric: dev_weighted_f1", "metric: test_loss"),
        ("trials: 4", "trials: many"),
        ("kind: spcl", "kind: spcl, pol_size: 3"),
        ("[1e-4, 1e-2]", "[1, 0]"),
        ("- {optim.head_lr: 1e-3, head.hidden: 32}", "- {head.hidden: 65}"),
    )
    assert [line.split(": ")[0] for line in text.splitlines() if line.startswith("FILE")] == [
        *("FILE:3", "FILE:9", "FILE:11", "FILE:14", "FILE:1", "FILE:4")
    ]


# -- identity ------------------------------------------------------------------------------------------------------


def test_identity_is_what_may_not_change(tmp_path):
    base = make_spec(tmp_path)
    same = make_spec(
        tmp_path, overrides=("data.root=/elsewhere", "budget.trials=99", "resources.cpu=2", "budget.hours=1")
    )
    assert same.fingerprint == base.fingerprint
    for other in ("budget.epochs=7", "sampler.seed=1", "head.dropout=0.1", "scheduler.kind=asha", "head.hidden=8"):
        assert make_spec(tmp_path, overrides=(other,)).fingerprint != base.fingerprint, other


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("exports/a", {"exports/a": None}),
        ("[exports/a, exports/b]", {"exports/a": None, "exports/b": None}),
        ("{exports/a: search_spaces/spcl.yaml}", {"exports/a": "search_spaces/spcl.yaml"}),
    ],
)
def test_what_a_study_depends_on(tmp_path, said, meant):
    assert make_spec(tmp_path, ("params:\n", f"depends_on: {said}\nparams:\n")).depends_on == meant


def test_distillation_and_its_trainable_belong_together(tmp_path):
    assert "FILE:7: fixed: trainable 'distill' has no teacher\n  next: add fixed.distill.teacher" in message(
        tmp_path, ("trainable: text", "trainable: distill"), ("contrastive: {kind: spcl}", "contrastive: {kind: none}")
    )
    assert "trainable 'text' has a distill section\n  next: set trainable: distill" in message(
        tmp_path,
        ("loss: {contrastive: {kind: spcl}}", "distill: {teacher: exports/t}"),
    )
