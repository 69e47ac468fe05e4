"""Features that shared memory cannot hold are refused with the numbers, before anything is put there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mer.errors import MerError
from mer.study.cluster.connect import _stores
from mer.study.preflight import object_store
from mer.study.preflight.object_store import refuse_no_store, refuse_small_nodes, store_bytes

GB = 10**9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Free bytes of memory, of /dev/shm, and elsewhere."""
    free = {"memory": 8 * GB, "/dev/shm": 4 * GB, "elsewhere": 2 * GB}
    monkeypatch.setattr(object_store, "_free_memory", lambda: free["memory"])
    monkeypatch.setattr(object_store, "free_bytes", lambda place: free.get(str(place), free["elsewhere"]))
    return free


def test_what_fits_is_let_through(machine: dict[str, int]) -> None:
    refuse_no_store(3 * GB, None)
    machine |= {"/dev/shm": 64 * 10**6, "elsewhere": 50 * GB}
    refuse_no_store(3 * GB, None)  # a container with docker's /dev/shm: Ray takes the other folder
    refuse_no_store(300 * GB, "10.0.0.1:6379")


def test_too_little_memory(machine: dict[str, int]) -> None:
    with pytest.raises(MerError) as refused:
        refuse_no_store(7 * GB, None)
    assert str(refused.value).splitlines()[:2] == [
        "features: take 8.53 GB in shared memory while the study runs",
        "  allowed: 8.00 GB of memory are free",
    ]
    assert store_bytes(7 * GB) == 8_534_217_728


def test_too_little_room(machine: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store.tempfile, "gettempdir", lambda: "/scratch")
    with pytest.raises(MerError, match=r"allowed: 4.00 GB in /dev/shm, 2.00 GB in /scratch are free"):
        refuse_no_store(4 * GB, None)


def test_the_smallest_node_of_a_cluster_decides() -> None:
    refuse_small_nodes(2 * GB, {"a": 3.0 * GB, "b": 9.0 * GB})
    refuse_small_nodes(2 * GB, {})
    with pytest.raises(MerError, match=r"take 3.60 GB in the object store of every node, that of a has 3.00 GB"):
        refuse_small_nodes(3 * GB, {"a": 3.0 * GB, "b": 9.0 * GB})


def test_the_store_of_a_head_that_trains_nothing_does_not_count() -> None:
    def node(name: str, cpus: float, store: float, *, alive: bool = True) -> dict[str, Any]:
        resources = {"object_store_memory": store} | ({"CPU": cpus} if cpus else {})
        return {"NodeName": name, "Alive": alive, "Resources": resources}

    nodes = [node("head", 0, 1.0), node("a", 4, 8.0), node("b", 4, 9.0), node("gone", 4, 2.0, alive=False)]
    assert _stores(nodes) == {"a": 8.0, "b": 9.0}


def test_pages_of_files_count_as_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(object_store, "_CGROUP", tmp_path)
    monkeypatch.setattr(object_store, "_MEMORY", tmp_path / "meminfo")
    assert object_store._free_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemAvailable:   90 kB\n")
    assert object_store._free_memory() == 90 * 1024
    (tmp_path / "memory.max").write_text("50000\n")
    (tmp_path / "memory.current").write_text("45000\n")
    (tmp_path / "memory.stat").write_text("anon 5000\ninactive_file 30000\nactive_file 10000\n")
    assert object_store._free_memory() == 45000
    (tmp_path / "memory.max").write_text("max\n")
    assert object_store._free_memory() == 90 * 1024
