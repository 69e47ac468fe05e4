"""`--set` on the command line: what it changes, and the message for each fault in it."""

from __future__ import annotations

import pytest
from study_helpers import LR, SMALL, make_spec, message, write_space

from mer.errors import MerError
from mer.study.space.load import load_spec


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
            "--set budget.trials=x: budget.trials: got 'x'\n  allowed: a whole number",
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
        ("head.hidden=-1", "--set head.hidden=-1: head.hidden: got -1\n  allowed: at least 0"),
        ("head.hidden=", "--set head.hidden=: head.hidden: got null"),
        ("head.hidden=[", "--set head.hidden=[: the value is not YAML"),
    ],
)
def test_set_faults(tmp_path, override, expected):
    assert message(tmp_path, overrides=(override,)).startswith(expected)


def test_set_beside_broken_sections(tmp_path):
    for old, new in (("points:\n  - {optim.head_lr: 1e-3, head.hidden: 32}", "points: 3"), (LR, "7")):
        path = write_space(tmp_path, (old, new))
        with pytest.raises(MerError):
            load_spec(path, ["head.hidden=8", "data.root=x"])
