"""Make an ensemble of exports: members of several seeds, or of several modalities, that answer with their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mer.checkpoints.ensemble_folder import Ensemble, Members, labels_words, read_ensemble
from mer.checkpoints.export_folder import Export, read_export, trained_sha256
from mer.checkpoints.export_manifest import ENSEMBLE, MANIFEST, read_manifest
from mer.checkpoints.export_parts import FORMAT
from mer.checkpoints.export_writing import labels_of, refuse_taken, take_files, write_whole
from mer.config import SPEAKERS
from mer.config.metrics import MAIN
from mer.errors import MerError
from mer.features import load_features
from mer.files import write_json, write_text
from mer.model_outputs import own_features
from mer.naming import method_name
from mer.study.export.decisions import Decisions, decide
from mer.study.export.ensemble_card import ensemble_card
from mer.study.folder.artifacts import main_words, picture_svg, tables
from mer.study.folder.recorded import read_predictions
from mer.study.paths import CONFUSION_COUNTS, DEV_PREDICTIONS, picture_of
from mer.study.show.words import show
from mer.terminal.commands import command
from mer.training import AnyScores, scores_of
from mer.training.ensemble import mean_outputs


@dataclass(frozen=True)
class EnsembleOptions:
    """Options of `python -m mer.export --ensemble`; those that are not named here are those of `ExportOptions`.

    Args: out: folder to write.
    """

    out: Path
    force: bool = False
    calibrate: bool = False
    threshold: str = ""
    cache: Path = Path("features")
    data_root: str | None = None
    command: str = "python -m mer.export --ensemble"


def export_ensemble(folders: Sequence[Path], options: EnsembleOptions, console: Console) -> Ensemble:
    """Put exports together, score their mean on dev, write the folder and say so.

    Raises: MerError for exports that do not answer alike or were scored on other utterances, and a place that is taken.
    """
    members = [read_export(folder) for folder in folders]
    _refuse_unlike(members)
    refuse_taken(options.out, force=options.force)
    ids, labels_N, outputs = _dev_of(members)
    there = [_there(member, ids, options) for member in members]
    first = members[0]
    mean_NC = mean_outputs(first.kind, outputs, [member.temperature for member in members], there)
    scores = scores_of(first.data, mean_NC, labels_N, first.class_names)
    decisions = decide(scores, threshold=options.threshold, calibrate=options.calibrate)
    provenance = _provenance(members, scores, decisions, options)

    def fill(place: Path) -> None:
        names = [f"members/{number}" for number in range(1, len(members) + 1)]
        for member, name in zip(members, names, strict=True):
            take_files(member.folder, place / name, [*read_manifest(member.folder), MANIFEST])
        write_json(place / ENSEMBLE, Members(members=names).model_dump())
        write_json(place / "labels.json", labels_of(first.data, first.class_names, **decisions.of_export))
        write_json(place / "provenance.json", provenance)
        title = f"{options.out.name}: {main_words(scores)}"
        documents = {name: text for name, text in tables(scores, ids).items() if name != CONFUSION_COUNTS}
        documents |= {
            picture_of(first.kind): picture_svg(scores, title),
            "README.md": ensemble_card(options.out, members, scores, provenance),
        }
        for name, text in documents.items():
            write_text(place / name, text)

    ensemble = write_whole(options.out, fill, read_ensemble, force=options.force)
    console.print("\n".join(_lines(ensemble, decisions)), highlight=False, soft_wrap=True, markup=False)
    return ensemble


def _refuse_unlike(members: Sequence[Export]) -> None:
    """Raise MerError unless there are several models that give the same outputs."""
    if len(members) < 2:
        raise MerError("--ensemble", f"{len(members)} export was given", allowed="two or more")
    first, known = members[0], dict[str, Path]()
    for member in members:
        if (member.kind, member.task) != (first.kind, first.task):
            raise MerError(
                member.folder,
                f"it predicts {member.task} (data.task {member.kind})",
                allowed=f"what {first.folder} predicts: {first.task} ({first.kind})",
                then="put exports of one task together",
            )
        if member.class_names != first.class_names:
            raise MerError(
                member.folder,
                f"it gives {labels_words(member.class_names)}",
                allowed=f"what {first.folder} gives, in that order: {labels_words(first.class_names)}",
                then="put exports of the same labels together",
            )
        weights = trained_sha256(member.folder)
        if weights in known:
            raise MerError(
                member.folder,
                f"{_twice(member.folder, known[weights])}: a model beside itself adds nothing",
                allowed="exports of different trials, e.g. of several seeds",
            )
        known[weights] = member.folder


def _twice(folder: Path, other: Path) -> str:
    """Say that two members are one model: the same folder, or another one with its weights."""
    return "it is named twice" if folder.resolve() == other.resolve() else f"it has the weights of {other}"


def _dev_of(members: Sequence[Export]) -> tuple[tuple[str, ...], np.ndarray, list[np.ndarray]]:
    """Read ids, labels and each member's outputs of dev. Raises: MerError where dev is not the same."""
    read = [read_predictions(member.folder / DEV_PREDICTIONS) for member in members]
    ids, labels_N, _ = read[0]
    for member, (other, labels, _) in zip(members, read, strict=True):
        if other != ids or not np.array_equal(labels, labels_N, equal_nan=labels.dtype.kind == "f"):
            raise MerError(
                member.folder / DEV_PREDICTIONS,
                f"it was scored on other utterances or labels than {members[0].folder}",
                allowed="exports of one corpus and split",
                then="a dev score of the mean needs the same dev",
            )
    return ids, labels_N, [outputs for _, _, outputs in read]


def _there(member: Export, ids: tuple[str, ...], options: EnsembleOptions) -> np.ndarray | None:
    """Say of which dev rows a member could read something; None for all, as of text.

    Raises: MerError when the features of its clips are not to be had.
    """
    if member.reads == ("text",):
        return None
    data = member.data if options.data_root is None else member.data.model_copy(update={"root": options.data_root})
    files = own_features(member, data, "dev", cache=options.cache)
    found = {modality: load_features(path) for modality, path in files.items() if modality != SPEAKERS}
    there_N = np.any([table.present for table in found.values()], axis=0)
    known = dict(zip(next(iter(found.values())).ids, there_N, strict=True))
    return np.array([known.get(one, True) for one in ids], dtype=bool)


def _provenance(
    members: Sequence[Export], scores: AnyScores, decisions: Decisions, options: EnsembleOptions
) -> dict[str, Any]:
    """Say of what the ensemble is made, how it scores on dev, and what dev decided."""
    main = f"dev_{MAIN[members[0].kind]}"
    return {
        "format": FORMAT,
        "members": [
            {
                "name": member.folder.name,
                "study": member.provenance.get("study"),
                "trial": member.provenance.get("trial"),
                "seed": member.config.seed,
                "method": method_name(member.config),
                "reads": list(member.reads),
                "temperature": member.temperature,
                "weights_sha256": trained_sha256(member.folder),
                main: member.provenance.get("dev_metrics", {}).get(main),
            }
            for member in members
        ],
        "dev_metrics": scores.as_metrics("dev"),
        "class_names": list(members[0].class_names),
        "command": options.command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **decisions.provenance,
    }


def _lines(ensemble: Ensemble, decisions: Decisions) -> list[str]:
    """Say where the ensemble is, how good it is beside its members, and how to try it."""
    main = f"dev_{MAIN[ensemble.kind]}"
    each = [member.provenance.get("dev_metrics", {}).get(main) for member in ensemble.members]
    ours, alone = show(main, ensemble.provenance["dev_metrics"][main]), ", ".join(show(main, one) for one in each)
    options = {"text": '--text "Oh my God!"', "audio": "--audio a.flac", "video": "--video v.mp4"}
    try_with = " ".join(options[modality] for modality in ensemble.reads)
    return [
        f"ensemble of {len(ensemble.members)} exports in {ensemble.folder}",
        f"  {main} {ours} on dev; its members alone: {alone}",
        "  note: dev chose the members: python -m mer.evaluate says what groups of new seeds score on test",
        *decisions.lines(),
        f"  try it: {command('mer.predict', ensemble.folder)} {try_with}",
    ]
