"""Put the parts of a protocol together into the search space of a cell; every key keeps its line in the protocol."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from mer.config import Frozen, flatten
from mer.study.bench.protocol import Part, Protocol, cell_name
from mer.study.space.yaml_file import KeyPath, YamlFile

_DEEPEST = 4  # of a part: methods.NAME.params.KEY


class Lines:
    """Lines of a protocol's file, by what stands above them."""

    def __init__(self, file: YamlFile) -> None:
        self.file = file
        self._below: defaultdict[KeyPath, list[tuple[KeyPath, int]]] = defaultdict(list)
        self._dotted: dict[KeyPath, dict[str, int]] = {}
        for keys, line in file.lines.items():
            for length in range(1, min(len(keys), _DEEPEST) + 1):
                self._below[keys[:length]].append((keys[length:], line))

    def below(self, prefix: KeyPath) -> list[tuple[KeyPath, int]]:
        """List what lies below a path, each with the rest of its path and its line."""
        return self._below.get(prefix, [])

    def of(self, prefix: KeyPath, key: str) -> int:
        """Find the line of a dotted key, or of what it is part of, below a path, however the file nests it."""
        if prefix not in self._dotted:
            self._dotted[prefix] = {".".join(map(str, rest)): line for rest, line in self.below(prefix)}
        known, parts = self._dotted[prefix], key.split(".")
        names = (".".join(parts[:length]) for length in range(len(parts), -1, -1))
        return next((known[name] for name in names if name in known), 1)


def search_space(protocol: Protocol, lines: Lines, combination: tuple[str, str, str], workers: int | None) -> YamlFile:
    """Make the search space of a cell: what all share, then the feature set, the method and the corpus.

    Args: workers: trials at once; None: as the protocol says.
    """
    corpus, features, method = combination
    parts: list[tuple[KeyPath, Part]] = [
        (("common",), protocol.common),
        (("features", features), protocol.features[features]),
        (("methods", method), protocol.methods[method]),
        (("corpora", corpus), protocol.corpora[corpus]),
    ]
    fixed: dict[str, Any] = {}
    params: dict[str, Any] = {}
    start: dict[str, Any] = {}
    space = YamlFile(lines.file.path, None, {(): 1})
    for prefix, part in parts:
        for key, value in flatten(part.fixed).items():  # what is fixed is searched no more
            params.pop(key, None)
            fixed[key] = value
            space.lines["fixed", key] = lines.of((*prefix, "fixed"), key)
        for key, value in part.params.items():  # and the other way round
            fixed.pop(key, None)
            params[key] = value
            for rest, line in lines.below((*prefix, "params", key)):
                space.lines["params", key, *rest] = line
        for key, value in part.start.items():
            start[key] = value
            space.lines["points", 0, key] = lines.of((*prefix, "start"), key)
    for key, value in flatten({"data": protocol.corpora[corpus].data}).items():
        fixed[key] = value
        space.lines["fixed", key] = lines.of(("corpora", corpus), key)
    for name in ("trials", "epochs"):
        space.lines["budget", name] = lines.of(("search",), name)
    search = protocol.search
    resources = _said(protocol.resources) | ({"workers": workers} if workers else {})
    begins = {key: value for key, value in start.items() if key in params}
    space.data = {
        "study": f"{protocol.protocol}-{cell_name(combination)}",
        "description": f"{method} on {features} of {corpus}, of the protocol {protocol.protocol}.",
        "trainable": protocol.features[features].trainable,
        **({"objective": search.objective.model_dump()} if search.objective else {}),
        "budget": {"trials": search.trials, "epochs": search.epochs},
        "sampler": {"kind": search.sampler.kind} | _said(search.sampler),
        "scheduler": {"kind": search.scheduler.kind} | _said(search.scheduler),
        **({"resources": resources} if resources else {}),
        "keep_weights": protocol.rerank.top if protocol.rerank else 1,
        "fixed": fixed,
        "params": params,
        "points": [begins] if begins else [],
    }
    return space


def _said(part: Frozen) -> dict[str, Any]:
    """Return what is not as usual in a part."""
    return part.model_dump(mode="json", exclude_defaults=True)
