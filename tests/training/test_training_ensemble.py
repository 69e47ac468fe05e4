"""The mean of several models, against a loop over rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mer.training.ensemble import mean_outputs

RNG = np.random.default_rng(0)
OUTPUTS = [RNG.normal(size=(6, 3)).astype(np.float32) * 4 for _ in range(3)]
THERE = [np.array([1, 1, 0, 0, 1, 0], dtype=bool), None, np.array([0, 1, 1, 0, 1, 0], dtype=bool)]
ABSENT = [THERE[0], np.array([1, 0, 0, 0, 1, 1], dtype=bool), THERE[2]]  # row 3: none could read anything


def answers(kind: str, row: np.ndarray, temperature: float) -> np.ndarray:
    z = torch.from_numpy(row).double() / temperature
    return (z if kind == "regression" else z.softmax(0) if kind == "class" else z.sigmoid()).numpy()


@pytest.mark.parametrize("kind", ["class", "multilabel", "regression"])
@pytest.mark.parametrize("there", [THERE, ABSENT], ids=["one reads all", "none reads row 3"])
def test_the_mean_is_over_those_that_could_read_the_row(kind, there):
    values = (1.0, 1.0, 1.0) if kind == "regression" else (1.0, 2.5, 0.5)
    temperatures = [None if value == 1.0 else value for value in values]
    mean_NC = mean_outputs(kind, OUTPUTS, temperatures, there)
    for row in range(6):
        counted = [k for k in range(3) if there[k] is None or there[k][row]] or [0, 1, 2]
        expected = np.mean([answers(kind, OUTPUTS[k][row], values[k]) for k in counted], axis=0)
        np.testing.assert_allclose(answers(kind, mean_NC[row], 1.0), expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["class", "multilabel"])
def test_certainty_stays_finite(kind):
    sure = np.array([[5000.0, -5000.0]], dtype=np.float32)
    assert np.isfinite(mean_outputs(kind, [sure, sure], [None, None], [None, None])).all()


def test_one_model_alone_keeps_its_answers():
    mean_NC = mean_outputs("class", OUTPUTS[:1], [None], [None])
    np.testing.assert_array_equal(mean_NC.argmax(axis=1), OUTPUTS[0].argmax(axis=1))
