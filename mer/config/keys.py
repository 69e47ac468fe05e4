"""Nested configurations as dotted keys, and back."""

from __future__ import annotations

from typing import Any

PATHS = frozenset({
    "data.root", "data.dataset", "data.split.file", "distill.teacher", "encoders.video.face_detector",
    *(f"encoders.{modality}.backbone" for modality in ("text", "audio", "video")),
})  # fmt: skip  # keys that may be paths: ~ and ${VARIABLE} mean something in them
# values that are mappings, or may be: their keys are no keys of a configuration
MAPPINGS = frozenset({"data.merge_labels", "data.targets", "data.levels", "data.folds"})


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}; keys may be dotted already. Empty mappings vanish; MAPPINGS stay whole."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        is_part = isinstance(value, dict) and path not in MAPPINGS
        flat.update(flatten(value, f"{path}.") if is_part else {path: value})
    return flat


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """{'a.b': 1} -> {'a': {'b': 1}}, the inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree
