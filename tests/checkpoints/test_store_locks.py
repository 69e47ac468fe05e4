"""The store where locks are missing or folders move, and links that reach an object by another way."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest
import torch
from store_files import assert_holds, trial, write_file

from mer.checkpoints import Store, load_tensors, save_tensors, upkeep
from mer.errors import MerError


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return tmp_path / "studies"


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP])
def test_without_locks_files_are_stored_and_none_is_collected(studies, monkeypatch, number):
    refuse_locks(monkeypatch, number)
    store = Store(studies)
    store.publish(write_file(trial(studies, 0), 1))
    assert_holds(trial(studies, 0), 1)
    trial(studies, 0).unlink()
    with pytest.raises(MerError, match="this file system has no locks") as caught:
        store.gc(grace_s=0)
    assert "next: run gc on the machine that holds the disk" in str(caught.value)
    assert len(store.objects()) == 1


def test_a_lock_that_fails_for_another_reason_stops_the_store(studies, monkeypatch):
    refuse_locks(monkeypatch, errno.EIO)
    path = write_file(trial(studies, 0), 1)
    with pytest.raises(OSError, match="Input/output"):
        Store(studies).publish(path)
    assert not path.is_symlink()


def test_links_lead_to_their_objects_from_a_folder_that_was_moved_with_care(studies):
    store, aside = Store(studies), studies / ".replaced"
    store.publish(write_file(trial(studies, 0), 1))
    aside.mkdir()
    with store.moving(aside):
        (studies / "s").rename(aside / "s")
    assert_holds(aside / "s/trials/00000/best.safetensors", 1)
    assert store.verify().faults == [] and store.gc(grace_s=0).objects == []


def test_a_folder_moves_where_no_store_is(studies):
    aside = studies / ".replaced"
    aside.mkdir(parents=True)
    with Store(studies).moving(aside):
        pass
    assert list(studies.iterdir()) == [aside] and not list(aside.iterdir())


def test_a_link_to_a_link_keeps_its_object(studies):
    store = Store(studies)
    store.publish(write_file(trial(studies, 0), 1))
    trial(studies, 0).unlink()
    (kept,) = store.objects()
    elsewhere = studies.parent / "elsewhere.safetensors"
    elsewhere.symlink_to(kept)
    (studies / "chosen.safetensors").symlink_to(elsewhere)
    assert store.gc(grace_s=0).objects == [] and store.verify().faults == []
    elsewhere.unlink()
    assert store.gc(grace_s=0, dry_run=True).objects == [kept]


def test_a_name_alone_makes_no_object(studies):
    """Neither a file elsewhere that is called like an object, nor another file in the store's own folders."""
    store = Store(studies)
    sha = store.publish(write_file(trial(studies, 0), 1))
    foreign = write_file(studies.parent / f"{sha}.safetensors", 2)
    inside = store.root / sha[:2] / "notes.safetensors"
    inside.write_bytes(foreign.read_bytes())
    for number, target in ((1, foreign), (2, inside)):
        path = trial(studies, number)
        path.parent.mkdir(parents=True)
        path.symlink_to(target)
        with pytest.raises(MerError, match="leads out of the store"):
            store.publish(path)
    assert len(store.verify().faults) == 2


@pytest.mark.parametrize("damage", [b"", b"spoilt", None])
def test_a_part_that_is_torn_is_written_again(studies, damage):
    path, backbone = trial(studies, 0), {"backbone.weight": torch.arange(6.0)}
    save_tensors(path, {"w": torch.ones(2)}, {"number": 0}, parts={"backbone": backbone})
    (part,) = [found for found in path.parent.iterdir() if "backbone" in found.name]
    part.write_bytes(part.read_bytes()[:-3] if damage is None else damage)
    save_tensors(path, {"w": torch.ones(2)}, {"number": 1}, parts={"backbone": backbone})
    tensors, card = load_tensors(path)
    assert card["number"] == 1 and torch.equal(tensors["backbone.weight"], backbone["backbone.weight"])


def test_files_that_vanish_while_they_are_looked_at_are_no_faults(studies, monkeypatch):
    """Another process collects, moves or replaces them at that moment."""
    store = Store(studies)
    for number in (0, 1):
        store.publish(write_file(trial(studies, number), number))
        trial(studies, number).unlink()
    hashed, aged = upkeep.sha256_file, upkeep._older

    def collected(path: Path) -> str:
        path.unlink()
        return hashed(path)

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "sha256_file", collected)
        assert store.verify().faults == [] and store.objects() == []

    def removed(paths: list[Path], age_s: float) -> dict[Path, int]:
        found = aged(paths, age_s)
        for path in found:
            path.unlink()
        return found

    store.publish(write_file(trial(studies, 2), 2))
    trial(studies, 2).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "_older", removed)
        assert len(store.gc(grace_s=0).objects) == 1
    store.publish(write_file(trial(studies, 3), 3))

    def replaced(path: Path) -> Path:
        raise OSError(errno.EINVAL, "no link any more")

    monkeypatch.setattr(Path, "readlink", replaced)
    assert (store.du().references, store.du().objects) == (0, 1)
