"""Messages between the driver and a worker: JSON-able dictionaries on the wire, these frozen dataclasses at both ends.

A Ray trial is only a slot: a worker process that hosts members. A member is one trial number with its configuration;
rows, endings, folders and checkpoints belong to the number, never to the slot. A slot hosts several members of one
shape, which are trained as one program, or a single one. Members end, leave and join one by one.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mer.config import TrialConfig
from trainables.proof import Proof

if TYPE_CHECKING:
    from mer.training import Row  # torch comes along: not for those who read outcomes only

Outcome = Literal["running", "finished", "cut", "nonfinite", "error", "lost", "blocked"]


@dataclass(frozen=True)
class MemberTask:
    """All that a worker gets to know of one trial.

    Args:
        number: the Optuna trial number.
        folder: absolute path of the trial's folder, where its checkpoint is if it was begun before.
        config: the TrialConfig as JSON data; `trial_config` validates it.
        features: modality, or TEACHER -> split -> path of the feature file.
        decision_epochs: epochs after which the worker reports and waits for a verdict.
    """

    number: int
    folder: Path
    config: Mapping[str, Any]
    features: Mapping[str, Mapping[str, str]]
    decision_epochs: tuple[int, ...] = ()

    def trial_config(self) -> TrialConfig:
        """Validate the configuration. A worker calls this inside the trial, so that a fault fails this trial alone."""
        return TrialConfig.model_validate(self.config)

    def wire(self) -> dict[str, Any]:
        """Return the task as JSON-able data."""
        return {**vars(self), "folder": str(self.folder), "decision_epochs": list(self.decision_epochs)}

    @classmethod
    def read(cls, wire: Mapping[str, Any]) -> MemberTask:
        """Read what `wire` wrote. Checks no configuration."""
        decisions = tuple(wire["decision_epochs"])
        return cls(int(wire["number"]), Path(wire["folder"]), wire["config"], wire["features"], decisions)


@dataclass(frozen=True)
class Slot:
    """A worker's next work.

    Args:
        members: at least one; of one shape where there are several.
        report_interval_s: the worker reports after the first epoch that ends later than this, or at a decision epoch.
        threads: of torch in the worker.
        device: cpu or cuda.
        proof: that the worker sees the study's folder, asked for before its first epoch; None: nobody asks.
    """

    members: tuple[MemberTask, ...]
    report_interval_s: float
    threads: int = 1
    device: str = "cpu"
    proof: Proof | None = None

    def wire(self) -> dict[str, Any]:
        """Return the slot as JSON-able data: Ray Tune takes it for the configuration of one of its trials.

        It is one short text and the first member's number: Ray copies, searches and writes down each entry of a
        configuration again and again, and keeps it for as long as a study runs.
        """
        proof = vars(self.proof) if self.proof else None
        content = {**vars(self), "members": [task.wire() for task in self.members], "proof": proof}
        packed = zlib.compress(json.dumps(content).encode())
        return {"number": self.members[0].number, "slot": base64.b85encode(packed).decode()}

    @classmethod
    def read(cls, wire: Mapping[str, Any]) -> Slot:
        """Read what `wire` wrote. Checks no configuration, and ignores keys that Ray adds."""
        content = json.loads(zlib.decompress(base64.b85decode(wire["slot"])))
        members = tuple(MemberTask.read(task) for task in content["members"])
        proof = Proof(**content["proof"]) if content["proof"] else None
        return cls(members, content["report_interval_s"], content["threads"], content["device"], proof)


@dataclass(frozen=True)
class Report:
    """New epochs of one member, and how it stands.

    Args:
        number: the Optuna trial number.
        rows: one per epoch, oldest first; each holds `epoch` (from 1), `timestamp_ms` and metrics. After a resume the
            first report repeats the whole history with its original timestamps.
        outcome: running, or how the trial ended. Only the driver says `cut`. `lost` means that this attempt
            counts as one whose worker died. `blocked` means that the machine is at fault and not the trial (a full
            disk): the study stops and the trial stays resumable.
        reason: why it failed, in words.
        note: what the user should hear of it, such as a damaged checkpoint.
    """

    number: int
    rows: list[Row] = field(default_factory=list)
    outcome: Outcome = "running"
    reason: str = ""
    note: str = ""

    def wire(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""
        return dict(vars(self))
