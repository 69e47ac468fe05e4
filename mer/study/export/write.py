"""From a study's trial to an export folder: choose, rebuild, compare, write, tell MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from mer.checkpoints.export_folder import Contents, Export, refuse_taken, write_export
from mer.config import TEACHER, DataConfig, settings_of
from mer.data.types import dialogue_numbers
from mer.errors import MerError
from mer.features import FeatureTable, load_features
from mer.model_outputs import ensure_encoder
from mer.predictor import open_predictor
from mer.study.export.card_facts import CardFacts
from mer.study.export.choose import ExportOptions, _folders, choose
from mer.study.export.contents import (
    adapter_words,
    backbone_files,
    prediction_weights,
    preprocessor,
    provenance_of,
    read_json_or_nothing,
    split_adapters,
)
from mer.study.export.merge_adapters import merged
from mer.study.export.model_card import model_card
from mer.study.export.trained_weights import Trained, read_trained
from mer.study.folder.artifacts import per_class_csv, predictions_csv
from mer.study.folder.confusion_svg import confusion_svg
from mer.study.folder.read_study import StudyRecord
from mer.study.folder.standings import Standing
from mer.study.paths import CONFUSION, DEV_PREDICTIONS, PER_CLASS, SUMMARY, trial_name
from mer.study.show.words import show
from mer.study.tracking.exports import Registration, register, store_of
from mer.training.metrics import Scores
from trainables.shared_features import layers_of

LOGIT_TOLERANCE = 1e-5  # of the largest score, if that is above 1: another machine may add in another order
MERGED_TOLERANCE = 1e-4  # ... x (W + BA) for x W + x A B
BFLOAT16_TOLERANCE = 2e-2  # of an encoder that computed in it: two orders of adding differ by 3e-3 in its states


@dataclass(frozen=True)
class Exported:
    """One finished export. `model_id` is MLflow's name of it, `trouble` why there is none."""

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
    folders = _folders(record, chosen, options)
    for folder in folders:
        refuse_taken(folder, force=options.force)
    return [
        _export(record, standing, folder, options, console) for standing, folder in zip(chosen, folders, strict=True)
    ]


def _export(
    record: StudyRecord, standing: Standing, folder: Path, options: ExportOptions, console: Console
) -> Exported:
    trained = read_trained(record, standing, options.student)
    tables, files = _dev_features(record, trained, options)
    dev = next(iter(tables.values()))  # ids and labels are the same in all modalities
    labels_N = dev.labels[trained.config.data.label]
    if dev.label_names[trained.config.data.label] != trained.class_names:
        raise MerError(
            record.folder,
            f"trial {standing.number} knows the classes {', '.join(trained.class_names)}",
            allowed=f"those of the data: {', '.join(dev.label_names[trained.config.data.label])}",
        )
    scores = Scores(trained.dev_logits_NC, labels_N, trained.class_names)
    summary = read_json_or_nothing(record.folder / SUMMARY)
    root = options.data_root or trained.config.data.root
    provenance = provenance_of(record, standing, trained, tables, files, summary, root)
    provenance |= {"command": options.command, **({"student": options.student} if options.student else {})}
    provenance |= {"merged": True} if options.merge else {}
    layers = layers_of(trained.config, {modality: table.hidden_states for modality, table in tables.items()})
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
        layers=layers if isinstance(layers, dict) else {next(iter(tables)): layers},
        bundled=options.bundle,
        merged=options.merge,
    )
    weights = prediction_weights(trained, dev)
    if options.merge:
        widths = {modality: table.features.shape[2] for modality, table in tables.items()}
        width = widths if trained.config.fusion is not None else dev.features.shape[2]
        weights = merged(trained.config, weights, layers=layers, width=width, classes=len(trained.class_names))
    adapters, weights = split_adapters(trained.config, weights)
    title = f"{record.name} {trial_name(standing.number)}: dev weighted-F1 {100 * scores.weighted_f1:.2f}"
    contents = Contents(
        config=trained.config,
        class_names=trained.class_names,
        tensors=weights,
        adapters=adapters,
        preprocessor=preprocessor(trained.config, tables),
        provenance=provenance,
        documents={
            "README.md": model_card(facts),
            PER_CLASS: per_class_csv(scores),
            DEV_PREDICTIONS: predictions_csv(scores, dev.ids),
            CONFUSION: confusion_svg(scores.confusion_CC, scores.class_names, title),
            **adapter_words(trained.config, adapters, provenance),
        },
        backbone=backbone_files(trained.config) if options.bundle else (),
    )
    differences: list[float] = []
    export = write_export(
        folder,
        contents,
        force=options.force,
        check=lambda written: differences.append(_compare(written, tables, trained.dev_logits_NC)),
    )
    if options.student:
        model_id, trouble = "", "not registered in MLflow, which knows trials; a student is a part of one"
    else:
        model_id, trouble = _tell_mlflow(record, standing, trained, folder, summary)
    done = Exported(export, standing, differences[0], model_id, trouble)
    _say(record, done, trained, console)
    return done


def _dev_features(
    record: StudyRecord, trained: Trained, options: ExportOptions
) -> tuple[dict[str, FeatureTable], dict[str, str]]:
    """Features of dev by modality, extracted if they are not there, and the names of the files of train and dev."""
    config = trained.config
    data = DataConfig(dataset=config.data.dataset, root=options.data_root or config.data.root, label=config.data.label)
    if not Path(data.root).expanduser().is_dir():
        raise MerError(
            data.root,
            "there is no such folder: the data of the study is needed to compare the export with the trial",
            allowed="the folder with the CSV files the study was trained on",
            then="run from where the study was run, or say where they are: --data-root DIR",
        )
    tables: dict[str, FeatureTable] = {}
    names: dict[str, list[str]] = {"train": [], "dev": []}
    for name, setting in settings_of(config).items():
        known = record.features.get(setting.recorded, {})
        if name == TEACHER:  # named, not read: an export needs no teacher
            for split in names:
                names[split] += [known[split]] if known else []
            continue
        splits = ("dev",) if known else ("train", "dev")
        paths = ensure_encoder(data, config.encoders.present[name], splits, cache=options.cache).paths
        if known and paths["dev"].name != known["dev"]:
            raise MerError(
                record.folder,
                f"the dev split in {data.root}, or the backbone, is not the one the study was trained with "
                f"({paths['dev'].name} instead of {known['dev']})",
                then="bring the former data or backbone back, or say where it is: --data-root DIR",
            )
        tables[name] = load_features(paths["dev"])
        for split in names:
            names[split].append({**known, **{s: path.name for s, path in paths.items()}}[split])
    return tables, {split: " + ".join(files) for split, files in names.items()}


def _compare(export: Export, tables: Mapping[str, FeatureTable], stored_NC: np.ndarray) -> float:
    """Largest difference between the exported model's dev scores and the trial's. Raises: MerError when it is no
    rounding."""
    read = {modality: (table.inputs, table.present) for modality, table in tables.items()}
    ids = next(iter(tables.values())).ids
    dialogue_N = None if export.config.dialogue.kind == "none" else dialogue_numbers(ids)
    device = "cuda" if export.config.tuned and torch.cuda.is_available() else "cpu"  # encoders take long on a CPU
    logits_NC = open_predictor(export, device=device).scores(read, dialogue_N)
    if logits_NC.shape != stored_NC.shape:
        raise MerError(export.folder, f"dev scores of shape {logits_NC.shape}", allowed=f"{stored_NC.shape}")
    largest = float(np.abs(logits_NC - stored_NC).max())
    tolerance = LOGIT_TOLERANCE if export.provenance.get("merged") is None else MERGED_TOLERANCE
    if any(encoder.dtype == "bfloat16" for encoder in export.config.tuned.values()):
        tolerance = BFLOAT16_TOLERANCE
    if not largest <= tolerance * max(1.0, float(np.abs(stored_NC).max())):
        raise MerError(
            "round trip",
            f"the exported model's dev scores differ from the trial's by up to {largest:.3g}; nothing was written",
            allowed=f"at most {tolerance:g}",
            then="the weights are not those that made the stored scores, or the code has changed since: run the trial "
            "again with this code",
        )
    return largest


def _tell_mlflow(
    record: StudyRecord, standing: Standing, trained: Trained, folder: Path, summary: dict[str, Any]
) -> tuple[str, str]:
    """(model id, "") or ("", why not): the export is whole without it."""
    recorded = summary.get("mlflow", {}).get("uri", "")
    store = store_of(record.folder.parent, recorded)
    what = Registration(folder, record.name, record.generation, standing.number, trained.row, standing.params)
    try:
        return register(store, what), ""
    except Exception as fault:  # any store, any failure: said aloud, never fatal
        words = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        return "", f"not registered in MLflow ({store.shown}): {words}"


def _say(record: StudyRecord, done: Exported, trained: Trained, console: Console) -> None:
    standing, metric = done.standing, record.objective[0].metric
    lines = [
        f"exported trial {standing.number} of {record.name} to {done.export.folder}",
        f"  {metric} {show(metric, trained.row[metric])} on dev at epoch {trained.row['epoch']:.0f}, "
        f"scores repeated to {done.largest_difference:.1g}",
    ]
    if standing.state != "finished":
        lines.append(f"  note: this trial was {standing.state}; its scores are those of its best epoch until then")
    lines += [f"  MLflow: model {done.model_id} on the trial's run"] if done.model_id else [f"  note: {done.trouble}"]
    options = {"text": '--text "Oh my God!"', "audio": "--audio a.flac", "video": "--video v.mp4"}
    try_with = " ".join(options[modality] for modality in trained.config.encoders.present)
    lines.append(f"  try it: python -m mer.predict {done.export.folder} {try_with}")
    console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)
