"""Type pages: fork servers that start their commands and Ray's workers, a door between, and fresh folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from page_commands import REPOSITORY
from page_door import Door, Ran
from page_folder import give, make_folder, type_page

from benchmarks.kills.fork_server import ForkServer
from benchmarks.kills.worker_fork import ForkedWorkers


@dataclass(frozen=True)
class Page:
    """A page whose commands were typed. Args: ran: what they called."""

    folder: Path
    ran: list[Ran]

    def output(self) -> str:
        return "\n".join(one.output for one in self.ran)


@pytest.fixture(scope="session")
def door() -> Iterator[Door]:
    place = Path(tempfile.mkdtemp(prefix="mer-docs-"))
    forks = ForkServer(os.environ)
    with ForkedWorkers() as workers, Door(place / "commands", forks, workers.python) as opened:
        yield opened
    forks.close()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def typed(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Page]:
    """typed("docs/quick_start.md") types a page in a fresh folder; `after` is a page whose folder is copied first."""

    def type_it(name: str, after: Page | None = None) -> Page:
        page = REPOSITORY / name
        folder = tmp_path_factory.mktemp(page.stem)
        make_folder(folder, door.path)
        if after is not None:
            _copy(after.folder, folder)
        give(page.name, folder)
        before = len(door.ran)
        ended = type_page(page, folder)
        ran = door.ran[before:]
        assert not ended.failed, ended.failed
        for one in ran:
            where = f"{page.name}:{one.line}: {one.program} {' '.join(one.words)} (with {' '.join(one.small)})"
            assert one.code == 0, f"{where}: exit code {one.code}\n{one.output}"
            assert "Traceback" not in one.output, f"{where}\n{one.output}"
        return Page(folder, ran)

    return type_it


@pytest.fixture(scope="session")
def quick_start(typed: Callable[..., Page]) -> Page:
    """The quick start, typed: where the other pages begin."""
    return typed("docs/quick_start.md")


def _copy(source: Path, target: Path) -> None:
    """Copy what a page made but its exports, which pages make; what nobody writes into by hard links."""
    for name, copy in (("datasets", os.link), ("features", os.link), ("studies", shutil.copy2)):
        if (source / name).exists():
            shutil.copytree(source / name, target / name, copy_function=copy, symlinks=True)
