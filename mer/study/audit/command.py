"""What `python -m mer.study audit` does and says."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from pathlib import Path

from mer.errors import MerError
from mer.io_faults import refusal
from mer.study.audit.examine import in_mlflow, leftovers, on_disk
from mer.study.audit.findings import EITHER, REPAIR, RESUME, Finding
from mer.study.audit.repair import repair
from mer.study.folder.lock import refuse_locked
from mer.study.folder.read_study import find_study
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.recorded_store import store_of
from mer.study.tracking.usable import refuse_unusable
from mer.terminal.commands import command

_SHOWN_AT_START = 3


def audit_command(study: str, studies: Path, *, mend: bool, as_json: bool, thorough: bool) -> bool:
    """Audit one study and print the findings. Returns whether there is none (after mending).

    Raises: MerError when the study cannot be read, or a live driver works on it.
    """
    folder = find_study(study, studies)
    refuse_locked(folder.parent, folder.name)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        if mend:
            try:
                repair(folder)
            except MerError as fault:  # what it could not mend is found below
                print(fault.message)
    disk = StudyOnDisk.read(folder)
    findings = audit(disk, thorough=thorough)
    if as_json:
        json.dump(_as_json(disk, findings), sys.stdout, indent=2)
        print()
    else:
        _print(disk, findings)
    return not findings


def audit(disk: StudyOnDisk, *, thorough: bool = False) -> list[Finding]:
    """List all findings of a study on which nobody works. Reads only. Raises: OSError."""
    store = store_of(disk.folder)
    findings = [*on_disk(disk), *leftovers(disk)]
    try:
        refuse_unusable(store, to_read=True)
        findings += in_mlflow(disk, store, thorough=thorough)
    except MerError as fault:
        findings.append(Finding("MLflow", store.shown, fault.found, then=fault.then))
    except Exception as fault:  # stores and clients of files raise what their transport raises
        words = f"it does not answer: {store.words(fault)}"
        findings.append(Finding("MLflow", store.shown, words, then="type the same again"))
    return findings


def words_at_start(disk: StudyOnDisk) -> list[str]:
    """Say what is wrong on disk with a study that is gone on with, and does not mend by that; [] when nothing is.

    MLflow is compared while the study runs.
    """
    try:
        findings = [finding for finding in on_disk(disk) if finding.mends not in (EITHER, RESUME)]
    except OSError as fault:  # it is no reason not to go on
        return [f"audit: it could not be finished: {refusal(fault)}"]
    if not findings:
        return []
    count = f"{len(findings)} finding{'s' if len(findings) > 1 else ''}"
    shown = [f"audit: {finding.line}" for finding in findings[:_SHOWN_AT_START]]
    return [*shown, f"audit: {count} in all: {command('mer.study', 'audit', disk.folder)}"]


def _print(disk: StudyOnDisk, findings: list[Finding]) -> None:
    for finding in findings:
        print(finding.line)
    counts = Counter(finding.part for finding in findings)
    words = ", ".join(f"{count} x {part}" for part, count in counts.items()) or "nothing is missing, nothing is twice"
    print(f"{disk.identity.name}: {len(disk.trials)} trials: {words}")
    if any(finding.mends in (EITHER, REPAIR) for finding in findings):
        print(f"mend what can be mended: {command('mer.study', 'audit', disk.folder, '--repair')}")


def _as_json(disk: StudyOnDisk, findings: list[Finding]) -> dict[str, object]:
    return {
        "study": disk.identity.name,
        "folder": str(disk.folder),
        "trials": len(disk.trials),
        "findings": [finding.as_json() for finding in findings],
    }
