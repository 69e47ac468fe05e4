"""Proof that a worker works in the study's folder, and not in one of the same name on a disk of its own.

The driver writes a token there; a worker reads it back, and writes an answer that the driver looks for. Both are files
of `.proof` in the study's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mer.files import write_text
from mer.io_faults import is_shortage, looks, may_pass, patiently, refusal

PROOF = ".proof"
_TOKEN = "token"
_PAUSES_S = (0.05, 0.3, 1.0, 2.0)


@dataclass(frozen=True)
class Proof:
    """What the driver asks of every worker.

    Args:
        folder: absolute path of the proofs.
        token: what the file in it says.
    """

    folder: str
    token: str

    @classmethod
    def begin(cls, study: Path, token: str) -> Proof:
        """Write the token into the folder of a study."""
        folder = study.resolve() / PROOF
        write_text(folder / _TOKEN, token)
        return cls(str(folder), token)

    @property
    def study(self) -> Path:
        """The study's folder."""
        return Path(self.folder).parent

    def answer(self, name: str) -> str:
        """Read the token back and write an answer, in a worker. Returns what is wrong with its folder, or "".

        Args: name: of the answer, a file name; each worker has its own.
        Raises: OSError when the machine refuses it for a reason that says nothing of the folder, such as a full disk.
        """
        try:
            return patiently(lambda: self._answer(name))
        except OSError as fault:
            if is_shortage(fault):
                raise
            return refusal(fault)

    def _answer(self, name: str) -> str:
        try:
            found = Path(self.folder, _TOKEN).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return f"{self.study} is not there" if not self.study.exists() else f"{self.study} is another folder there"
        if found != self.token:
            return f"{self.study} is that of another driver there"
        Path(self.folder, name).write_text(self.token, encoding="utf-8")
        return ""

    def is_answered(self, name: str) -> bool:
        """Tell whether the driver sees a worker's answer, in a moment at most. Raises: OSError when it cannot look."""
        answer, refused = Path(self.folder, name), None
        for _ in looks(_PAUSES_S):
            try:
                refused = None
                if answer.read_text(encoding="utf-8") == self.token:
                    return True
            except FileNotFoundError:
                continue
            except OSError as fault:
                if not may_pass(fault):
                    raise
                refused = fault
        if refused is not None:
            raise refused
        return False


@dataclass(frozen=True)
class Sight:
    """What a worker says of its view of the study's folder, once, with its first result.

    Args:
        node: Ray's id of its node.
        host: name and address of the node, for people.
        answer: name of the file that it wrote.
        fault: what is wrong with the folder there; "" when nothing is.
        refused: what the machine refused, which says nothing of the folder: a full disk, too many open files; "" when
            nothing.
    """

    node: str
    host: str
    answer: str
    fault: str
    refused: str = ""

    @property
    def is_good(self) -> bool:
        """True when nothing is wrong."""
        return not (self.fault or self.refused)

    def wire(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)

    @classmethod
    def read(cls, wire: Mapping[str, Any]) -> Sight:
        """Read what `wire` wrote."""
        return cls(**wire)
