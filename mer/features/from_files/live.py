"""Features that others extracted of utterances that belong to no dataset: what an exported model reads of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mer.config import GIVEN, EncoderConfig
from mer.data import Dialogue, Utterance
from mer.errors import MerError
from mer.features.cache.sequences import Sequences, condensed
from mer.features.from_files.placing import ABSENT, ZEROS, find_places, widths_words
from mer.features.given.names import names_of, part_of
from mer.features.given.pooling import frames_of, pool, said
from mer.features.given.source import Source, open_source, pooler_of
from mer.features.given.unfit import Unfit
from mer.features.reading import LiveFeatures
from mer.terminal.commands import command

OPTION = "--features"
_FILE = "say which utterances are meant: --file F.csv with a column id"


class LiveGiven:
    """Stands where an encoder of new texts and clips would: reads their features from the files of others.

    Args:
        config: how the model was trained to read.
        width: of the features that it was trained on.
        export: its folder, for messages.
        place: folder or table of the new features; None: nobody has named any, and reading is refused.
    Raises: MerError when nothing lies there, or the features are not as wide as the model's.
    """

    def __init__(self, config: EncoderConfig, width: int, export: Path, place: Path | None = None) -> None:
        self.config, self.width, self.export = config, width, export
        self.modality = config.modality
        self.source: Source | None = None
        if place is not None:
            self.source = open_source(config.model_copy(update={"backbone": f"{GIVEN}{place}"}), where=OPTION)
            self._refuse_width()

    @property
    def listed(self) -> list[tuple[str, str]]:
        """Name what lies there: (part of the data, or "", name) of each utterance.

        Raises: MerError where folders in it may be clips or groups of clips.
        """
        source = self._opened()
        try:
            return source.listed()
        except Unfit as fault:
            raise MerError(source.path, str(fault), allowed="a table, or a file for each clip", then=_FILE) from fault

    def encode(self, dialogues: Sequence[Dialogue], **options: Any) -> LiveFeatures:
        """Read the features of utterances, found by their names as those of a corpus are.

        An utterance without features, or with some that cannot be used, is a masked row that says why.

        Raises: MerError when none is found, none can be used, or they are not as wide as the model's.
        """
        source = self._opened()
        utterances = [_placed(utterance) for dialogue in dialogues for utterance in dialogue.utterances]
        at = find_places(source, names_of(utterances), "")
        places = [at[utterance.id] for utterance in utterances]
        read = [self._frames(place) for place in places]
        rows, faults = [row for row, _ in read], [fault for _, fault in read]
        self._refuse(places, rows, faults)
        present_N = np.array([len(row) > 0 for row in rows], dtype=bool)
        features: Any
        if self.config.keeps_states:
            features = Sequences.join(rows, [(0, len(row)) for row in rows])
        else:
            zeros = np.zeros((1, self.width), dtype=np.float32)
            features = np.stack([row if len(row) else zeros for row in rows])
        return LiveFeatures(features, np.zeros(len(rows), dtype=bool), faults, present_N)

    def _frames(self, place: str | None) -> tuple[np.ndarray, str]:
        """Read what the model is given of an utterance: one vector (1, D), or frames (T, D); (0, D) with the reason."""
        nothing = np.empty((0, self.width), dtype=np.float32)
        if place is None:
            return nothing, ABSENT
        try:
            frames_TD = frames_of(self._opened().read(place))
        except Unfit as fault:
            return nothing, f"its features cannot be used: {fault}"
        if self.config.keeps_states:
            kept = condensed(said(frames_TD), self.config.max_states)
            return (kept, "") if len(kept) else (nothing, ZEROS)
        vector_D = pool(frames_TD, pooler_of(self.config))
        return (nothing, ZEROS) if vector_D is None else (vector_D[None], "")

    def _refuse(self, places: Sequence[str | None], rows: Sequence[np.ndarray], faults: Sequence[str]) -> None:
        """Raise MerError where nothing can be used, and for another width."""
        there = {str(place): row.shape[1] for place, row in zip(places, rows, strict=True) if len(row)}
        if not there:
            first = next((fault for fault in faults if fault != ABSENT), ABSENT)
            raise MerError(
                self._opened().path, f"the features of not one of {len(faults)} utterances can be used: {first}"
            )
        if told := widths_words(list(there), list(there.values()), self.width):
            raise self._too_wide(told)

    def _refuse_width(self) -> None:
        source = self._opened()
        try:
            found = int(frames_of(source.read(source.first)).shape[1])
        except Unfit:
            return  # told of its utterance
        if found != self.width:
            raise self._too_wide(f"{found} in {source.first}")

    def _too_wide(self, told: str) -> MerError:
        return MerError(
            self._opened().path,
            f"numbers of an utterance: {told}; {self.export} reads {self.width} ({self.modality}, trained on "
            f"{self.config.backbone})",
            allowed=f"features of {self.width} numbers, of the extractor, layer and settings of the training",
            then="extract them anew with these",
        )

    def _opened(self) -> Source:
        if self.source is None:
            raise no_live_features(self.config, self.export)
        return self.source


def _placed(utterance: Utterance) -> Utterance:
    """Let an utterance whose clip lies in a folder of train, dev or test be of that part: features are named so."""
    return utterance.changed(split=_part(utterance) or utterance.split)


def _part(utterance: Utterance) -> str:
    words = (utterance.audio or utterance.video or "").replace("\\", "/").split("/")[:-1]
    return next((part for word in words if (part := part_of(word))), "")


def no_live_features(config: EncoderConfig, export: Path) -> MerError:
    """Word the refusal of a text or clip whose features nobody has extracted."""
    return MerError(
        export,
        f"its encoders.{config.modality}.backbone is {config.backbone}: features that others extracted, which mer "
        "cannot make of a new text or clip",
        allowed="utterances whose features somebody has extracted",
        then="extract features of the new utterances with the same tool, then predict from them: "
        f"{command('mer.predict', export, OPTION, Path('PLACE'))}",
    )
