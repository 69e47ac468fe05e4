"""Hostile inputs that are folders: a copy of a good one with one file changed, replaced or added."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from hostile_door import Input
from hostile_mutations import json_bytes, mutated_bytes, mutated_tree

Must = Literal["", "refused", "accepted"]
Change = Callable[[Path], Any]


def changed_folder(
    kind: str, source: Path, change: Change, must: Must = "", *, after: Change | None = None, give: str = ""
) -> Input:
    """Make an input that is a changed copy of a folder.

    Args:
        change: changes the copy.
        after: is called then, e.g. to sign what was changed.
        give: the path inside the copy that the door is given; "" for the copy itself.
    """

    def write(folder: Path) -> Path:
        copy = folder / source.name
        shutil.copytree(source, copy, symlinks=True)
        change(copy)
        if after is not None:
            after(copy)
        return copy / give

    return Input(kind, write, must)


def with_bytes(name: str, content: bytes | str | Callable[[], bytes]) -> Change:
    """Return the change that gives a file another content. Args: content: a function where it takes long to make."""

    def change(folder: Path) -> None:
        made = content() if callable(content) else content
        (folder / name).unlink(missing_ok=True)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass"))

    return change


def with_json(name: str, edit: Callable[[Any], Any]) -> Change:
    """Return the change that edits a JSON file's tree. Args: edit: changes the tree in place, or returns another."""

    def change(folder: Path) -> None:
        tree = json.loads((folder / name).read_text(encoding="utf-8"))
        other = edit(tree)
        with_bytes(name, json_bytes(tree if other is None else other))(folder)

    return change


def setting(*keys: Any, value: Any) -> Callable[[Any], None]:
    """Return the edit that gives the place under these keys a value."""

    def edit(tree: Any) -> None:
        for key in keys[:-1]:
            tree = tree[key]
        tree[keys[-1]] = value

    return edit


def without(*keys: Any) -> Callable[[Any], None]:
    """Return the edit that removes the place under these keys."""

    def edit(tree: Any) -> None:
        for key in keys[:-1]:
            tree = tree[key]
        del tree[keys[-1]]

    return edit


def irregular(name: str) -> dict[str, Change]:
    """Return the changes that put something else in the place of a file, by what it is."""

    def put(make: Callable[[Path], Any]) -> Change:
        def change(folder: Path) -> None:
            path = folder / name
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)

        return change

    return {
        "a pipe": put(os.mkfifo),
        "a socket": put(lambda path: os.mknod(path, stat.S_IFSOCK | 0o600)),
        "a folder": put(lambda path: path.mkdir()),
        "a device": put(lambda path: path.symlink_to("/dev/zero")),
        "a link to a pipe": put(lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe"))),
        "a link to nowhere": put(lambda path: path.symlink_to("nowhere")),
        "a loop of links": put(lambda path: path.symlink_to(path.name)),
    }


def not_files(base: Path, name: str, content: str) -> list[Input]:
    """Make the inputs that are something else in the place of a file. Args: content: of a good one."""
    source = base / f"of {name}"
    source.mkdir(exist_ok=True)
    (source / name).write_text(content)
    changes = irregular(name).items()
    return [changed_folder(f"{name} is {kind}", source, change, "refused", give=name) for kind, change in changes]


def mutants_of(source: Path, names: Sequence[str], rng: random.Random, after: Change | None = None) -> Iterator[Input]:
    """Yield copies of a folder with one of its files mutated: JSON by its tree or its bytes, others by their bytes."""
    while True:
        name = rng.choice(names)
        content = (source / name).read_bytes()
        if name.endswith(".json") and rng.random() < 0.7:
            what, tree = mutated_tree(json.loads(content), rng)
            mutant = json_bytes(tree)
        elif name.endswith(".safetensors") and rng.random() < 0.5:
            what, mutant = mutated_header(content, rng)
        else:
            what, mutant = mutated_bytes(content, rng)
        yield changed_folder(f"{name}: {what}", source, with_bytes(name, mutant), after=after)


def mutated_header(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Change one value in the header of a tensors file, or in the JSON text that its metadata holds."""
    header, tensors = header_of(content)
    metadata = header.get("__metadata__", {})
    inside = [name for name, text in metadata.items() if text.startswith("{")]
    if inside and rng.random() < 0.5:
        name = rng.choice(inside)
        what, tree = mutated_tree(json.loads(metadata[name]), rng)
        metadata[name] = json_bytes(tree).decode()
        return f"header {name}: {what}", tensors_bytes(header, tensors)
    what, tree = mutated_tree(header, rng)
    return f"header: {what}", tensors_bytes(tree, tensors)


def header_of(content: bytes) -> tuple[Any, bytes]:
    """Return the header of a tensors file as a tree, and the bytes of its tensors."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def tensors_bytes(header: Any, tensors: bytes) -> bytes:
    """Write a tensors file of this header."""
    text = json_bytes(header)
    return struct.pack("<Q", len(text)) + text + tensors
