"""The house as its files tell it: modules, who imports whom, circles, and each folder's table of contents.

    python tests/house.py        # "0 circles" and exit code 0, or each circle with its imports and exit code 1

Reads source text with `ast` and imports nothing of the project. Every import counts, wherever it stands: inside a
function, and under `if TYPE_CHECKING`. Left out is what Python does by itself: `import mer.study.space` also runs
`mer/study/__init__.py`, which says nothing about what either file needs.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

REPOSITORY = Path(__file__).resolve().parents[1]
TOPS = ("mer", "trainables", "analysis")
_ENTRY = re.compile(r"^(?P<gap>(?: {4})?(?P<name>\w+) {2,})\S")  # ruff takes the blanks away where all lines have them

Graph = dict[str, set[str]]


def modules(root: Path = REPOSITORY, tops: tuple[str, ...] = TOPS) -> dict[str, Path]:
    """Dotted name -> file; a package goes by its folder's name."""
    paths = (path for top in tops for path in sorted((root / top).rglob("*.py")))
    names = {".".join(path.relative_to(root).with_suffix("").parts): path for path in paths}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def imports(files: Mapping[str, Path]) -> Graph:
    """Module -> the modules of `files` that its text imports."""
    return {name: set(_imported(name, path, files)) - {name} for name, path in files.items()}


def _imported(me: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    package = me if path.name == "__init__.py" else me.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(part for part in (above, node.module) if part)
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                if whole in files or source in files:
                    yield whole if whole in files else source


def circles(graph: Graph) -> list[list[str]]:
    """Groups of two or more modules that reach one another, sorted."""
    names = sorted(graph)
    arrows = np.array([[other in graph[one] for other in names] for one in names])
    count, group_of = connected_components(csr_array(arrows), directed=True, connection="strong")
    groups = [[name for name, mine in zip(names, group_of, strict=True) if mine == group] for group in range(count)]
    return sorted(group for group in groups if len(group) > 1)


def rooms(graph: Graph, files: Mapping[str, Path]) -> Iterator[tuple[str, Graph]]:
    """Each package with the imports between its members; a sub-package is one member, with all that lies in it.

    The `__main__` of a sub-package is a member of its own: a command, which nobody imports, stands above the parts that
    it joins.
    """
    for package in (name for name, path in files.items() if path.name == "__init__.py"):
        member = _member_of(package)
        between: Graph = {}
        for one, others in graph.items():
            if (inside := member(one)) is not None:
                reached = {there for other in others if (there := member(other)) is not None}
                between.setdefault(inside, set()).update(reached - {inside})
        yield package, between


def _member_of(package: str) -> Callable[[str], str | None]:
    def member(name: str) -> str | None:
        inside = name.removeprefix(f"{package}.")
        if inside != name and inside.endswith(".__main__"):
            return name
        return None if inside == name else f"{package}.{inside.partition('.')[0]}"

    return member


def table_of(package: Path) -> dict[str, int]:
    """Entries of the table of contents in a folder's docstring, in their order: name -> column of its text."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")), clean=False) or ""
    entries = (found for line in docstring.splitlines() if (found := _ENTRY.match(line)))
    return {found["name"]: len(found["gap"]) for found in entries}


def contents_of(package: Path) -> set[str]:
    """Modules and sub-packages of a folder, without dunder files."""
    files = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    return files | {path.parent.name for path in package.glob("*/__init__.py")}


def main() -> int:
    files = modules()
    graph = imports(files)
    found = circles(graph)
    for group in found:
        print(*(f"{one} -> {', '.join(sorted(graph[one] & set(group)))}" for one in group), sep="\n", end="\n\n")
    between = [(package, group) for package, inside in rooms(graph, files) for group in circles(inside)]
    for package, group in between:
        print(f"members of {package} in a circle: {', '.join(group)}")
    print(f"{len(found) + len(between)} circles in {len(files)} modules")
    return 1 if found or between else 0


if __name__ == "__main__":
    sys.exit(main())
