"""du, verify, gc and their command: what is wrong is found, what is reachable stays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from store_files import assert_holds, make_old, trial, write_file
from typer.testing import CliRunner

from mer.checkpoints import Store
from mer.errors import MerError
from mer.store import app


@pytest.fixture
def store(tmp_path) -> Store:
    (tmp_path / "studies").mkdir()
    return Store(tmp_path / "studies")


def publish(store: Store, number: int, seed: int) -> Path:
    path = write_file(trial(store.studies, number), seed)
    store.publish(path)
    return path


def objects(store: Store) -> set[Path]:
    return set(store.root.glob("??/*.safetensors"))


# -- verify ----------------------------------------------------------------------------------------------------------


def test_a_whole_store(store):
    for number in range(4):
        publish(store, number, number % 2)
    check = store.verify()
    assert (check.objects, check.references, check.faults, check.orphans) == (2, 4, [], [])


@pytest.mark.parametrize("where", [9, -1])
def test_a_flipped_byte(store, where):
    good, bad = publish(store, 0, 0), publish(store, 1, 1)
    target = bad.resolve()
    content = bytearray(target.read_bytes())
    content[where] ^= 1
    target.chmod(0o644)
    target.write_bytes(content)
    faults = store.verify().faults
    assert [fault.where for fault in faults] == [str(store.object(target.stem))] and "its bytes have" in str(faults[0])
    assert_holds(good, 0)


def test_a_dangling_an_escaping_and_a_mistaken_link(store, tmp_path):
    lost, kept = publish(store, 0, 0), publish(store, 1, 1)
    lost.resolve().unlink()
    escaping = trial(store.studies, 2)
    escaping.parent.mkdir()
    escaping.symlink_to(os.path.relpath(write_file(tmp_path / "secret.safetensors", 3), escaping.parent))
    sibling = trial(store.studies, 3)
    sibling.parent.mkdir()
    sibling.symlink_to("../00001/best.safetensors")  # made by hand; leads to the store in the end
    faults = {fault.where: fault.found for fault in store.verify().faults}
    assert set(faults) == {str(lost), str(escaping)}
    assert faults[str(lost)].startswith("the link leads nowhere (../../../.store/")
    assert faults[str(escaping)].startswith("the link leads out of the store (../../../../secret")
    assert_holds(kept, 1)


def test_a_card_of_other_tensors(store):
    one, other = (write_file(trial(store.studies, number), number, {"number": number}) for number in (0, 1))
    for path in (one, other):
        store.publish(path, split_card=True)
    assert store.verify().faults == []
    one.with_suffix(".json").write_bytes(other.with_suffix(".json").read_bytes())
    assert [fault.where for fault in store.verify().faults] == [str(one.with_suffix(".json"))]


def test_orphans_are_listed_and_are_no_fault(store):
    publish(store, 0, 0)
    gone = publish(store, 1, 1)
    target = store.object(gone.resolve().stem)
    gone.unlink()
    check = store.verify()
    assert check.orphans == [target] and check.faults == []
    assert store.du().orphans == 1 and store.du().orphan_bytes == target.stat().st_size


@pytest.mark.parametrize("action", ["du", "verify", "gc"])
def test_no_store_is_a_message(tmp_path, action):
    with pytest.raises(MerError, match="there is no model store here"):
        getattr(Store(tmp_path), action)()
    assert list(tmp_path.iterdir()) == []


# -- gc --------------------------------------------------------------------------------------------------------------


def test_gc_removes_what_nobody_links_to_and_a_dry_run_nothing(store):
    kept, gone = publish(store, 0, 0), publish(store, 1, 1)
    target = store.object(gone.resolve().stem)
    gone.unlink()
    size = target.stat().st_size
    assert store.gc().objects == [] and store.gc().young == 1  # just written
    make_old(*objects(store))
    before = {path: path.lstat().st_mtime_ns for path in sorted(store.studies.rglob("*"))}
    rehearsal = store.gc(dry_run=True)
    assert (rehearsal.objects, rehearsal.freed_bytes) == ([target], size)
    assert {path: path.lstat().st_mtime_ns for path in sorted(store.studies.rglob("*"))} == before
    assert store.gc() == rehearsal and not target.exists()
    assert_holds(kept, 0)
    assert store.gc().objects == []


def test_a_new_link_renews_the_grace(store):
    path = publish(store, 0, 0)
    make_old(*objects(store))
    publish(store, 1, 0).unlink()
    path.unlink()
    assert store.gc().young == 1 and len(objects(store)) == 1


def test_leftovers_of_killed_writers_go_after_the_grace(store):
    path = publish(store, 0, 0)
    sha = path.resolve().stem
    half = store.object(sha).with_name(f".{sha}.safetensors.0123abcd.tmp")
    half.write_bytes(b"half")
    worker = path.with_name(".best.safetensors.89abcdef.tmp")
    worker.write_bytes(b"half")
    link = path.with_name(".best.safetensors.00000000.tmp")
    link.symlink_to("../../../.store/ab/x")
    others = [path.with_name("notes.tmp"), path.with_name(".best.safetensors.bak")]
    for other in others:
        other.write_text("mine")
    assert store.gc().leftovers == []
    make_old(half, worker, link, *others)
    assert set(store.gc().leftovers) == {half, worker, link}
    assert not half.exists() and not worker.exists() and not link.is_symlink()
    assert all(other.exists() for other in others) and store.verify().faults == []


def test_links_in_further_folders_count_and_are_remembered(store, tmp_path):
    exports = tmp_path / "exports"
    wide = Store(store.studies, also=(exports,))
    path = write_file(exports / "a/model.safetensors", 5)
    wide.publish(path)
    make_old(*objects(store))
    assert store.gc().objects == []  # not named this time
    (exports / "a").rename(exports / "b")
    assert store.gc().objects == []
    assert_holds(exports / "b/model.safetensors", 5)
    assert store.du().references == 1
    exports.rename(tmp_path / "hidden")
    with pytest.raises(MerError, match="it is not there now"):
        store.gc()
    with pytest.raises(MerError, match="no such folder"):
        wide.gc()


def test_a_study_moved_to_another_depth_keeps_its_objects(store):
    path = publish(store, 0, 0)
    make_old(*objects(store))
    (store.studies / "old").mkdir()
    (store.studies / "s").rename(store.studies / "old/s")
    assert store.gc().objects == []
    assert len(store.verify().faults) == 1
    (store.studies / "old/s").rename(store.studies / "s")
    assert_holds(path, 0)


def test_a_folder_that_cannot_be_looked_into_stops_gc(store, monkeypatch):
    path = publish(store, 0, 0)
    publish(store, 1, 1).unlink()
    scandir = os.scandir

    def refuse(folder):  # root may look everywhere
        if Path(folder) == path.parent:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("mer.checkpoints.upkeep.os.scandir", refuse)
    with pytest.raises(MerError, match="could hold links"):
        store.gc(grace_s=0)
    assert len(objects(store)) == 2


def test_loops_of_folders(store):
    path = publish(store, 0, 0)
    (path.parent / "up").symlink_to("../..")
    assert store.du().references == 1 and store.gc(grace_s=0).objects == []


def test_gc_waits_for_a_publisher_and_new_ones_wait_for_gc(store, monkeypatch):
    """A publisher that found its object there and has no link yet: the moment at which gc would be wrong."""
    first = publish(store, 0, 0)
    make_old(*objects(store))
    first.unlink()
    found, go_on = threading.Event(), threading.Event()
    sound = Store._sound

    def paused(self, *arguments):
        result = sound(self, *arguments)
        found.set()
        assert go_on.wait(20)
        return result

    write_file(trial(store.studies, 1), 0)
    collected = []
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_sound", paused)
        publisher = threading.Thread(target=lambda: store.publish(trial(store.studies, 1)))
        publisher.start()
        assert found.wait(20)
    collector = threading.Thread(target=lambda: collected.append(store.gc(grace_s=0)))
    collector.start()
    collector.join(0.3)
    assert collector.is_alive() and collected == []
    late = threading.Thread(target=lambda: publish(store, 2, 7))
    late.start()
    late.join(0.3)
    assert late.is_alive(), "a publisher that comes later must not keep gc waiting"
    go_on.set()
    for thread in (publisher, collector, late):
        thread.join(20)
    assert collected[0].objects == []
    assert_holds(trial(store.studies, 1), 0)
    assert_holds(trial(store.studies, 2), 7)
    assert store.verify().faults == []


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_commands(store):
    path = publish(store, 0, 0)
    publish(store, 1, 0)
    gone = publish(store, 2, 2)
    target = store.object(gone.resolve().stem)
    gone.unlink()

    def said(*arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(app, [*arguments, "--studies", str(store.studies)])
        return ended.exit_code, ended.output

    code, text = said("du")
    assert code == 0 and f"0.01 MB saved in {store.root}" in text
    code, text = said("verify")
    assert code == 0 and f"nobody links to {target}\n" in text
    assert text.endswith("2 stored files, 2 links, 1 without a link: all good\n")
    code, text = said("gc", "--dry-run", "--grace", "0")
    assert code == 0 and str(target) in text and "1 files, 0.01 MB would be freed" in text and target.exists()
    assert "1 more are younger than 60 minutes" in said("gc")[1] and target.exists()
    assert "were freed" in said("gc", "--grace", "0")[1] and not target.exists()
    path.resolve().unlink()
    code, text = said("verify")
    assert code == 2 and f"error: {path}: the link leads nowhere" in text and "2 faults" in text


@pytest.mark.slow
def test_the_command_line_refuses_in_one_message(tmp_path):
    words = [sys.executable, "-m", "mer.store", "gc", "--studies", str(tmp_path / "no")]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and ended.stderr.startswith(f"error: {tmp_path / 'no'}: there is no model store here")
