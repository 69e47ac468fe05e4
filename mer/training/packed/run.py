"""Train several trials of one shape, an epoch of each at a time, as one program.

Every member is an ordinary TrainingRun: it holds its model, objective, optimiser, history and best epoch, and writes
and reads its own checkpoints. The pack steps them together on stacked tensors that share the members' memory. Random
numbers belong to the member (`mer.training.draws`), so what a member becomes depends neither on the size of the pack
nor on who else is in it. Members may be at different epochs; one leaves or joins between epochs, by making a new pack.

Shape suffixes: S steps of an epoch, P members, B batch rows, N rows of a split, H width of h, C classes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mer.errors import TrialFailed
from mer.training.draws import stretch_of
from mer.training.epoch_row import mean_of_steps, non_finite, non_finite_scores, scores_without
from mer.training.member import Row
from mer.training.packed.scoring import PackedScoring, packed_rows
from mer.training.packed.shape import shape_of
from mer.training.packed.stepped import Stepped
from mer.training.run import TrainingRun
from mer.training.scores import AnyScores
from mer.training.seeding import seeded

Ending = Row | TrialFailed  # of one member's epoch


class Pack(Stepped):
    """Step P runs together.

    Args: runs: of one shape, on one device, over the same utterances; they share memory with the pack from now on.
    Raises: ValueError when they have no common shape.
    """

    def __init__(self, runs: Sequence[TrainingRun]) -> None:
        if len({shape_of(run.config).key for run in runs}) != 1 or not shape_of(runs[0].config).is_packable:
            raise ValueError("the runs of a pack have one shape that can be packed")
        self.runs, self.device = list(runs), runs[0].device
        self._join()

    def _join(self) -> None:
        """Make one program of the runs' models, objectives, optimisers and rows."""
        runs = self.runs
        self.join_weights(runs)
        self.train = packed_rows(runs, [run.data.train for run in runs], self.device)
        dev = packed_rows(runs, [run.data.dev for run in runs], self.device)
        self.scoring = PackedScoring(runs, self.model, self.objective, self.train, dev)

    # -- the loop ----------------------------------------------------------------------------------------------

    def train_epoch(self) -> list[Ending]:
        """Train each member's next epoch and score dev; remember best weights and rows in the members.

        Returns: each member's row, or why it failed; a failed member has no further row.
        """
        started = time.perf_counter()
        told, last_rates = self._train()
        return self.scored(told, last_rates, started)

    def scored(self, told: Sequence[dict[str, Tensor]], last_rates: Sequence[float], started: float) -> list[Ending]:
        """Score dev after the steps of an epoch; returns as `train_epoch`.

        Args:
            told: what each step returned.
            last_rates: learning rate of each member in the last step.
            started: when the epoch began, as `time.perf_counter` counts.
        """
        losses = {name: torch.stack([parts[name] for parts in told]).double().cpu().numpy() for name in told[0]}
        with contextlib.ExitStack() as stack:
            for run in self.runs:
                run.end_steps()
                stack.enter_context(run.averaged())
            logits_PNC = self._dev_scores()
            endings = [self._end_epoch(k, logits_PNC[k], losses, last_rates[k], started) for k in range(len(self.runs))]
        return endings

    def _train(self) -> tuple[list[dict[str, Tensor]], list[float]]:
        """Take the steps of an epoch; return loss, gradient norm and loss parts (P,) of each, and the last rates."""
        batches, rates = self.begin()
        told = [self.step(rows_PB, rates[step], step) for step, rows_PB in enumerate(batches)]
        self.optimizer.settle()
        return told, rates[-1].tolist()

    def begin(self) -> tuple[list[Tensor], Tensor]:
        """Begin the members' next epoch: return the rows of each step (P, B), and the learning rates (steps, P)."""
        batches = [torch.from_numpy(rows_PB).to(self.device) for rows_PB in self._drawn_rows()]
        self.draws.begin([stretch_of(run.config.seed, run.epoch) for run in self.runs], len(batches))
        if self.objective.needs_centers:
            self.objective.start_epoch(self.scoring.centers())
        return batches, self._rates([run.config.optim.head_lr for run in self.runs], len(batches))

    def anchors(self) -> Tensor | None:
        return self.scoring.anchors(self.draws)

    def _drawn_rows(self) -> list[np.ndarray]:
        """Draw the rows of each step of the members' next epoch, (P, B)."""
        drawn = []
        for run in self.runs:
            with seeded(run.config.seed, "epoch", run.epoch):
                drawn.append(run.batches.divide(run.batches.rows()))
        return [np.stack(rows) for rows in zip(*drawn, strict=True)]

    def _rates(self, base_P: Sequence[float], steps: int) -> Tensor:
        """Return the learning rates of an epoch's steps (steps, P), float64 on the device."""
        rates = [
            [
                base * run.rate_share(run.step_count + step, (step + 1) / steps)
                for base, run in zip(base_P, self.runs, strict=True)
            ]
            for step in range(steps)
        ]
        return torch.tensor(rates, dtype=torch.float64, device=self.device)

    def _end_epoch(
        self, k: int, logits_NC: np.ndarray, losses: dict[str, np.ndarray], rate: float, started: float
    ) -> Ending:
        """Make the row of one member and keep it there; or return its failure."""
        run = self.runs[k]
        told = {name: values_SP[:, k] for name, values_SP in losses.items()}
        there = {name: self._happened(name, values_S, k) for name, values_S in told.items()}
        if failure := self._failure(run, told, there):
            return failure
        if not np.isfinite(logits_NC).all():
            return non_finite_scores(step=run.step_count, epoch=run.epoch + 1)
        scores = run.scores(logits_NC, run.data.dev)
        happened = {name: np.where(there[name], values_S, np.nan) for name, values_S in told.items()}
        row = {
            "epoch": float(run.epoch + 1),
            **scores.as_metrics("dev"),
            **self._further_scores(k, scores),
            **mean_of_steps(happened),
            "learning_rate": rate,
            "seconds": (time.perf_counter() - started) / len(self.runs),
            "timestamp_ms": float(time.time_ns() // 1_000_000),
        }
        if run.member.improves(row):
            run.member.keep(row, run.weights(), logits_NC)
        run.member.add(row)
        return row

    def _happened(self, name: str, values_S: np.ndarray, k: int) -> np.ndarray:
        """Say in which of an epoch's steps member k had a loss part or a gradient norm of that name, bool (steps,)."""
        watched = name == "loss" or name.startswith("grad_norm")  # there, NaN is a failure
        return np.ones(len(values_S), dtype=bool) if watched else ~np.isnan(values_S)

    def _failure(
        self, run: TrainingRun, told: dict[str, np.ndarray], there: dict[str, np.ndarray]
    ) -> TrialFailed | None:
        """Return the failure of a member whose loss or gradient norm was not finite in some step."""
        watched = [name for name in told if name == "loss" or name.startswith("grad_norm")]
        wrong = [(step, name) for name in watched for step in np.flatnonzero(~np.isfinite(told[name]) & there[name])]
        if not wrong:
            return None
        step, name = min(wrong, key=lambda found: (found[0], watched.index(found[1])))
        count = run.step_count - len(told["loss"]) + int(step) + 1
        return non_finite(name.replace("grad_norm", "gradient norm"), told[name][step], step=count, epoch=run.epoch + 1)

    # -- scores ------------------------------------------------------------------------------------------------

    def _dev_scores(self) -> np.ndarray:
        """Compute class scores of dev for every member, (P, N, C) float32."""
        logits_PNC, self.without = self.scoring.dev_scores()
        return logits_PNC

    def _further_scores(self, k: int, scores: AnyScores) -> Row:
        """Return what else the row of member k says of the dev split, whose class scores were just computed."""
        run = self.runs[k]
        without = {modality: run.scores(logits_PNC[k], run.data.dev) for modality, logits_PNC in self.without.items()}
        return scores_without(without)
