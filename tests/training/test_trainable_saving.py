"""Checkpoints written beside training: in order, durable after `wait`, a refused file said once and for its trial."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mer.checkpoints import load_tensors
from trainables import saving
from trainables.saving import CheckpointFile, Saver


@pytest.fixture
def saver() -> Iterator[Saver]:
    made = Saver()
    yield made
    made.close()


def file(path: Path, value: float = 0.0) -> CheckpointFile:
    return CheckpointFile(path, {"w": torch.full((3,), value)}, {"value": value})


def test_files_are_there_after_wait_and_the_last_one_given_counts(saver: Saver, tmp_path: Path) -> None:
    for value in range(20):
        for number in range(5):
            saver.save(
                number, [file(tmp_path / f"{number}/best.safetensors"), file(tmp_path / f"{number}/last", value)]
            )
    for number in range(5):
        saver.wait(number)
        tensors, card = load_tensors(tmp_path / f"{number}/last")
        assert card == {"value": 19} and tensors["w"].tolist() == [19.0] * 3
        assert load_tensors(tmp_path / f"{number}/best.safetensors")
    saver.wait(7)  # nothing was given: nothing to wait for


def test_training_goes_on_meanwhile_and_no_file_comes_before_an_earlier_one(
    saver: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, written = threading.Event(), []

    def slow(path: Path, *_: Any) -> None:
        assert gate.wait(10)
        written.append(path.name)

    monkeypatch.setattr(saving, "save_tensors", slow)
    saver.save(0, [file(tmp_path / "first"), file(tmp_path / "second")])
    saver.save(0, [file(tmp_path / "third")])
    assert written == []  # `save` did not wait
    gate.set()
    saver.wait(0)
    assert written == ["first", "second", "third"]


def test_a_refused_file_fails_its_trial_alone_and_what_follows_is_not_written(saver: Saver, tmp_path: Path) -> None:
    (tmp_path / "in_the_way").write_text("a file where a folder should be")
    saver.save(0, [file(tmp_path / "in_the_way/best"), file(tmp_path / "after")])
    saver.save(0, [file(tmp_path / "later")])
    saver.save(1, [file(tmp_path / "other")])
    with pytest.raises(OSError, match="in_the_way"):
        saver.wait(0)
    saver.wait(1)
    assert (tmp_path / "other").exists() and not (tmp_path / "after").exists() and not (tmp_path / "later").exists()
    saver.save(0, [file(tmp_path / "again")])  # said once: the trial may try again
    saver.wait(0)
    assert (tmp_path / "again").exists()
