"""Publishing: stored once, linked into place, whole to every reader, whatever the file system can do."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from store_files import assert_holds, tensors_of, trial, write_file

from mer.checkpoints import Store, load_tensors, read_card, save_tensors
from mer.checkpoints.header import sidecar
from mer.errors import MerError
from mer.files import sha256_file


@pytest.fixture
def studies(tmp_path) -> Path:
    (tmp_path / "studies").mkdir()
    return tmp_path / "studies"


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def publish_all(studies: Path, number: int) -> None:
    """Publish the files of a trial."""
    for path in sorted(trial(studies, number).parent.glob("*.safetensors")):
        Store(studies).publish(path, split_card=True)


def test_a_file_becomes_a_relative_link_to_a_read_only_object(studies):
    path = write_file(trial(studies, 42), 1)
    content = path.read_bytes()
    sha = Store(studies).publish(path)
    assert sha == sha256_file(path) and path.read_bytes() == content
    assert str(path.readlink()) == f"../../../.store/{sha[:2]}/{sha}.safetensors"
    stored = Store(studies).object(sha)
    assert stored.resolve() == path.resolve() and stored.stat().st_mode & 0o777 == 0o444
    assert Store(studies).publish(path) == sha  # again
    assert [name for name in tree(studies) if name.endswith("tmp")] == []


def test_equal_files_are_stored_once_and_different_ones_twice(studies):
    store = Store(studies)
    shas = [store.publish(write_file(trial(studies, number), number // 2)) for number in range(4)]
    assert shas[0] == shas[1] != shas[2] == shas[3]
    usage = store.du()
    size = trial(studies, 0).stat().st_size
    assert (usage.references, usage.objects) == (4, 2)
    assert (usage.logical_bytes, usage.stored_bytes, usage.orphans, usage.plain) == (4 * size, 2 * size, 0, 0)
    for number in range(4):
        assert_holds(trial(studies, number), number // 2)


def test_cards_differ_and_tensors_are_still_stored_once(studies):
    cards = [{"number": number, "row": {"seconds": number / 3}, "words": "zähne ✓"} for number in range(3)]
    paths = [trial(studies, number) for number in range(3)]
    tensors = {"w": torch.randn(3, 5), "half": torch.randn(7).half(), "count": torch.tensor(2**40)}
    for path, card in zip(paths, cards, strict=True):
        save_tensors(path, tensors, card)
    assert len({sha256_file(path) for path in paths}) == 3
    shas = {Store(studies).publish(path, split_card=True) for path in paths}
    assert len(shas) == 1
    for path, card in zip(paths, cards, strict=True):
        found, read = load_tensors(path)
        assert read == card == read_card(path)
        assert list(json.loads(sidecar(path).read_text())["card"]) == list(card)  # in its order
        for name, tensor in tensors.items():
            assert torch.equal(found[name], tensor) and torch.equal(load_file(path)[name], tensor)


def test_a_file_without_a_card_keeps_every_byte(studies):
    path = write_file(trial(studies, 0), 1)
    before = sha256_file(path)
    assert Store(studies).publish(path, split_card=True) == before and not sidecar(path).exists()
    with pytest.raises(MerError, match=r"no card, and there is no best\.json beside it"):
        load_tensors(path)


def test_the_card_in_the_header_counts_before_the_one_beside(studies):
    """Whoever writes the checkpoint anew replaces the link; what an earlier publication left is not believed."""
    path = trial(studies, 0)
    save_tensors(path, {"w": torch.zeros(2)}, {"epoch": 1})
    store = Store(studies)
    sha = store.publish(path, split_card=True)
    save_tensors(path, {"w": torch.ones(2)}, {"epoch": 2})
    assert not path.is_symlink() and read_card(path) == {"epoch": 2}
    assert load_file(store.object(sha))["w"].tolist() == [0.0, 0.0]
    assert store.publish(path, split_card=True) != sha
    assert load_tensors(path)[1] == {"epoch": 2} and store.verify().faults == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"card": 3}'])
def test_a_foreign_sidecar_is_named(studies, text):
    path = write_file(trial(studies, 0), 1)
    sidecar(path).write_text(text)
    with pytest.raises(MerError, match=r"best\.json, is not one of ours"):
        load_tensors(path)


@pytest.mark.parametrize("stop_at", ["object", "sidecar", "link"])
def test_a_kill_between_the_steps_leaves_a_whole_checkpoint(studies, monkeypatch, stop_at):
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    path = trial(studies, 0)
    save_tensors(path, {"w": torch.ones(2)}, {"epoch": 3})
    sidecar(path).write_text(json.dumps({"tensors_sha256": "0" * 64, "card": {"epoch": 1}}))  # of an earlier time
    with monkeypatch.context() as patch, pytest.raises(Killed):
        if stop_at == "object":
            patch.setattr(Store, "_write_object", die)
        elif stop_at == "sidecar":
            patch.setattr("mer.checkpoints.publish.write_text", die)
        else:
            patch.setattr(Path, "replace", lambda self, to: die() if to == path else os.replace(self, to))  # noqa: PTH105
        Store(studies).publish(path, split_card=True)
    tensors, card = load_tensors(path)
    assert tensors["w"].tolist() == [1.0, 1.0] and card == {"epoch": 3}
    Store(studies).publish(path, split_card=True)
    assert load_tensors(path)[1] == {"epoch": 3} and Store(studies).verify().faults == []


# -- parts -----------------------------------------------------------------------------------------------------------


def test_a_frozen_backbone_lies_in_a_file_of_its_own_and_is_stored_once(studies):
    backbone = {f"layer{index}.weight": torch.randn(64, 64) for index in range(4)}
    heads = [{"head.weight": torch.randn(3, 4)} for _ in range(3)]
    for number, head in enumerate(heads):
        save_tensors(trial(studies, number), head, {"number": number}, parts={"backbone": backbone})
        publish_all(studies, number)
    assert Store(studies).du().objects == 4  # three heads, one backbone
    for number, head in enumerate(heads):
        path = trial(studies, number)
        assert load_file(path).keys() == head.keys()
        assert load_file(path.with_name("backbone.safetensors")).keys() == backbone.keys()
        tensors, card = load_tensors(path)
        assert card == {"number": number} and tensors.keys() == head.keys() | backbone.keys()
        assert all(torch.equal(tensors[name], tensor) for name, tensor in (head | backbone).items())


def test_a_part_is_written_once_and_again_only_when_it_differs(studies):
    path, part = trial(studies, 0), trial(studies, 0).with_name("backbone.safetensors")
    save_tensors(path, {}, {}, parts={"backbone": {"w": torch.ones(3)}})
    Store(studies).publish(part)
    save_tensors(path, {"h": torch.ones(1)}, {}, parts={"backbone": {"w": torch.ones(3)}})
    assert part.is_symlink()  # untouched
    for changed in (torch.zeros(3), torch.zeros(3).half(), torch.zeros(4)):
        save_tensors(path, {}, {}, parts={"backbone": {"w": changed}})
        assert not part.is_symlink() and torch.equal(load_tensors(path)[0]["w"], changed)
        Store(studies).publish(part)
    part.unlink()
    with pytest.raises(MerError, match=r"its part backbone\.safetensors is missing"):
        load_tensors(path)


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["short", "header", "empty", "long", "foreign", "list", "no offsets"])
def test_torn_files_are_not_stored(studies, damage):
    path = write_file(trial(studies, 0), 1)
    whole = path.read_bytes()
    kinds = {"short": whole[:-1], "header": whole[:20], "empty": b"", "long": whole + b"x", "foreign": b"{}" * 50}
    kinds |= {"list": struct.pack("<Q", 2) + b"[]", "no offsets": struct.pack("<Q", 9) + b'{"w": {}}'}
    torn = kinds[damage]
    path.write_bytes(torn)
    with pytest.raises(MerError, match="not a whole tensors file"):
        Store(studies).publish(path)
    assert path.read_bytes() == torn and not path.is_symlink() and Store(studies).du().objects == 0


def test_links_that_lead_elsewhere_are_refused(studies, tmp_path):
    outside = write_file(tmp_path / "outside.safetensors", 1)
    path = trial(studies, 0)
    path.parent.mkdir(parents=True)
    path.symlink_to(outside)
    with pytest.raises(MerError, match="leads out of the store"):
        Store(studies).publish(path)
    path.unlink()
    path.symlink_to("nowhere.safetensors")
    with pytest.raises(MerError, match="leads nowhere"):
        Store(studies).publish(path)


def test_files_that_gc_would_not_see_are_refused(studies, tmp_path):
    outside = write_file(tmp_path / "exports/a/model.safetensors", 1)
    with pytest.raises(MerError, match="outside the folders that this store serves"):
        Store(studies).publish(outside)
    sha = Store(studies, also=(tmp_path / "exports",)).publish(outside)
    assert outside.is_symlink()
    with pytest.raises(MerError, match="in the store itself"):
        Store(studies).publish(Store(studies).object(sha))


def test_a_bad_object_is_replaced_by_a_good_copy(studies):
    store = Store(studies)
    sha = store.publish(write_file(trial(studies, 0), 1))
    store.object(sha).chmod(0o644)
    store.object(sha).write_bytes(b"spoilt")
    assert [fault.where for fault in store.verify().faults] == [str(store.object(sha))]
    assert store.publish(write_file(trial(studies, 1), 1)) == sha
    assert_holds(trial(studies, 0), 1)
    assert store.verify().faults == []


def test_a_file_that_changes_meanwhile_keeps_its_newer_content(studies, monkeypatch):
    path = write_file(trial(studies, 0), 1)
    original = Store._write_object

    def slow(self, *arguments):
        original(self, *arguments)
        write_file(path, 2)

    monkeypatch.setattr(Store, "_write_object", slow)
    with pytest.raises(MerError, match="changed while it was published"):
        Store(studies).publish(path)
    assert not path.is_symlink()
    assert_holds(path, 2)


# -- file systems, copies, moves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [OSError(errno.EPERM, "not permitted"), NotImplementedError()])
def test_without_symlinks_files_stay_copies_and_it_is_said_once(studies, fault):
    def refuse(*_: object) -> None:
        raise fault

    store = Store(studies, symlink=refuse)
    save_tensors(trial(studies, 0), {"w": torch.ones(2)}, {"number": 0})
    write_file(trial(studies, 1), 1)
    with pytest.warns(RuntimeWarning, match="has no symlinks") as said:
        store.publish(trial(studies, 0), split_card=True)
        store.publish(trial(studies, 1))
    assert len(said) == 1 and store.links is False
    assert load_tensors(trial(studies, 0))[1] == {"number": 0}
    assert not trial(studies, 0).is_symlink() and not trial(studies, 1).is_symlink()
    usage, check = store.du(), store.verify()
    assert (usage.references, usage.objects, usage.plain) == (0, 0, 2) and check.faults == []
    assert [name for name in tree(studies) if name.endswith("tmp")] == []


def test_other_refusals_of_the_file_system_are_not_taken_for_missing_symlinks(studies):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_file(trial(studies, 0), 1)
    with warnings.catch_warnings(), pytest.raises(OSError, match="No space"):
        Store(studies, symlink=full).publish(path)
    assert_holds(path, 1)
    assert not path.is_symlink()


def test_a_copy_with_links_followed_is_whole(studies, tmp_path):
    for number in range(3):
        save_tensors(trial(studies, number), {"w": torch.ones(2)}, {"number": number})
        Store(studies).publish(trial(studies, number), split_card=True)
    subprocess.run(["cp", "-rL", str(studies / "s"), str(tmp_path / "elsewhere")], check=True)
    shutil.rmtree(studies)
    paths = sorted((tmp_path / "elsewhere").rglob("*.safetensors"))
    assert len(paths) == 3 and not any(path.is_symlink() for path in paths)
    assert [load_tensors(path)[1]["number"] for path in paths] == [0, 1, 2]


def test_the_studies_folder_may_move_as_a_whole(studies, tmp_path):
    Store(studies).publish(write_file(trial(studies, 0), 1))
    studies.rename(tmp_path / "moved")
    assert_holds(trial(tmp_path / "moved", 0), 1)
    assert Store(tmp_path / "moved").verify().faults == []


def test_a_study_on_another_disk(studies, tmp_path):
    (tmp_path / "disk/big").mkdir(parents=True)
    (studies / "big").symlink_to(tmp_path / "disk/big")
    store = Store(studies)
    store.publish(write_file(trial(studies, 0, "big"), 1))
    assert_holds(tmp_path / "disk/big/trials/00000/best.safetensors", 1)
    assert store.verify().faults == [] and store.gc(grace_s=0).objects == []
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    with pytest.raises(MerError, match="could be a folder with links"):
        store.gc(grace_s=0)


def test_the_numbers_of_50_trials(studies):
    """Each trial: the same frozen backbone (1 MiB), one of five heads (64 KiB), a card of its own."""
    backbone = {"backbone.weight": torch.randn(512, 512)}
    heads = [{"head.weight": torch.from_numpy(tensors_of(seed, 64)["model.head.weight"])} for seed in range(5)]
    for number in range(50):
        save_tensors(trial(studies, number), heads[number % 5], {"number": number}, parts={"backbone": backbone})
        publish_all(studies, number)
    usage = Store(studies).du()
    assert (usage.references, usage.objects, usage.plain, usage.orphans) == (100, 6, 0, 0)
    distinct = 2**20 + 5 * 2**16
    assert distinct < usage.stored_bytes < distinct + 6 * 512  # their headers
    assert usage.logical_bytes > 50 * (2**20 + 2**16)
    assert all(np.array_equal(load_tensors(trial(studies, n))[1]["number"], n) for n in range(50))
