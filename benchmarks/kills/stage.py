"""What studies share while they are disturbed: a cluster, a file system of their own, their undisturbed twin."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kills.ray_nodes import RayNodes
from benchmarks.kills.snapshot import Snapshot, journal_lines
from benchmarks.kills.worker_fork import ForkedWorkers
from benchmarks.kills.workshop import STUDY, Workshop
from mer.study.tracking.store import create_database

_DISK_MIB = 96


@dataclass(frozen=True)
class Stage:
    """What studies have in common: who runs them, on what, and how they end undisturbed.

    Args:
        shop: the small study.
        place: folder that takes studies.
        has_disk: it is a file system of its own, which may be filled.
        twin: the study that nobody disturbed.
        lines: of its journal.
        nodes: the cluster that studies share.
        sockets: temporary folder of Rays that drivers start; its path is short.
        workers: forks the workers of every Ray.
        database: an empty database of MLflow's, which takes two seconds to make; most studies begin with a copy.
    """

    shop: Workshop
    place: Path
    has_disk: bool
    twin: Snapshot
    lines: int
    nodes: RayNodes
    sockets: Path
    database: Path
    workers: ForkedWorkers


@contextmanager
def staged(shop: Workshop, twin: Path, home: Path, workers: ForkedWorkers) -> Iterator[Stage]:
    """Start the cluster and make the place of studies.

    Args:
        twin: folder of studies in which nobody disturbed the small study.
        home: an empty folder.
        workers: forks the workers of every Ray.
    """
    with ExitStack() as stack:
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mr-", dir="/tmp")))
        nodes = stack.enter_context(RayNodes(workers.python))
        place = home / "place"
        has_disk = stack.enter_context(_mounted(place))
        nodes.start(cpus=2)
        database = home / "empty.db"
        if not database.exists():
            create_database(f"sqlite:///{database}")
        lines = len(journal_lines(twin / STUDY))
        yield Stage(shop, place, has_disk, Snapshot.of(twin, STUDY), lines, nodes, sockets, database, workers)


@contextmanager
def _mounted(place: Path) -> Iterator[bool]:
    """Make a folder that is a file system of its own. Yields False where only root may mount: it is a plain folder."""
    if place.is_mount():  # of a call that was killed
        subprocess.run(["umount", "-l", str(place)], check=False)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "tmpfs", str(place)]
    is_mounted = subprocess.run(words, capture_output=True).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(place)], check=False)
