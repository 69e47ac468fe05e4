"""Leave out nodes that do not see the study's folder: what is trained there would be lost without a word."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mer.study.search.engine import StudyEngine
from mer.study.space.spec import Resources
from trainables.proof import Proof, Sight

_NODE_ID = "ray.io/node-id"  # a label that Ray gives to every node
Nodes = Callable[[], list[dict[str, Any]]]


class SharedFolder:
    """Ask every worker for proof, and remember the nodes that failed it.

    Args:
        study: its folder.
        engine: stopped when no node is left.
        say: prints a line for the user.
        nodes: `ray.nodes`.
    """

    def __init__(self, study: Path, engine: StudyEngine, say: Callable[[str], None], nodes: Nodes) -> None:
        self.engine, self.say, self.nodes = engine, say, nodes
        self.proof = Proof.begin(study, uuid.uuid4().hex)
        self.refused: dict[str, str] = {}  # node -> what is wrong there, in words

    def accepts(self, wire: Mapping[str, Any]) -> bool:
        """Take in what a worker says with its first result; False when its trials have to go elsewhere."""
        sight = Sight.read(wire)
        if sight.refused:
            self.engine.block(f"{sight.host}: {sight.refused}", "mend that there (on a full disk make room)")
            return False
        try:
            arrives = bool(sight.fault) or self.proof.is_answered(sight.answer)
        except OSError as refused:
            self.engine.block(refused)
            return False
        fault = sight.fault if arrives else "what is written there into the study's folder does not arrive here"
        if not fault:
            return True
        if sight.node not in self.refused:
            self.refused[sight.node] = f"{sight.host}: {fault}"
            self.say(f"node {sight.host} is left out: {fault}")
        if not self._is_any_left():
            self.engine.block(
                f"no node sees the study's folder {self.proof.study}: {'; '.join(self.refused.values())}",
                "mount one folder at the same path on all nodes and name it with --studies",
            )
        return False

    @property
    def selector(self) -> dict[str, str] | None:
        """Labels that a node must have, as Ray writes them; None while no node was refused."""
        return {_NODE_ID: f"!in({','.join(sorted(self.refused))})"} if self.refused else None

    def _is_any_left(self) -> bool:
        asked = _asked(self.engine.spec.resources)
        return any(
            all(node["Resources"].get(name, 0.0) >= amount for name, amount in asked.items())
            for node in self.nodes()
            if node["Alive"] and node["NodeID"] not in self.refused
        )


def _asked(resources: Resources) -> dict[str, float]:
    return {"CPU": resources.cpu, "GPU": resources.gpu}
