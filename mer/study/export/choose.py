"""Choose the trials to export and the folders they go to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mer.errors import MerError
from mer.study.folder.read_study import StudyRecord
from mer.study.folder.standings import Standing
from mer.study.paths import trial_name
from trainables.trial_files import BEST


@dataclass(frozen=True)
class ExportOptions:
    """Options of `python -m mer.export`.

    Args:
        out: folder to write; None: exports/<study>-<number>.
        trial: number of the trial; None: the best.
        top: export this many, best first; None: one.
        bundle: copy the backbone into the export.
        force: replace exports that are there.
        cache: folder of all feature files.
        data_root: where the data lies now; None: where the study found it.
        command: the command as it was typed, for the provenance.
        student: modality of one student of a merged distillation; "": the whole model.
        merge: add adapters into the weights that they change.
        threshold: dev metric by which the decision threshold of two classes is chosen; "": none, the more probable
            class is the answer.
        calibrate: fit a temperature to dev.
        fold: of a trial over folds, the one whose model is exported, from 1; None: the first.
    """

    out: Path | None = None
    trial: int | None = None
    top: int | None = None
    bundle: bool = False
    force: bool = False
    cache: Path = Path("features")
    data_root: str | None = None
    command: str = "python -m mer.export"
    student: str = ""
    merge: bool = False
    threshold: str = ""
    calibrate: bool = False
    fold: int | None = None


def choose(record: StudyRecord, options: ExportOptions) -> list[Standing]:
    """Return the trials to export, best first. Raises: MerError when there is none, or the asked one has no weights."""
    if options.trial is not None:
        return [require_exportable(record, record.find(options.trial))]
    ranked = record.ranked
    if record.owner is not None:
        best = f"export a finished trial now: --trial {ranked[0].number} (the best so far)" if ranked else ""
        raise MerError(
            record.folder,
            f"this study is running ({record.owner}): its best trial is not known yet",
            allowed="the best of a study that is not running, or any finished trial by its number",
            then=best or "wait until a trial has finished",
        )
    if not record.standings:
        raise MerError(
            record.folder, "this study is empty: no trial was started", then="run it: python -m mer.tune ..."
        )
    if not ranked:
        states = ", ".join(sorted({s.state for s in record.standings}))
        reasons = record.failures()
        raise MerError(
            record.folder,
            f"no trial of {len(record.standings)} has finished ({states}){': ' + reasons if reasons else ''}",
            allowed="a study with a finished trial",
            then="a trial that was stopped early can be exported by its number, --trial N"
            if any(s.state == "stopped early" for s in record.standings)
            else "mend the cause, then run the study again with --resume or --fresh",
        )
    return [require_exportable(record, standing) for standing in ranked[: options.top or 1]]


def choose_trial(record: StudyRecord, number: int | None) -> Standing:
    """Return one trial, with or without weights: by its number, or the best finished. Raises: MerError."""
    if number is not None:
        return record.find(number)
    if not record.ranked:
        raise MerError(
            record.folder,
            "no trial of it has finished, so none is the best",
            allowed="a study with a finished trial, or any trial by its number: --trial N",
        )
    return record.ranked[0]


def require_exportable(record: StudyRecord, standing: Standing) -> Standing:
    """Return the trial. Raises: MerError when it failed, has not ended, or its weights are gone."""
    where, finished = f"{record.folder}, trial {standing.number}", [s.number for s in record.ranked]
    others = f"finished, best first: {', '.join(map(str, finished[:10]))}{' ...' if len(finished) > 10 else ''}"
    allowed = others if finished else "a finished trial; there is none yet"
    if standing.state == "failed":
        raise MerError(where, f"this trial failed: {standing.reason or 'no reason was noted'}", allowed=allowed)
    if standing.state == "interrupted":
        state = "is still running" if record.owner else "was interrupted; --resume of the study finishes it"
        raise MerError(where, f"this trial {state}", allowed=allowed)
    if not (record.trial_folder(standing.number) / BEST).exists():
        found = f"it has no {BEST}: its weights were removed, or the folder was copied without them"
        raise MerError(where, found, allowed=allowed, then="bring the file back, or export another trial")
    return standing


def export_folders(record: StudyRecord, chosen: list[Standing], options: ExportOptions) -> list[Path]:
    """Return the folder of each chosen trial: `out`, `out`-1, `out`-2 ..., or exports/<study>-<number>."""
    if options.out is None:
        own = f"-{options.student}" if options.student else ""
        return [Path("exports") / f"{record.name}-{trial_name(standing.number)}{own}" for standing in chosen]
    if options.top is None:
        return [options.out]
    return [options.out.with_name(f"{options.out.name}-{rank}") for rank in range(1, len(chosen) + 1)]
