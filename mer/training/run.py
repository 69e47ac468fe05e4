"""One trial's training: built from a frozen TrialConfig and arrays, advanced an epoch at a time.

Knows nothing of Ray, Optuna or MLflow: a notebook or a test can train with it.

    run = TrainingRun(config, data, layers=[0])
    while not run.finished:
        print(run.train_epoch())
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer.checkpoints.tensors import clone, prefixed, under
from mer.config import EACLConfig, SPCLConfig, TrialConfig
from mer.errors import MerError, TrialFailed
from mer.losses import (
    Known,
    Objective,
    Outputs,
    Spread,
    build_objective,
    build_target_objective,
    curriculum_keep_probability,
)
from mer.losses.adversarial import worsened
from mer.losses.geometry import class_means
from mer.models.dropout import draw_masks_from
from mer.training.augmented import extra_rows
from mer.training.averaging import WeightAverage
from mer.training.batches import DialogueBatches, batches_of_rows
from mer.training.data import FusedBatch, FusedSplit, Layers, Split, TrainingData
from mer.training.draws import WORDS, Draws
from mer.training.labels import has_label, known_of
from mer.training.member import Member, Row
from mer.training.optimizer import (
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
    rate_multiplier,
    set_learning_rate,
)
from mer.training.scores import AnyScores, scores_of
from mer.training.scoring import build_model, class_scores
from mer.training.seeding import seeded

_CURRICULUM_SHARE = 0.5  # expected share of the training split that the curriculum keeps (methods 1.4)


class TrainingRun:
    """Train the model of one trial; its member remembers rows, best epoch and counters.

    Args:
        config: everything that decides the numbers, given the data.
        data: train and dev arrays; shared memory is fine, nothing is written to it.
        layers: which of the stored hidden states the head reads.
        device: torch device.
    """

    def __init__(self, config: TrialConfig, data: TrainingData, layers: Layers, device: str = "cpu") -> None:
        self.config, self.data, self.layers, self.device = config, data, layers, device
        self.member = Member(config)
        self.words_CLD = self._label_text()
        self.train_rows = self._trainable_rows()
        with seeded(config.seed, "initialisation", device=device):
            self.model = self._build_model()
            self.model.fit_norm(data.train, layers, data.train.present_rows)
            self._fit_unit()
            self.objective = self._build_objective()
        self.model.to(device)
        self.objective.to(device)
        self.draws = self._connect_draws()
        self._begin_draws(steps=1)  # until the first epoch begins
        self.optimizer = build_optimizer(config, self._parameter_groups())
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.average = WeightAverage(trained, config.optim.ema_decay) if config.optim.ema_decay is not None else None
        self.stage_one_epochs = config.training.epochs - self.objective.stage_two_epochs
        share = _CURRICULUM_SHARE if self._uses_curriculum else 1.0
        self.extra_rows = extra_rows(data.train)
        wanted = config.loss.contrastive.earlier_share if isinstance(config.loss.contrastive, SPCLConfig) else 0.0
        self.extra_count = round(wanted * len(self.extra_rows))
        steps_per_epoch = math.ceil((len(self.train_rows) * share + self.extra_count) / config.optim.batch_size)
        self._dialogue_batches = self._whole_dialogues()
        if self._dialogue_batches is not None:
            steps_per_epoch = self._dialogue_batches.steps
        self.total_steps = self.stage_one_epochs * steps_per_epoch  # of the schedule: stage two's rate is constant

    # -- the loop ----------------------------------------------------------------------------------------------

    def train_epoch(self) -> Row:
        """Train one epoch, score dev, remember the best weights. Raises TrialFailed on a non-finite loss."""
        started = time.perf_counter()
        with seeded(self.config.seed, "epoch", self.epoch, device=self.device):
            batches = self._begin_epoch()
            losses = [self._step(rows_B) for rows_B in self._numbered(batches)]
            with self.averaged():
                scores = self.evaluate(self.data.dev)
                row = {
                    "epoch": float(self.epoch + 1),
                    **scores.as_metrics("dev"),  # first: MLflow's pages show metrics in this order
                    **self._further_scores(scores),
                    **_means(losses),
                    "learning_rate": self._shown_rate(),
                }
                row |= {"seconds": time.perf_counter() - started, "timestamp_ms": float(time.time_ns() // 1_000_000)}
                if self.member.improves(row):
                    self.member.keep(row, self.weights(), scores.logits_NC)
        self.member.add(row)
        return row

    def _numbered(self, batches: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Start the epoch's random numbers, and tell them of each step."""
        self._begin_draws(len(batches))
        for step, rows_B in enumerate(batches):
            for draws in self.draws.values():
                draws.step = step
            yield rows_B

    def _begin_draws(self, steps: int) -> None:
        for owner, draws in self.draws.items():
            draws.begin([stretch_of(self.config.seed, self.epoch, owner)], steps)

    def _step(self, rows_B: np.ndarray) -> dict[str, float]:
        """Update the weights once on the given training rows; return loss parts and gradient norm."""
        set_learning_rate(self.optimizer, rate_multiplier(self.step_count, self.total_steps, self.config.optim))
        outputs, y_B = self._answer(rows_B)
        if outputs is None:  # nothing of these rows can be read
            self.count_step()
            return {}
        loss, parts = self.objective(outputs, y_B)
        further, shown = self.model.auxiliary(y_B)
        if (adversarial := self.config.loss.adversarial).weight:
            parts["adversarial"] = self._loss_when_moved(outputs, y_B, loss)
            loss = loss + adversarial.weight * parts["adversarial"]
        loss = sum(further.values(), loss)
        values = {"loss": self._finite("loss", loss)}
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for name, parameters in self._clipped_together().items():
            grad_norm = nn.utils.clip_grad_norm_(parameters, self.config.optim.clip_norm)
            values[name] = self._finite(name.replace("grad_norm", "gradient norm"), grad_norm)
        self.optimizer.step()
        self.objective.after_step(outputs, y_B)
        self.count_step()
        values |= {f"loss_{name}": part.item() for name, part in parts.items()}
        return values | {name: value.item() for name, value in shown.items()}

    def _loss_when_moved(self, outputs: Outputs, y_B: Tensor, loss: Tensor) -> Tensor:
        """Take the objective's loss once more, at h moved against the model."""
        h_BH = worsened(loss, outputs.h_ND, self.config.loss.adversarial.epsilon)
        moved: Tensor = self.objective(outputs._replace(h_ND=h_BH, logits_NC=self.model.classify(h_BH)), y_B)[0]
        return moved

    def count_step(self) -> None:
        self.member.step_count += 1
        if self.average is not None:
            self.average.update()

    def _answer(self, rows_B: np.ndarray) -> tuple[Outputs | None, Tensor]:
        """Run the model on the given training rows; return its outputs and labels for those that it could read."""
        x_BLD, y_B = self.data.train.batch(rows_B, self.layers, self.device)
        there_B = None
        if isinstance(x_BLD, FusedBatch) and x_BLD.dialogue_B is not None:  # others read these rows: no loss
            there_B = x_BLD.present_BM.any(dim=1) & has_label(y_B)
            if not there_B.all():
                x_BLD = x_BLD._replace(counted_B=there_B)
        h_BH, logits_BC = self.model(x_BLD)
        if there_B is not None:
            h_BH, logits_BC, y_B = h_BH[there_B], logits_BC[there_B], y_B[there_B]
        return Outputs(h_BH, logits_BC, self._anchors()), y_B

    def _finite(self, name: str, value: Tensor) -> float:
        number = value.item()
        if not math.isfinite(number):
            raise non_finite(name, number, step=self.step_count + 1, epoch=self.epoch + 1)
        return number

    def _begin_epoch(self) -> list[np.ndarray]:
        """Set modes and prototypes; return the rows of each of this epoch's steps."""
        if self._in_stage_two and self.epoch == self.stage_one_epochs:
            self._enter_stage_two()
        self.model.train(not self._in_stage_two)
        self.objective.train()
        rows_N, size = self.rows_of_epoch(), self.config.optim.batch_size
        if self.objective.needs_centers:
            h_NH, centers_CH = self._training_representations()
            self.objective.start_epoch(centers_CH)
            if self._uses_curriculum:
                rows_N = self._curriculum_rows(h_NH, centers_CH)
        return self._dialogue_batches.draw() if self._dialogue_batches else batches_of_rows(rows_N, size)

    def rows_of_epoch(self) -> np.ndarray:
        """The rows that are trained on, with some of the samples beside them; draws these from torch's generator."""
        if not self.extra_count:
            return self.train_rows
        drawn = torch.randperm(len(self.extra_rows))[: self.extra_count].numpy()
        return np.concatenate([self.train_rows, self.extra_rows[drawn]])

    def _curriculum_rows(self, h_NH: Tensor, centers_CH: Tensor) -> np.ndarray:
        """Draw the training rows that this epoch keeps, at least one batch of them."""
        rows_N = self.train_rows
        labels = torch.tensor(self.data.train.labels_N[rows_N])
        keep = curriculum_keep_probability(
            h_NH.cpu(), labels, centers_CH.cpu(), epoch=self.epoch, epochs=self.config.training.epochs
        )
        chosen = torch.nonzero(torch.rand(len(rows_N)) < keep).flatten()
        chosen = chosen if len(chosen) else torch.randperm(len(rows_N))[: self.config.optim.batch_size]
        return rows_N[chosen.numpy()]

    def _enter_stage_two(self) -> None:
        """Start stage two of EACL from the best weights so far, with everything but the anchors held still."""
        if self.member.best:
            self.load_weights(self.member.best.weights)
        anchors = self._anchors()
        assert anchors is not None
        self.objective.begin_stage_two(anchors)
        if self.average is not None:
            self.average.restart()

    def _shown_rate(self) -> float:
        rate: float = self.optimizer.param_groups[-1 if self._in_stage_two else 0]["lr"]  # anchors come last
        return rate

    # -- scores ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def evaluate(self, split: Split) -> AnyScores:
        """Score one split in eval mode, in row order; the batch size changes nothing."""
        if self.config.training.prediction == "nearest_center":
            self.model.class_centers_CH.copy_(self._training_representations()[1])
        logits = self.predict(split)
        if not np.isfinite(logits).all():
            raise non_finite_scores(step=self.step_count, epoch=self.epoch + 1)
        return self.scores(logits, split)

    def scores(self, logits_NC: np.ndarray, split: Split) -> AnyScores:
        """Score outputs (N, C) against the labels of a split, by the configured task."""
        return scores_of(self.config.data, logits_NC, split.labels_N, self.data.class_names)

    def predict(self, split: Split) -> np.ndarray:
        """Return class scores (N, C) float32 of the current weights."""
        self.objective.eval()
        chunks = split.chunks(self.layers, self.device)
        return class_scores(self.config, self.model, self.objective, self.words_CLD, chunks)

    @torch.no_grad()
    def _training_representations(self) -> tuple[Tensor, Tensor]:
        """Compute h of all rows that are trained on, in eval mode (N, H), and its class means (C, H)."""
        was_training = self.model.training
        self.model.eval()
        split, rows_N = self.data.train, torch.from_numpy(self.train_rows).to(self.device)
        h_NH = torch.cat([self.model.represent(*chunk) for chunk in split.chunks(self.layers, self.device)])[rows_N]
        self.model.train(was_training)
        labels = torch.tensor(split.labels_N, device=self.device)[rows_N]
        return h_NH, class_means(h_NH, labels, len(self.data.class_names))[0]

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def history(self) -> list[Row]:
        """A row per epoch."""
        return self.member.history

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.member.epoch

    @property
    def step_count(self) -> int:
        """Steps that are done."""
        return self.member.step_count

    @property
    def finished(self) -> bool:
        """True at the last epoch, or after `patience` epochs without a dev gain; that never skips a stage two."""
        return self.member.is_done(self.stage_one_epochs if self.objective.stage_two_epochs else 0)

    def weights(self) -> dict[str, Tensor]:
        """Return all that prediction needs: model and objective (anchors, prototypes), by name."""
        return prefixed("model", self.model.state_dict()) | prefixed("objective", self.objective.state_dict())

    def load_weights(self, tensors: dict[str, Tensor]) -> None:
        self.model.load_state_dict(under("model", tensors))
        self.objective.load_state_dict(under("objective", tensors))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copy everything needed to go on exactly: tensors (the best epoch's too), and a JSON-able card."""
        tensors = clone(self.weights() | prefixed("optimizer", optimizer_tensors(self.optimizer)))
        tensors |= clone(prefixed("average", self.average.tensors())) if self.average is not None else {}
        bests, card = self.member.state()
        return tensors | bests, card

    def load_state(self, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
        """Go on from `state()`. Raises MerError when the state belongs to another configuration."""
        self.member.load_state(tensors, card)
        self.load_weights(tensors)
        load_optimizer_tensors(self.optimizer, under("optimizer", tensors))
        if self.average is not None:
            self.average.load(under("average", tensors))

    def averaged(self) -> AbstractContextManager[None]:
        """Put the averaged weights into the model inside the block, where there are any: dev is scored with them."""
        return nullcontext() if self.average is None else self.average.in_place()

    # -- parts -------------------------------------------------------------------------------------------------

    @property
    def _uses_curriculum(self) -> bool:
        contrastive = self.config.loss.contrastive
        return isinstance(contrastive, SPCLConfig) and contrastive.curriculum

    @property
    def _in_stage_two(self) -> bool:
        return self.objective.stage_two_epochs > 0 and self.epoch >= self.stage_one_epochs

    def _further_scores(self, scores: AnyScores) -> Row:
        """Score dev with each modality left out, to see how much the others carry; {} for a single modality."""
        dev = self.data.dev
        if not isinstance(dev, FusedSplit) or len(dev.parts) == 1:
            return {}
        without = {modality: self.predict(replace(dev, dropped=frozenset({modality}))) for modality in dev.parts}
        return scores_without({modality: self.scores(logits, dev) for modality, logits in without.items()})

    def _trainable_rows(self) -> np.ndarray:
        rows_N = self.data.train.present_rows
        if not len(rows_N):
            raise MerError("training split", "not one of its clips could be read", then="python -m mer.data check ROOT")
        return rows_N

    def _connect_draws(self) -> dict[str, Draws]:
        """Let dropout layers and pools draw from numbers that belong to the trial alone, by the name of their owner."""
        draws = Draws(device=self.device)
        draw_masks_from(self.model, draws)
        self.objective.draws = draws
        return {"": draws}

    def _build_model(self) -> Any:
        width, classes = self.data.train.width, len(self.data.class_names)
        return build_model(self.config, layers=self.layers, width=width, classes=classes, base=self.data.base)

    def _fit_unit(self) -> None:
        """Let a model of numbers know their unit."""
        known = self.known_of(self.data.train)
        if isinstance(known, Spread):
            self.model.fit_unit(known.mean_T, known.scale_T)

    def _build_objective(self) -> Objective:
        known = self.known_of(self.data.train)
        if not isinstance(known, Tensor):
            return build_target_objective(self.config.loss, known)
        return build_objective(
            self.config.loss, width=self.model.width, counts_C=known, anchors_CD=self._label_text_h()
        )

    def known_of(self, part: Split) -> Known:
        """Say what losses must know of the labels that are trained on."""
        rows_N = part.present_rows if isinstance(part, FusedSplit) else part.labelled_rows
        return known_of(part.labels_N[rows_N], len(self.data.class_names), self.config.data.task)

    def _whole_dialogues(self) -> DialogueBatches | None:
        """Build batches of whole dialogues, where the model reads dialogues; else None."""
        if not self.config.reads_dialogues:
            return None
        dialogue_N = getattr(self.data.train, "dialogue_N", None)
        if dialogue_N is None:
            raise MerError(
                "dialogue", "the data do not say which dialogue a row is of", then="set FusedSplit.dialogue_N"
            )
        return DialogueBatches(dialogue_N, self.train_rows, self.config.optim.batch_size)

    def _parameter_groups(self) -> dict[str, tuple[float, Iterable[nn.Parameter]]]:
        """Return the optimiser's groups: name -> (learning rate, parameters)."""
        rate, contrastive = self.config.optim.head_lr, self.config.loss.contrastive
        rates = {"anchors": contrastive.stage_two_lr} if isinstance(contrastive, EACLConfig) else {}
        own = self.objective.parameter_groups()
        return {"head": (rate, self.model.head_parameters())} | {n: (rates.get(n, rate), own[n]) for n in own}

    def _clipped_together(self) -> dict[str, list[nn.Parameter]]:
        """Return which parameters share a gradient norm, by the name of the norm."""
        return {"grad_norm": [p for group in self.optimizer.param_groups for p in group["params"]]}

    def _label_text(self) -> Tensor | None:
        """Return features of the label words (C, L, D), where the loss asks for them; else None."""
        contrastive = self.config.loss.contrastive
        wanted = contrastive.kind == "eacl" or getattr(contrastive, "proto_init", "") == "label_text"
        if not wanted:
            return None
        if self.data.label_text_CLD is None:
            raise MerError("loss.contrastive", f"kind {contrastive.kind!r} needs label words, which only text has")
        layers = self.layers["text"] if isinstance(self.layers, dict) else self.layers
        return torch.from_numpy(self.data.label_text_CLD[:, layers].astype(np.float32)).to(self.device)

    @torch.no_grad()
    def _label_text_h(self) -> Tensor | None:
        if self.words_CLD is None:
            return None
        self.model.eval()
        return self.model.represent(self.words_CLD.cpu())

    def _anchors(self) -> Tensor | None:
        """Represent the label words by the same model as the utterances (C, H); EACL only."""
        if self.config.loss.contrastive.kind != "eacl" or self.words_CLD is None:
            return None
        with self.draws[""].beside(WORDS):
            return self.model.represent(self.words_CLD)


def non_finite(name: str, number: float, *, step: int, epoch: int) -> TrialFailed:
    """Build the failure of a trial whose loss or gradient norm is not finite; step and epoch count from 1."""
    return TrialFailed(f"the {name} became {number} at step {step} (epoch {epoch})")


def non_finite_scores(*, step: int, epoch: int) -> TrialFailed:
    """Build the failure of a trial whose class scores of dev are not finite."""
    return TrialFailed(f"class scores of the dev split are not finite after step {step} (epoch {epoch})")


def scores_without(scores: Mapping[str, AnyScores]) -> Row:
    """Say what dev scores with each modality left out.

    Args: scores: modality -> scores without it.
    """
    return {f"dev_{of.main}_without_{modality}": float(getattr(of, of.main)) for modality, of in scores.items()}


def stretch_of(seed: int, epoch: int, owner: str = "") -> tuple[object, ...]:
    """The name of the random stretch of an epoch, counted from 0; a student of several has one of its own."""
    return (seed, "epoch", epoch, owner) if owner else (seed, "epoch", epoch)


def _means(losses: list[dict[str, float]]) -> Row:
    """Average over an epoch's steps; a step without a term (a modality absent from its batch) is left out of that."""
    names = dict.fromkeys(name for loss in losses for name in loss)
    told = {name: np.array([loss[name] for loss in losses if name in loss]) for name in names}
    return mean_of_steps(told)


def mean_of_steps(told: Mapping[str, np.ndarray]) -> Row:
    """Average each number over the steps that have it: the others hold NaN. A number that no step has is left out.

    Args: told: name -> numbers of the steps of an epoch.
    """
    present = {name: values[~np.isnan(values)] for name, values in told.items()}
    return {f"train_{name}": float(values.mean()) for name, values in present.items() if len(values)}
