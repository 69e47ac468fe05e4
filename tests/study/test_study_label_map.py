"""Labels of another corpus as classes of a model."""

from __future__ import annotations

import numpy as np
import pytest

from mer.errors import MerError
from mer.study.evaluate.label_map import label_map

MELD = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
EMORY = ("Neutral", "joyful", "peaceful", "powerful", "sad", "mad", "scared")
MAP = "{joyful: joy, sad: sadness, mad: Anger, scared: fear}"


def test_names_and_a_map():
    made = label_map(MELD, EMORY, MAP)
    assert made.shared == ("neutral", "joy", "sadness", "anger", "fear")
    assert made.unmapped == ("peaceful", "powerful") and made.unused == ("disgust", "surprise")
    labels_N = np.array([0, 1, 2, 3, 4, 5, 6, -1, 2])
    assert made.numbers(labels_N, made.shared).tolist() == [0, 1, -1, -1, 2, 3, 4, -1, -1]
    assert made.numbers(labels_N, MELD).tolist() == [0, 1, -1, -1, 2, 3, 4, -1, -1]
    assert made.counts(labels_N) == {"peaceful": 2, "powerful": 1, "": 1}


def test_several_labels_may_be_one_class_and_null_leaves_one_out():
    made = label_map(MELD, EMORY, "{joyful: joy, peaceful: joy, neutral: null, mad: anger}")
    assert made.shared == ("joy", "anger") and made.numbers(np.array([0, 1, 2, 5]), made.shared).tolist() == [
        -1,
        0,
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, "the model's 'neutral' alone has a label here: the model knows neutral, joy"),
        ("{joyfull: joy}", "'joyfull' is no label of the corpus. Did you mean 'joyful'?"),
        ("{joyful: joys}", "'joys' is no class of the model. Did you mean 'joy'?"),
        ("[joyful, joy]", "got ['joyful', 'joy']"),
        ("{joyful: 3}", "got {'joyful': 3}"),
        ("{joyful: joy", "the value is not YAML"),
    ],
)
def test_refused(said, found):
    with pytest.raises(MerError) as caught:
        label_map(MELD, EMORY, said)
    assert caught.value.where == "--map" and found in caught.value.found and caught.value.allowed


def test_nothing_in_common():
    with pytest.raises(MerError, match="no label is a class of it") as caught:
        label_map(("a", "b"), ("c", "d"), None)
    assert caught.value.then == "say which label is which class: --map '{c: a, LABEL: CLASS}'"
