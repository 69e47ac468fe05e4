"""The search space itself, and the shipped ones."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

import jsonschema
import pytest
from study_helpers import SPACES

from mer.config import TrialConfig
from mer.study.preflight.check_plan import reachable_configs
from mer.study.space.choices import decode, encode
from mer.study.space.draws import RandomDraw
from mer.study.space.load import load_spec
from mer.study.space.params import ChoiceParam, FloatParam, IntParam
from mer.study.space.schema import schema_text
from mer.study.space.search_space import SearchSpace
from mer.study.space.yaml_file import read_yaml

SHIPPED = sorted(SPACES.glob("*.yaml"))


def choice(*values, **when):
    return ChoiceParam(choice=list(values), when=when)


# -- shipped spaces ------------------------------------------------------------------------------------------------


@cache
def validator() -> Any:
    """Checks data against the schema of search spaces; made once, since the schema is large."""
    schema = json.loads(schema_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_spaces_give_valid_trials_and_a_whole_trial_0(path):
    spec = load_spec(path)
    rng = random.Random(7)
    for _ in range(20):
        config = spec.trial_config(spec.space.suggest(RandomDraw(rng)))
        assert isinstance(config, TrialConfig) and config.training.epochs == spec.budget.epochs
    first = spec.space.suggest(RandomDraw(rng, spec.points[0]))
    assert first == spec.points[0]  # nothing is left to chance in trial 0


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_spaces_satisfy_the_schema(path):
    validator().validate(read_yaml(path).data)


def test_the_schema_file_is_the_generated_one():
    assert (SPACES / "schema.json").read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize(
    "change",
    [
        {"budgte": {}},
        {"trainable": "txt"},
        {"params": {"optim.head_rl": {"float": [0, 1]}}},
        {"params": {"optim.head_lr": {"float": [0]}}},
        {"params": {"optim.head_lr": 3}},
        {"points": [{"optim.head_rl": 1}]},
        {"objective": "dev_loss"},
        {"sampler": {"kind": "bayes"}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_loader_refuses(change):
    data = {"study": "s", "trainable": "text", **change}
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(data)


# -- conditions ----------------------------------------------------------------------------------------------------


def test_dependants_come_after_what_they_depend_on_and_file_order_otherwise():
    space = SearchSpace({"c": choice(1, b=1), "a": choice(1), "b": choice(1, a=1), "d": choice(1)}, {})
    assert list(space.params) == ["a", "b", "c", "d"]


def test_circles_are_refused():
    for params in ({"a": choice(1, b=1), "b": choice(1, a=1)}, {"a": choice(1, a=1)}):
        with pytest.raises(ValueError, match="conditions go in a circle"):
            SearchSpace(params, {})


def test_conditions_read_drawn_values_fixed_values_and_lists():
    space = SearchSpace(
        {"kind": choice("a", "b", "c"), "x": choice(1, kind=["a", "b"]), "y": choice(2, x=1, mode="on")},
        {"mode": "on", "x": 0},
    )
    assert space.suggest(RandomDraw(random.Random(0), {"kind": "a"})) == {"kind": "a", "x": 1, "y": 2}
    assert space.suggest(RandomDraw(random.Random(0), {"kind": "c"})) == {"kind": "c"}


def test_grid_respects_conditions_and_keeps_file_order():
    space = SearchSpace(
        {"kind": choice("a", "b"), "n": IntParam(int=(1, 5), step=2, when={"kind": "b"}), "z": choice([1], [2])}, {}
    )
    assert list(space.grid()) == [
        {"kind": "a", "z": [1]},
        {"kind": "a", "z": [2]},
        *({"kind": "b", "n": n, "z": z} for n in (1, 3, 5) for z in ([1], [2])),
    ]


def test_grid_of_steps_has_exact_ends():
    assert list(FloatParam(float=(0.0, 0.3), step=0.1).values()) == [0.0, 0.1, 0.2, 0.3]
    assert list(FloatParam(float=(0.1, 0.7), step=0.2).values()) == [0.1, 0.3, 0.5, 0.7]
    assert FloatParam(float=(0.0, 1.0)).size is None


def test_combinations_hold_every_value_and_what_conditions_depend_on():
    space = SearchSpace(
        {
            "mode": choice("x", "y"),
            "optim.lr": FloatParam(float=(0, 1)),
            "encoders.past": IntParam(int=(0, 2), when={"mode": "y"}),
            "encoders.speaker": ChoiceParam(choice=["none", "name"], when={"optim.lr": 1.0}),
            "head.dropout": FloatParam(float=(0, 1)),
        },
        {},
    )
    found = list(space.combinations("encoders."))
    assert all("head.dropout" not in combination for combination in found)
    # every value between the ends of an int range: a trial may draw it, and its features must be there
    assert {c.get("encoders.past") for c in found if c["mode"] == "y"} == {0, 1, 2}
    assert {c.get("encoders.past") for c in found if c["mode"] == "x"} == {None}
    assert {c.get("encoders.speaker") for c in found} == {None, "none", "name"}
    with pytest.raises(ValueError, match=r"head\.dropout is a continuous range"):
        list(space.combinations("head."))
    assert list(space.combinations("head.drop")) == [{}], "a key is no beginning of another"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_of_every_shipped_space_the_features_can_be_foreseen(path):
    assert reachable_configs(load_spec(path))


# -- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 1.5, "text", True, None, [2, 4, 6], [[1], "a"], [], {"a": 1}])
def test_encode_and_decode(value):
    assert decode(encode(value)) == value
    assert encode(value) is None or isinstance(encode(value), str | int | float | bool)


def test_bounds_are_inclusive_and_types_matter():
    integer = IntParam(int=(1, 5))
    assert [n for n in range(8) if integer.contains(n)] == [1, 2, 3, 4, 5]
    assert not integer.contains(2.0) and not integer.contains(True) and not integer.contains("2")
    real = FloatParam(float=(0.0, 1.0))
    assert real.contains(0) and real.contains(1.0) and not real.contains(1.01) and not real.contains(True)
    mixed = choice(0.0, 1, [2, 4], None)
    assert all(mixed.contains(value) for value in (0, 0.0, 1, [2, 4], None))
    assert not any(mixed.contains(value) for value in (False, True, [2], "1"))


def test_steps_are_kept():
    assert [n for n in range(1, 10) if IntParam(int=(1, 9), step=4).contains(n)] == [1, 5, 9]
    stepped = FloatParam(float=(0.0, 0.3), step=0.1)
    assert stepped.contains(0.3) and stepped.contains(0.1 + 0.1) and not stepped.contains(0.15)


def test_random_draws_reach_both_ends():
    rng = random.Random(0)
    stepped, integer = FloatParam(float=(0.0, 0.3), step=0.1), IntParam(int=(1, 3))
    assert {round(stepped.suggest(RandomDraw(rng), "x"), 6) for _ in range(100)} == {0.0, 0.1, 0.2, 0.3}
    assert {integer.suggest(RandomDraw(rng), "x") for _ in range(100)} == {1, 2, 3}
    assert {integer.suggest(RandomDraw(rng, ends_only=True), "x") for _ in range(50)} == {1, 3}


# -- what is large -------------------------------------------------------------------------------------------------


def test_a_grid_is_counted_without_listing_it_and_refused_with_its_number():
    space = SearchSpace({"a": IntParam(int=(2, 2_000_000_000)), "b": choice(1, 2, 3)}, {})
    with pytest.raises(ValueError, match="the grid has 5999999997 combinations, at most 100000 are possible"):
        next(space.grid())


def test_conditions_count():
    many = IntParam(int=(1, 60_000), when={"kind": "b"})
    space = SearchSpace({"kind": choice("a", "b", "c"), "n": many, "x": choice(1, 2, kind="a")}, {})
    assert sum(1 for _ in space.grid()) == 60_000 + 2 + 1
    wide = SearchSpace({"n": IntParam(int=(1, 10**9)), "x": IntParam(int=(1, 99_000), when={"n": [5, 7]})}, {})
    with pytest.raises(ValueError, match=f"the grid has {10**9 - 2 + 2 * 99_000} combinations"):
        next(wide.grid())


def test_combinations_that_cannot_be_looked_through():
    space = SearchSpace({"encoders.a": IntParam(int=(1, 10**9))}, {})
    with pytest.raises(ValueError, match=r"encoders\.a have 1000000000 combinations, at most 20000"):
        next(space.combinations("encoders."))


def test_many_choices_take_a_moment():
    import time

    started = time.process_time()
    param = ChoiceParam(choice=list(range(40_000)))
    assert all(param.contains(n) for n in range(0, 40_000, 7)) and not param.contains(40_000)
    for _ in range(200):
        param.suggest(RandomDraw(random.Random(0)), "x")
    assert time.process_time() - started < 2


@pytest.mark.parametrize("text", ["json:", "json:[1", "json:[1]", "json:x", "json:json:1"])
def test_text_that_looks_like_our_mark(text):
    assert decode(encode(text)) == text and encode(text) != encode([1])
    mixed = choice(text, [1])
    assert mixed.contains(text) and mixed.contains([1]) and not mixed.contains("json:[2]")
