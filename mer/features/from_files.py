"""Features that others extracted become the rows of a feature file: found by name, pooled, checked.

An utterance without features is a masked row, as one whose clip is missing; features that are there and cannot be used
are refused, since they would be as wrong in the next run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mer.config import DataConfig, EncoderConfig
from mer.data import Corpus
from mer.errors import MerError
from mer.features.backbone.hash_memo import HashMemo
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import backbone_words, ingredients_of, rows_hash
from mer.features.failures import FailureWatch, reasons_of
from mer.features.given.names import names_of
from mer.features.given.pooling import frames_of, pool
from mer.features.given.source import VERSION, Source, describe, name_of, open_source, pooler_of
from mer.features.given.unfit import Unfit
from mer.features.reading import Extracted, LiveFeatures, PreparedSplit
from mer.progress import Step
from mer.terminal.commands import command

GIVEN_FEATURES = "given"  # the modality in the key of such files: they hold no label words, whatever the modality
_ABSENT = "no features of this name"
_ZEROS = "its features are all zero"
MEND = "extract the features of these utterances too"
_STEP = 64
_NAMED = 5


class GivenReading:
    """Reads features of others; a `mer.features.reading.Reading`.

    Args: max_failed: share of a split's utterances, in [0, 1], that may have no features; None: any.
    Raises: MerError when there are no such features.
    """

    unit, device = "utterances", "cpu"

    def __init__(self, config: EncoderConfig, cache: Path, *, max_failed: float | None = None) -> None:
        self.config, self.cache, self.max_failed = config, cache, max_failed
        self.pooler, self.name = pooler_of(config), name_of(config)
        self.slug = self.name.replace(":", "--").replace(".", "_")  # a folder that looks like no file
        self.width = describe(config).width
        self.source: Source = open_source(config)

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        places = self.placed(corpus, split)
        ids = tuple(places)
        memo = HashMemo(cache / "clips.json")
        try:
            whole, hashes = self.source.hashes(sorted({place for place in places.values() if place}), memo)
        except OSError as fault:
            raise MerError(self.source.path, f"cannot be read: {fault.strerror or fault}") from fault
        memo.save()
        labels = {task: corpus.labels(split, task) for task in corpus.label_names}
        rows = [[name, hashes[place] if place else None] for name, place in places.items()]
        ingredients: dict[str, Any] = ingredients_of(
            modality=GIVEN_FEATURES,
            dataset=corpus.name,
            split=split,
            backbone=backbone_words(self.name, None, "float32", weights=whole, tokenizer="", config=""),
            reads={"modality": self.config.modality, "version": VERSION},
            pooler=self.pooler,
            content_sha256=rows_hash(rows, labels, corpus.label_names),
            storage="float32",
        )
        path = place_of(ingredients, cache=cache, slug=self.slug)
        return PreparedSplit(split, ids, labels, corpus.label_names, list(places.items()), ingredients, path)

    def placed(self, corpus: Corpus, split: str) -> dict[str, str | None]:
        """Find the features of each utterance by its names: id -> place; None where there are none. Reads no array.

        Raises: MerError when not one utterance has features, or two would read the same.
        """
        names = names_of(utterance for part in corpus.splits for utterance in corpus.utterances(part))
        utterances = corpus.utterances(split)
        places = {utterance.id: self.source.index.find(names[utterance.id]) for utterance in utterances}
        if not any(places.values()):
            wanted = names[utterances[0].id]
            raise MerError(
                self.source.path,
                f"holds features of none of the {len(places)} utterances of {split}: it names "
                f"{', '.join(self.source.index.examples)} ..., the data {', '.join((*wanted.own, *wanted.placed)[:3])}",
                allowed="files or ids that are called as the data call their utterances",
                then="name the column of the data that has these ids: --set data.columns.id=COLUMN; or rename them",
            )
        readers = Counter(place for place in places.values() if place)
        if twice := [place for place, count in readers.items() if count > 1]:
            both = [name for name, place in places.items() if place == twice[0]]
            raise MerError(
                self.source.path,
                f"{twice[0]} would be read for {len(both)} utterances: {', '.join(both[:3])}",
                allowed="features for each utterance",
                then="put the features of train, dev and test into folders of these names",
            )
        return places

    def absent(self, corpus: Corpus, split: str) -> dict[str, str]:
        """Say which utterances have no features: id -> why. Raises: MerError, as `placed`."""
        return {name: _ABSENT for name, place in self.placed(corpus, split).items() if place is None}

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        missing = {name: _ABSENT for name, place in prepared.rows if place is None}
        unfit: dict[str, str] = {}
        vectors: dict[int, np.ndarray] = {}
        for row, (name, place) in enumerate(prepared.rows):
            if place is not None:
                try:
                    vector_D = pool(frames_of(self.source.read(place)), self.pooler)
                except Unfit as fault:
                    unfit[name] = f"{place}: {fault}"
                else:
                    if vector_D is None:
                        missing[name] = _ZEROS
                    else:
                        vectors[row] = vector_D
            if row % _STEP == 0 or row + 1 == len(prepared.rows):
                step(row + 1, len(prepared.rows))
        self._refuse_unfit(unfit, [prepared.rows[row][1] for row in vectors], list(vectors.values()), prepared.split)
        title = f"{prepared.ingredients['dataset']}/{prepared.split} with {self.name}"
        FailureWatch(title, len(prepared.rows), self.max_failed, mend=MEND).add(missing)
        features_ND = np.zeros((len(prepared.rows), len(next(iter(vectors.values())))), dtype=np.float32)
        for row, vector_D in vectors.items():
            features_ND[row] = vector_D
        present_N = np.array([name not in missing for name, _ in prepared.rows], dtype=bool)
        return Extracted(features_ND[:, None], len(vectors), present_N=present_N, faults=missing)

    def _refuse_unfit(
        self, unfit: dict[str, str], places: Sequence[str], vectors: Sequence[np.ndarray], split: str
    ) -> None:
        """Raise MerError for features that are there and cannot be used, all of them in one message."""
        if unfit:
            kinds = reasons_of({name: words.partition(": ")[2] for name, words in unfit.items()})
            said = "; ".join(f"{kind.count} {_times(kind.count)}: {kind.kind}" for kind in kinds[:_NAMED])
            raise MerError(
                self.source.path,
                f"the features of {len(unfit)} utterances of {split} cannot be used: {said}; the first is "
                f"{next(iter(unfit.values()))}",
                allowed="finite numbers of shape (width,) or (frames, width) for each utterance",
                then="extract these again, or take their files away: they then count as missing",
            )
        if not vectors:
            raise MerError(self.source.path, f"all features of {split} are zero", allowed="numbers that say something")
        widths = Counter(len(vector_D) for vector_D in vectors)
        if set(widths) != {self.width}:
            odd = next(place for place, one in zip(places, vectors, strict=True) if len(one) != self.width)
            told = ", ".join(f"{width} in {count}" for width, count in widths.most_common(_NAMED))
            raise MerError(
                self.source.path,
                f"its features are not of one width: {self.source.first} has {self.width} numbers; of the utterances "
                f"of {split}, {told} (e.g. {odd})",
                allowed="one width for all",
                then="take away what another extractor wrote",
            )


class LiveGiven:
    """Stands where an encoder of new texts and clips would: there is none, for the features are others'.

    Args:
        config: how the model was trained to read.
        export: its folder, for the message.
    """

    def __init__(self, config: EncoderConfig, export: Path) -> None:
        self.config, self.export = config, export
        self.modality = config.modality

    def encode(self, *inputs: Any, **options: Any) -> LiveFeatures:
        """Raises: MerError saying what to do instead."""
        raise no_live_features(self.config, self.export)


def no_live_features(config: EncoderConfig, export: Path) -> MerError:
    """Word the refusal of a text or clip whose features nobody has extracted."""
    return MerError(
        export,
        f"its encoders.{config.modality}.backbone is {config.backbone}: features that others extracted, which mer "
        "cannot make of a new text or clip",
        allowed="utterances whose features lie there",
        then="extract features of the new utterances with the same tool into that place, list the utterances in a "
        f"table, and score it: {command('mer.evaluate', export, '--on', Path('NEW.csv'))}",
    )


def _times(count: int) -> str:
    return "time" if count == 1 else "times"
