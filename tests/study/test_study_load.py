"""Every fault of a search space is one message: file:line, what was found, what is allowed, the next move."""

from __future__ import annotations

import pytest
from study_helpers import SMALL, make_spec, message, write_space

from mer.errors import Faults, MerError
from mer.study.space.load import load_spec

LR = "{float: [1e-4, 1e-2], log: true}"
METRICS = "dev_weighted_f1, dev_macro_f1, dev_accuracy, dev_loss, dev_ece, dev_f1_<class>"
PARTS = (
    "study, description, trainable, objective, budget, sampler, scheduler, resources, keep_weights, depends_on, fixed, "
    "params, points"
)
RANGES = "{float: [low, high]}, {int: [low, high]} or {choice: [...]}"
LINE = {"study": 1, "trainable": 2, "objective": 3, "budget": 4, "sampler": 5, "scheduler": 6, "loss": 9, "lr": 11}
NO_POINT = ("points:\n  - {optim.head_lr: 1e-3, head.hidden: 32}\n", "")
KEYS = "python -m mer.tune --keys lists every key with its meaning"


def lr(body: str) -> tuple[tuple[str, str], ...]:
    """The small study with another `optim.head_lr` and without its point."""
    return ((LR, body), NO_POINT)


def test_the_small_study_loads(tmp_path):
    spec = make_spec(tmp_path)
    assert spec.fixed == {"encoders.text.backbone": "minilm", "loss.contrastive.kind": "spcl"}
    assert list(spec.params) == ["optim.head_lr", "head.hidden"]
    assert spec.points == ({"optim.head_lr": 1e-3, "head.hidden": 32},)
    config = spec.trial_config({"optim.head_lr": 0.002, "head.hidden": 16})
    assert (config.training.epochs, config.training.metric, config.training.mode) == (6, "dev_weighted_f1", "max")


# -- the faults that the issue names ---------------------------------------------------------------------------------


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
        ("objective", "mode: max", "mode: up", "objective.mode: got 'up'\n  allowed: input should be 'max' or 'min'"),
        ("budget", "trials: 4", "trials: 0", "budget.trials: got 0\n  allowed: input should be greater than 0"),
        (
            "budget",
            "{trials: 4, epochs: 6}",
            "12",
            "budget: got 12\n  allowed: a mapping with trials, epochs, hours\n  next: write {trials: 12}",
        ),
        (
            "sampler",
            "kind: random",
            "kind: bayes",
            "sampler.kind: got 'bayes'\n  allowed: input should be 'tpe', 'gp', 'cmaes', 'random', 'grid' or 'qmc'",
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
            "scheduler.kind: got False (YAML reads no, off, yes and on as false and true: put words in quotes)\n"
            "  allowed: input should be 'asha', 'hyperband', 'median' or 'none'",
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


# -- fixed and params ----------------------------------------------------------------------------------------------


def test_fixed_keys_nested_dotted_and_mixed(tmp_path):
    nested = make_spec(tmp_path)
    dotted = make_spec(
        tmp_path,
        ("{text: {backbone: minilm}}", "{text.backbone: minilm}"),
        ("loss: {contrastive: {kind: spcl}}", "loss.contrastive: {kind: spcl}"),
    )
    assert dotted == nested


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "backbone: minilm",
            "backbone: minilm, pooler: men",
            "FILE:8: encoders.text.pooler: got 'men'\n  allowed: one of 'mean', 'target', 'mask' or 'first'",
        ),
        (
            "backbone: minilm",
            "backbone: minilm, mode: off",
            "FILE:8: encoders.text.mode: got False (YAML reads no, off, yes and on as false and true: put words in "
            "quotes)\n  allowed: one of 'frozen', 'lora' or 'full'",
        ),
        (
            "kind: spcl",
            "kind: spl",
            "FILE:9: loss.contrastive.kind: got 'spl'\n  allowed: one of 'none', 'supcon', 'spcl', 'apcl', 'eacl'",
        ),
        (
            "kind: spcl",
            "kind: eacl, pool_size: 3",
            "FILE:9: loss.contrastive.pool_size: has no meaning with this choice of kind",
        ),
        (
            "{contrastive: {kind: spcl}}",
            "{contrastive: {kind: spcl}}\n  training: {epochs: 3}",
            "FILE:10: fixed.training.epochs: is decided by budget.epochs\n  next: set budget.epochs instead",
        ),
        (
            "  encoders: {text: {backbone: minilm}}\n",
            "",
            "FILE:7: fixed: trainable 'text' has no encoder\n  next: add fixed.encoders.text.backbone",
        ),
        (
            "{kind: spcl}",
            "{kind: spcl}, classification: ce",
            "FILE:9: fixed.loss.classification: is a group of keys: loss.classification.class_weight, "
            "loss.classification.class_weight_exponent, loss.classification.focal_gamma, loss.classification.kind, "
            "loss.classification.label_smoothing, loss.classification.logit_adjustment, ...",
        ),
    ],
)
def test_fixed(tmp_path, old, new, expected):
    assert message(tmp_path, (old, new)) == expected


@pytest.mark.parametrize("section", ["3", "text", "[a, b]"])
@pytest.mark.parametrize("name", ["params", "fixed"])
def test_sections_of_a_wrong_type(tmp_path, name, section):
    text = SMALL[: SMALL.index("fixed:")] + f"{name}: {section}\n"
    path = write_space(tmp_path, text=text)
    with pytest.raises(Faults) as caught:
        load_spec(path)
    assert f"{path}:7: {name}: got " in str(caught.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("1e-3", f": got 0.001\n  allowed: {RANGES}\n  next: put a single value under fixed"),
        ("[1e-4, 1e-2]", f": got [0.0001, 0.01]\n  allowed: {RANGES}"),
        ("{log: true}", f": got {{'log': True}}\n  allowed: {RANGES}"),
        ("{float: [1, 2], int: [1, 2]}", f": got {{'float': [1, 2], 'int': [1, 2]}}\n  allowed: {RANGES}"),
        ("{float: 3}", ".float: got 3\n  allowed: [low, high]"),
        ("{float: [3]}", ".float: got [3]\n  allowed: [low, high]"),
        ("{float: [1, 2, 3]}", ".float: got [1, 2, 3]\n  allowed: [low, high]"),
        ("{float: [low, 1]}", ".float.0: got 'low'\n  allowed: input should be a valid number, unable to parse "),
        ("{float: [.nan, 1]}", ".float.0: got nan\n  allowed: input should be a finite number"),
        ("{float: [0, .inf]}", ".float.1: got inf\n  allowed: input should be a finite number"),
        ("{float: [0, 1], log: true}", ": log: true needs low > 0, got 0"),
        ("{float: [1, 4], log: true, step: 1}", ": log and step cannot go together: drop one"),
        ("{float: [0, 1], step: 0.3}", ": step 0.3 does not lead from 0 to 1: the last value is 0.9, write it as"),
        ("{float: [0, 1], step: 2}", ": step 2 does not lead from 0 to 1: it is wider than the range"),
        ("{float: [0, 1], step: -1}", ".step: got -1\n  allowed: input should be greater than 0"),
        ("{int: [1, 2.5]}", ".int.1: got 2.5\n  allowed: input should be a valid integer"),
        ("{int: [1, 10], step: 4}", ": step 4 does not lead from 1 to 10: the last value is 9, write it as"),
        ("{choice: 3}", ".choice: got 3\n  allowed: input should be a valid list"),
        ("{choice: []}", ".choice: got []\n  allowed: list should have at least 1 item"),
        ("{choice: [1, 1.0]}", ": choices must differ from one another, got [1, 1.0]"),
        ("{choice: [off, no]}", ": choices must differ from one another, got [False, False] (YAML reads no, off, yes"),
        ("{choice: [2024-01-01]}", ": a choice must be text, a number, true, false, null or a list of these, got "),
        ("{choice: [{a: 1}]}", ": a choice must be text, a number, true, false, null or a list of these, got {'a': 1}"),
        ("{float: [1, 2], when: spcl}", ".when: got 'spcl'\n  allowed: input should be a valid dictionary"),
        (
            "{float: [1, 2], when: {loss.kind: spcl}}",
            f".when.loss.kind: unknown key. Did you mean 'loss.contrastive.kind'?\n  next: {KEYS}",
        ),
        (
            "{float: [1, 2], when: {loss.contrastive.kind: eacl}}",
            ".when.loss.contrastive.kind: 'eacl' never holds\n  allowed: it is 'spcl' in every trial",
        ),
        (
            "{float: [1, 2], when: {head.hidden: [65, 66]}}",
            ".when.head.hidden: [65, 66] never holds\n  allowed: a value of [8, 64]",
        ),
        (
            "{float: [1, 2], when: {training.epochs: 6}}",
            ".when.training.epochs: is decided by budget.epochs\n  next: set budget.epochs instead",
        ),
    ],
)
def test_params(tmp_path, body, expected):
    assert message(tmp_path, *lr(body)).startswith(f"FILE:11: params.optim.head_lr{expected}")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{float: [-1, 1]}", "FILE:11: optim.head_lr: got -1.0\n  allowed: input should be greater than 0"),
        ("{choice: [1e-3, fast]}", "FILE:11: optim.head_lr: got 'fast'\n  allowed: input should be a valid number, "),
    ],
)
def test_ranges_that_the_configuration_refuses(tmp_path, body, expected):
    text = message(tmp_path, *lr(body))
    assert text.startswith(expected) and text.count("FILE") == 1


def test_float_range_for_a_count_is_said_once(tmp_path):
    text = message(tmp_path, ("{int: [8, 64]}", "{float: [8, 64]}"), NO_POINT)
    assert text.count("FILE:12: head.hidden: got ") == 1 and "allowed: input should be a valid integer" in text


def test_int_for_a_float_range_is_fine(tmp_path):
    spec = make_spec(tmp_path, (LR, "{float: [1, 2]}"), ("head_lr: 1e-3", "head_lr: 2"))
    assert spec.points[0]["optim.head_lr"] == 2


def test_kind_that_is_searched_with_a_wrong_choice(tmp_path):
    changes = (
        ("  loss: {contrastive: {kind: spcl}}\n", ""),
        ("  optim.head_lr: {", "  loss.contrastive.kind: {choice: [none, spc]}\n  optim.head_lr: {"),
    )
    assert message(tmp_path, *changes).startswith("FILE:10: loss.contrastive.kind: got 'spc'\n  allowed: one of 'none'")


def test_both_fixed_and_searched(tmp_path):
    assert message(tmp_path, ("kind: spcl}}", "kind: spcl}}\n  head: {hidden: 8}")) == (
        "FILE:13: params.head.hidden: is both fixed and searched\n  next: remove it from fixed or from params"
    )


def test_reserved_parameter(tmp_path):
    assert "FILE:11: params.training.epochs: is decided by budget.epochs\n  next: set budget.epochs instead" in message(
        tmp_path, ("  optim.head_lr: {", "  training.epochs: {int: [1, 9]}\n  optim.head_lr: {")
    )


def test_circular_conditions(tmp_path):
    text = message(
        tmp_path,
        (LR, "{choice: [1e-3, 1e-2], when: {head.hidden: 8}}"),
        ("{int: [8, 64]}", "{choice: [8, 32], when: {optim.head_lr: 1e-3}}"),
    )
    assert text == "FILE:10: params: conditions go in a circle: optim.head_lr, head.hidden"


def test_grid_with_a_continuous_range(tmp_path):
    assert message(tmp_path, ("kind: random", "kind: grid"), NO_POINT) == (
        "FILE:10: params: optim.head_lr is a continuous range: a grid needs 'choice', 'int', or 'float' with a step"
    )


def test_grid_with_points(tmp_path):
    assert message(tmp_path, ("kind: random", "kind: grid"), (LR, "{choice: [1e-3]}")) == (
        "FILE:13: points: a grid runs every combination in order, without points\n  next: remove them"
    )


# -- points --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ("  {optim.head_lr: 1e-3}", "FILE:13: points: got {'optim.head_lr': 0.001}\n  allowed: a list: - {key: value,"),
        ("  3", "FILE:13: points: got 3\n"),
        ("  - 3", "FILE:14: points.0: got 3\n  allowed: {key: value, ...}"),
        ("  - {optim.head_lr: 1}", "FILE:14: points.0.optim.head_lr: got 1\n  allowed: a value of [0.0001, 0.01]"),
        ("  - {head.hidden: 8.5}", "FILE:14: points.0.head.hidden: got 8.5\n  allowed: a value of [8, 64]"),
        ("  - {head.hidden: yes}", "FILE:14: points.0.head.hidden: got True (YAML reads no, off, yes"),
        (
            "  - {optim.head_rl: 1e-3}",
            "FILE:14: points.0.optim.head_rl: is not a parameter. Did you mean 'optim.head_lr'?\n"
            "  allowed: optim.head_lr, head.hidden",
        ),
        (
            "  - {head.hidden: 8}\n  - {head.hidden: 8}",
            "FILE:15: points.1: equals point 0\n  next: remove one of the two",
        ),
    ],
)
def test_points(tmp_path, points, expected):
    text = message(tmp_path, ("  - {optim.head_lr: 1e-3, head.hidden: 32}", points))
    assert text.startswith(expected) and text.count("FILE") == 1


def test_point_off_the_steps(tmp_path):
    changes = (("{int: [8, 64]}", "{int: [8, 64], step: 8}"), ("head.hidden: 32", "head.hidden: 33"))
    assert message(tmp_path, *changes) == (
        "FILE:14: points.0.head.hidden: got 33\n  allowed: a value of [8, 64] in steps of 8"
    )


def test_point_whose_condition_does_not_hold(tmp_path):
    changes = ((LR, "{float: [1e-4, 1e-2], when: {head.hidden: 8}}"),)
    assert message(tmp_path, *changes) == (
        "FILE:14: points.0.optim.head_lr: its condition (`when`) does not hold in this point"
    )


# -- overrides -----------------------------------------------------------------------------------------------------


def test_set_parts(tmp_path):
    spec = make_spec(
        tmp_path, overrides=("budget.trials=9", "sampler.kind=tpe", "study=other", "objective.metric=dev_macro_f1")
    )
    assert (spec.budget.trials, spec.budget.epochs, spec.sampler.kind, spec.study) == (9, 6, "tpe", "other")
    assert spec.objective[0].metric == "dev_macro_f1"
    ready = load_spec(write_space(tmp_path), parts={"budget.trials": 7, "budget.hours": None, "resources.workers": 2})
    assert (ready.budget.trials, ready.budget.hours, ready.resources.workers) == (7, None, 2)


def test_set_makes_a_missing_part(tmp_path):
    assert make_spec(tmp_path, overrides=("resources.cpu=0.5",)).resources.cpu == 0.5


def test_set_replaces_a_fixed_value_however_it_was_nested(tmp_path):
    for change in ((), (("{text: {backbone: minilm}}", "{text.backbone: minilm}"),)):
        spec = make_spec(tmp_path, *change, overrides=("encoders.text.pooler=target", "encoders.text.backbone=other"))
        assert spec.fixed["encoders.text.backbone"] == "other" and spec.fixed["encoders.text.pooler"] == "target"


def test_set_fixes_a_searched_key(tmp_path):
    spec = make_spec(tmp_path, overrides=("optim.head_lr=5e-3",))
    assert spec.fixed["optim.head_lr"] == 5e-3
    assert list(spec.params) == ["head.hidden"] and spec.points == ({"head.hidden": 32},)


def test_set_of_every_searched_key_leaves_no_empty_point(tmp_path):
    assert make_spec(tmp_path, overrides=("optim.head_lr=5e-3", "head.hidden=8")).points == ()


def test_set_of_a_key_that_conditions_name_keeps_the_points_made_for_it():
    from study_helpers import SPACES

    spec = load_spec(SPACES / "losses.yaml", ["loss.contrastive.kind=spcl"])
    assert len(spec.points) == 1 and spec.points[0]["loss.contrastive.pool_size"] == 512
    assert spec.space.suggest(Middle()).keys() >= {"loss.contrastive.pool_size"}
    assert "loss.contrastive.beta" not in spec.space.suggest(Middle())


class Middle:
    def suggest_float(self, name, low, high, *, log, step):
        return low

    def suggest_int(self, name, low, high, *, log, step):
        return low

    def suggest_categorical(self, name, choices):
        return choices[0]


@pytest.mark.parametrize("section", ["fixed:", "fixed: {}"])
def test_set_with_an_empty_fixed(tmp_path, section):
    text = SMALL[: SMALL.index("fixed:")] + section + "\n"
    spec = load_spec(write_space(tmp_path, text=text), ["encoders.text.backbone=minilm"])
    assert spec.fixed == {"encoders.text.backbone": "minilm"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "budget.trials=x",
            "--set budget.trials=x: budget.trials: got 'x'\n  allowed: input should be a valid integer",
        ),
        (
            "data.label=emotions",
            "--set data.label=emotions: data.label: got 'emotions'\n  allowed: one of 'emotion' or",
        ),
        ("study=a/b", "--set study=a/b: study: got 'a/b'\n  allowed: letters"),
        ("objective=test_f1", "--set objective=test_f1: objective.metric: 'test_f1' would select on the test split"),
        ("optim.head_rl=1", "--set optim.head_rl: unknown key. Did you mean 'optim.head_lr'?"),
        ("optim.head_lr", "--set optim.head_lr: expected key=value\n  allowed: e.g. --set data.root=/path/to/MELD"),
        ("=3", "--set =3: expected key=value"),
        ("params.head.hidden=3", "--set params.head.hidden: params cannot be set\n  allowed: a config key"),
        ("points=3", "--set points: points cannot be set"),
        ("training.epochs=3", "--set training.epochs=3: fixed.training.epochs: is decided by budget.epochs"),
        ("head.hidden=-1", "--set head.hidden=-1: head.hidden: got -1\n  allowed: input should be greater"),
        ("head.hidden=", "--set head.hidden=: head.hidden: got None"),
        ("head.hidden=[", "--set ...=[: the value is not YAML"),
    ],
)
def test_set_faults(tmp_path, override, expected):
    assert message(tmp_path, overrides=(override,)).startswith(expected)


def test_set_beside_broken_sections(tmp_path):
    for old, new in (("points:\n  - {optim.head_lr: 1e-3, head.hidden: 32}", "points: 3"), (LR, "7")):
        path = write_space(tmp_path, (old, new))
        with pytest.raises(MerError):
            load_spec(path, ["head.hidden=8", "data.root=x"])


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
