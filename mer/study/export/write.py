"""Export trials of a study: choose them, write each folder, compare its scores, register it in MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mer.checkpoints.export_folder import Export
from mer.checkpoints.export_writing import Contents, refuse_taken, write_export
from mer.config import is_given
from mer.errors import MerError
from mer.study.export.card_facts import CardFacts
from mer.study.export.choose import ExportOptions, choose, export_folders
from mer.study.export.contents import (
    adapter_words,
    backbone_files,
    prediction_weights,
    preprocessor,
    provenance_of,
    read_json_or_nothing,
    split_adapters,
)
from mer.study.export.data_check import data_check
from mer.study.export.decisions import Decisions, decide
from mer.study.export.dev_features import dev_features
from mer.study.export.merge_adapters import merged
from mer.study.export.model_card import model_card
from mer.study.export.one_fold import choose_fold, of_one_fold
from mer.study.export.same_scores import require_same_scores
from mer.study.export.trained_weights import Trained, read_trained
from mer.study.folder.artifacts import main_words, picture_svg, tables
from mer.study.folder.read_study import StudyRecord
from mer.study.folder.standings import Standing
from mer.study.paths import CONFUSION_COUNTS, SUMMARY, picture_of, trial_name
from mer.study.show.words import show
from mer.study.tracking.exports import Registration, register
from mer.study.tracking.recorded_store import store_of
from mer.terminal.commands import command
from mer.training import scores_of
from trainables.shared_table import layers_of


@dataclass(frozen=True)
class Exported:
    """One finished export.

    Args:
        largest_difference: between its dev scores and the trial's.
        model_id: MLflow's id of it, "" when it is not registered.
        trouble: why it is not registered.
    """

    export: Export
    standing: Standing
    largest_difference: float
    model_id: str = ""
    trouble: str = ""


def export_study(record: StudyRecord, options: ExportOptions, console: Console) -> list[Exported]:
    """Export the trials that were asked for, each to its own folder.

    Raises: MerError when there is nothing to export, a place is taken, or an exported model does not repeat its scores.
    """
    chosen = choose(record, options)
    folders = export_folders(record, chosen, options)
    for folder in folders:
        refuse_taken(folder, force=options.force)
    return [
        _export(record, standing, folder, options, console) for standing, folder in zip(chosen, folders, strict=True)
    ]


def _export(
    record: StudyRecord, standing: Standing, folder: Path, options: ExportOptions, console: Console
) -> Exported:
    """Write one export, register it and print a few lines about it."""
    trained = read_trained(record, standing, options.student)
    fold = choose_fold(trained, options)
    read, files = dev_features(record, trained, options)
    if fold is not None:
        trained, read = of_one_fold(trained, read, fold)
    features = {modality: read[modality] for modality in trained.config.encoders.present}
    dev = next(iter(features.values()))  # ids and labels are the same in all modalities
    labels_N = dev.labels[trained.config.data.label]
    if dev.label_names[trained.config.data.label] != trained.class_names:
        raise MerError(
            record.folder,
            f"trial {standing.number} knows the classes {', '.join(trained.class_names)}",
            allowed=f"those of the data: {', '.join(dev.label_names[trained.config.data.label])}",
        )
    data = trained.config.data
    scores = scores_of(data, trained.dev_logits_NC, labels_N, trained.class_names)
    decisions = decide(scores, threshold=options.threshold, calibrate=options.calibrate)
    summary = read_json_or_nothing(record.folder / SUMMARY)
    root = options.data_root or trained.config.data.root
    provenance = provenance_of(record, standing, trained, features, files, summary, root)
    provenance |= {"command": options.command, **({"student": options.student} if options.student else {})}
    provenance |= {"merged": True} if options.merge else {}
    provenance |= {"fold": fold.provenance} if fold else {}
    provenance |= decisions.provenance
    provenance |= {"data_check": data_check(trained.config.data.model_copy(update={"root": root}))}
    layers = layers_of(trained.config, {modality: table.hidden_states for modality, table in features.items()})
    facts = CardFacts(
        folder_name=str(folder),
        study=record.name,
        number=standing.number,
        state=standing.state,
        config=trained.config,
        scores=scores,
        row=trained.row,
        sampled=standing.params,
        provenance=provenance,
        layers=layers if isinstance(layers, dict) else {next(iter(features)): layers},
        bundled=options.bundle,
        merged=options.merge,
    )
    weights = prediction_weights(trained, dev)
    if options.merge:
        widths = {modality: table.features.shape[2] for modality, table in features.items()}
        width = widths if trained.config.reads_tables_together else dev.features.shape[2]
        weights = merged(trained.config, weights, layers=layers, width=width, classes=len(trained.class_names))
    adapters, weights = split_adapters(trained.config, weights)
    title = f"{record.name} {trial_name(standing.number)}: {main_words(scores)}"
    of_dev = {name: text for name, text in tables(scores, dev.ids).items() if name != CONFUSION_COUNTS}
    contents = Contents(
        config=trained.config,
        class_names=trained.class_names,
        tensors=weights,
        adapters=adapters,
        preprocessor=preprocessor(trained.config, features),
        provenance=provenance,
        documents={
            "README.md": model_card(facts),
            **of_dev,
            picture_of(data.task): picture_svg(scores, title),
            **adapter_words(trained.config, adapters, provenance),
        },
        backbone=backbone_files(trained.config) if options.bundle else (),
        **decisions.of_export,
    )
    differences: list[float] = []
    export = write_export(
        folder,
        contents,
        force=options.force,
        check=lambda written: differences.append(require_same_scores(written, read, trained.dev_logits_NC)),
    )
    if options.student:
        model_id, trouble = "", "not registered in MLflow, which knows trials; a student is a part of one"
    else:
        model_id, trouble = _tell_mlflow(record, standing, trained, folder)
    done = Exported(export, standing, differences[0], model_id, trouble)
    _say(record, done, trained, decisions, console)
    return done


def _tell_mlflow(record: StudyRecord, standing: Standing, trained: Trained, folder: Path) -> tuple[str, str]:
    """Register the export in MLflow. A failure is reported and stops nothing: the export is whole without it.

    Returns: (model id, "") or ("", reason).
    """
    store = store_of(record.folder)
    what = Registration(folder, record.name, record.generation, standing.number, trained.row, standing.params)
    try:
        return register(store, what), ""
    except Exception as fault:  # stores raise whatever their transport raises
        words = store.redact(str(fault)).splitlines()[0] if str(fault) else type(fault).__name__
        return "", f"not registered in MLflow ({store.shown}): {words}"


def _say(record: StudyRecord, done: Exported, trained: Trained, decisions: Decisions, console: Console) -> None:
    """Print where the export is, how good it is, and how to try it."""
    standing, metric = done.standing, record.objective[0].metric
    lines = [
        f"exported trial {standing.number} of {record.name} to {done.export.folder}",
        f"  {metric} {show(metric, trained.row[metric])} on dev at epoch {trained.row['epoch']:.0f}, "
        f"scores repeated to {done.largest_difference:.1g}",
    ]
    lines += decisions.lines()
    if standing.state != "finished":
        lines.append(f"  note: this trial was {standing.state}; its scores are those of its best epoch until then")
    lines += [f"  MLflow: model {done.model_id} on the trial's run"] if done.model_id else [f"  note: {done.trouble}"]
    options = {"text": '--text "Oh my God!"', "audio": "--audio a.flac", "video": "--video v.mp4"}
    try_with = " ".join(options[modality] for modality in trained.config.encoders.present)
    tried = f"{command('mer.predict', done.export.folder)} {try_with}"
    if any(map(is_given, trained.config.encoders.present.values())):  # no new text or clip has such features
        tried = command("mer.evaluate", done.export.folder)
    lines.append(f"  try it: {tried}")
    console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)
