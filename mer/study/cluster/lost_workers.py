"""Why a worker has died: by itself, which may be a trial's doing, or with its node, its Ray, or the whole study."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mer.study.cluster.own_ray import dead_process

_REACH_S = 1.0
Nodes = Callable[[], list[dict[str, Any]]]


def node_of(trial: Any) -> str:
    """Return the id of the node on which the worker of a Ray trial was; "" where Ray does not say."""
    from ray._private import state  # no public name tells it without Ray's dashboard

    actor = trial.temporary_state.ray_actor
    with suppress(Exception):  # of a cluster that cannot be asked: then nobody says that the node is to blame
        return str(state.actors(actor._actor_id.hex())["Address"]["NodeID"]) if actor is not None else ""
    return ""


class LostWorkers:
    """Tell a worker that died by itself from one that died with something larger.

    Args:
        ending: tells whether the study is being stopped: a signal to a whole job reaches its workers too.
        nodes: `ray.nodes`.
        place: as `node_of`.
    """

    def __init__(self, ending: Callable[[], bool], nodes: Nodes, place: Callable[[Any], str] = node_of) -> None:
        self.ending, self.nodes, self.place = ending, nodes, place

    def by_itself(self, trial: Any) -> bool:
        """Tell it of the worker of a Ray trial."""
        return not (self.ending() or dead_process() or self._is_node_dead(self.place(trial)))

    def _is_node_dead(self, node: str) -> bool:
        found = [one for one in self.nodes() if one["NodeID"] == node]
        return bool(found) and not all(one["Alive"] and _answers(one) for one in found)


def _answers(node: dict[str, Any]) -> bool:
    """Tell whether a node's raylet listens: Ray itself notices a dead one some seconds after its workers' end."""
    address = node.get("NodeManagerAddress"), node.get("NodeManagerPort")
    if not all(address):
        return True
    try:
        socket.create_connection(address, _REACH_S).close()
    except OSError:
        return False
    return True
