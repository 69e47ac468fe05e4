"""What killed processes left in a folder of studies. A start sweeps it under the study's lock, `audit` tells of it.

Nothing of others is touched: a temporary name is one that `mer.files` gives, a lock is taken before it is removed, and
a session of Ray is one that a study of this folder noted on this machine, whose driver is dead.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import Timeout

from mer.checkpoints import Store
from mer.errors import MerError
from mer.files import write_json
from mer.locks import acquire
from mer.read_files import read_object
from mer.study.paths import ARTIFACTS, HISTORY, RAY, is_study, lock_file, owner_file, trial_folder
from trainables.proof import PROOF
from trainables.trial_files import state_files

Kind = Literal["temporary file", "checkpoint of an ended trial", "proof", "session of Ray", "lock", "empty study"]

# Names of mer.files, of SQLite beside them, and those by which safetensors writes before it renames.
_ENDING = r"\.[0-9a-f]{8}\.tmp(-journal|-wal|-shm)?"
_TEMPORARY = re.compile(rf"\..+{_ENDING}|\.tmp[A-Za-z0-9]{{6}}")
_LOCK = re.compile(r"\.(?P<study>[A-Za-z0-9][A-Za-z0-9._-]{0,99})\.lock")
_SESSION = re.compile(r"session_[0-9_-]+_(?P<pid>\d+)")
_SESSIONS = "sessions"  # in .ray: a note for each session of Ray


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nobody needs."""

    path: Path
    kind: Kind

    def remove(self) -> None:
        """Remove it. Raises: OSError."""
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """True for the name of a file that was never finished."""
    return _TEMPORARY.fullmatch(path.name) is not None


def leftovers_of(study: Path, ended: Collection[int]) -> list[Leftover]:
    """List what lies in one study's folder. Nobody may run the study meanwhile, or what it writes is listed too.

    Args: ended: trials that the journal calls ended.
    """
    temporary = [Leftover(path, "temporary file") for path in sorted(study.rglob(".*tmp*")) if is_temporary(path)]
    states = [Leftover(path, "checkpoint of an ended trial") for number in ended for path in _states(study, number)]
    proof = [Leftover(study / PROOF, "proof")] if (study / PROOF).exists() else []
    return [*temporary, *states, *proof, *_sessions(study)]


def _states(study: Path, number: int) -> Iterator[Path]:
    """Yield the checkpoints of an ended trial whose rows are written elsewhere."""
    folder = trial_folder(study, number)
    if (folder / ARTIFACTS / HISTORY).exists():
        yield from (path for path in state_files(folder) if path.exists())


def leftovers_beside(studies: Path) -> list[Leftover]:
    """List what lies beside the studies: locks of absent studies, and empty folders of studies that never began.

    Studies whose lock is held are passed over. Takes each lock for a moment.
    """
    found: list[Leftover] = []
    for name in _without_study(studies):
        with _free(studies, name) as free:
            found += _beside(studies, name) if free else []
    return found


def sweep(study: Path, ended: Collection[int]) -> list[Leftover]:
    """Remove the leftovers of a study whose lock this process holds, and those beside it. Returns what is gone."""
    gone = _removed([*leftovers_of(study, ended), *_temporaries(study.parent, study.name)])
    with contextlib.suppress(OSError, MerError):  # no locks here: gc removes them one day
        gone += [Leftover(path, "temporary file") for path in Store(study.parent).sweep()]
    for name in _without_study(study.parent):
        if name != study.name:
            with _free(study.parent, name) as free:
                gone += _removed(_beside(study.parent, name)) if free else []
    return gone


def _removed(leftovers: Iterable[Leftover]) -> list[Leftover]:
    gone = []
    for leftover in leftovers:
        with contextlib.suppress(OSError):  # it stays, and does no harm
            leftover.remove()
            gone.append(leftover)
    return gone


def _without_study(studies: Path) -> list[str]:
    """Name what has a lock and no journal: studies that never began, and MLflow's database."""
    locks = map(_LOCK.fullmatch, (path.name for path in sorted(studies.glob(".*.lock"))))
    return [match["study"] for match in locks if match and not is_study(studies / match["study"])]


@contextlib.contextmanager
def _free(studies: Path, name: str) -> Iterator[bool]:
    """Hold the lock of a study in the block; False when somebody else has it."""
    try:
        lock = acquire(lock_file(studies, name), timeout_s=0)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _beside(studies: Path, name: str) -> list[Leftover]:
    """List what is left of a name whose lock is held: an empty folder, its owner's note, its lock, unfinished files."""
    folder, unfinished = studies / name, _temporaries(studies, name)
    if is_study(folder) or folder.is_file() or (folder.exists() and any(folder.iterdir())):
        return unfinished
    notes = [path for path in (owner_file(studies, name), lock_file(studies, name)) if path.exists()]
    empty = [Leftover(folder, "empty study")] if folder.is_dir() else []
    return [*unfinished, *empty, *(Leftover(path, "lock") for path in notes)]


def _temporaries(studies: Path, name: str) -> list[Leftover]:
    """List unfinished files of a study, or of MLflow's database, in the folder of all studies."""
    of_this_name = re.compile(rf"\.?\.{re.escape(name)}(\.owner\.json|\.lock)?{_ENDING}")  # names may hold dots
    beside = sorted(path for path in studies.glob(".*tmp*") if of_this_name.fullmatch(path.name))
    return [Leftover(path, "temporary file") for path in beside]


# -- sessions of Ray ---------------------------------------------------------------------------------------------


def note_session(study: Path, session: Path) -> None:
    """Note the folder that Ray has made for this process, so that it can be removed if this process is killed."""
    write_json(study / RAY / _SESSIONS / session.name, {"host": socket.gethostname(), "folder": str(session)})


def forget_session(study: Path, session: Path) -> None:
    """Take the note back: Ray has ended in order."""
    (study / RAY / _SESSIONS / session.name).unlink(missing_ok=True)


def _sessions(study: Path) -> Iterator[Leftover]:
    """Yield the session folders of dead drivers of this study, each followed by its note."""
    for note in sorted((study / RAY / _SESSIONS).glob("session_*")):
        name = _SESSION.fullmatch(note.name)
        try:
            said = read_object(note)
            folder, host = Path(str(said["folder"])), said["host"]
        except (OSError, ValueError, LookupError):
            continue
        if name is None or folder.name != note.name or host != socket.gethostname():
            continue
        if _is_alive(int(name["pid"])) or _is_used(note.name):
            continue
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            yield Leftover(folder, "session of Ray")
        yield Leftover(note, "session of Ray")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_used(session: str) -> bool:
    """Tell whether a process of Ray's still names the session in its command line."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if session.encode() in command.read_bytes():
                return True
    return False
