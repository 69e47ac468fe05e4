"""A worker with several members: each is reported, saved, cut, resumed and ended on its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_trainable_base import VARIANTS, ToyTrainable, actor, member, rows, slot_of
from toy_data import loss, told, toy_data

from mer.checkpoints import load_tensors, read_card
from mer.training.packed import Pack
from trainables.base import MerTrainable
from trainables.trial_files import BEST, LAST
from trainables.wire import MemberTask

NAN = {"optim__head_lr": 1e38, "head__input_norm": "none"}


def tasks(folder: Path, *settings: dict[str, Any], first: int = 0, **everywhere: Any) -> list[dict[str, Any]]:
    made = [member(folder, first + k, **{"seed": first + k, **everywhere, **own}) for k, own in enumerate(settings)]
    return json.loads(json.dumps([task.wire() for task in made]))


def pack(members: list[dict[str, Any]], interval: float = 1e9) -> dict[str, Any]:
    return slot_of(*map(MemberTask.read, members), interval=interval)


def told_by(trial: MerTrainable) -> dict[int, dict[str, Any]]:
    """Step once; the reports by number."""
    return {report["number"]: report for report in trial.step()["reports"]}


def to_the_end(trial: MerTrainable, numbers: set[int]) -> dict[int, list[dict[str, Any]]]:
    """Step until all have ended; reports of each number."""
    reports: dict[int, list[dict[str, Any]]] = {number: [] for number in numbers}
    while numbers:
        for number, report in told_by(trial).items():
            reports[number].append(report)
            if report["outcome"] != "running":
                numbers = numbers - {number}
    return reports


def assert_same_rows(one: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert len(one) == len(other)
    for row, twin in zip(one, other, strict=True):
        assert row.keys() == twin.keys()
        for name in row:
            assert row[name] == twin[name], name


def assert_same_files(folder: Path, other: Path) -> None:
    """Equal but for the clock, and for how often it was saved: on a CPU a member has the same bits in any company."""
    names, twin_names = (
        {path.name for path in one.iterdir()} - {"last.safetensors.previous"} for one in (folder, other)
    )
    assert names == twin_names
    for name in (LAST, BEST):
        (tensors, card), (twins, twin) = load_tensors(folder / name), load_tensors(other / name)
        assert list(tensors) == list(twins) and card.keys() == twin.keys()
        for key in tensors:
            assert tensors[key].dtype == twins[key].dtype
            assert tensors[key].numpy().tobytes() == twins[key].numpy().tobytes(), key
        for key in card.keys() - {"history", "row", "best_row"}:
            assert card[key] == twin[key]
        assert_same_rows([told(row) for row in card.get("history", [])], [told(row) for row in twin.get("history", [])])


@pytest.mark.parametrize("name", ["none", "spcl", "averaged"])
def test_members_leave_what_they_would_have_left_alone(tmp_path, name):
    settings = [VARIANTS[name] | {"training__epochs": epochs} for epochs in (3, 2, 4)]
    reports = to_the_end(actor(pack(tasks(tmp_path / "packed", *settings))), {0, 1, 2})
    for k in range(3):
        alone = to_the_end(actor(pack(tasks(tmp_path / "alone", *settings)[k : k + 1])), {k})
        assert_same_rows(rows(reports[k]), rows(alone[k]))
        assert_same_files(tmp_path / "packed" / f"{k:05d}", tmp_path / "alone" / f"{k:05d}")


def test_a_report_for_each_member_with_news_and_at_any_decision(tmp_path):
    members = tasks(tmp_path, {}, {}, {"training__epochs": 2})
    members[1]["decision_epochs"] = [1]
    trial = actor(pack(members))
    first = told_by(trial)
    assert {n: [row["epoch"] for row in report["rows"]] for n, report in first.items()} == {0: [1], 1: [1], 2: [1]}
    second = told_by(trial)
    assert {n: report["outcome"] for n, report in second.items()} == {0: "running", 1: "running", 2: "finished"}
    assert read_card(tmp_path / "00001" / LAST)["epoch"] == 2, "all that is reported is on disk"
    third = told_by(trial)
    assert {n: [row["epoch"] for row in report["rows"]] for n, report in third.items()} == {0: [3], 1: [3]}


def test_patience_ends_its_member_alone(tmp_path):
    """Trial 1 learns nothing, so its first epoch stays its best; the others train all their epochs."""
    settings = [{"training__epochs": 5}, {"training__epochs": 5, "training__patience": 2, "optim__head_lr": 1e-12}, {}]
    reports = to_the_end(actor(pack(tasks(tmp_path / "packed", *settings))), {0, 1, 2})
    assert [len(rows(reports[k])) for k in range(3)] == [5, 3, 3]
    assert {said[-1]["outcome"] for said in reports.values()} == {"finished"}
    for k in range(3):
        alone = to_the_end(actor(pack(tasks(tmp_path / "alone", *settings)[k : k + 1])), {k})
        assert_same_rows(rows(reports[k]), rows(alone[k]))


def test_a_nan_ends_its_member_alone(tmp_path):
    settings = [{"training__epochs": 4}, {"training__epochs": 4, **NAN}, {"training__epochs": 4}]
    everywhere = {"head__input_norm": "none"}
    reports = to_the_end(actor(pack(tasks(tmp_path / "packed", *settings, **everywhere))), {0, 1, 2})
    assert reports[1][-1]["outcome"] == "nonfinite" and "became" in reports[1][-1]["reason"]
    for k in (0, 2):
        alone = to_the_end(actor(pack(tasks(tmp_path / "alone", *settings, **everywhere)[k : k + 1])), {k})
        assert reports[k][-1]["outcome"] == "finished"
        assert_same_rows(rows(reports[k]), rows(alone[k]))


@pytest.mark.parametrize(
    ("fault", "outcome", "words"),
    [(KeyError("no such table"), "error", "KeyError"), (OSError(28, "No space left"), "blocked", "No space left")],
)
def test_a_member_that_cannot_be_built_fails_alone(tmp_path, fault, outcome, words):
    class Broken(ToyTrainable):
        def build(self, task, device):
            if task.number == 1:
                raise fault
            return super().build(task, device)

    trial = actor(pack(tasks(tmp_path, {}, {}, {})), Broken)
    first = told_by(trial)
    assert list(first) == [1] and first[1]["outcome"] == outcome and words in first[1]["reason"]
    assert {report[-1]["outcome"] for report in to_the_end(trial, {0, 2}).values()} == {"finished"}


def test_a_file_that_cannot_be_written_fails_its_member_alone(tmp_path):
    (tmp_path / "00001" / BEST).mkdir(parents=True)
    trial = actor(pack(tasks(tmp_path, {}, {}), interval=0.0))
    first = told_by(trial)
    assert (first[0]["outcome"], first[1]["outcome"]) == ("running", "error")
    assert to_the_end(trial, {0})[0][-1]["outcome"] == "finished"


def test_a_cut_member_goes_and_others_join(tmp_path):
    settings = [{"training__epochs": 4}] * 4
    trial = actor(pack(tasks(tmp_path / "packed", *settings[:3]), interval=0.0))
    reports: dict[int, list[dict[str, Any]]] = {}

    def note() -> None:
        for number, report in told_by(trial).items():
            reports.setdefault(number, []).append(report)

    note()
    before = (tmp_path / "packed" / "00001" / LAST).read_bytes()
    trial.drop([1, 77])
    trial.add(json.loads(json.dumps(tasks(tmp_path / "packed", settings[3], first=3))))
    for _ in range(4):
        note()
    assert trial.step()["reports"] == []
    assert {n: len(rows(told)) for n, told in reports.items()} == {0: 4, 1: 1, 2: 4, 3: 4}
    assert (tmp_path / "packed" / "00001" / LAST).read_bytes() == before, "a verdict is final: nothing is written"
    for k in (0, 2, 3):
        alone = to_the_end(actor(pack(tasks(tmp_path / "alone", settings[k], first=k))), {k})
        assert_same_rows(rows(reports[k]), rows(alone[k]))
        assert_same_files(tmp_path / "packed" / f"{k:05d}", tmp_path / "alone" / f"{k:05d}")


def test_members_of_a_killed_pack_go_on_in_another(tmp_path):
    """Who was begun repeats its history, and nobody trains before the verdict on it."""
    settings = [{"training__epochs": 4}] * 3
    killed = actor(pack(tasks(tmp_path / "killed", *settings[:2]), interval=0.0))
    said = [told_by(killed), told_by(killed)]
    resumed = actor(pack(tasks(tmp_path / "killed", *settings), interval=0.0))
    repeated = told_by(resumed)
    assert {n: report["rows"] for n, report in repeated.items()} == {
        n: said[0][n]["rows"] + said[1][n]["rows"] for n in (0, 1)
    }
    assert not (tmp_path / "killed" / "00002" / LAST).exists()
    resumed.drop([1])
    to_the_end(resumed, {0, 2})
    whole = to_the_end(actor(pack(tasks(tmp_path / "whole", *settings))), {0, 1, 2})
    assert all(told[-1]["outcome"] == "finished" for told in whole.values())
    for k in (0, 2):
        assert_same_files(tmp_path / "killed" / f"{k:05d}", tmp_path / "whole" / f"{k:05d}")
    assert read_card(tmp_path / "killed" / "00001" / LAST)["epoch"] == 2


def test_a_worker_takes_what_cannot_be_packed_too(tmp_path):
    settings = [VARIANTS["spcl-curriculum"]] * 2
    together = to_the_end(actor(pack(tasks(tmp_path / "both", *settings))), {0, 1})
    for k in range(2):
        alone = to_the_end(actor(pack(tasks(tmp_path / "alone", settings[k], first=k))), {k})
        assert rows(together[k]) == rows(alone[k])


def test_out_of_memory_halves_the_pack(tmp_path, monkeypatch):
    """Five members, room for two: all end as if there had been room, from their last saved states."""
    settings = [{"training__epochs": 3}] * 5
    sizes, train_epoch, roomy = [], Pack.train_epoch, [True]

    def narrow(self):
        sizes.append(len(self.runs))
        endings = train_epoch(self)
        if len(self.runs) > 2 and not roomy[0]:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return endings

    monkeypatch.setattr(Pack, "train_epoch", narrow)
    trial = actor(pack(tasks(tmp_path / "packed", *settings), interval=0.0))
    assert len(told_by(trial)) == 5
    roomy[0] = False
    assert trial.step() == {"reports": [], "fits": 2}
    reports = to_the_end(trial, set(range(5)))
    assert sizes[:3] == [5, 5, 2]
    roomy[0] = True
    for k in range(5):
        assert [row["epoch"] for row in rows(reports[k])] == [2, 3], "what was reported is not repeated"
        to_the_end(actor(pack(tasks(tmp_path / "alone", settings[k], first=k))), {k})
        assert_same_files(tmp_path / "packed" / f"{k:05d}", tmp_path / "alone" / f"{k:05d}")


def test_one_alone_that_does_not_fit_fails_with_the_way_out(tmp_path, monkeypatch):
    def full(self):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(Pack, "train_epoch", full)
    reports = to_the_end(actor(pack(tasks(tmp_path, {}, {}, {}))), {0, 1, 2})
    for said in reports.values():
        assert said[-1]["outcome"] == "error" and "head.hidden" in said[-1]["reason"]
        assert said[-1]["reason"].startswith("out of memory, even with no other trial")


def test_no_room_to_build_one_more(tmp_path):
    class Full(ToyTrainable):
        built = 0

        def build(self, task, device):
            if self.full and task.number >= 2:
                raise RuntimeError("not enough memory")
            return super().build(task, device)

    Full.full = True
    trial = actor(pack(tasks(tmp_path, {}, {}, {})), Full)
    result = trial.step()
    assert [report["number"] for report in result["reports"]] == [0, 1] and result["fits"] == 2
    Full.full = False
    assert to_the_end(trial, {2})[2][-1]["outcome"] == "finished"


def test_a_fault_nobody_foresaw_is_traced_to_its_member(tmp_path, monkeypatch):
    train_epoch = Pack.train_epoch

    def broken(self):
        if any(run.config.seed == 1 for run in self.runs):
            raise ZeroDivisionError("only with member 1")
        return train_epoch(self)

    monkeypatch.setattr(Pack, "train_epoch", broken)
    trial = actor(pack(tasks(tmp_path, {}, {}, {})))
    reports = to_the_end(trial, {0, 1, 2})
    assert {n: told[-1]["outcome"] for n, told in reports.items()} == {0: "finished", 1: "error", 2: "finished"}
    assert "in broken" in (tmp_path / "00001" / "traceback.txt").read_text()
    assert trial.members.most is None


def test_eacl_words_are_each_members_own(tmp_path):
    reports = to_the_end(actor(pack(tasks(tmp_path, loss("eacl"), loss("eacl")))), {0, 1})
    assert toy_data().label_text_CLD is not None
    assert {told[-1]["outcome"] for told in reports.values()} == {"finished"}


def test_more_members_than_states_are_copied_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("trainables.members._WRITTEN_AT_ONCE", 2)
    told = told_by(actor(pack(tasks(tmp_path, *[{"training__epochs": 1}] * 5))))
    assert {number: report["outcome"] for number, report in told.items()} == dict.fromkeys(range(5), "finished")
    assert all((tmp_path / f"{number:05d}" / LAST).exists() for number in range(5))


def test_memory_runs_out_while_members_train_apart(tmp_path, monkeypatch):
    """First a fault sets all apart, then memory is too little for them: everybody goes back, half of them go on."""
    train_epoch, faults = Pack.train_epoch, [ZeroDivisionError("once"), RuntimeError("not enough memory")]

    def unlucky(self):
        if faults:
            raise faults.pop(0)
        return train_epoch(self)

    monkeypatch.setattr(Pack, "train_epoch", unlucky)
    trial = actor(pack(tasks(tmp_path, {}, {}, {}, {})))
    assert trial.step() == {"reports": [], "fits": None}
    assert trial.step() == {"reports": [], "fits": 2}
    reports = to_the_end(trial, {0, 1, 2, 3})
    assert {said[-1]["outcome"] for said in reports.values()} == {"finished"}
