"""Find what belongs together: the study of an export, the exports and evaluations of a study, what a word means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.stores.evaluation import DEV_RESULTS, RESULTS, Evaluation, evaluation_in
from analysis.stores.files import BROKEN, read_json
from mer.folder_kinds import EXPORT_MARK

PROVENANCE, EXPORTS = "provenance.json", "exports"
_MOST = 500  # folders that are looked into


@dataclass(frozen=True)
class Related:
    """What was found near a study or an evaluation; its folder, and one line about it."""

    kind: str
    folder: Path
    words: str


def related_to_study(study: Path, generation: str) -> list[Related]:
    """List the exports made from a study, and the evaluations of those exports.

    Args:
        study: its folder.
        generation: tells it from former studies of its name.
    """
    found: list[Related] = []
    mine: set[Path] = set()
    for folder in _exports_near(study):
        told = read_json(folder / PROVENANCE)
        if generation and told.get("generation") == generation:
            mine.add(folder.resolve())
            found.append(Related("export", folder, f"trial {told.get('trial', '?')}"))
    for path in _results_near(study.parent):
        told = read_json(path)
        export = _where(told, study)
        if export is not None and export.resolve() in mine:
            seeds = told.get("seeds")
            count = len(seeds) if isinstance(seeds, list) else 0
            split = "dev" if path.name == DEV_RESULTS else "test"
            found.append(Related("evaluation", path.parent, f"{split}, {count} seeds of {export.name}"))
    return found


def related_to_evaluation(evaluation: Evaluation) -> list[Related]:
    """Name the export that was evaluated, and the study that it came from."""
    folder = evaluation.path.parent
    export = _where(evaluation.told, folder)
    if export is None:
        return []
    told = read_json(export / PROVENANCE)
    found = [Related("export", export, f"trial {told.get('trial', '?')} of {told.get('study', '?')}")]
    study = folder.parent / str(told.get("study") or "?")
    if "/" not in study.name and study.is_dir():
        found.append(Related("study", study, "the search that found it"))
    return found


def results_of(named: str, studies: Path) -> Path | None:
    """Find the results that a word means: a file, an evaluation by folder or name, or an export that was evaluated."""
    found = evaluation_in(Path(named)) or evaluation_in(studies / named)
    is_export = found is None and (Path(named) / EXPORT_MARK).is_file()
    return _newest_of(Path(named), studies) if is_export else found


def _newest_of(export: Path, studies: Path) -> Path | None:
    """Return the results of an export, the newest on test, else on dev; None before it was evaluated."""
    found: list[tuple[bool, str, Path]] = []
    for path in _results_near(studies):
        told = read_json(path)
        where = _where(told, path.parent)
        if where is not None and where.resolve() == export.resolve():
            found.append((path.name == RESULTS, str(told.get("created", "")), path))
    return max(found)[2] if found else None


def source_of(evaluation: Evaluation) -> tuple[Path, str] | None:
    """Return the study that an evaluated export came from, and its generation; None where it is not beside it."""
    folder = evaluation.path.parent
    export = _where(evaluation.told, folder)
    told = read_json(export / PROVENANCE) if export is not None else {}
    study = folder.parent / Path(str(told.get("study") or "?")).name
    return (study, str(told.get("generation", ""))) if study.is_dir() else None


def _where(told: dict[str, Any], near: Path) -> Path | None:
    """Return the export that results name: as it was typed, from here or from beside the folder of studies."""
    named = told.get("export")
    if not isinstance(named, str) or not named or "\0" in named:
        return None
    try:
        return next((p for p in (Path(named), near.parent.parent / named) if (p / PROVENANCE).is_file()), None)
    except BROKEN:
        return None


def _exports_near(folder: Path) -> Iterator[Path]:
    """Yield the exports in `exports/`, here or beside the folder of studies."""
    seen: set[Path] = set()
    for place in (Path(EXPORTS), folder.resolve().parent.parent / EXPORTS):
        if not place.is_dir() or place.resolve() in seen:
            continue
        seen.add(place.resolve())
        yield from (path.parent for path in sorted(place.glob(f"*/{PROVENANCE}"))[:_MOST])


def _results_near(studies: Path) -> Iterator[Path]:
    for name in (RESULTS, DEV_RESULTS):
        yield from sorted(studies.glob(f"*/{name}"))[:_MOST]
