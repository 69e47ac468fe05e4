"""SPCL's samples about earlier turns (`loss.contrastive.earlier_share`): which, how many, whose labels; packs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from packed_law import assert_breaks_change_nothing, assert_company_changes_nothing, assert_same_bits, in_double
from toy_data import CLASSES, LAYERS, WIDTH, outcome, read_only, split, toy_config

from mer.config import TrialConfig
from mer.errors import MerError
from mer.features.cache.sequences import Sequences
from mer.training import SequenceSplit, SplitArrays, TrainingData, TrainingRun
from mer.training.augmented import AugmentedArrays, with_earlier
from mer.training.packed import Pack, shape_of

SPCL = {"loss__contrastive": {"kind": "spcl", "pool_size": 16, "support_size": 4, "earlier_share": 0.4}}


class DoubleAugmented(AugmentedArrays):
    def batch(self, rows: np.ndarray, layers: list[int], device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
        x, y = super().batch(rows, layers, device)
        return x.double(), y


def samples() -> SplitArrays:
    """Of every row one, with the label of another turn; the first four of a dialogue of nine have none."""
    own = split("train", 4, seed=5)
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, len(CLASSES), len(own))
    labels_N[np.arange(len(own)) % 9 <= 3] = -1
    features = own.features_NLD.copy()
    features[labels_N >= 0] = 0.3 * rng.standard_normal((int((labels_N >= 0).sum()), LAYERS, WIDTH))
    return read_only(SplitArrays(own.ids, features, labels_N))


def data(kind: type[AugmentedArrays] = AugmentedArrays) -> TrainingData:
    made = with_earlier(split("train", 4), samples())
    assert isinstance(made, AugmentedArrays)
    own = {name: getattr(made, name) for name in ("ids", "features_NLD", "labels_N", "more_NLD", "more_labels_N")}
    return TrainingData(kind(**own), split("dev", 2), CLASSES)


def run(k: int = 0, of: TrainingData | None = None, **dotted: Any) -> TrainingRun:
    return TrainingRun(toy_config(**(SPCL | {"seed": k} | dotted)), of or data(), [0, 2])


def finished(one: TrainingRun) -> TrainingRun:
    while not one.finished:
        one.train_epoch()
    return one


def test_an_epoch_has_every_row_and_a_share_of_the_samples():
    one, seen = run(), []
    usual = one._step
    one._step = lambda rows_B: (seen.append(rows_B), usual(rows_B))[1]  # type: ignore[method-assign]
    finished(one)
    epochs = np.concatenate(seen).reshape(one.config.training.epochs, -1)
    rows, found = len(one.data.train), np.flatnonzero(samples().labels_N >= 0)
    for epoch in epochs:
        own, more = np.sort(epoch[epoch < rows]), epoch[epoch >= rows] - rows
        assert own.tolist() == list(range(rows)) and len(more) == round(0.4 * len(found)) == len(set(more.tolist()))
        assert np.isin(more, found).all()
    assert not np.array_equal(np.sort(epochs[0]), np.sort(epochs[1])), "other ones in each epoch"
    assert one.step_count == one.total_steps == len(seen)


def test_a_batch_holds_each_rows_own_features_and_label():
    """Against one array of rows and samples, one after another."""
    made, first, more = data().train, split("train", 4), samples()
    rows = np.array([3, 40, 0, 71, 8, 36 + 5])
    x, y = made.batch(rows, [0, 2])
    both = np.concatenate([first.features_NLD, more.features_NLD])[rows][:, [0, 2]].astype(np.float32)
    assert torch.equal(x, torch.from_numpy(both))
    assert y.tolist() == np.concatenate([first.labels_N, more.labels_N])[rows].tolist()
    assert len(made) == len(first) and made.present_rows.tolist() == list(range(len(first)))
    assert torch.cat([chunk for chunk, _ in made.chunks([0])]).shape[0] == len(first), "scores are of the rows alone"


def test_a_tuned_encoders_rows_have_samples_too():
    ids = ("a", "b")
    one, more = (
        SequenceSplit(ids, Sequences.join([np.array(r, np.int32) for r in rows], [(0, len(r)) for r in rows]),
                      np.array(labels), 8)
        for rows, labels in (([[1, 2, 3], [4]], [0, 1]), ([[5, 6], [7, 8, 9]], [2, -1]))
    )  # fmt: skip
    both = with_earlier(one, more)
    batch, y = both.batch(np.array([2, 1, 0]), [])
    assert batch.values.tolist() == [5, 6, 4, 1, 2, 3] and batch.lengths.tolist() == [2, 1, 3]
    assert y.tolist() == [2, 1, 0] and both.extra_rows.tolist() == [2] and len(both) == 2
    with pytest.raises(MerError, match="of other utterances"):
        with_earlier(one, replace(more, ids=("a", "c")))


def test_it_acts_resumes_exactly_and_is_off_by_default():
    whole = finished(run())
    cut = run()
    cut.train_epoch()
    again = run()
    again.load_state(*cut.state())
    assert outcome(finished(again)) == outcome(whole)
    off = {"loss__contrastive": {**SPCL["loss__contrastive"], "earlier_share": 0.0}}
    without = outcome(finished(run(**off)))
    assert without != outcome(whole)
    plain = TrainingData(split("train", 4), split("dev", 2), CLASSES)
    assert outcome(finished(run(of=plain, **off))) == without, "samples that are not asked for change nothing"
    assert "earlier_share" not in toy_config(**off).model_dump()["loss"]["contrastive"]


def test_members_of_a_pack_draw_their_own_samples():
    made = data(DoubleAugmented)

    def build(k: int) -> TrainingRun:
        return in_double(run(k, made, optim__head_lr=[0.02, 0.005][k % 2], training__epochs=3 + k % 2))

    assert_company_changes_nothing(build)
    assert_breaks_change_nothing(build)


def test_on_a_cpu_a_member_has_the_same_bits_in_any_pack():
    made = data()
    assert_same_bits(lambda k: run(k, made, head__hidden=64, training__epochs=2))


def test_another_share_is_another_shape():
    one, other = (toy_config(loss__contrastive={**SPCL["loss__contrastive"], "earlier_share": s}) for s in (0.4, 0.2))
    assert shape_of(one) != shape_of(other) and shape_of(one).is_packable
    Pack([run(0), run(1)]).train_epoch()


TEXT = {"context": {"past": 4}, "pooler": "target"}


@pytest.mark.parametrize(
    ("encoders", "dotted", "said"),
    [
        ({"audio": {}}, {}, "it needs text alone"),
        ({"text": TEXT, "audio": {}}, {"fusion": {"kind": "concat"}}, "it needs text alone"),
        ({"text": TEXT}, {"dialogue": {"kind": "gru"}}, "it needs text alone, and dialogue.kind none"),
        ({"text": {"pooler": "target"}}, {}, "encoders.text.context.past must be 1 or more"),
        ({"text": {"context": {"past": 4}}}, {}, "does not tell which turn is asked about"),
        ({"text": TEXT | {"mode": "full", "freeze_layers": 2}}, {}, "needs encoders.text.split_cache: false"),
        ({"text": TEXT}, {"curriculum": True}, "both choose the rows of an epoch"),
    ],
)
def test_where_nothing_can_be_asked_it_is_refused(encoders: dict[str, Any], dotted: dict[str, Any], said: str):
    contrastive = {"kind": "spcl", "earlier_share": 0.2} | {k: v for k, v in dotted.items() if k == "curriculum"}
    parts = {k: v for k, v in dotted.items() if k != "curriculum"}
    with pytest.raises(ValueError) as caught:
        TrialConfig.model_validate({"encoders": encoders, "loss": {"contrastive": contrastive}, **parts})
    assert said in str(caught.value)
    TrialConfig.model_validate(
        {"encoders": {"text": TEXT}, "loss": {"contrastive": {"kind": "spcl", "earlier_share": 0.2}}}
    )
