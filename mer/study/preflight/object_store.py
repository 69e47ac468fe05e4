"""Refuse features that the memory of this machine, or of a cluster's nodes, cannot hold, before any is put there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mer.errors import MerError
from mer.features.disk_space import SHARED_MEMORY, STORE_SHARE, free_bytes

HEADROOM_BYTES = 128 * 2**20  # for what Ray itself puts there
_MEMORY = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def store_bytes(feature_bytes: int) -> int:
    """Return the size that the object store of a private Ray is given."""
    return int(STORE_SHARE * feature_bytes) + HEADROOM_BYTES


def refuse_no_store(feature_bytes: int, address: str | None) -> None:
    """Refuse features that do not fit into the memory of this machine. A cluster is asked once it is joined.

    Where /dev/shm is too small, Ray keeps its store in the folder for temporary files; both lie in memory in the end.

    Raises: MerError with the sizes.
    """
    if address is not None:
        return
    need, memory = store_bytes(feature_bytes), _free_memory()
    places = {
        str(SHARED_MEMORY): free_bytes(SHARED_MEMORY),
        tempfile.gettempdir(): free_bytes(Path(tempfile.gettempdir())),
    }
    room = max((free for free in places.values() if free is not None), default=0)
    if memory is not None and need > memory:
        raise _too_large(need, f"{_gb(memory)} of memory are free")
    if need > room:
        free = ", ".join(f"{_gb(free)} in {place}" for place, free in places.items() if free is not None)
        raise _too_large(need, f"{free} are free")


def refuse_small_nodes(feature_bytes: int, stores: dict[str, float]) -> None:
    """Refuse a cluster whose nodes cannot hold the features; each node that trains gets a copy.

    Args: stores: bytes of the object store by the name of the node.
    Raises: MerError naming the smallest.
    """
    if not stores:
        return
    name, smallest = min(stores.items(), key=lambda item: item[1])
    need = int(STORE_SHARE * feature_bytes)
    if need > smallest:
        raise MerError(
            "features",
            f"take {_gb(need)} in the object store of every node, that of {name} has {_gb(smallest)}",
            then="ray start --object-store-memory=BYTES there; or leave that node out",
        )


def _too_large(need: int, free: str) -> MerError:
    return MerError(
        "features",
        f"take {_gb(need)} in shared memory while the study runs",
        allowed=free,
        then="free memory (a container: --shm-size), read fewer encoders or layers in one study, or use a cluster: "
        "--address",
    )


def _free_memory() -> int | None:
    """Return the bytes of memory that this process may still take; None where the system does not say."""
    found = [value for value in (_of_machine(), _of_group()) if value is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text(encoding="utf-8").splitlines() if ":" in line)
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, LookupError, ValueError):
        return None


def _of_group() -> int | None:
    """Return what the control group of a container leaves; pages of files count as free, they make room."""
    try:
        most, used, stat = (
            (_CGROUP / f"memory.{name}").read_text(encoding="utf-8") for name in ("max", "current", "stat")
        )
        pages = dict(line.split() for line in stat.splitlines())
        return int(most) - int(used) + int(pages["active_file"]) + int(pages["inactive_file"])
    except (OSError, LookupError, ValueError):  # no limit: "max"
        return None


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB"
