"""Classification loss against literal formulas and the table of MELD's class weights (methods 3.1-3.3)."""

import math

import pytest
import torch
from torch.nn import functional as F

from mer.config import ClassificationLossConfig as Config
from mer.losses.classification import ClassificationLoss, class_weights

# neutral joy sadness anger fear disgust surprise: training utterances of MELD, and the columns of the table.
MELD = torch.tensor([4710, 1743, 683, 1109, 268, 271, 1205])
INVERSE = [0.303, 0.819, 2.089, 1.287, 5.325, 5.266, 1.184]
SQUARE_ROOT_MEAN_ONE = [0.613, 1.008, 1.610, 1.264, 2.571, 2.556, 1.212]  # mean 1 over samples
EFFECTIVE = [0.452, 0.543, 0.905, 0.669, 1.905, 1.887, 0.640]
LOG_PRIOR = [-0.752, -1.746, -2.683, -2.198, -3.618, -3.607, -2.115]


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(32, 7, requires_grad=True), torch.randint(7, (32,))


def grad_of(loss, leaf):
    return torch.autograd.grad(loss, leaf)[0]


def test_weights_match_the_table():
    power = class_weights(MELD, Config(class_weight="power", class_weight_exponent=1.0))
    torch.testing.assert_close(power, torch.tensor(INVERSE), atol=6e-4, rtol=0)
    root = class_weights(MELD, Config(class_weight="power", class_weight_exponent=0.5))
    torch.testing.assert_close(root**2, power)
    mean_over_samples = (root * MELD).sum() / MELD.sum()
    torch.testing.assert_close(root / mean_over_samples, torch.tensor(SQUARE_ROOT_MEAN_ONE), atol=6e-4, rtol=0)
    effective = class_weights(MELD, Config(class_weight="effective"))
    torch.testing.assert_close(effective, torch.tensor(EFFECTIVE), atol=6e-4, rtol=0)
    assert effective.mean().item() == pytest.approx(1.0)
    assert class_weights(MELD, Config()).tolist() == [1.0] * 7


def test_exponent_zero_is_no_weighting():
    assert class_weights(MELD, Config(class_weight="power", class_weight_exponent=0.0)).tolist() == [1.0] * 7


@pytest.mark.parametrize("kind", ["power", "effective"])
def test_class_without_samples_weighs_nothing(kind):
    weights = class_weights(torch.tensor([10, 0, 30]), Config(class_weight=kind, class_weight_exponent=1.0))
    assert weights[1] == 0 and weights.isfinite().all() and weights[0] > weights[2] > 0
    if kind == "effective":
        assert weights.sum().item() == pytest.approx(2.0)  # mean 1 over the two classes that have samples


def test_no_samples_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one training sample"):
        ClassificationLoss(Config(), torch.zeros(7, dtype=torch.int64))


def literal_loss(logits, y, config, counts):
    """One row at a time, from the formulas."""
    weights = class_weights(counts, config)
    rows = []
    for z, label in zip(logits, y.tolist(), strict=True):
        z = z + config.logit_adjustment * torch.log(counts / counts.sum())
        log_p = z - torch.log(sum(torch.exp(score) for score in z))
        if config.kind == "focal":
            loss = -((1 - log_p[label].exp()) ** config.focal_gamma) * log_p[label]
        else:
            epsilon = config.label_smoothing
            loss = -(1 - epsilon) * log_p[label] - epsilon * log_p.mean()
        rows.append(weights[label] * loss)
    return sum(rows) / len(rows)


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(label_smoothing=0.1),
        Config(kind="focal"),
        Config(kind="focal", focal_gamma=0.5, class_weight="power"),
        Config(class_weight="effective", label_smoothing=0.05),
        Config(logit_adjustment=1.0, class_weight="power", class_weight_exponent=1.0),
        Config(kind="focal", logit_adjustment=0.5),
    ],
    ids=str,
)
def test_equals_the_literal_version(config, batch):
    logits, y = batch
    fast, slow = ClassificationLoss(config, MELD)(logits, y), literal_loss(logits, y, config, MELD)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(grad_of(fast, logits), grad_of(slow, logits), atol=1e-6, rtol=1e-4)


def test_focal_without_focus_is_cross_entropy(batch):
    logits, y = batch
    focal = ClassificationLoss(Config(kind="focal", focal_gamma=0.0), MELD)(logits, y)
    plain = F.cross_entropy(logits, y)
    torch.testing.assert_close(focal, plain)
    torch.testing.assert_close(grad_of(focal, logits), grad_of(plain, logits))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_is_finite_on_certain_rows(gamma):
    logits = torch.tensor([[200.0, 0.0, 0.0], [-200.0, 0.0, 0.0]], requires_grad=True)  # p = 1 and p = 0 exactly
    loss = ClassificationLoss(Config(kind="focal", focal_gamma=gamma), torch.ones(3))(logits, torch.tensor([0, 0]))
    assert loss.isfinite() and grad_of(loss, logits).isfinite().all()


def test_weighted_rows_are_averaged_plainly():
    config = Config(class_weight="power", class_weight_exponent=1.0)
    loss = ClassificationLoss(config, MELD)(torch.zeros(4, 7), torch.full((4,), 4))
    assert loss.item() == pytest.approx(5.325 * math.log(7), rel=1e-3)  # PyTorch's mean would give log 7


def test_logit_adjustment_is_the_log_prior():
    adjusted = ClassificationLoss(Config(logit_adjustment=1.0), MELD)(torch.zeros(7, 7), torch.arange(7))
    assert adjusted.item() == pytest.approx(-sum(LOG_PRIOR) / 7, abs=1e-3)
    unseen = ClassificationLoss(Config(logit_adjustment=1.0), torch.tensor([5, 5, 0]))
    assert unseen(torch.zeros(2, 3), torch.tensor([0, 1])).isfinite()


@pytest.mark.parametrize("kind", ["ce", "focal"])
def test_half_precision_scores_are_computed_in_fp32(kind, batch):
    logits, y = batch
    loss = ClassificationLoss(Config(kind=kind, class_weight="power"), MELD)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss(logits.bfloat16(), y)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, loss(logits.bfloat16().float(), y))


def test_buffers_are_derivable_and_stay_out_of_checkpoints():
    assert ClassificationLoss(Config(class_weight="power"), MELD).state_dict() == {}
