"""The sections `fixed`, `params` and `points`, and the message for each fault in them."""

from __future__ import annotations

import pytest
from study_helpers import KEYS, LR, NO_POINT, SMALL, lr, make_spec, message, write_space

from mer.errors import Faults
from mer.study.space.load import load_spec

RANGES = "{float: [low, high]}, {int: [low, high]} or {choice: [...]}"


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
            "FILE:8: encoders.text.pooler: got 'men'\n"
            "  allowed: one of 'mean', 'target', 'mask', 'first', 'last' or 'none'",
        ),
        (
            "backbone: minilm",
            "backbone: minilm, mode: off",
            "FILE:8: encoders.text.mode: got false (YAML reads no, off, yes and on as false and true: put words in "
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
        ("{log: true}", f": got {{'log': true}}\n  allowed: {RANGES}"),
        ("{float: [1, 2], int: [1, 2]}", f": got {{'float': [1, 2], 'int': [1, 2]}}\n  allowed: {RANGES}"),
        ("{float: 3}", ".float: got 3\n  allowed: [low, high]"),
        ("{float: [3]}", ".float: got [3]\n  allowed: [low, high]"),
        ("{float: [1, 2, 3]}", ".float: got [1, 2, 3]\n  allowed: [low, high]"),
        ("{float: [low, 1]}", ".float.0: got 'low'\n  allowed: a number"),
        ("{float: [.nan, 1]}", ".float.0: got .nan\n  allowed: a finite number"),
        ("{float: [0, .inf]}", ".float.1: got .inf\n  allowed: a finite number"),
        ("{float: [0, 1], log: true}", ": log: true needs low > 0, got 0"),
        ("{float: [1, 4], log: true, step: 1}", ": log and step cannot go together: drop one"),
        ("{float: [0, 1], step: 0.3}", ": step 0.3 does not lead from 0 to 1: the last value is 0.9, write it as"),
        ("{float: [0, 1], step: 2}", ": step 2 does not lead from 0 to 1: it is wider than the range"),
        ("{float: [0, 1], step: -1}", ".step: got -1\n  allowed: more than 0"),
        ("{int: [1, 2.5]}", ".int.1: got 2.5\n  allowed: a whole number"),
        ("{int: [1, 10], step: 4}", ": step 4 does not lead from 1 to 10: the last value is 9, write it as"),
        ("{choice: 3}", ".choice: got 3\n  allowed: a list"),
        ("{choice: []}", ".choice: got []\n  allowed: a list of at least 1"),
        ("{choice: [1, 1.0]}", ": choices must differ from one another, got [1, 1.0]"),
        ("{choice: [off, no]}", ": choices must differ from one another, got [false, false] (YAML reads no, off, yes"),
        ("{choice: [2024-01-01]}", ".choice.0: got 2024-01-01, which YAML reads as a date"),
        ("{choice: [{a: 1}]}", ": a choice must be text, a number, true, false, null or a list of these, got {'a': 1}"),
        ("{float: [1, 2], when: spcl}", ".when: got 'spcl'\n  allowed: a mapping {key: value}"),
        (
            "{float: [1, 2], when: {loss.kind: spcl}}",
            ".when.loss.kind: unknown key. Did you mean 'loss.classification.kind', 'loss.contrastive.kind' or "
            f"'loss.regression.kind'?\n  next: {KEYS}",
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
        ("{float: [-1, 1]}", "FILE:11: optim.head_lr: got -1.0\n  allowed: more than 0"),
        ("{choice: [1e-3, fast]}", "FILE:11: optim.head_lr: got 'fast'\n  allowed: a number"),
    ],
)
def test_ranges_that_the_configuration_refuses(tmp_path, body, expected):
    text = message(tmp_path, *lr(body))
    assert text.startswith(expected) and text.count("FILE") == 1


def test_float_range_for_a_count_is_said_once(tmp_path):
    text = message(tmp_path, ("{int: [8, 64]}", "{float: [8, 64]}"), NO_POINT)
    assert text.count("FILE:12: head.hidden: got ") == 1 and "allowed: a whole number" in text


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
        ("  - {head.hidden: yes}", "FILE:14: points.0.head.hidden: got true (YAML reads no, off, yes"),
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
