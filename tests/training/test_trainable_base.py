"""The Ray trial as a slot, without Ray running: reports, files, resume, failures."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_data import VARIANTS, loss, outcome, told, toy_config, toy_data

from mer.checkpoints import load_tensors, read_card
from mer.errors import TrialFailed
from mer.training import TrainingRun
from trainables.base import MerTrainable
from trainables.trial_files import BEST, LAST
from trainables.wire import MemberTask, Slot

TWO_STAGES = VARIANTS["eacl-two-stages"]


class ToyTrainable(MerTrainable):
    """Remembers the run that it built last: a worker forgets the members that are over."""

    run: TrainingRun | None = None

    def build(self, task, device):
        assert self.features == "shared"
        self.run = TrainingRun(task.trial_config(), toy_data(), [0, 2], device=device)
        return self.run


def member(folder: Path, number: int = 0, decisions: list[int] | None = None, **dotted: Any) -> MemberTask:
    config = toy_config(**dotted).model_dump(mode="json")
    features = {"text": {"train": "a", "dev": "b"}}
    return MemberTask(number, folder / f"{number:05d}", config, features, tuple(decisions or ()))


def slot_of(*members: MemberTask, interval: float = 1e9) -> dict[str, Any]:
    """Build what `mer.study.search.slots` hands to a worker, as it arrives there."""
    return json.loads(json.dumps(Slot(members, interval).wire()))


def slot(folder: Path, number: int = 0, *, decisions: list[int] | None = None, interval: float = 1e9, **dotted: Any):
    return slot_of(member(folder, number, decisions, **dotted), interval=interval)


def told_by(trial: MerTrainable) -> dict[str, Any]:
    """Step once; return the report of the one member."""
    (report,) = trial.step()["reports"]
    return report


def actor(config: dict[str, Any], kind: type[MerTrainable] = ToyTrainable) -> MerTrainable:
    made = object.__new__(kind)  # Trainable.__init__ wants Ray's session
    made.setup(config, features="shared")
    return made


def to_the_end(trial: MerTrainable) -> list[dict[str, Any]]:
    reports = []
    while not reports or reports[-1]["outcome"] == "running":
        reports.append(told_by(trial))
    return reports


def rows(reports: list[dict[str, Any]]) -> list[dict[str, float]]:
    return [told(row) for report in reports for row in report["rows"]]


def files(folder: Path) -> dict[str, Any]:
    """Both files without the clock: tensors as bytes, cards."""
    content: dict[str, Any] = {}
    for name in (LAST, BEST):
        tensors, card = load_tensors(folder / name)
        card |= {"history": [told(row) for row in card.get("history", [])]}
        card |= {key: told(card[key]) for key in ("row", "best_row") if key in card}
        content[name] = ({key: tensor.numpy().tobytes() for key, tensor in tensors.items()}, card)
    return content


def test_one_report_when_nobody_asks_earlier(tmp_path):
    reports = to_the_end(actor(slot(tmp_path, 7)))
    assert len(reports) == 1
    assert reports[0].keys() == {"number", "rows", "outcome", "reason", "note"}
    assert (reports[0]["number"], reports[0]["outcome"], reports[0]["reason"]) == (7, "finished", "")
    assert [row["epoch"] for row in reports[0]["rows"]] == [1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "00007").iterdir()) == [BEST, LAST]


def test_a_report_per_interval_and_at_every_decision(tmp_path):
    often = to_the_end(actor(slot(tmp_path, 0, interval=0.0)))
    assert [[row["epoch"] for row in report["rows"]] for report in often] == [[1], [2], [3]]
    decided = to_the_end(actor(slot(tmp_path, 1, decisions=[2], training__epochs=4)))
    assert [[row["epoch"] for row in report["rows"]] for report in decided] == [[1, 2], [3, 4]]
    assert [report["outcome"] for report in decided] == ["running", "finished"]


def test_files_are_written_before_every_report(tmp_path):
    trial = actor(slot(tmp_path, interval=0.0))
    for epoch in (1, 2, 3):
        report = told_by(trial)
        card, best = read_card(tmp_path / "00000" / LAST), read_card(tmp_path / "00000" / BEST)
        assert card["epoch"] == epoch and card["history"][-1] == report["rows"][-1]
        assert best["epoch"] == card["best_row"]["epoch"] and best["row"] == card["best_row"]
    assert best["number"] == 0 and best["class_names"] == ["neutral", "joy", "anger"]
    assert best["config"] == member(tmp_path).config


@pytest.mark.parametrize("name", ["none", "spcl-curriculum", "apcl-polar", "eacl-two-stages"])
def test_a_reused_actor_equals_a_fresh_one(tmp_path, name):
    fresh = actor(slot(tmp_path / "fresh", **VARIANTS[name]))
    expected = rows(to_the_end(fresh))
    reused = actor(slot(tmp_path / "before", 1, seed=9, head__hidden=8, **VARIANTS["spcl"]))
    reused.step()
    assert reused.reset_config(slot(tmp_path / "reused", **VARIANTS[name])) is True
    assert rows(to_the_end(reused)) == expected
    assert outcome(reused.run) == outcome(fresh.run)
    assert files(tmp_path / "reused" / "00000") == files(tmp_path / "fresh" / "00000")


def test_the_same_trial_twice_in_one_actor(tmp_path):
    trial = actor(slot(tmp_path / "first"))
    first = rows(to_the_end(trial))
    trial.reset_config(slot(tmp_path / "second"))
    assert rows(to_the_end(trial)) == first
    assert files(tmp_path / "second" / "00000") == files(tmp_path / "first" / "00000")


def test_an_actor_is_reused_after_a_failure(tmp_path):
    trial = actor(slot(tmp_path, 0, optim__head_lr=1e38, head__input_norm="none", training__epochs=30))
    assert to_the_end(trial)[-1]["outcome"] == "nonfinite"
    trial.reset_config(slot(tmp_path, 1))
    assert rows(to_the_end(trial)) == rows(to_the_end(actor(slot(tmp_path, 2))))


def test_a_killed_trial_repeats_its_history_and_goes_on(tmp_path):
    whole = actor(slot(tmp_path / "whole", **TWO_STAGES))
    expected = rows(to_the_end(whole))
    killed = actor(slot(tmp_path / "killed", interval=0.0, **TWO_STAGES))
    said = [told_by(killed), told_by(killed)]
    resumed = actor(slot(tmp_path / "killed", interval=0.0, **TWO_STAGES))
    repeated = told_by(resumed)
    assert repeated["rows"] == said[0]["rows"] + said[1]["rows"]  # timestamps included
    assert repeated["outcome"] == "running"
    assert rows([repeated, *to_the_end(resumed)]) == expected
    assert outcome(resumed.run) == outcome(whole.run)
    assert files(tmp_path / "killed" / "00000") == files(tmp_path / "whole" / "00000")


def test_a_finished_trial_that_was_not_heard_says_so_again(tmp_path):
    first = to_the_end(actor(slot(tmp_path)))
    again = to_the_end(actor(slot(tmp_path)))
    assert again == first


def epochs_until_best_changes(trial: ToyTrainable, folder: Path) -> int:
    """Step until best.safetensors was written at least twice; returns the epoch."""
    seen = set()
    while len(seen) < 2:
        assert not trial.run or not trial.run.finished, "the best epoch never changed"
        trial.step()
        seen.add(read_card(folder / BEST)["epoch"])
    return trial.run.epoch


@pytest.mark.parametrize("damage", ["newer", "missing", "truncated"])
def test_best_is_what_last_says_whatever_happened_to_its_file(tmp_path, damage):
    """A kill between the two files leaves `best` ahead of `last`; the repeated report must find its own best."""
    settings = {"optim__head_lr": 0.005, "training__epochs": 6}
    whole = actor(slot(tmp_path / "whole", **settings))
    to_the_end(whole)
    killed = actor(slot(tmp_path / "killed", interval=0.0, **settings))
    killed.step()
    folder = tmp_path / "killed" / "00000"
    last, best = (folder / LAST).read_bytes(), (folder / BEST).read_bytes()
    epochs_until_best_changes(killed, folder)
    assert (folder / BEST).read_bytes() != best
    (folder / LAST).write_bytes(last)
    if damage == "missing":
        (folder / BEST).unlink()
    elif damage == "truncated":
        (folder / BEST).write_bytes(best[:100])

    resumed = actor(slot(tmp_path / "killed", interval=0.0, **settings))
    assert [row["epoch"] for row in told_by(resumed)["rows"]] == [1]
    tensors, card = load_tensors(folder / BEST)
    assert card["epoch"] == 1 and (folder / BEST).read_bytes() == best
    assert torch.equal(tensors["dev_logits"], resumed.run.member.best.tensors["dev_logits"])
    to_the_end(resumed)
    assert files(folder) == files(tmp_path / "whole" / "00000")


def test_a_failure_in_build_is_an_outcome_with_a_traceback(tmp_path):
    class Broken(ToyTrainable):
        def build(self, task, device):
            raise KeyError("no such table")

    report = told_by(actor(slot(tmp_path, 3), Broken))
    assert report == {"number": 3, "rows": [], "outcome": "error", "reason": "KeyError: 'no such table'", "note": ""}
    text = (tmp_path / "00003" / "traceback.txt").read_text()
    assert text.startswith("Traceback") and "in build" in text and "no such table" in text


@pytest.mark.parametrize(("code", "outcome"), [(errno.EIO, "error"), (errno.ENOSPC, "blocked")])
def test_a_traceback_that_the_disk_refuses_once_is_not_lost(tmp_path, monkeypatch, code, outcome):
    """What may pass is tried again. On a full disk the study stops, and the trial fails when it goes on."""

    class Broken(ToyTrainable):
        def build(self, task, device):
            raise KeyError("no such table")

    refused: list[Path] = []
    write_text = Path.write_text

    def once(path: Path, *given: object, **named: object) -> int:
        if path.name == "traceback.txt" and not refused:
            refused.append(path)
            raise OSError(code, "refused", str(path))
        return write_text(path, *given, **named)

    monkeypatch.setattr(Path, "write_text", once)
    assert told_by(actor(slot(tmp_path, 3), Broken))["outcome"] == outcome and refused
    assert (tmp_path / "00003" / "traceback.txt").exists() == (outcome == "error")
    assert told_by(actor(slot(tmp_path, 3), Broken))["outcome"] == "error"
    assert "in build" in (tmp_path / "00003" / "traceback.txt").read_text()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"head": {"hiden": 3}}, "head.hiden"),
        ({"head": {"hidden": 2}, "loss": {"contrastive": {"kind": "apcl"}}}, "widen head.hidden"),
    ],
)
def test_a_configuration_that_cannot_be_built_says_why(tmp_path, config, words):
    trial = actor(slot_of(replace(member(tmp_path), config=config)))
    report = told_by(trial)
    assert report["outcome"] == "error" and words in report["reason"]


def test_a_nonfinite_loss_keeps_what_was_learned(tmp_path):
    class Doomed(ToyTrainable):
        def build(self, task, device):
            run = super().build(task, device)
            train_epoch = run.train_epoch

            def doomed() -> dict[str, float]:
                if run.epoch == 2:
                    raise TrialFailed("the loss became nan at step 11 (epoch 3)")
                return train_epoch()

            run.train_epoch = doomed
            return run

    report = told_by(actor(slot(tmp_path, **VARIANTS["spcl-curriculum"]), Doomed))
    assert (report["outcome"], report["reason"]) == ("nonfinite", "the loss became nan at step 11 (epoch 3)")
    assert [row["epoch"] for row in report["rows"]] == [1, 2]
    assert read_card(tmp_path / "00000" / BEST)["epoch"] in (1, 2)
    assert not (tmp_path / "00000" / "traceback.txt").exists()


@pytest.mark.parametrize("failing_epoch", [None, 2])
def test_a_full_disk_is_an_outcome_too(tmp_path, monkeypatch, failing_epoch):
    """Nothing may escape to Ray, which would try again and speak of lost workers; not even beside a lost loss."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def scores(run, split):
        if run.epoch + 1 == failing_epoch:
            raise TrialFailed("the loss became nan")
        return evaluate(run, split)

    evaluate = TrainingRun.evaluate
    monkeypatch.setattr(TrainingRun, "evaluate", scores)
    monkeypatch.setattr("trainables.saving.save_tensors", full)
    monkeypatch.setattr(Path, "write_text", full)
    report = told_by(actor(slot(tmp_path, **VARIANTS["spcl-curriculum"])))
    assert report["outcome"] == "blocked" and "No space left on device" in report["reason"]
    assert len(report["rows"]) == (1 if failing_epoch else 3)


def test_label_words_that_are_missing_are_no_nonfinite_loss(tmp_path):
    class Wordless(ToyTrainable):
        def build(self, task, device):
            data = toy_data()
            return TrainingRun(task.trial_config(), type(data)(data.train, data.dev, data.class_names), [0])

    report = told_by(actor(slot(tmp_path, **loss("eacl")), Wordless))
    assert report["outcome"] == "error" and "needs label words" in report["reason"]
