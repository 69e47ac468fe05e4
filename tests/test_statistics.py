"""Statistics against scipy, a literal bootstrap, and cases worked out by hand."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from mer.statistics import (
    Interval,
    Paired,
    describe,
    holm,
    paired_by_seed,
    paired_by_unit,
    unit_bootstrap,
    verdict,
)
from mer.training import Scores

C = 7
METRICS = ("weighted_f1", "macro_f1", "accuracy", "unweighted_accuracy")


def corpus(dialogues: int = 12, seeds: int = 3, strength: float = 1.5, classes: int = C, rng_seed: int = 0):
    """Labels, dialogue ids and logits per seed; a dialogue has its own difficulty, so dialogues matter."""
    rng = np.random.default_rng(rng_seed)
    sizes = rng.integers(1, 15, dialogues)
    ids = np.repeat([f"dev/dia{number}" for number in range(dialogues)], sizes)
    labels = rng.choice(
        classes, len(ids), p=np.array([8, 4, 2, 2, 1, 1, 2][:classes]) / sum([8, 4, 2, 2, 1, 1, 2][:classes])
    )
    ease = np.repeat(rng.normal(strength, 1.0, dialogues), sizes)
    logits = [rng.normal(size=(len(ids), classes)) for _ in range(seeds)]
    for one in logits:
        one[np.arange(len(ids)), labels] += ease
    return labels, ids.tolist(), logits


def literal(metric, outputs, labels, ids, resamples, seed):
    """The bootstrap as one would say it: draw dialogues, glue their utterances together, score every seed, average."""
    rng = np.random.default_rng(seed)
    names = list(dict.fromkeys(ids))
    rows = {name: [index for index, each in enumerate(ids) if each == name] for name in names}
    found = []
    for _ in range(resamples):
        drawn = [index for place in rng.integers(0, len(names), len(names)) for index in rows[names[place]]]
        scores = [Scores(one[drawn], labels[drawn], tuple("abcdefg"[: one.shape[1]])) for one in outputs]
        found.append(np.mean([getattr(score, metric) for score in scores]))
    return np.array(found)


# -- describe ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[0.5, 0.6], [0.571, 0.583, 0.566, 0.580, 0.575], list(np.linspace(0, 1, 30) ** 2)])
def test_describe_equals_scipy(values):
    found = describe(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.sd, found.n) == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
        len(values),
    )
    assert found.t_interval == pytest.approx(expected, rel=1e-12) and found.note == ""


def test_one_seed_has_no_spread():
    found = describe([0.5])
    assert (found.mean, found.sd, found.n, found.t_interval) == (0.5, None, 1, None)
    assert found.note == "one seed: no spread can be told from it"


def test_equal_values_have_no_width():
    found = describe([0.1] * 3)  # their mean is not 0.1 in floating point
    assert (found.mean, found.sd, found.t_interval) == (0.1, 0.0, (0.1, 0.1))
    assert found.note == "all 3 values are equal: the interval has no width"


@pytest.mark.parametrize(("values", "text"), [([], "at least one number"), ([0.5, math.nan], "must be finite")])
def test_describe_refuses(values, text):
    with pytest.raises(ValueError, match=text):
        describe(values)


# -- dialogues ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("metric", METRICS)
def test_bootstrap_equals_the_literal_one(metric, seeds):
    labels, ids, logits = corpus(seeds=seeds)
    expected = np.quantile(literal(metric, logits, labels, ids, 300, seed=5), [0.025, 0.975])
    found = unit_bootstrap(metric, logits, labels, ids, resamples=300, seed=5)
    assert found == pytest.approx(expected, abs=1e-12)
    predicted = [one.argmax(axis=1) for one in logits]
    assert unit_bootstrap(metric, predicted, labels, ids, classes=C, resamples=300, seed=5) == found


@pytest.mark.parametrize("metric", METRICS)
def test_paired_bootstrap_equals_the_literal_one(metric):
    labels, ids, a = corpus(strength=2.0)
    b = corpus(strength=1.5)[2][:2]
    gaps = literal(metric, a, labels, ids, 300, 1) - literal(metric, b, labels, ids, 300, 1)
    found = paired_by_unit(metric, a, b, labels, ids, resamples=300, seed=1)
    assert found.interval == pytest.approx(np.quantile(gaps, [0.025, 0.975]), abs=1e-12)
    assert found.p == pytest.approx(min(1.0, 2 * (1 + min((gaps <= 0).sum(), (gaps >= 0).sum())) / 301))
    whole = [np.mean([getattr(Scores(one, labels, tuple("abcdefg")), metric) for one in side]) for side in (a, b)]
    assert found.difference == pytest.approx(whole[0] - whole[1], abs=1e-12) and found.n == 12


def test_the_order_of_utterances_does_not_matter():
    labels, ids, logits = corpus()
    order = [*range(1, len(ids)), 0]  # the first dialogue keeps the first place: it has more than one utterance
    assert ids[0] == ids[1]
    mixed = unit_bootstrap("macro_f1", [one[order] for one in logits], labels[order], [ids[i] for i in order])
    assert mixed == pytest.approx(unit_bootstrap("macro_f1", logits, labels, ids))


def test_ten_thousand_resamples_of_meld_take_well_under_a_second():
    labels, ids, logits = corpus(dialogues=280, seeds=1)
    began = time.process_time()
    unit_bootstrap("weighted_f1", logits, labels, ids)
    assert time.process_time() - began < 1.0


def test_intervals_cover():
    """Over 200 random corpora, the 95 % interval contains the true accuracy in 180 to 199."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        ease = rng.uniform(0.4, 0.8, 40).repeat(8)  # mean 0.6
        labels = rng.integers(0, 2, 320)
        predicted = np.where(rng.random(320) < ease, labels, 1 - labels)
        ids = np.arange(40).repeat(8).tolist()
        low, high = unit_bootstrap("accuracy", [predicted], labels, ids, classes=2, resamples=400)
        held += low <= 0.6 <= high
    assert 180 <= held <= 199


@pytest.mark.parametrize("metric", ["macro_f1", "unweighted_accuracy"])
def test_a_class_absent_in_test_does_not_count(metric):
    labels, ids, logits = corpus()
    labels = labels % 5  # classes 5 and 6 are never true
    for one in logits:
        one[:, 5:] -= 100.0  # nor predicted
    all_seven = unit_bootstrap(metric, logits, labels, ids, resamples=200)
    assert all_seven == pytest.approx(
        unit_bootstrap(metric, [one[:, :5] for one in logits], labels, ids, resamples=200)
    )


def test_one_dialogue_cannot_be_resampled():
    labels, _, logits = corpus()
    alone = ["dia0"] * len(labels)
    assert unit_bootstrap("accuracy", logits, labels, alone) is None
    found = paired_by_unit("accuracy", logits[:1], logits[1:], labels, alone)
    assert (found.interval, found.p, found.n) == (
        None,
        None,
        1,
    ) and found.note == "a single one cannot be resampled"


def test_equal_predictions_differ_nowhere():
    labels, ids, logits = corpus()
    found = paired_by_unit("weighted_f1", logits, logits[::-1], labels, ids, resamples=500)
    assert (found.difference, found.interval, found.p) == (pytest.approx(0.0), (0.0, 0.0), 1.0)
    assert found.note == "the same score in every resample"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"metric": "f1"}, "metric: must be one of weighted_f1, macro_f1, accuracy, unweighted_accuracy, got 'f1'"),
        ({"outputs": []}, "one array per seed needed"),
        ({"outputs": [np.zeros(4, int)]}, "pass classes"),
        ({"outputs": [np.zeros((4, 2)), np.zeros((4, 3))]}, "disagree on C"),
        ({"outputs": [np.zeros((3, 2))]}, r"expected \(4,\) or \(4, 2\) per seed, got \(3, 2\)"),
        ({"outputs": [np.full(4, 2)], "classes": 2}, r"whole numbers in \[0, 2\)"),
        ({"outputs": [np.zeros(4)], "classes": 2}, r"whole numbers in \[0, 2\)"),
        ({"labels_N": np.array([0, 1, 2, 0])}, r"labels: must lie in \[0, 2\), got 0 to 2"),
        ({"unit_ids": [1, 2]}, "got 2 for 4 labels"),
    ],
)
def test_bootstrap_refuses(change, text):
    good = {"metric": "accuracy", "outputs": [np.eye(2)[[0, 1, 0, 1]]], "labels_N": np.array([0, 1, 0, 1])}
    with pytest.raises(ValueError, match=text):
        unit_bootstrap(**{**good, "unit_ids": [1, 1, 2, 2], **change})


# -- seeds -------------------------------------------------------------------------------------------------------


def test_paired_t_equals_scipy_over_common_seeds():
    a = {0: 0.571, 42: 0.583, 43: 0.566, 114: 0.580, 3407: 0.575, 7: 0.1}
    b = {3407: 0.561, 114: 0.584, 43: 0.559, 42: 0.570, 0: 0.566}
    common = [0, 42, 43, 114, 3407]
    expected = stats.ttest_rel([a[seed] for seed in common], [b[seed] for seed in common])
    found = paired_by_seed(a, b)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12) and found.n == 5
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-12)
    assert found.note == "seeds without a partner, left out: 1"
    swapped = paired_by_seed(b, a)
    assert swapped.p == pytest.approx(found.p) and swapped.difference == pytest.approx(-found.difference)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({0: 0.5}, {1: 0.5}, Paired(None, None, None, 0, "no seed in common: nothing to pair")),
        ({0: 0.75}, {0: 0.5}, Paired(0.25, None, None, 1, "one common seed: no spread can be told from it")),
        ({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}, Paired(0.0, Interval(0.0, 0.0), 1.0, 2, "equal on every seed")),
        (
            {0: 0.75, 1: 0.875},
            {0: 0.5, 1: 0.625},
            Paired(
                0.25,
                Interval(0.25, 0.25),
                None,
                2,
                "the same difference on all 2 seeds: without variance there is no t test",
            ),
        ),
    ],
)
def test_degenerate_pairs_are_explained(a, b, expected):
    assert paired_by_seed(a, b) == expected


def test_equal_differences_are_seen_through_rounding():
    a = {0: 0.3, 1: 0.7, 2: 0.1}
    b = {seed: value - 0.1 for seed, value in a.items()}
    assert len({a[seed] - b[seed] for seed in a}) > 1
    assert paired_by_seed(a, b).p is None


# -- Holm --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # the worked example of Holm's procedure in textbooks
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),  # R: p.adjust((1:5)/100, "holm")
        ([0.9, 0.6], [1.0, 1.0]),
        ([0.03], [0.03]),
        ([], []),
        ([0.02, None, 0.03], [0.04, None, 0.04]),
    ],
)
def test_holm(p_values, adjusted):
    assert holm(p_values) == [None if p is None else pytest.approx(p) for p in adjusted]


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 1.2"):
        holm([0.1, 1.2])


# -- words -------------------------------------------------------------------------------------------------------


def view(difference, p, n=5, adjusted=None):
    return Paired(difference, Interval(difference - 0.01, difference + 0.01), p, n, "", adjusted)


@pytest.mark.parametrize(
    ("seeds", "dialogues", "sentence"),
    [
        (
            view(0.012, 0.01),
            view(0.013, 0.0004, 280),
            "spcl is above ce by 1.20 points: seeds and dialogues both support it (5 seeds: +1.20 [+0.20, +2.20], "
            "p = 0.010; 280 dialogues: +1.30 [+0.30, +2.30], p < 0.001).",
        ),
        (
            view(-0.012, 0.01),
            view(-0.012, 0.2, 280),
            "ce is above spcl by 1.20 points over seeds only: it may not hold on other dialogues (",
        ),
        (
            view(0.012, 0.2),
            view(0.013, 0.01, 280),
            "spcl is above ce by 1.30 points over dialogues only: it may not hold for other seeds (",
        ),
        (view(0.002, 0.6), view(0.002, 0.7, 280), "spcl and ce: no difference at this sample size ("),
        (
            view(0.012, 0.01),
            view(-0.01, 0.01, 280),
            "spcl and ce: seeds and dialogues point in opposite directions, no conclusion (",
        ),
        (
            paired_by_seed({0: 0.6}, {0: 0.5}),
            view(0.1, 0.3, 280),
            "spcl and ce: no difference at this sample size (1 seed: +10.00, one common seed: no spread can be told "
            "from it;",
        ),
        (
            paired_by_seed({0: 0.6}, {1: 0.5}),
            Paired(0.1, None, None, 1, "a single one cannot be resampled"),
            "spcl and ce cannot be told apart by any test here (seeds: no seed in common: nothing to pair; 1 dialogue: "
            "+10.00, a single one cannot be resampled).",
        ),
        (
            view(0.012, 0.03, adjusted=0.09),
            view(0.012, 0.04, 280, adjusted=0.12),
            "spcl and ce: no difference at this sample size (5 seeds: +1.20 [+0.20, +2.20], p = 0.090;",
        ),
    ],
)
def test_verdict(seeds, dialogues, sentence):
    assert verdict("spcl", "ce", seeds, dialogues, unit="dialogue").startswith(sentence)
