"""Numbers and labels of another corpus as those of a model."""

from __future__ import annotations

import numpy as np
import pytest

from mer.errors import MerError
from mer.study.evaluate.target_map import target_map

NAN = np.nan


def test_numbers_by_name_and_by_a_map():
    names = ("Valence", "activation", "age")
    made = target_map("regression", ("valence", "arousal", "power"), names, "{activation: arousal}")
    assert made.shared == ("valence", "arousal") and made.unused == ("power",)
    labels = np.array([[1, 2, 30], [NAN, 3, NAN], [NAN, NAN, 40]], dtype=np.float32)
    np.testing.assert_array_equal(made.truth(labels), [[1, 2], [NAN, 3], [NAN, NAN]])
    assert made.counts(labels) == {"age": 2, "": 1} and not made.scale.words


def test_numbers_are_brought_to_the_range_of_the_model():
    made = target_map("regression", ("score",), ("score",), None, own=(-3.0, 3.0), other=(-1.0, 1.0))
    np.testing.assert_allclose(made.truth(np.array([[-1.0], [0.0], [0.5]])), [[-3], [0], [1.5]])
    assert made.scale.words == "brought from [-1, 1] to the model's [-3, 3]"
    shifted = target_map("regression", ("score",), ("score",), None, own=(0.0, 100.0), other=(1.0, 5.0))
    np.testing.assert_allclose(shifted.truth(np.array([[1.0], [3.0], [5.0]])), [[0], [50], [100]])
    for own, other in (((1.0, 5.0), (1.0, 5.0)), (None, (1.0, 5.0)), ((1.0, 5.0), None)):
        same = target_map("regression", ("score",), ("score",), None, own=own, other=other)
        assert same.truth(np.array([[2.0]])).tolist() == [[2.0]] and not same.scale.words


def test_several_labels_may_stand_for_one():
    made = target_map("multilabel", ("joy", "fear"), ("happy", "amused", "fear", "calm"), "{happy: joy, amused: joy}")
    labels = np.array([[1, NAN, 0, 1], [0, NAN, 1, 1], [0, 0, NAN, 0], [NAN, NAN, NAN, 1]])
    np.testing.assert_array_equal(made.truth(labels), [[1, 0], [NAN, 1], [0, NAN], [NAN, NAN]])
    assert made.shared == ("joy", "fear") and made.counts(labels) == {"calm": 3, "": 1}


@pytest.mark.parametrize(
    ("kind", "names", "said", "found"),
    [
        ("regression", ("polarity",), None, "no number is one of it: the model knows score, power; the corpus has "),
        ("multilabel", ("sad",), None, "no label is one of it: the model knows score, power; the corpus has sad"),
        ("regression", ("a", "b"), "{a: score, b: score}", "a and b of the corpus would both be 'score'"),
        ("regression", ("polarity",), "{polarty: score}", "'polarty' is no number of the corpus. Did you mean"),
        ("regression", ("polarity",), "{polarity: scores}", "'scores' is no number of the model. Did you mean"),
        ("multilabel", ("sad",), "{sad: scores}", "'scores' is no label of the model"),
    ],
)  # fmt: skip
def test_refused(kind, names, said, found):
    with pytest.raises(MerError) as caught:
        target_map(kind, ("score", "power"), names, said)
    assert caught.value.where == "--map" and found in caught.value.found and caught.value.allowed


def test_the_advice_names_both():
    with pytest.raises(MerError) as caught:
        target_map("regression", ("score",), ("polarity",), None)
    assert caught.value.then == "say which is which: --map '{polarity: score}'"
