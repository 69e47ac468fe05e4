"""Which changes of a search space a study goes on with, and which it refuses."""

from __future__ import annotations

import pytest
from study_helpers import make_spec, open_ledger

from mer.config import DataConfig, FeatureSetting, TextEncoderConfig
from mer.errors import MerError


def refusal(tmp_path, *changes, overrides=()):
    open_ledger(tmp_path / "s", make_spec(tmp_path))
    with pytest.raises(MerError) as caught:
        open_ledger(tmp_path / "s", make_spec(tmp_path, *changes, overrides=overrides))
    return str(caught.value)


def test_a_changed_choice_is_refused_in_words(tmp_path):
    before = ("{int: [8, 64]}", "{choice: [32, 64]}")
    after = ("{int: [8, 64]}", "{choice: [32, 64, 128]}")
    open_ledger(tmp_path / "s", make_spec(tmp_path, before))
    with pytest.raises(MerError) as caught:
        open_ledger(tmp_path / "s", make_spec(tmp_path, after))
    assert str(caught.value) == (
        f"{tmp_path / 's'}: the search space is not the one this study began with:\n"
        "    params.head.hidden: was ['choice', [32, 64], {}], now ['choice', [32, 64, 128], {}]\n"
        "  allowed: between runs: the budget (but budget.epochs), resources, keep_weights, points, "
        "data.root\n"
        "  next: give the new search another name (--set study=small-2), or start over with --fresh"
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[1e-4, 1e-2]", "[1e-4, 1e-1]"), "params.optim.head_lr: was ['float', 0.0001, 0.01, True, None, {}], now"),
        (("epochs: 6", "epochs: 7"), "epochs: was 6, now 7"),
        (("seed: 0", "seed: 1"), "sampler.seed: was 0, now 1"),
        (("kind: random", "kind: tpe"), "sampler.kind: was 'random', now 'tpe'"),
        (("{kind: none}", "{kind: asha}"), "scheduler.kind: was 'none', now 'asha'"),
        (("kind: spcl", "kind: spcl, weight: 2"), "fixed.loss.contrastive.weight: new, 2"),
        (("dev_weighted_f1", "dev_macro_f1"), "objective: was [{'metric': 'dev_weighted_f1'"),
        (("  head.hidden: {int: [8, 64]}\n", "  head.depth: {int: [1, 2]}\n"), "params.head.hidden: gone, was ['int',"),
    ],
)
def test_changes_that_are_refused(tmp_path, change, named):
    changes = [change]
    if "head.depth" in change[1]:
        changes.append((", head.hidden: 32", ""))
    assert f"\n    {named}" in refusal(tmp_path, *changes)


def test_changes_that_are_allowed(tmp_path):
    spec = make_spec(tmp_path)
    first = open_ledger(tmp_path / "s", spec)
    other = make_spec(
        tmp_path,
        ("head.hidden: 32}", "head.hidden: 33}"),
        overrides=("budget.trials=9", "budget.hours=2", "resources.cpu=0.5", "data.root=/elsewhere", "description=x"),
    )
    again = open_ledger(tmp_path / "s", other)
    assert again.generation == first.generation


def test_a_renamed_folder_is_refused(tmp_path):
    """It would begin again at trial 0, on top of the former trials' weights."""
    open_ledger(tmp_path / "s", make_spec(tmp_path))
    with pytest.raises(MerError, match=r"holds the study 'small', not 'other': was the folder renamed\?"):
        open_ledger(tmp_path / "s", make_spec(tmp_path, overrides=("study=other",)))


def test_features_of_other_data_are_refused_and_a_moved_folder_is_not(tmp_path):
    def setting(root, backbone="minilm"):
        return FeatureSetting.of_encoder(DataConfig(root=root), TextEncoderConfig(backbone=backbone))

    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    ledger.check_features(tmp_path, {setting("a"): {"train": "x.safetensors"}})
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    ledger.check_features(tmp_path, {setting("b"): {"train": "x.safetensors"}})
    for other in ({setting("a"): {"train": "y.safetensors"}}, {setting("a", "roberta"): {"train": "x.safetensors"}}):
        with pytest.raises(MerError, match="the data or the backbone are not those this study began with") as refused:
            ledger.check_features(tmp_path, other)
        assert "--studies FOLDER" in str(refused.value), "mer.evaluate has no --fresh"
