"""What a job asks of the cluster, checked before SLURM sees it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from mer.errors import MerError
from mer.study.space.spec import Resources

_FORMS = (  # SLURM's forms of a time, and the seconds of each part
    (r"(\d+)", (60,)),
    (r"(\d+):(\d{1,2})", (60, 1)),
    (r"(\d+):(\d{1,2}):(\d{1,2})", (3600, 60, 1)),
    (r"(\d+)-(\d{1,2})", (86_400, 3600)),
    (r"(\d+)-(\d{1,2}):(\d{1,2})", (86_400, 3600, 60)),
    (r"(\d+)-(\d{1,2}):(\d{1,2}):(\d{1,2})", (86_400, 3600, 60, 1)),
)
_OURS = {  # options of sbatch that the script sets, and who says them
    "nodes": "--nodes", "time": "--time", "partition": "--partition", "gpus-per-node": "--gpus-per-node",
    "signal": "", "requeue": "", "no-requeue": "", "open-mode": "", "output": "", "error": "", "array": "",
    "ntasks": "", "ntasks-per-node": "", "parsable": "", "wrap": "", "test-only": "", "wait": "",
}  # fmt: skip
OUTPUT = "%j.out"  # in the folder where sbatch is called; paths in directives would have quoting rules of their own
_LEAD_S, _LEAST_LEAD_S = 120, 5


@dataclass(frozen=True)
class SlurmRequest:
    """A job, in the words of `sbatch`.

    Args:
        nodes: machines; Ray runs on all of them.
        time: the limit, in one of SLURM's forms; "": the partition's.
        partition: "": the cluster's default.
        gpus_per_node: 0 for none.
        options: further options of sbatch, (name, value); value "" for a switch.
    """

    nodes: int = 1
    time: str = ""
    partition: str = ""
    gpus_per_node: int = 0
    options: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def read(cls, nodes: int, time: str, partition: str, gpus_per_node: int, options: Sequence[str]) -> Self:
        """Check what was typed; `options` as `key=value`. Raises: MerError."""
        if time:
            _seconds(time)
        if partition and not re.fullmatch(r"[\w.,-]+", partition):
            raise MerError("--partition", f"{partition!r} is no name of a partition", then="sinfo lists them")
        return cls(nodes, time, partition, gpus_per_node, tuple(_option(text) for text in options))

    def for_trials(self, resources: Resources) -> Self:
        """Ask for the CPUs of the trials at once, where their number was said and that of the CPUs was not.

        Raises: MerError when trials want a GPU and the job has none.
        """
        named = {name for name, _ in self.options}
        if resources.gpu and not self.gpus_per_node and not named & {"gres", "gpus", "gpus-per-task"}:
            raise MerError("resources.gpu", "a trial asks for a GPU, the job for none", then="--gpus-per-node 1")
        if resources.workers is None or named & {"cpus-per-task", "exclusive", "cpus-per-gpu"}:
            return self
        cpus = math.ceil(resources.workers * resources.cpu / self.nodes)
        return replace(self, options=(*self.options, ("cpus-per-task", str(cpus))))

    @property
    def says_cpus(self) -> bool:
        """False when the number of CPUs is left to the cluster, which often gives one."""
        return bool({name for name, _ in self.options} & {"cpus-per-task", "exclusive", "cpus-per-gpu"})

    @property
    def lead_s(self) -> int:
        """How long before the limit the study is asked to stop: two minutes, of a short job a quarter; seconds."""
        return max(_LEAST_LEAD_S, min(_LEAD_S, _seconds(self.time) // 4)) if self.time else _LEAD_S

    def directives(self, name: str) -> list[tuple[str, str]]:
        """List what the script says to sbatch. `name` is that of the job."""
        asked = {
            "time": self.time,
            "partition": self.partition,
            "gpus-per-node": str(self.gpus_per_node or ""),
        }
        return [
            ("job-name", name),
            ("nodes", str(self.nodes)),
            ("ntasks-per-node", "1"),
            *((key, value) for key, value in asked.items() if value),
            ("signal", f"B:USR1@{self.lead_s}"),
            ("requeue", ""),
            ("open-mode", "append"),
            ("output", OUTPUT),
            *self.options,
        ]


def _seconds(time: str) -> int:
    """Raises: MerError for what is no time of SLURM's, and for none at all."""
    for form, units in _FORMS:
        if found := re.fullmatch(form, time, re.ASCII):
            seconds = sum(int(part) * unit for part, unit in zip(found.groups(), units, strict=True))
            if seconds > 0:
                return seconds
    raise MerError("--time", f"{time!r} is no time", allowed="HH:MM:SS, D-HH:MM:SS or minutes, e.g. 04:00:00")


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.removeprefix("--").partition("=")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name, re.ASCII) or "\n" in value:
        raise MerError(
            "--slurm-option", f"{text!r} is no option", allowed="key=value as sbatch has them, e.g. cpus-per-task=8"
        )
    if name in _OURS:
        say = f"{_OURS[name]} says it" if _OURS[name] else "the job script needs its own"
        raise MerError("--slurm-option", f"{name} is set already: {say}", allowed="other options of sbatch")
    return name, value
