"""Weights of ended trials: each file stored once, the best kept, the others removed and nothing else."""

from __future__ import annotations

import errno
import json
import shutil
from collections import namedtuple
from pathlib import Path

import torch
from study_helpers import SMALL, make_spec, message, open_ledger, report, row, write_space

from mer.checkpoints import Store, load_tensors, save_tensors
from mer.study.folder.artifacts import write_artifacts
from mer.study.folder.claim import claim_folder
from mer.study.folder.weight_retention import WeightKeeper
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.space.load import load_spec

NAMES = ["joy", "anger"]
LABELS = torch.tensor([0, 1, 1]).numpy()


class Study:
    """A study folder with trials that end as a test says, as the worker and the tracker leave them."""

    def __init__(self, home: Path, *changes: tuple[str, str], symlink=None, keep: int | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        text = SMALL + (f"keep_weights: {keep}\n" if keep else "")
        self.spec = load_spec(write_space(home, *changes, text=text))
        self.studies = home / "studies"
        self.folder = self.studies / "small"
        self.said: list[str] = []
        self.store = Store(self.studies, **({"symlink": symlink} if symlink else {}))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keeper = WeightKeeper(self.store, self.spec, self.folder, self.said.append)

    def trial(self, number: int) -> Path:
        return self.folder / "trials" / f"{number:05d}"

    def train(self, number: int, seed: int | None = None) -> None:
        seed = number if seed is None else seed
        torch.manual_seed(seed)
        tensors = {"model.head.weight": torch.randn(16, 16), "dev_logits": torch.randn(3, 2)}
        card = {"number": number, "epoch": 2.0, "class_names": NAMES}
        save_tensors(self.trial(number) / "best.safetensors", tensors, card)

    def write(self, number: int) -> None:
        arguments = {"config": {"a": number}, "rows": [row(1, 0.5)], "labels_N": LABELS}
        write_artifacts(self.trial(number), ids=("a", "b", "c"), **arguments)

    def end(self, number: int, score: float | None, outcome="finished", seed: int | None = None, **others) -> None:
        self.train(number, seed)
        self.write(number)
        self.keeper.trial_ended(number, outcome, None if score is None else row(2, score, **others))

    def weights(self) -> list[int]:
        return sorted(int(path.parent.name) for path in self.folder.glob("trials/*/best.safetensors"))


def test_all_are_kept_by_default_and_equal_ones_stored_once(tmp_path):
    study = Study(tmp_path)
    for number in range(6):
        study.end(number, number / 10, seed=number % 2)
    study.keeper.finish()
    assert study.weights() == list(range(6)) and study.store.du().objects == 2 and study.said == []
    for number in range(6):
        assert load_tensors(study.trial(number) / "best.safetensors")[1]["number"] == number
    assert study.store.verify().faults == []


def test_the_best_k_stay_and_the_disk_gets_the_rest_back(tmp_path):
    study = Study(tmp_path, keep=2)
    for number, score in enumerate([0.5, 0.1, 0.7, 0.6, 0.2, 0.7]):
        study.end(number, score)
    assert study.weights() == [2, 5]  # as they end, not only in the end
    study.keeper.finish()
    assert study.weights() == [2, 5]
    usage = study.store.du()
    assert (usage.references, usage.objects, usage.orphans, usage.plain) == (2, 2, 0, 0)
    for number in range(6):
        names = {path.name for path in (study.trial(number) / "artifacts").iterdir()}
        assert names == {"config.json", "history.csv", "per_class.csv", "dev_predictions.csv", "confusion.csv"}
        assert (study.trial(number) / "best.json").exists() == (number in (2, 5))


def test_ties_go_to_the_earlier_trial_and_small_losses_win(tmp_path):
    study = Study(tmp_path, ("{metric: dev_weighted_f1, mode: max}", "{metric: dev_loss, mode: min}"), keep=2)
    for number, loss in enumerate([0.5, 0.3, 0.3, 0.3]):
        study.end(number, 1 - loss, dev_loss=loss)
    assert study.weights() == [1, 2]


def test_cut_and_failed_trials_are_no_candidates(tmp_path):
    study = Study(tmp_path, keep=2)
    study.end(0, 0.9, "cut")
    study.end(1, 0.8, "nonfinite")
    study.end(2, 0.1)
    study.keeper.trial_ended(3, "error", None)  # never wrote a thing
    study.keeper.finish()
    assert study.weights() == [2] and study.said == []
    everything = Study(tmp_path / "all")
    everything.end(0, 0.9, "cut")
    everything.end(1, None, "nonfinite")
    assert everything.weights() == [0, 1]


def test_the_pareto_front_stays_beside_the_best(tmp_path):
    objectives = "[{metric: dev_weighted_f1, mode: max}, {metric: dev_loss, mode: min}]"
    study = Study(tmp_path, ("{metric: dev_weighted_f1, mode: max}", objectives), keep=1)
    scores = [(0.5, 0.5), (0.6, 0.6), (0.7, 0.7), (0.4, 0.6), (0.65, 0.5)]  # the last dominates the first two
    for number, (f1, loss) in enumerate(scores):
        study.end(number, f1, dev_loss=loss)
    assert study.weights() == [2, 4]


def test_running_and_interrupted_trials_are_never_touched(tmp_path):
    """Trial 1 trains and 2 was interrupted; both would lose their place if they counted."""
    study = Study(tmp_path, keep=1)
    for number in (1, 2):
        study.train(number)
        save_tensors(study.trial(number) / "last.safetensors", {"x": torch.zeros(1)}, {"history": []})
    before = {path: path.stat().st_mtime_ns for path in study.folder.rglob("*.safetensors")}
    study.end(0, 0.9)
    study.keeper.finish()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not any(path.is_symlink() for path in before)
    assert study.weights() == [0, 1, 2]


def test_nothing_is_dropped_before_its_predictions_are_written(tmp_path):
    study = Study(tmp_path, keep=1)
    study.end(0, 0.9)
    study.train(1)
    study.keeper.trial_ended(1, "finished", row(2, 0.1))
    study.keeper.finish()
    assert study.weights() == [0, 1]
    study.write(1)
    study.keeper.finish()
    assert study.weights() == [0]


def test_frozen_parts_are_published_and_dropped_with_the_head(tmp_path):
    study = Study(tmp_path, keep=1)
    for number, score in enumerate([0.1, 0.9]):
        study.train(number)
        study.write(number)
        backbone = {"backbone.weight": torch.ones(64, 64)}
        tensors, card = load_tensors(study.trial(number) / "best.safetensors")
        save_tensors(study.trial(number) / "best.safetensors", tensors, card, parts={"backbone": backbone})
        study.keeper.trial_ended(number, "finished", row(2, score))
    study.keeper.finish()
    assert sorted(path.name for path in study.trial(0).iterdir()) == ["artifacts"]
    assert load_tensors(study.trial(1) / "best.safetensors")[0]["backbone.weight"].shape == (64, 64)
    assert study.store.du().objects == 2


def test_what_another_study_links_to_stays(tmp_path):
    study = Study(tmp_path, keep=1)
    study.end(0, 0.1)
    other = study.studies / "other/trials/00000/best.safetensors"
    other.parent.mkdir(parents=True)
    shutil.copy2(study.trial(0) / "best.safetensors", other, follow_symlinks=False)
    study.end(1, 0.9)
    study.keeper.finish()
    assert study.weights() == [1] and other.exists() and study.store.du().objects == 2


def test_a_killed_drivers_trials_are_settled_by_the_next(tmp_path):
    """The ledger knows that they ended; nobody published them or dropped the losers."""
    study = Study(tmp_path, keep=1)
    ledger = open_ledger(study.folder, study.spec)
    engine = StudyEngine(study.spec, ledger, build_policy(study.spec.budget, study.spec.scheduler))
    for number, score in enumerate([0.3, 0.8, 0.5]):
        assert engine.next_trial() is not None
        engine.record(report(number, [score], "finished"))
        study.train(number)
        study.write(number)
    assert engine.next_trial() is not None  # number 3 runs
    study.train(3)
    for _ in range(2):
        keeper = WeightKeeper(study.store, study.spec, study.folder, study.said.append)
        keeper.remember(ledger.trials())
        keeper.finish()
        assert study.weights() == [1, 3] and study.said == []
        assert (study.trial(1) / "best.safetensors").is_symlink()
        assert not (study.trial(3) / "best.safetensors").is_symlink()
    keeper.trial_ended(1, "finished", row(2, 0.8))  # the tracker tells it once more when it catches up
    assert study.weights() == [1, 3]


def test_keep_weights_may_change_between_runs(tmp_path):
    one, other = make_spec(tmp_path), make_spec(tmp_path, ("points:", "keep_weights: 3\npoints:"))
    assert (one.keep_weights, other.keep_weights) == (None, 3) and one.fingerprint == other.fingerprint
    open_ledger(tmp_path / "s", one)
    open_ledger(tmp_path / "s", other)  # not refused
    assert make_spec(tmp_path, overrides=("keep_weights=20",)).keep_weights == 20
    for wrong in ("0", "best", "2.5"):
        assert "FILE:13: keep_weights" in message(tmp_path, ("points:", f"keep_weights: {wrong}\npoints:"))


def test_a_disk_that_fills_is_said_once_with_the_way_out(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("mer.study.folder.weight_retention.shutil.disk_usage", lambda _: usage(0, 0, 10_000))
    study = Study(tmp_path)
    study.end(0, 0.1)
    assert study.said == []
    study.end(1, 0.2, seed=0)  # the same file
    assert study.said == []
    for number in range(2, 6):
        study.end(number, 0.1)
    assert len(study.said) == 1 and "--resume --set keep_weights=20" in study.said[0]
    assert study.weights() == list(range(6))
    limited = Study(tmp_path / "limited", keep=5)
    for number in range(6):
        limited.end(number, 0.1)
    assert limited.said == []


def test_without_symlinks_the_study_goes_on_and_says_so_once(tmp_path):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    study = Study(tmp_path, symlink=refuse, keep=2)
    for number in range(4):
        study.end(number, number / 10, seed=0)
    study.keeper.finish()
    assert study.said == ["this file system has no symlinks: equal weights of several trials are kept as copies"]
    assert study.weights() == [2, 3]
    assert load_tensors(study.trial(3) / "best.safetensors")[1]["number"] == 3


def test_a_disk_fault_costs_no_weights(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    study = Study(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_write_object", full)
        study.end(0, 0.1)
        study.keeper.finish()
    assert study.said and "1 files stay as they are" in study.said[-1] and "No space left" in study.said[-1]
    told = len(study.said)
    study.keeper.finish()  # as the next driver's end does
    assert len(study.said) == told and (study.trial(0) / "best.safetensors").is_symlink()
    assert load_tensors(study.trial(0) / "best.safetensors")[1]["number"] == 0


def test_a_study_put_aside_keeps_its_links(tmp_path):
    study = Study(tmp_path)
    study.end(0, 0.1)
    (study.folder / "journal.log").write_text("x")
    claim_folder(study.studies, "small", "python -m mer.tune space.yaml", resume=False, fresh=True)
    moved = next((study.studies / ".replaced").glob("small-*")) / "trials/00000/best.safetensors"
    assert moved.is_symlink() and load_tensors(moved)[1]["number"] == 0
    assert json.loads(moved.with_name("best.json").read_text())["card"]["number"] == 0
    assert study.store.verify().faults == [] and study.store.verify().references == 1
    assert study.store.gc(grace_s=0).objects == [] and moved.exists()
