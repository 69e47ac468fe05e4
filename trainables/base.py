"""A worker: it hosts the members of one slot after another, trains and reports them. It talks to no database.

A killed worker or driver loses at most the epochs since the last report: whoever gets the number next finds
`last.safetensors` in the trial's folder and repeats its history from there.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import torch
from ray import tune

from mer.io_faults import refusal
from mer.training.packed import Run
from trainables.members import Members
from trainables.proof import Proof, Sight
from trainables.saving import Saver
from trainables.shared_features import SharedFeatures
from trainables.wire import MemberTask, Slot


class MerTrainable(tune.Trainable):
    """One Ray trial, which is a slot (see `trainables.wire`). Subclasses say how the run of a member is built."""

    features: SharedFeatures
    proven: Proof | None = None  # that this process sees the study's folder

    def build(self, task: MemberTask, device: str) -> Run:
        """Build the run of one trial from its task and the shared features; nothing is trained yet."""
        raise NotImplementedError

    # -- Ray's side --------------------------------------------------------------------------------------------

    def setup(self, config: dict[str, Any], features: SharedFeatures | None = None) -> None:
        assert features is not None
        self.features, self.saver = features, Saver()
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next slot in the same process. Only the features stay: numbers equal those of a fresh process."""
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train until the report interval is over or a verdict is due, and report every member that has news.

        `fits` is the number of members that memory holds, once it was found to be less than those of the slot. `sights`
        has one entry in the first result of a worker; one that does not see the study's folder trains nothing. All
        values are lists or plain: Ray Tune flattens dictionaries.
        """
        torch.set_num_threads(self.slot.threads)
        sight = self._look()
        reports = [] if sight and not sight.is_good else self.members.step(self.slot.report_interval_s)
        result = {"reports": [report.wire() for report in reports], "fits": self.members.most}
        return result | ({"sights": [sight.wire()]} if sight else {})

    def cleanup(self) -> None:
        """End the threads that write files; nothing is left to write between two steps."""
        self.saver.close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:  # ours are in the trial folder; Ray keeps none
        return None

    def load_checkpoint(self, checkpoint: Any) -> None:
        return None

    # -- called by the driver between two steps ----------------------------------------------------------------

    def drop(self, numbers: Sequence[int]) -> None:
        """Forget members that were cut."""
        self.members.drop(numbers)

    def add(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Host further members, in the places of those that are over."""
        self.members.add(MemberTask.read(task) for task in tasks)

    # -- ours --------------------------------------------------------------------------------------------------

    def _look(self) -> Sight | None:
        """Give the proof that the slot asks for; None where it was given before."""
        proof = self.slot.proof
        if proof is None or proof == self.proven:
            return None
        here = ray.get_runtime_context()
        node, name = here.get_node_id(), f"answer-{here.get_worker_id()}"
        host = f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"
        try:
            fault, refused = proof.answer(name), ""
        except OSError as shortage:
            fault, refused = "", refusal(shortage)
        self.proven = None if fault or refused else proof
        return Sight(node, host, name, fault, refused)

    def _take(self, wire: dict[str, Any]) -> None:
        """Note the next slot. Reads and builds nothing yet: an exception here would count as a lost worker."""
        self.slot = Slot.read(wire)
        if isinstance(self.features, SharedFeatures):
            self.features.let_go()
        self.members = Members(lambda task: self.build(task, self.slot.device), self.slot.members, self.saver)
