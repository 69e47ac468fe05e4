"""Trials trained again, several as one program: what came back exactly, what within rounding, what did not."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from open_study import OpenStudy, begin_study, write_trial
from typer.testing import CliRunner

from mer import verify
from mer.data.sample.corpus import write_sample
from mer.errors import MerError
from mer.study.evaluate import verify_trial as verifying
from mer.study.evaluate.verify_trial import recorded_trials, verify_trials
from mer.study.paths import ARTIFACTS, HISTORY, trial_folder
from mer.training.packed import Pack, Program, Run, build_program
from mer.verify import parse_numbers

SPACE = """study: small
trainable: text
budget: {trials: 5, epochs: 3}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: minilm, context: {past: 0}}}
  loss: {contrastive: {kind: spcl, pool_size: 32, support_size: 8}}
params:
  head.hidden: {choice: [16, 24]}
  optim.head_lr: {float: [1e-4, 1e-2], log: true}
  loss.contrastive.curriculum: {choice: [false, true]}
points:
  - {head.hidden: 16, optim.head_lr: 1e-3, loss.contrastive.curriculum: false}
  - {head.hidden: 24, optim.head_lr: 2e-3, loss.contrastive.curriculum: false}
  - {head.hidden: 16, optim.head_lr: 3e-3, loss.contrastive.curriculum: false}
  - {head.hidden: 16, optim.head_lr: 4e-3, loss.contrastive.curriculum: true}
  - {head.hidden: 16, optim.head_lr: 5e-3, loss.contrastive.curriculum: false}
"""
CUT = 2  # after its second epoch


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> OpenStudy:
    """Five trials as a worker recorded them, each trained by itself."""
    place = tmp_path_factory.mktemp("verify")
    write_sample(place / "corpus", dialogues_per_split={"train": 12, "dev": 4, "test": 1})
    made = begin_study(SPACE, place, CORPUS=place / "corpus")
    for number in range(5):
        run = made.next_run()
        while not run.finished and not (number == CUT and run.epoch == 2):
            run.train_epoch() if number == 3 else Pack([run]).train_epoch()
        write_trial(made.folder, number, run)
        made.ledger.end(number, "cut" if number == CUT else "finished", best=run.member.best.row)
    return made


def command(study: OpenStudy, *words: str) -> tuple[int, str]:
    places = ["--studies", str(study.folder.parent), "--cache", str(study.cache)]
    done = CliRunner().invoke(verify.app, ["small", *words, *places])
    return done.exit_code, done.output


def test_trials_of_one_shape_are_trained_as_one_pack(study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    packs: list[int] = []

    def counted(runs: Sequence[Run]) -> Program:
        packs.append(len(runs))
        return build_program(runs)

    monkeypatch.setattr(verifying, "build_program", counted)
    found = list(verify_trials(study.folder, range(5), study.cache))
    assert {one.number: one.epochs for one in found} == {0: 3, 1: 3, 2: 2, 3: 3, 4: 3}
    assert all(one.same for one in found), [one.differing for one in found]
    assert {one.number: one.verdict for one in found if one.number in (1, 3)} == {1: "exact", 3: "exact"}
    assert sorted(packs) == [1, 2, 3], "0, 2 and 4 together, 0 and 4 once 2 is done, 1 alone; 3 has a curriculum"


def test_each_trial_has_a_line_and_a_changed_record_ends_with_1(study: OpenStudy) -> None:
    code, said = command(study, "--trials", "0-2, 4-7")
    lines = [line for line in said.splitlines() if line.startswith("trial ")]
    assert code == 0 and len(lines) == 4 and "not recorded, left out: 5, 6, 7" in said
    assert said.splitlines()[-1].startswith("verified: ") and said.splitlines()[-1].endswith("of 4 trials")
    history = trial_folder(study.folder, 4) / ARTIFACTS / HISTORY
    whole = history.read_text()
    (header, first, *rest) = csv.reader(whole.splitlines())
    at = header.index("dev_weighted_f1")
    for change, verdict, expected in ((1e-6, "within rounding", 0), (1e-2, "different", 1)):
        changed = [*first[:at], repr(float(first[at]) + change), *first[at + 1 :]]
        history.write_text("\n".join(",".join(row) for row in (header, changed, *rest)) + "\n")
        try:
            code, said = command(study, "--trials", "1,4")
            alone = command(study, "--trial", "4")
        finally:
            history.write_text(whole)
        (line,) = [line for line in said.splitlines() if line.startswith("trial     4")]
        assert code == alone[0] == expected and verdict in line
        assert ("epoch 1: dev_weighted_f1 was" in line) == (expected == 1)
        assert said.splitlines()[-1].startswith("NOT verified: 1 exact, 1 different" if expected else "verified: ")
        assert ("NOT verified" if expected else "verified within rounding: ") in alone[1]


def test_one_trial_alone(study: OpenStudy) -> None:
    code, said = command(study, "--trial", "1")
    assert code == 0 and "verified: every number of every epoch came back" in said


@pytest.mark.parametrize(
    ("text", "numbers"), [("3", [3]), ("0-3", [0, 1, 2, 3]), ("7, 0-2,1", [0, 1, 2, 7]), ("2-2 5", [2, 5])]
)
def test_numbers_and_ranges(text: str, numbers: list[int]) -> None:
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", " , ", "a", "3-1", "-3", "1-", "1..4"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(MerError, match=r"e\.g\. 0-9,12"):
        parse_numbers(text)


def test_refusals_name_what_can_be_said(study: OpenStudy, tmp_path: Path) -> None:
    assert recorded_trials(study.folder) == [0, 1, 2, 3, 4] and recorded_trials(tmp_path) == []
    for words, text in (
        (("--trials", "8-9"), "0 to 4"),
        ((), "--trials 0-9,12"),
        (("--trial", "1", "--trials", "1"), "--trial 3"),
    ):
        done = CliRunner().invoke(
            verify.app, ["small", *words, "--studies", str(study.folder.parent), "--cache", str(study.cache)]
        )
        assert isinstance(done.exception, MerError) and text in str(done.exception)
