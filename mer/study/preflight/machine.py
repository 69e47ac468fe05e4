"""What a study may use of this machine, and whether its trials fit."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.errors import MerError
from mer.study.space.spec import Resources

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")  # the latter where no cgroup keeps a job to its CPUs
_EPSILON = 1e-9


@dataclass(frozen=True)
class Machine:
    """Processors and GPUs that trials may take of one machine.

    Args: limit: what keeps the CPUs below those that are there, for messages; '' if nothing does.
    """

    cpus: float
    gpus: float
    limit: str = ""


def this_machine() -> Machine:
    """Count the CPUs and GPUs of this machine that this process may use."""
    limits = {
        "": float(os.cpu_count() or 1),
        "the CPU affinity of this process": float(len(os.sched_getaffinity(0))),
        "the CPU quota of its control group": _quota(),
        **{name: _said(name) for name in _SLURM},
    }
    limit, cpus = min(limits.items(), key=lambda item: item[1])
    return Machine(cpus, _gpus(), limit)


def most_trials(resources: Resources, have: Sequence[Machine]) -> int:
    """Return how many trials run at once: as the user says, at most as many as fit. Raises: MerError when none fits.

    Args: have: this machine, or the nodes of a cluster. A trial runs on one of them: what two have left is no room.
        Where none has a CPU, the head of a cluster waits for its workers; then at least one trial will run.
    """
    if have and not any(node.cpus for node in have):
        return resources.workers or 1
    most = sum(int(_share(resources, node) + _EPSILON) for node in have)
    if most < 1:
        largest = max(have, key=lambda node: _share(resources, node), default=Machine(0, 0))
        limit = f" ({largest.limit})" if largest.limit else ""
        fitting = {"cpu": min(resources.cpu, largest.cpus), "gpu": min(resources.gpu, largest.gpus)}
        lower = [name for name, value in fitting.items() if value < getattr(resources, name)]
        raise MerError(
            "resources",
            f"a trial asks for cpu {resources.cpu:g} and gpu {resources.gpu:g}",
            allowed=f"at most cpu {largest.cpus:g}{limit} and gpu {largest.gpus:g} here"
            + (", on one node" if len(have) > 1 else ""),
            then=f"{' '.join(f'--set resources.{name}={fitting[name]:g}' for name in lower)}, or a cluster: --address",
        )
    return min(most, resources.workers or most)


def _share(resources: Resources, node: Machine) -> float:
    """Return how many trials a machine has room for, fractions too."""
    return min([node.cpus / resources.cpu] + ([node.gpus / resources.gpu] if resources.gpu else []))


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _said(name: str) -> float:
    """Return the CPUs that a variable of Slurm's gives this job; infinity outside one."""
    said = os.environ.get(name, "")
    return float(said) if said.isdecimal() and int(said) > 0 else math.inf


def _quota() -> float:
    """Return the whole CPUs, at least one, that the control groups of this process allow; infinity without a quota."""
    least = min(_quotas(), default=math.inf)
    return least if least == math.inf else max(1.0, math.floor(least + _EPSILON))


def _quotas() -> Iterator[float]:
    try:
        lines = _OWN_CGROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, own = rest.partition(":")
        unified = number == "0" and not controllers
        if not unified and "cpu" not in controllers.split(","):
            continue
        top = _CGROUPS if unified else _CGROUPS / controllers
        group = top / own.lstrip("/")
        for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(top))):
            yield _quota_of(folder, unified=unified)


def _quota_of(folder: Path, *, unified: bool) -> float:
    try:
        if unified:
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period")
            )
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no such control group here, or "max"
        return math.inf
