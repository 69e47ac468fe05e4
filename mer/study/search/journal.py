"""The lines of `journal.log`: each is one operation of Optuna's. A damaged end is left out, damage further up is named.

A killed driver leaves at most a torn last line. Editors, `echo >>` and power cuts leave blank lines, a missing last
newline or bytes that are no operation. Optuna reads over such an end once, then appends behind it, and cannot read the
file any more.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from mer.errors import MerError
from mer.files import atomic_path
from mer.read_files import read_bytes
from mer.study.paths import JOURNAL
from mer.study.search.operations import parse_line, unfit

_SHOWN_BYTES = 40
_LARGEST_BYTES = 2**31  # a million epochs have a tenth of it
_ALLOWED = 'one JSON object with "op_code" on each line'
_FRESH = "`python -m mer.tune SPACE.yaml --fresh` puts the study aside and starts over"
_THEN = f"bring the file back from a copy; {_FRESH}"
CONTRADICTIONS = (LookupError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError)


def mend_journal(journal: Path) -> list[dict[str, Any]]:
    """Rewrite the file when it holds anything but whole lines: blank lines and a damaged end go.

    Only the driver that holds the study's lock may call this.

    Returns: the operations of its lines; [] when there is no file.
    Raises: MerError naming the line when a damaged one has whole lines after it, or when nothing is whole.
    """
    if not journal.exists():
        return []
    data = read_bytes(journal, largest=_LARGEST_BYTES, then=_THEN)
    operations = _operations(journal, data)
    if (whole := _whole(operations)) != data:
        with atomic_path(journal) as temporary:
            temporary.write_bytes(whole)
    return [operation for _, operation in operations]


def is_whole(journal: Path) -> bool:
    """True when `mend_journal` would change nothing. Raises: MerError as it does."""
    data = read_bytes(journal, largest=_LARGEST_BYTES, then=_THEN)
    return _whole(_operations(journal, data)) == data


class _Some(BaseJournalBackend):
    """Operations in memory, for reading."""

    def __init__(self, operations: Sequence[dict[str, Any]]) -> None:
        self.operations = operations

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.operations[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise PermissionError("this journal was opened for reading")


class WholeLines(_Some):
    """The whole lines of a journal as they are now, for reading: the file may be in use, and is not changed.

    Raises: MerError as `mend_journal` does.
    """

    def __init__(self, journal: Path) -> None:
        data = read_bytes(journal, largest=_LARGEST_BYTES, then=_THEN) if journal.exists() else b""
        super().__init__([operation for _, operation in _operations(journal, data)])


class GrowingLines(_Some):
    """The whole lines of a journal, for reading, and those that its driver appends meanwhile.

    Raises: MerError as `mend_journal` does.
    """

    def __init__(self, journal: Path) -> None:
        self._journal, self._bytes = journal, 0
        super().__init__([])
        self._append()

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        if self._journal.stat().st_size > self._bytes:
            self._append()
        return super().read_logs(log_number_from)

    def _append(self) -> None:
        data = read_bytes(self._journal, largest=_LARGEST_BYTES, then=_THEN)[self._bytes :]
        whole = data[: data.rfind(b"\n") + 1]
        self.operations = [*self.operations, *(operation for _, operation in _operations(self._journal, whole))]
        self._bytes += len(whole)


@contextmanager
def readable_journal(folder: Path, name: str) -> Iterator[optuna.Study]:
    """Open the study of `folder` for reading only. Raises: MerError for a damaged journal; KeyError without `name`."""
    yield optuna.load_study(study_name=name, storage=readable_storage(folder / JOURNAL))


def _operations(journal: Path, data: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """Return every whole line, without its newline, and what it says. Raises: MerError as `mend_journal`."""
    found: list[tuple[bytes, dict[str, Any]]] = []
    damaged: tuple[int, bytes] | None = None
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        operation = parse_line(line)
        if operation is None:
            damaged = damaged or (number, line)
        elif damaged is not None:
            raise _refusal(journal, *damaged, "whole lines come after it, so it was not cut short by a kill")
        elif why := unfit(operation, line):
            raise _refusal(journal, number, line, why)
        else:
            found.append((line, operation))
    begun = data.startswith(b"{") and b"\n" not in data  # the first write of a study, cut short by a kill
    if damaged is not None and not found and not begun:
        raise _refusal(journal, *damaged, "and no line of it is whole")
    return found


def _whole(operations: Iterable[tuple[bytes, dict[str, Any]]]) -> bytes:
    return b"".join(line + b"\n" for line, _ in operations)


def readable_storage(journal: Path) -> JournalStorage:
    """Open a journal for reading only. Raises: MerError for a damaged one."""
    backend = WholeLines(journal)
    try:
        return JournalStorage(backend)
    except CONTRADICTIONS as fault:
        raise contradiction(journal, backend.operations, fault) from fault


def contradiction(journal: Path, operations: Sequence[dict[str, Any]], fault: Exception) -> MerError:
    """Find the first operation that Optuna cannot apply after those before it, and say so."""
    good, bad = 0, len(operations)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            JournalStorage(_Some(operations[:middle]))
            good = middle
        except CONTRADICTIONS:
            bad = middle
    what = json.dumps(operations[bad - 1])[:_SHOWN_BYTES] if operations else ""
    why = f"operation {bad} contradicts those before it ({type(fault).__name__})"
    return MerError(journal, f"cannot be read: {why}: {what!a}", allowed=_ALLOWED, then=_THEN)


def _refusal(journal: Path, number: int, line: bytes, why: str) -> MerError:
    shown = ascii(line[:_SHOWN_BYTES].decode("utf-8", "backslashreplace"))
    return MerError(
        f"{journal}:{number}",
        f"is damaged: {shown} is no operation of Optuna's; {why}",
        allowed=_ALLOWED,
        then="bring the file back from a copy; a line that was added by hand may be taken out:\n"
        f"        sed -i {number}d {shlex.quote(str(journal))}\n"
        f"        {_FRESH}",
    )
