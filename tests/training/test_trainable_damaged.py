"""A checkpoint that cannot be trusted costs epochs at most: never the trial, and no row twice or different."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_trainable_base import TWO_STAGES, actor, files, rows, slot, to_the_end, told_by
from test_trainable_members import assert_same_files, pack, tasks
from test_trainable_members import to_the_end as all_to_the_end
from toy_data import VARIANTS, toy_config

from mer.checkpoints.proven import damaged, load_proven, previous
from mer.study.folder.recorded import read_history
from trainables.trial_files import LAST, forget_state


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-200] ^= 4
    path.write_bytes(bytes(data))


def flipped_card(path: Path) -> None:
    """A digit of the first epoch's number, in the header."""
    data = path.read_bytes()
    assert b'step_count\\": ' in data
    place = data.index(b'step_count\\": ') + len(b'step_count\\": ')
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def no_card(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"card"', b'"cart"', 1))


def of_another_trial(path: Path) -> None:
    other = path.parents[1] / "other"
    actor(slot(other, 9, seed=9, interval=0.0, **TWO_STAGES)).step()
    shutil.copy(other / "00009" / LAST, path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [torn, flipped, flipped_card, empty, zeros, no_card, of_another_trial, a_folder]
Damage = Callable[[Path], None]


def killed_after(folder: Path, epochs: int, **settings: Any) -> list[dict[str, Any]]:
    """Train trial 0 so far, with a report after each epoch. Returns the rows."""
    trial = actor(slot(folder, interval=0.0, **settings))
    return rows([told_by(trial) for _ in range(epochs)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """The rows and files of a trial that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    told = rows(to_the_end(actor(slot(folder, **TWO_STAGES))))
    return told, files(folder / "00000")


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_the_one_before_is_gone_on_from(tmp_path: Path, damage: Damage, whole: Any) -> None:
    expected, expected_files = whole
    killed_after(tmp_path, 3, **TWO_STAGES)
    folder = tmp_path / "00000"
    damage(folder / LAST)
    seen = read_history(folder, toy_config(**TWO_STAGES))
    assert len(seen) == 2, "the driver reads its rows from the sound one too"
    resumed = actor(slot(tmp_path, interval=0.0, **TWO_STAGES))
    first = told_by(resumed)
    assert first["outcome"] == "running" and [row["epoch"] for row in first["rows"]] == [1, 2]
    assert first["note"].startswith("its checkpoint cannot be trusted, so it goes on from epoch 2 (last.safetensors ")
    rest = to_the_end(resumed)
    assert not any(report["note"] for report in rest), "said once"
    assert rows([first, *rest]) == expected and files(folder) == expected_files
    assert damaged(folder / LAST).exists()
    forget_state(folder) if damage is not a_folder else None
    assert damage is a_folder or [path.name for path in folder.iterdir()] == ["best.safetensors"]


@pytest.mark.parametrize("damage", [torn, flipped, of_another_trial], ids=lambda one: one.__name__)
def test_without_a_sound_one_the_trial_starts_again(tmp_path: Path, damage: Damage, whole: Any) -> None:
    killed_after(tmp_path, 3, **TWO_STAGES)
    folder = tmp_path / "00000"
    damage(folder / LAST), damage(previous(folder / LAST))
    resumed = actor(slot(tmp_path, interval=0.0, **TWO_STAGES))
    first = told_by(resumed)
    assert [row["epoch"] for row in first["rows"]] == [1] and "so it starts again (last.safetensors" in first["note"]
    assert rows([first, *to_the_end(resumed)]) == whole[0] and files(folder) == whole[1]


def test_a_kill_between_the_two_renames_costs_an_epoch(tmp_path: Path, whole: Any) -> None:
    killed_after(tmp_path, 2, **TWO_STAGES)
    folder = tmp_path / "00000"
    (folder / LAST).replace(previous(folder / LAST))
    assert len(read_history(folder)) == 2
    assert rows(to_the_end(actor(slot(tmp_path, **TWO_STAGES)))) == whole[0] and files(folder) == whole[1]


def test_saving_after_a_fall_keeps_the_sound_one(tmp_path: Path) -> None:
    killed_after(tmp_path, 3, **TWO_STAGES)
    last = tmp_path / "00000" / LAST
    flipped(last)
    resumed = actor(slot(tmp_path, interval=0.0, **TWO_STAGES))
    told_by(resumed)
    assert load_proven(last)[1]["epoch"] == 2 and not previous(last).exists()
    told_by(resumed)
    assert load_proven(last)[1]["epoch"] == 3 and load_proven(previous(last))[1]["epoch"] == 2


def test_saving_copies_no_bytes(tmp_path: Path) -> None:
    trial = actor(slot(tmp_path, interval=0.0, **TWO_STAGES))
    told_by(trial)
    last = tmp_path / "00000" / LAST
    inode = last.stat().st_ino
    told_by(trial)
    assert previous(last).stat().st_ino == inode


def test_a_checkpoint_of_an_older_version_is_believed(tmp_path: Path) -> None:
    killed_after(tmp_path, 2, **TWO_STAGES)
    last = tmp_path / "00000" / LAST
    last.write_bytes(last.read_bytes().replace(b'"crc32"', b'"other"', 1))
    assert load_proven(last)[1]["epoch"] == 2


def test_members_of_a_pack_fall_back_alone(tmp_path: Path) -> None:
    settings = [VARIANTS["spcl"] | {"training__epochs": 4}] * 3
    killed = actor(pack(tasks(tmp_path / "killed", *settings), interval=0.0))
    for _ in range(3):
        killed.step()
    flipped(tmp_path / "killed/00001" / LAST)
    torn(tmp_path / "killed/00002" / LAST), torn(previous(tmp_path / "killed/00002" / LAST))
    resumed = actor(pack(tasks(tmp_path / "killed", *settings), interval=0.0))
    first = {report["number"]: report for report in resumed.step()["reports"]}
    assert {n: len(report["rows"]) for n, report in first.items()} == {0: 3, 1: 2}
    reports = all_to_the_end(resumed, {0, 1, 2})
    reports[0].insert(0, first[0]), reports[1].insert(0, first[1])
    assert "from epoch 2" in first[1]["note"] and not first[0]["note"] and "starts again" in reports[2][0]["note"]
    whole = all_to_the_end(actor(pack(tasks(tmp_path / "whole", *settings))), {0, 1, 2})
    for k in range(3):
        assert rows(reports[k]) == rows(whole[k])
        damaged(tmp_path / f"killed/{k:05d}" / LAST).unlink(missing_ok=True)
        assert_same_files(tmp_path / f"killed/{k:05d}", tmp_path / f"whole/{k:05d}")
