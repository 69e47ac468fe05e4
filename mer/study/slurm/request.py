"""What a job asks of the cluster, checked before SLURM sees it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from mer.errors import MerError
from mer.study.space.spec import Resources
from mer.terminal.commands import changed

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
_WORKING_FOLDER = "a job works in the folder where its command was typed: cd there, then type it"
_CPUS = ("cpus-per-task", "exclusive", "cpus-per-gpu")  # options that say how many CPUs there are
OUTPUT = "%j.out"  # in the folder of the job script, whose directive --chdir says so
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

        A trial runs on one node, so each node gets room for whole trials.

        Raises: MerError when no node of the job has what one trial wants.
        """
        self._refuse_small_nodes(resources)
        if resources.workers is None or self.says_cpus:
            return self
        cpus = math.ceil(math.ceil(resources.workers / self.nodes) * resources.cpu)
        return replace(self, options=(*self.options, ("cpus-per-task", str(cpus))))

    def _refuse_small_nodes(self, resources: Resources) -> None:
        """Refuse in a second what the job would refuse after hours in the queue."""
        named = dict(self.options)
        cpus = named.get("cpus-per-task", "")
        if resources.gpu and not self.gpus_per_node and not named.keys() & {"gres", "gpus", "gpus-per-task"}:
            raise MerError("resources.gpu", "a trial asks for a GPU, the job for none", then="--gpus-per-node 1")
        if cpus.isdecimal() and resources.cpu > int(cpus):
            raise MerError(
                "resources.cpu",
                f"a trial asks for {resources.cpu:g} CPUs, the job for {cpus} a node",
                allowed="trials that fit on one node",
                then=f"--slurm-option cpus-per-task={math.ceil(resources.cpu)}",
            )

    @property
    def says_cpus(self) -> bool:
        """False when the number of CPUs is left to the cluster, which often gives one."""
        return any(name in _CPUS for name, _ in self.options)

    @property
    def words(self) -> list[object]:
        """What of the command asks for the job."""
        asked = {"--nodes": (self.nodes, 1), "--time": (self.time, ""), "--partition": (self.partition, "")}
        asked |= {"--gpus-per-node": (self.gpus_per_node, 0)}
        options = [f"{name}={value}" if value else name for name, value in self.options]
        return ["--slurm", *changed(asked), *(word for text in options for word in ("--slurm-option", text))]

    @property
    def longer(self) -> Self | None:
        """The same with twice the time; None where the partition says how long it is."""
        if not self.time:
            return None
        hours, seconds = divmod(2 * _seconds(self.time), 3600)
        return replace(self, time=f"{hours:02d}:{seconds // 60:02d}:{seconds % 60:02d}")

    @property
    def lead_s(self) -> int:
        """How long before the limit the study is asked to stop: two minutes, of a short job a quarter; seconds."""
        return max(_LEAST_LEAD_S, min(_LEAD_S, _seconds(self.time) // 4)) if self.time else _LEAD_S

    def directives(self, name: str, folder: Path) -> list[tuple[str, str]]:
        """List what the script says to sbatch.

        Args:
            name: of the job.
            folder: where the job's output file lies, wherever sbatch is called.
        """
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
            ("chdir", str(folder)),
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
    if name in ("chdir", "workdir"):
        raise MerError(
            "--slurm-option", f"{name} is set already", allowed="other options of sbatch", then=_WORKING_FOLDER
        )
    if name in _OURS:
        say = f"{_OURS[name]} says it" if _OURS[name] else "the job script needs its own"
        raise MerError("--slurm-option", f"{name} is set already: {say}", allowed="other options of sbatch")
    return name, value
