"""Each folder's table of contents names what lies in it, and no module reaches itself through its imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from house import REPOSITORY, circles, contents_of, imports, modules, rooms, table_of

FILES = modules()
PACKAGES = [path.parent for path in modules(tops=("mer", "trainables", "analysis", "benchmarks")).values()]
PACKAGES = sorted({folder for folder in PACKAGES if (folder / "__init__.py").exists()})


@pytest.mark.parametrize("package", PACKAGES, ids=lambda folder: ".".join(folder.relative_to(REPOSITORY).parts))
def test_the_table_of_contents_names_what_lies_in_the_folder(package: Path):
    table = table_of(package)
    assert set(table) == contents_of(package), f"the docstring of {package / '__init__.py'} differs from its files"
    assert len(set(table.values())) <= 1, f"{package / '__init__.py'}: align the texts of the table"


def test_no_circles():
    graph = imports(FILES)
    assert len(graph) > 240 and "mer.config" in graph["mer.training.run"], "the graph is not this project's"
    assert circles(graph) == []
    assert {package: found for package, inside in rooms(graph, FILES) if (found := circles(inside))} == {}


def test_the_script_says_so():
    ended = subprocess.run([sys.executable, REPOSITORY / "tests" / "house.py"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.split()[:2]) == (0, ["0", "circles"]), ended.stdout


def _package(root: Path, texts: dict[str, str]) -> dict[str, Path]:
    """Write files below p/ (`{"q/a": text}` is p/q/a.py) and an `__init__` in each folder; their modules."""
    for name, text in texts.items():
        path = root / "p" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for folder in {path.parent, root / "p"}:
            (folder / "__init__.py").touch()
    return modules(root, ("p",))


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p import a",
        "from p.a import x",
        "from . import a",
        "from .a import x",
        "def f():\n    from p.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import x",
    ],
)
def test_a_circle_is_found_however_the_import_is_written(tmp_path: Path, back: str):
    files = _package(tmp_path, {"a": "from p import b\nx = 1", "b": "from p.c import y", "c": back})
    assert circles(imports(files)) == [["p.a", "p.b", "p.c"]]
    files["p.c"].write_text("import os")
    assert circles(imports(files)) == []


def test_two_rooms_that_use_one_another_are_a_circle_though_no_module_is(tmp_path: Path):
    texts = {"q/a": "from p.r import a", "q/b": "", "r/a": "", "r/b": "from p.q.b import y"}
    files = _package(tmp_path, texts)
    graph = imports(files)
    assert circles(graph) == []
    between = {package: circles(inside) for package, inside in rooms(graph, files)}
    assert between == {"p": [["p.q", "p.r"]], "p.q": [], "p.r": []}


def test_a_table_is_read_and_compared(tmp_path: Path):
    text = """'''One idea.

Some words of it:  not an entry.

    a       first
    inner   second
      more of it
'''"""
    _package(tmp_path, {"a": "", "__main__": "", "inner/b": "", "__init__": text})
    (tmp_path / "p" / "notes").mkdir()
    assert contents_of(tmp_path / "p") == {"a", "inner"}
    assert table_of(tmp_path / "p") == {"a": 12, "inner": 12}
