"""What goes wrong, and when: plans that are asked at every operation of the simulated world."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Literal, Protocol

Domain = Literal["file", "mlflow", "moment"]
"""file: an operation of the file system; mlflow: a call; moment: of a trial's life, at which a worker can be lost."""

WRITES = {
    "EIO": errno.EIO,
    "ENOSPC": errno.ENOSPC,  # of a write: half of it is on disk
    "ESTALE": errno.ESTALE,
}
READS = {"EIO": errno.EIO, "ESTALE": errno.ESTALE}
CRASHES = ("crash before", "crash inside", "crash after")
CALLS = ("error before", "error inside", "error after", "lost answer", "slow", "crash before", "crash after")
MOMENTS = ("worker lost", "node lost", "node lost and back", "slow", "stop", "driver killed")


@dataclass(frozen=True)
class Operation:
    """One thing that may go wrong.

    Args:
        index: how many of its domain came before it, since the command began.
        kind: such as "write", "log_batch", "saved".
        where: a path without what differs from run to run; a trial.
        process: who does it.
    """

    domain: Domain
    index: int
    kind: str
    where: str
    process: str

    @property
    def words(self) -> str:
        return f"{self.domain} {self.index}: {self.kind} {self.where} ({self.process})"


class Plan(Protocol):
    """Says what goes wrong."""

    def asks(self, domain: Domain, index: int) -> bool:
        """Tell whether this operation may go wrong: who it is need not be said of any other."""
        ...

    def fault(self, operation: Operation) -> str:
        """Name the fault of an operation; "" when it goes well."""
        ...


@dataclass
class Recorded:
    """Nothing goes wrong; every operation is remembered."""

    operations: list[Operation] = field(default_factory=list)

    def asks(self, domain: Domain, index: int) -> bool:
        return True

    def fault(self, operation: Operation) -> str:
        self.operations.append(operation)
        return ""


@dataclass(frozen=True)
class NoFault:
    """Nothing goes wrong."""

    def asks(self, domain: Domain, index: int) -> bool:
        return False

    def fault(self, operation: Operation) -> str:
        return ""


@dataclass(frozen=True)
class OneFault:
    """One operation goes wrong."""

    domain: Domain
    index: int
    name: str

    def asks(self, domain: Domain, index: int) -> bool:
        return index == self.index and domain == self.domain

    def fault(self, operation: Operation) -> str:
        return self.name if operation.index == self.index and operation.domain == self.domain else ""


def faults_of(operation: Operation) -> tuple[str, ...]:
    """List what can go wrong with an operation."""
    if operation.domain == "mlflow":
        return CALLS
    if operation.domain == "moment":
        return MOMENTS
    if operation.kind in READ_KINDS:  # a crash beside it is one after the write before it
        return tuple(READS)
    inside = () if operation.kind != "write" else ("crash inside",)
    return (*WRITES, "crash before", *inside, "crash after")


READ_KINDS = frozenset({"open to read", "read", "look"})
