"""Windows that are asked about an earlier turn, against SPCL's own loop, and the labels that they then have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer.config import DataConfig, TextEncoderConfig
from mer.data import Dialogue, Utterance, windows
from mer.data.context import earlier_windows
from mer.data.sample.corpus import write_sample
from mer.features import load_features
from mer.model_outputs import ensure_earlier, ensure_encoder


def dialogue(name: str, turns: int) -> Dialogue:
    people = ("Ross", "Monica", "Joey")
    return Dialogue(f"train/{name}", tuple(
        Utterance("train", name, n, people[n % 3], f"{name} line {n}.", "joy", None, None, None) for n in range(turns)
    ))  # fmt: skip


DIALOGUES = [dialogue("dia0", 12), dialogue("dia1", 4), dialogue("dia2", 6)]


def test_they_are_spcls_windows_with_another_question():
    """build_dataset of caskcsg/SPCL: for idx > 3 the same turns, and a query for one of lidx .. idx - 1."""
    usual = windows(DIALOGUES, past=4, future=0, speaker="name_says")
    made, asked = earlier_windows(DIALOGUES, past=4, future=0, speaker="name_says")
    ids = [utterance.id for one in DIALOGUES for utterance in one.utterances]
    row = 0
    for one in DIALOGUES:
        for idx, utterance in enumerate(one.utterances):
            window, plain = made[row], usual[row]
            assert window.id == ids[row] == utterance.id
            if idx <= 3:
                assert window == plain and asked[row] is None
            else:
                lidx = idx - 4
                query_idx = asked[row] - (row - idx)
                assert lidx <= query_idx <= idx - 1
                assert window.turns == plain.turns and window.turns[window.target].endswith(f"line {query_idx}.")
                assert window.speaker == one.utterances[query_idx].speaker
            row += 1
    assert earlier_windows(DIALOGUES, past=4, future=0, speaker="name_says")[1] == asked, "drawn once for all"
    assert earlier_windows(DIALOGUES, past=0, future=0, speaker="none")[1] == [None] * len(ids), "none is seen"


def test_every_earlier_turn_is_asked_about_about_as_often():
    many = [dialogue(f"dia{n}", 6) for n in range(600)]
    asked = earlier_windows(many, past=4, future=0, speaker="none")[1]
    back = [row - of for row, of in enumerate(asked) if of is not None]
    assert len(back) == 1200
    assert np.bincount(back, minlength=5)[1:] == pytest.approx([300] * 4, abs=60)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["frozen", "full"])
def test_the_file_has_the_windows_of_the_asked_turns_and_their_labels(mode: str, tmp_path: Path):
    write_sample(tmp_path / "corpus", dialogues_per_split={"train": 3, "dev": 1})
    data = DataConfig(root=str(tmp_path / "corpus"))
    settings = {"context": {"past": 3}, "pooler": "target", "speaker": "name", "mode": mode}
    encoder = TextEncoderConfig.model_validate(settings)
    how = {"cache": tmp_path / "features", "progress": False}
    earlier = load_features(ensure_earlier(data, encoder, ["train"], **how).paths["train"])
    usual = load_features(ensure_encoder(data, encoder, ["train"], **how).paths["train"])
    assert earlier.ids == usual.ids and earlier.key != usual.key
    places = [int(name.rpartition("_utt")[2]) for name in earlier.ids]
    for name, labels in earlier.labels.items():
        assert ((labels == -1) == (np.array(places) <= 3)).all(), name
    asked_N = np.flatnonzero(earlier.labels["emotion"] >= 0)
    assert len(asked_N) > 3
    if mode == "frozen":
        same = [np.array_equal(earlier.features[row], usual.features[row]) for row in range(len(earlier.ids))]
        assert [not one for one in same] == (np.array(places) > 3).tolist()
        again = load_features(ensure_encoder(data, encoder, ["train"], **how).paths["train"])
        assert again.key == usual.key and ensure_earlier(data, encoder, ["train"], **how).encoded == 0
    else:
        assert earlier.sequences is not None and usual.sequences is not None
        spans = earlier.sequences.spans[asked_N] != usual.sequences.spans[asked_N]
        assert spans.any(axis=1).all(), "the tokens of another turn are averaged"
