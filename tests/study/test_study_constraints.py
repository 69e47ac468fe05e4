"""Bounds between parameters: the language, where it is looked at, and what a study draws under it."""

from __future__ import annotations

import pytest
from study_helpers import NO_POINT, make_spec, message, open_ledger, report, score_of

from mer.study.space.constraints import Constraint, NotAConstraint

VALUES = {"a": 3, "b.c": 5.0, "kind": "x", "nothing": None, "flag": True}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a <= b.c", True), ("a > b.c", False), ("a * 2 > b.c + 0.5", True), ("-a < 0", True), ("1 < a < 4", True),
        ("kind == 'x' and a < 2", False), ("kind != 'x' or a in [3, 4]", True), ("not a < 2", True),
        ("a not in [1, 2]", True), ("flag == true", True), ("flag == 1", False), ("nothing == null", True),
        ("a / 0 < 1", False), ("nothing < 3", True), ("absent < 3", True), ("absent < 3 and a > 5", True),
        ("a * 9e307 * 9e307 > b.c", True),
    ],
)  # fmt: skip
def test_what_holds(text, holds):
    assert Constraint(text).holds(VALUES) is holds


def test_the_keys_that_are_named():
    assert Constraint("b.c < a and kind == 'x' or a in [1, 2]").keys == ("b.c", "a", "kind")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("__import__('os').system('true')", "is not of the language"),
        ("a.__class__() < 2", "is not of the language"),
        ("[x for x in a] == 1", "is not of the language"),
        ("(lambda: 1) < 2", "is not of the language"),
        ("a ** 9 < 3", "is not of the language"),
        ("f'{a}' == 'x'", "is not of the language"),
        ("a[0] < 1", "is not of the language"),
        ("'x'.upper == 'X'", "is not of the language"),
        ("a is 3", "compares by `is`"),
        ("a in b.c", "is no list in square brackets"),
        ("a", "is a value, neither true nor false"),
        ("a and b.c", "'a' is a value, neither true nor false"),
        ("a < (b.c < 2)", "'b.c < 2' is true or false, no value"),
        ("", "is no expression"),
        ("a <", "is no expression"),
        ("a = 3", "is no expression"),
        ("a\x00 < 3", "is no expression"),
        ("(" * 140 + "a" + ")" * 140 + " < 1", ""),
        ("-" * 290 + "a < 1", "has more than 100 parts"),
        ("a < " + "1" * 60, "holds a number of"),
        ("a < 1 " * 100, "has 600 characters"),
    ],
)
def test_what_is_none(text, why):
    try:
        Constraint(text)
    except NotAConstraint as fault:
        assert why in str(fault)
    else:
        assert not why


@pytest.mark.parametrize("text", ["kind < 3", "a + 'x' < 3", "flag > 0"])
def test_only_numbers_have_a_size(text):
    with pytest.raises(NotAConstraint, match="no number"):
        Constraint(text).holds(VALUES)


# -- in a file -----------------------------------------------------------------------------------------------------

WIDE = ("head.hidden: {int: [8, 64]}", "head.hidden: {int: [8, 64]}\n  optim.batch_size: {int: [8, 64]}")
BOUND = "constraints: [head.hidden <= optim.batch_size]\n"


def bounded(text: str = BOUND) -> tuple[tuple[str, str], ...]:
    return NO_POINT, WIDE, ("params:\n", f"{text}params:\n")


def test_every_draw_of_a_study_keeps_them(tmp_path):
    spec = make_spec(tmp_path, *bounded(), ("trials: 4", "trials: 30"))
    ledger = open_ledger(tmp_path / "s", spec)
    drawn = [ledger.next_assignment().params for _ in range(30)]
    assert all(params["head.hidden"] <= params["optim.batch_size"] for params in drawn)
    assert len({params["head.hidden"] for params in drawn}) > 10


@pytest.mark.parametrize("kind", ["tpe", "gp", "cmaes", "random", "qmc"])
def test_a_resumed_study_draws_the_same(tmp_path, kind):
    changes = (*bounded(), ("kind: random", f"kind: {kind}, startup_trials: 3"), ("trials: 4", "trials: 8"))
    spec = make_spec(tmp_path, *changes)
    whole = open_ledger(tmp_path / "whole", spec)
    drawn = []
    for _ in range(8):
        assignment = whole.next_assignment()
        drawn.append(assignment.params)
        finish(whole, assignment)
    parts = []
    for number in range(8):
        ledger = open_ledger(tmp_path / "parts", spec)  # a new driver for each trial
        assignment = ledger.next_assignment()
        assert assignment.number == number
        again = open_ledger(tmp_path / "parts", spec)  # which is killed before its trial ends
        assert again.next_assignment() == assignment
        parts.append(assignment.params)
        finish(again, assignment)
    assert parts == drawn
    assert all(params["head.hidden"] <= params["optim.batch_size"] for params in drawn)


def finish(ledger, assignment) -> None:
    rows = report(assignment.number, [score_of(assignment) / 10]).rows
    ledger.report(assignment.number, 1, rows[0]["dev_weighted_f1"])
    ledger.end(assignment.number, "finished", best=rows[0])


def test_a_study_draws_as_without_them_while_they_hold(tmp_path):
    loose = make_spec(tmp_path, *bounded("constraints: [head.hidden < 1000]\n"))
    free = make_spec(tmp_path, NO_POINT, WIDE)
    one, other = open_ledger(tmp_path / "a", loose), open_ledger(tmp_path / "b", free)
    assert [one.next_assignment() for _ in range(4)] == [other.next_assignment() for _ in range(4)]


def test_cells_of_a_grid_that_break_them_are_left_out(tmp_path):
    changes = (
        NO_POINT, ("kind: random", "kind: grid"), ("{float: [1e-4, 1e-2], log: true}", "{choice: [1, 2, 3]}"),
        ("{int: [8, 64]}", "{int: [1, 3]}"), ("params:\n", "constraints: [head.hidden < optim.head_lr]\nparams:\n"),
        ("trials: 4", "trials: 9"),
    )  # fmt: skip
    spec = make_spec(tmp_path, *changes)
    ledger = open_ledger(tmp_path / "s", spec)
    assert ledger.most() == 3
    cells = [ledger.next_assignment().params for _ in range(3)]
    assert cells == [{"optim.head_lr": lr, "head.hidden": n} for lr, n in [(2, 1), (3, 1), (3, 2)]]
    assert ledger.next_assignment() is None


def test_defaults_of_a_kind_count(tmp_path):
    changes = (NO_POINT, ("head.hidden: {int", "loss.contrastive.support_size: {int"))
    bound = ("params:\n", "constraints: [loss.contrastive.support_size * 16 <= loss.contrastive.pool_size]\nparams:\n")
    spec = make_spec(tmp_path, *changes, bound)  # pool_size is 512 by default, and no key of the file
    assert spec.keeps_constraints({"loss.contrastive.support_size": 32})
    assert not spec.keeps_constraints({"loss.contrastive.support_size": 33})


def test_they_belong_to_a_search(tmp_path):
    assert make_spec(tmp_path, *bounded()).fingerprint != make_spec(tmp_path, NO_POINT, WIDE).fingerprint
    assert "constraints" not in make_spec(tmp_path).identity()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("constraints: 5", "constraints: got 5\n  allowed: a list: - key <= other.key"),
        ("constraints: [5]", "constraints.0: got 5\n  allowed: an expression such as key <= other.key"),
        ("constraints: [head.hiden < 9]", "constraints.0: unknown key. Did you mean 'head.hidden'?"),
        ("constraints: [optim.warmup_ratio < 9]", "constraints.0: 'optim.warmup_ratio < 9' names no parameter"),
        ("constraints: [training.epochs > head.hidden]", "constraints.0: is decided by budget.epochs"),
        (
            "constraints: [head.hidden <]",
            "constraints.0: got 'head.hidden <', which is no expression\n  allowed: keys,",
        ),
        (
            "constraints: [head.hidden < 8]",
            "constraints.0: hardly any draw keeps the constraints: 'head.hidden < 8' is",
        ),
        ("constraints: [optim.head_lr == 0.001]", "constraints.0: hardly any draw keeps the constraints: 'optim.head_"),
        (
            "constraints: [head.hidden < encoders.text.backbone]",
            "constraints.0: 'head.hidden < encoders.text.backbone': encoders.text.backbone can be 'minilm', ",
        ),
    ],
)
def test_faults(tmp_path, line, expected):
    text = message(tmp_path, NO_POINT, WIDE, ("params:\n", f"{line}\nparams:\n"))
    assert text.startswith(f"FILE:10: {expected}") and text.count("FILE") == 1


def test_a_point_that_breaks_one(tmp_path):
    assert message(tmp_path, ("params:\n", "constraints: [head.hidden < 20]\nparams:\n")) == (
        "FILE:15: points.0.head.hidden: breaks the constraint 'head.hidden < 20'\n"
        "  next: mend the point or the constraint"
    )


def test_an_empty_grid(tmp_path):
    changes = (
        NO_POINT, ("kind: random", "kind: grid"), ("{float: [1e-4, 1e-2], log: true}", "{choice: [1, 2]}"),
        ("params:\n", "constraints: [head.hidden < 8]\nparams:\n"),
    )  # fmt: skip
    assert "FILE:10: constraints: no combination of the grid keeps every constraint\n" in message(tmp_path, *changes)
