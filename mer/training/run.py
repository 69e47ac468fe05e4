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
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer.config import EACLConfig, TrialConfig
from mer.errors import MerError
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
from mer.training.averaging import average_of, first_walked, swa_share
from mer.training.batches import EpochBatches
from mer.training.data import FusedBatch, FusedSplit, Layers, Split, TrainingData
from mer.training.draws import WORDS, Draws, stretch_of
from mer.training.epoch_row import by_name, mean_of_steps, non_finite, non_finite_scores, scores_without
from mer.training.labels import has_label, known_of
from mer.training.member import Member, Row
from mer.training.optimizer import build_optimizer, rate_multiplier, set_learning_rate
from mer.training.scores import AnyScores, scores_of
from mer.training.scoring import build_model, class_scores
from mer.training.seeding import seeded
from mer.training.state import TrainingState
from mer.training.unimodal import unimodal_teacher


class TrainingRun(TrainingState):
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
        self._position = 1.0
        self.optimizer = build_optimizer(config, self._parameter_groups())
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.batches = EpochBatches(config, data.train, self.train_rows)
        self.unimodal = unimodal_teacher(config, data.train, len(data.class_names), device)
        self.stage_one_epochs = config.training.epochs - self.objective.stage_two_epochs
        self.average = average_of(trained, config.optim, self.stage_one_epochs)
        self.total_steps = self.stage_one_epochs * self.batches.steps  # of the schedule: stage two's rate is constant

    # -- the loop ----------------------------------------------------------------------------------------------

    @property
    def patience_from(self) -> int:
        """Epoch after which `training.patience` counts, so that it never skips a stage two, nor the walk of SWA."""
        if self.objective.stage_two_epochs:
            return self.stage_one_epochs
        return first_walked(self.config.optim.swa, self.stage_one_epochs) or 0

    @property
    def finished(self) -> bool:
        """True at the last epoch, or after `patience` epochs without a dev gain."""
        return self.member.is_done(self.patience_from)

    def train_epoch(self) -> Row:
        """Train one epoch, score dev, remember the best weights. Raises TrialFailed on a non-finite loss."""
        started = time.perf_counter()
        with seeded(self.config.seed, "epoch", self.epoch, device=self.device):
            batches = self._begin_epoch()
            losses = [self._step(rows_B) for rows_B in self._numbered(batches)]
            self.end_steps()
            with self.averaged():
                scores = self.evaluate(self.data.dev)
                row = {
                    "epoch": float(self.epoch + 1),
                    **scores.as_metrics("dev"),  # first: MLflow's pages show metrics in this order
                    **self._further_scores(scores),
                    **mean_of_steps(by_name(losses)),
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
            self._position = (step + 1) / len(batches)
            yield rows_B

    def _begin_draws(self, steps: int) -> None:
        for owner, draws in self.draws.items():
            draws.begin([stretch_of(self.config.seed, self.epoch, owner)], steps)

    def _step(self, rows_B: np.ndarray) -> dict[str, float]:
        """Update the weights once on the given training rows; return loss parts and gradient norm."""
        set_learning_rate(self.optimizer, self.rate_share(self.step_count, self._position))
        outputs, y_B = self._answer(rows_B)
        if outputs is None:  # nothing of these rows can be read
            self.count_step()
            return {}
        loss, parts = self.objective(outputs, y_B)
        further, shown = self._further_losses(rows_B, y_B)
        if (adversarial := self.config.loss.adversarial).weight:
            parts["adversarial"] = self._loss_when_moved(outputs, y_B, loss)
            loss = loss + adversarial.weight * parts["adversarial"]
        loss = sum(further.values(), loss)
        values = {"loss": self._finite("loss", loss)}
        self.optimizer.zero_grad(set_to_none=True)
        self._backward(loss)
        clip = self.config.optim.clip_norm
        norms = {name: nn.utils.clip_grad_norm_(own, clip) for name, own in self._clipped_together().items()}
        values |= self._update(norms)
        self.objective.after_step(outputs, y_B)
        if self.unimodal is not None:
            self.unimodal.after_step(self.epoch + 1)
        self.count_step()
        values |= {f"loss_{name}": part.item() for name, part in parts.items()}
        return values | {name: value.item() for name, value in shown.items()}

    def _further_losses(self, rows_B: np.ndarray, y_B: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the weighted losses that stand beside the objective's, and numbers to log."""
        taught: dict[str, Tensor] = {}
        told: dict[str, Tensor] = {}
        if self.unimodal is not None:
            taught, told = self.unimodal.losses(rows_B, *self.model.last)
        further, shown = self.model.auxiliary(y_B)
        return further | taught, shown | told

    def _backward(self, loss: Tensor) -> None:
        loss.backward()

    def _update(self, norms: Mapping[str, Tensor]) -> dict[str, float]:
        """Step the optimiser; return the gradient norms as numbers. Raises: TrialFailed for one that is not finite."""
        told = {name: self._finite(name.replace("grad_norm", "gradient norm"), norm) for name, norm in norms.items()}
        self.optimizer.step()
        return told

    def _loss_when_moved(self, outputs: Outputs, y_B: Tensor, loss: Tensor) -> Tensor:
        """Take the objective's loss once more, at h moved against the model."""
        h_BH = worsened(loss, outputs.h_ND, self.config.loss.adversarial.epsilon)
        moved: Tensor = self.objective(outputs._replace(h_ND=h_BH, logits_NC=self.model.classify(h_BH)), y_B)[0]
        return moved

    def rate_share(self, step: int, position: float) -> float:
        """Return the share of the base learning rates at a step of the trial (0-based).

        Args: position: of the step in the present epoch, in (0, 1].
        """
        optim = self.config.optim
        share = swa_share(optim.swa, self.epoch, position, self.stage_one_epochs)
        return rate_multiplier(step, self.total_steps, optim) if share is None else share

    def _answer(self, rows_B: np.ndarray) -> tuple[Outputs | None, Tensor]:
        """Run the model on the given training rows; return its outputs and labels for those that it could read."""
        x_BLD, y_B = self.data.train.batch(rows_B, self.layers, self.device)
        there_B = None
        if isinstance(x_BLD, FusedBatch) and x_BLD.dialogue_B is not None:  # others read these rows: no loss
            there_B = x_BLD.present_BM.any(dim=1) & has_label(y_B)
            if not there_B.all():
                x_BLD = x_BLD._replace(counted_B=there_B)
        h_BH, logits_BC = self.model(x_BLD)
        if there_B is not None and not there_B.all():
            h_BH, logits_BC, y_B = h_BH[there_B], logits_BC[there_B], y_B[there_B]
            if (
                self.config.loss.adversarial.weight
            ):  # its gradient is that of the rows that count: scores must follow them
                logits_BC = self.model.classify(h_BH)
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
        rows_N = self.batches.rows()
        if self.objective.needs_centers:
            h_NH, centers_CH = self._training_representations()
            self.objective.start_epoch(centers_CH)
            if self.batches.has_curriculum:
                rows_N = self.batches.kept_rows(self._curriculum(h_NH, centers_CH))
        return self.batches.divide(rows_N)

    def _curriculum(self, h_NH: Tensor, centers_CH: Tensor) -> Tensor:
        """Compute the probability (N,) with which this epoch keeps each row that is trained on."""
        labels_N = torch.tensor(self.data.train.labels_N[self.train_rows])
        return curriculum_keep_probability(
            h_NH.cpu(), labels_N, centers_CH.cpu(), epoch=self.epoch, epochs=self.config.training.epochs
        )

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

    # -- parts -------------------------------------------------------------------------------------------------

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
