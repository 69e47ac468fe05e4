"""Serve `--dry-run`: sample configurations, build each model, estimate time and memory; train nothing."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mer.checkpoints.export_folder import is_export
from mer.config import (
    DataConfig,
    EncoderConfig,
    TextEncoderConfig,
    TrialConfig,
    is_given,
)
from mer.data import Corpus
from mer.errors import MerError, TrialFailed
from mer.features.backbone.files import backbone_key, is_here, locate
from mer.features.cache.sequences import Sequences
from mer.features.disk_space import refuse_no_room
from mer.features.from_clips.live import LiveClipSequences, LiveClipSteps
from mer.features.from_clips.pooled import ClipReading
from mer.features.from_files.pooled import GivenReading
from mer.features.from_files.unpooled import GivenStepReading
from mer.features.from_text.live import LiveTextSequences, LiveTokens
from mer.features.modalities import locate_clip_backbone
from mer.features.rehearse import rehearse_one
from mer.features.text.coverage import corpus_coverage
from mer.model_outputs import describe_encoder
from mer.study.preflight.check_study import CheckedStudy, check_study
from mer.study.preflight.feature_plan import SPLITS
from mer.study.preflight.machine import Machine, this_machine
from mer.study.preflight.pack_plan import plan_packs
from mer.study.preflight.run_options import RunOptions
from mer.study.preflight.timed_trial import CLIPS, TrialOnMadeUpRows, seconds_in_packs
from mer.study.show.words import short, short_names
from mer.study.space.draws import random_params
from mer.study.space.keys import reason
from mer.study.space.spec import StudySpec

_CONFIGS = 20
_PATIENCE_S = 15.0  # tuned encoders may take seconds for each configuration: the rest are not timed
_DIALOGUES = 8  # of dev, whose texts say how long texts are
_WORKER_BYTES = 450 * 2**20  # interpreter, torch and Ray in one worker, measured


@dataclass(frozen=True)
class Cost:
    """What a study takes at most.

    Args:
        trials, epochs: of all trials together.
        seconds: with the workers that there are; encoding missing features comes on top.
    """

    trials: int
    epochs: int
    seconds: float


def dry_run(spec: StudySpec, options: RunOptions, console: Console, have: Sequence[Machine] = ()) -> Cost:
    """Print what the study would do. Writes nothing but, where encoders are tuned, hashes of files.

    Args: have: the machines that trials may use; none: this one.
    Returns: what it would take.
    Raises: MerError for all that would stop the study before its first trial.
    """
    checked = check_study(spec, options, have or [this_machine()])
    corpus, cache, settings = checked.corpus, options.cache, checked.settings
    data = checked.plan.configs[0].data
    for note in checked.notes:
        console.print(f"data: {note}", highlight=False, soft_wrap=True, markup=False)
    rows, folds = {split: len(corpus.utterances(split)) for split in SPLITS}, checked.folds
    stored = sum(rows.values())
    if folds is not None:  # every split is the whole corpus, which lies in memory once
        stored, rows = len(folds.ids), {"train": folds.train_count, "dev": len(folds.dev_rows)}
    ragged = checked.plan.ragged
    refuse_no_room(list(ragged.values()), SPLITS, cache)
    examples = {setting: _example(*one, corpus, cache) for setting, one in ragged.items()}
    _read_one_of_each(checked)
    feature_bytes = sum(
        _bytes_per_row(encoder, examples.get(setting)) * stored for setting, encoder in settings.items()
    )

    rng = random.Random(spec.sampler.seed)
    drawn = [random_params(spec, rng, point) for point in ({}, *spec.points)]
    drawn += [random_params(spec, rng) for _ in range(max(0, _CONFIGS - len(drawn)))]
    table = Table(title_justify="left", box=None, pad_edge=False)
    for heading in ("parameters", "trained weights", "s/epoch"):
        table.add_column(heading, justify="left" if heading == "parameters" else "right", overflow="fold")
    trial = TrialOnMadeUpRows(rows, len(corpus.label_names[data.label]), examples)
    packs = plan_packs(spec, checked.workers)
    alone: list[tuple[TrialConfig, float]] = []
    names = short_names(list(spec.params))
    until = time.monotonic() + _PATIENCE_S
    for params in drawn:
        if alone and time.monotonic() > until:
            break
        try:
            config = spec.trial_config(params)
        except ValueError as fault:  # such a trial would count as failed
            table.add_row(f"refused: {reason(fault)}", "", "")
            continue
        try:
            weights, epoch_s = trial.alone(config)
        except MerError as fault:  # so would this one: adapters that would not learn, too little left to train
            table.add_row(f"refused: {fault.found}", "", "")
            continue
        except (TrialFailed, RuntimeError, MemoryError) as fault:  # and this one: no finite loss, no such memory
            table.add_row(f"refused: {(str(fault).splitlines() or ['no memory'])[0]}", "", "")
            continue
        alone.append((config, epoch_s))
        words = "  ".join(f"{names[key]}={short(value)}" for key, value in params.items())
        table.add_row(words or "(nothing is searched)", f"{weights:,}", f"{epoch_s:.2f}")
    table.title = f"{table.row_count} configurations of {spec.study}"
    console.print(table)
    if table.row_count < len(drawn):
        console.print(f"({_PATIENCE_S:.0f} s were enough to time {table.row_count} of {len(drawn)})", highlight=False)

    workers = checked.workers
    epochs_each = spec.budget.epochs * spec.budget.trials / workers
    one_by_one = statistics.mean([epoch_s for _, epoch_s in alone] or [0.0]) * epochs_each
    packed = statistics.mean(seconds_in_packs(alone, packs.size_of, trial) or [0.0]) * epochs_each
    for index, line in enumerate(packs.words):
        console.print(f"{'' if index else 'packs:':<11}{line}", soft_wrap=True)
    of_all = f", of {len(folds.folds)} folds together" if folds else ""
    console.print(f"data:      {rows['train']} train and {rows['dev']} dev utterances in {data.root}{of_all}")
    for line in _gaps(checked):
        console.print(f"           {line}", soft_wrap=True, highlight=False)
    console.print(
        f"features:  {len(settings)} encoder settings, {feature_bytes / 2**20:.0f} MiB in the object store, once"
    )
    for setting, (_, encoder) in ragged.items():
        if encoder.keeps_states:
            console.print(f"           {_states_words(encoder, examples[setting])}", soft_wrap=True, highlight=False)
    console.print(
        f"memory:    about {(feature_bytes + workers * _WORKER_BYTES) / 2**30:.1f} GiB with {workers} workers"
    )
    without = f", {one_by_one / 60:.0f} min without packs" if packs.are_there else ""
    console.print(
        f"time:      at most {packed / 60:.0f} min for {spec.budget.trials} trials x {spec.budget.epochs} epochs"
        f"{without} ({spec.scheduler.kind} stops some early); encoding missing features comes on top",
        soft_wrap=True,
    )
    console.print("dry run: nothing was encoded, trained or recorded")
    return Cost(spec.budget.trials, spec.budget.trials * spec.budget.epochs, packed)


def _read_one_of_each(checked: CheckedStudy) -> None:
    """Load every backbone once and read one dialogue or clip with it. Raises: MerError."""
    settings = checked.settings.values()  # of those that keep states, the examples were read
    frozen = [encoder for encoder in settings if encoder.mode == "frozen" and not encoder.keeps_states]
    for encoder in {backbone_key(encoder): encoder for encoder in frozen}.values():
        rehearse_one(encoder, checked.corpus, "dev")


def _gaps(checked: CheckedStudy) -> list[str]:
    """Say what the encoders cannot read of the data: unknown tokens, over-long and empty texts, absent clips."""
    lines: list[str] = []
    for encoder in checked.settings.values():
        if is_given(encoder):
            given, all_rows = GivenReading(encoder, Path()), sum(len(checked.corpus.utterances(s)) for s in SPLITS)
            if lacking := sum(len(given.absent(checked.corpus, split)) for split in SPLITS):
                lines.append(f"{lacking} of {all_rows} utterances have no features in {given.name}: they are masked")
            continue
        if is_export(encoder.backbone) or not is_here(encoder):
            continue
        if isinstance(encoder, TextEncoderConfig):
            dialogues = [dialogue for split in SPLITS for dialogue in checked.corpus.dialogues(split)]
            lines += corpus_coverage(dialogues, encoder).words()
        else:
            reading = ClipReading(encoder, Path())
            placed = [place for split in SPLITS for place in reading.placed(checked.corpus, split)]
            if absent := sum(isinstance(place, str) for place in placed):
                lines.append(f"{absent} of {len(placed)} {encoder.modality} clips are not there: such rows are masked")
    return list(dict.fromkeys(lines))


def _bytes_per_row(encoder: EncoderConfig, example: Sequences | None) -> int:
    if example is not None:
        return example.values.nbytes // max(1, len(example))
    card = describe_encoder(encoder)
    return card.layers * card.width * 2


def _states_words(encoder: EncoderConfig, example: Sequences) -> str:
    """Say how much is kept of an encoder with pooler none, as a few rows of dev show."""
    where, most, mean = f"encoders.{encoder.modality}", encoder.max_states, example.lengths.mean()
    full = int((example.lengths == most).sum())
    said = f"{where} keeps a state of every {'token' if encoder.modality == 'text' else 'step of time'}: about "
    said += f"{mean:.0f} of an utterance, {example.values.shape[1]} wide, at most {most} ({where}.max_states)"
    return said + (f"; {full} of {len(example)} are averaged down to that, or have as many" if full else "")


def _example(data: DataConfig, encoder: EncoderConfig, corpus: Corpus, cache: Path) -> Sequences:
    """Make the sequences of a few utterances of dev. Raises: MerError when none can be read."""
    if is_given(encoder):
        return GivenStepReading(encoder, cache).example(corpus, "dev", CLIPS)
    if isinstance(encoder, TextEncoderConfig):
        reader = LiveTokens if encoder.keeps_states else LiveTextSequences
        some = corpus.dialogues("dev")[:_DIALOGUES]
        sequences = reader(encoder, locate(encoder, weights=True)).encode(some).features_NLD
    else:
        rows = ClipReading(encoder, cache).prepare(corpus, data, "dev", cache).rows
        found = locate_clip_backbone(encoder)
        reads: LiveClipSteps | LiveClipSequences
        if encoder.keeps_states:
            reads = LiveClipSteps(encoder, found)
        else:
            assert found is not None
            reads = LiveClipSequences(encoder, found)
        live = reads.encode([row.path for row in rows if row.path is not None][:CLIPS])
        assert live.present_N is not None
        if not live.present_N.any():
            raise MerError(corpus.root, f"none of its first clips can be read: {live.faults_N[0]}")
        sequences = live.features_NLD.gather(np.flatnonzero(live.present_N))
    assert isinstance(sequences, Sequences)
    return sequences
