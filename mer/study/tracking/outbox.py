"""The note in a study's folder of what must be in MLflow, and what MLflow has confirmed.

One line of JSON for each event, appended; the last word about a trial counts. The content itself is in the journal and
in the trials' folders, so a digest of it is enough. A line that was lost or torn costs a comparison with MLflow.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mer.read_files import read_bytes
from mer.study.paths import OUTBOX
from mer.study.tracking.content import Closing
from mer.study.tracking.store import STUDY

_LARGEST_BYTES = 2**28  # of the notes of one trial
_TO_COME = "files are written"  # no digest: what MLflow has cannot be all


class Outbox:
    """What the runs of one study must hold, by trial (its number as text, or `STUDY`).

    Attributes:
        due: digest of what the run must hold.
        confirmed: digest of what MLflow has confirmed last.
        place: where the study's folder was when a driver last worked in it; "" before the first.
        store: where this driver had its record, without secrets; "" for older studies.
        git_sha: of the code that this driver ran.
        closing: how the study ended; None while it runs, and after a kill.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / OUTBOX
        self.due: dict[str, str] = {}
        self.confirmed: dict[str, str] = {}
        self.place = self.git_sha = self.store = ""
        self.closing: Closing | None = None
        self._experiments: dict[str, str] = {}
        self._lock = threading.Lock()
        self._torn = False  # the file ends within a line
        for line in self._lines():
            self._take(line)

    def is_in(self, trial: str) -> bool:
        """True when MLflow has confirmed all that is due of a trial."""
        return trial in self.due and self.confirmed.get(trial) == self.due[trial]

    @property
    def open(self) -> list[int]:
        """Numbers of trials of which something is due that MLflow has not confirmed."""
        return sorted(int(trial) for trial in self.due if trial != STUDY and not self.is_in(trial))

    def must(self, trial: str, digest: str) -> None:
        """Note what a run must hold, before it is written anywhere."""
        self._append({"trial": trial, "must": digest})

    def foretell(self, trial: str) -> None:
        """Note durably that a run will have to hold more than MLflow has confirmed, before a file of its trial changes.

        Without this note nobody would look for what is missing, should the process end before the run has it.
        Raises: OSError when the note cannot be written; no file may change then.
        """
        if refused := self._append({"trial": trial, "must": _TO_COME}):
            raise refused

    def note(self, trial: str, digest: str, *, confirmed: bool) -> None:
        """Note what a comparison with MLflow has found, where it is news."""
        if self.due.get(trial) != digest:
            self.must(trial, digest)
        if confirmed and self.confirmed.get(trial) != digest:
            self.confirm({trial: digest})

    def confirm(self, digests: dict[str, str]) -> None:
        """Note that MLflow has these."""
        self._append(*({"trial": trial, "in": digest} for trial, digest in digests.items()))

    def begin(self, place: Path, git_sha: str, store: str) -> None:
        """Note that a driver works on the study, where, with which code, and where its record is."""
        self._append({"trial": STUDY, "place": str(place), "git": git_sha, "store": store, "closing": {}})

    def experiment(self, store: str) -> str:
        """Return the id of the study's experiment in a store, named without secrets; "" when it is not known."""
        return self._experiments.get(store, "")

    def note_experiment(self, store: str, experiment: str) -> None:
        """Note which experiment of a store is the study's, where it is news."""
        if self.experiment(store) != experiment:
            self._append({"trial": STUDY, "experiment": experiment, "of": store})

    def close(self, closing: Closing) -> None:
        """Note how the study ended."""
        self._append({"trial": STUDY, "closing": asdict(closing)})

    def _append(self, *lines: dict[str, Any]) -> OSError | None:
        """Append lines. What the disk refuses holds in memory all the same, and its refusal is returned."""
        with self._lock:
            for line in lines:
                self._take(line)
            if not lines:
                return None
            text = "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines)
            try:
                with self.path.open("a", encoding="utf-8") as stream:
                    stream.write(f"\n{text}" if self._torn else text)
                self._torn = False
            except OSError as fault:
                self._torn = True  # perhaps
                return fault
            return None

    def _take(self, line: dict[str, Any]) -> None:
        trial = str(line.get("trial"))
        if isinstance(must := line.get("must"), str):
            self.due[trial] = must
        if isinstance(confirmed := line.get("in"), str):
            self.confirmed[trial] = confirmed
        if isinstance(place := line.get("place"), str):
            self.place, self.git_sha, self.store = place, str(line.get("git", "")), str(line.get("store", ""))
        if isinstance(experiment := line.get("experiment"), str):
            self._experiments[str(line.get("of"))] = experiment
        if isinstance(closing := line.get("closing"), dict):
            self.closing = Closing.read(closing)

    def _lines(self) -> list[dict[str, Any]]:
        try:
            data = read_bytes(self.path, largest=_LARGEST_BYTES)
        except FileNotFoundError:
            return []
        self._torn = bool(data) and not data.endswith(b"\n")
        found = []
        for line in data.split(b"\n"):
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                continue
            found += [said] if isinstance(said, dict) else []
        return found
