"""Training of students from a teacher, one modality or several merged into one run (methods 4.6).

Students share no weights, and the fused head reads their h. With `distill.mode: parallel` it reads h detached, so no
gradient of one part reaches another. Since every student also has its own random stream, learning rates, gradient norm
and best epoch, the merged run and a run of that student alone give it the same weights, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from mer.checkpoints.tensors import prefixed
from mer.config import TrialConfig
from mer.errors import MerError
from mer.losses import (
    Distillation,
    Lesson,
    Objective,
    Outputs,
    Spread,
    StudentObjective,
    StudentsObjective,
    build_objective,
    build_target_objective,
)
from mer.losses.review import Review
from mer.models import UtteranceClassifier
from mer.models.dropout import draw_masks_from
from mer.models.students import StudentsClassifier
from mer.training.data import Chunk, FusedSplit, Layers, Part, Split, TrainingData
from mer.training.draws import Draws
from mer.training.labels import has_label, units_of
from mer.training.member import Row
from mer.training.run import TrainingRun
from mer.training.scores import AnyScores
from mer.training.scoring import class_scores
from mer.training.seeding import Streams, seeded


class DistillationRun(TrainingRun):
    """A TrainingRun with a teacher, whose outputs are in `data.teacher`: no teacher runs here.

    Every row of the training split is drawn, whichever modalities it has, so that all students see the same order; or
    every dialogue, with a dialogue encoder in each student. Each student learns from the rows that have its modality.
    """

    def __init__(self, config: TrialConfig, data: TrainingData, layers: Layers, device: str = "cpu") -> None:
        assert config.distill is not None
        self.distill = config.distill
        self.modalities = tuple(config.encoders.present)
        self.streams = Streams(device)
        if self.distill.source == "teacher" and set(data.teacher) != {"train", "dev"}:
            raise MerError("distill.teacher", "the outputs of the teacher are not there", allowed="train and dev")
        super().__init__(config, data, layers, device)

    # -- one step ----------------------------------------------------------------------------------------------

    def _begin_epoch(self) -> list[np.ndarray]:
        batches = super()._begin_epoch()
        self.streams.restart(self.config.seed, "epoch", self.epoch)
        return batches

    def _answer(self, rows_B: np.ndarray) -> tuple[Outputs | None, Tensor]:
        split = self.data.train
        there_BM = np.stack([_present(part, rows_B) for part in self.parts_of(split).values()], axis=1)
        there_BM &= has_label(split.labels_N[rows_B])[:, None]
        kept_B = there_BM.any(axis=1)
        labels_N = torch.from_numpy(split.labels_N[rows_B[kept_B]]).to(self.device)
        if not len(labels_N):
            return None, labels_N
        students = {
            modality: self._student_answer(modality, rows_B, there_BM[:, i])
            for i, modality in enumerate(self.modalities)
            if there_BM[:, i].any()
        }
        if not self.is_merged:
            return students[self.modalities[0]], labels_N
        present_NM = torch.from_numpy(there_BM[kept_B]).to(self.device)
        fused = self._fused_answer(students, present_NM)
        taught = {
            modality: (present_NM[:, i], self._taught(students[modality], fused, present_NM[:, i]))
            for i, modality in enumerate(self.modalities)
            if modality in students
        }
        return fused._replace(students=taught), labels_N

    def _student_answer(self, modality: str, rows_B: np.ndarray, there_B: np.ndarray) -> Outputs:
        """Compute one student's outputs for rows that have its modality, with the teacher's outputs for them.

        A student that reads dialogues is given all their rows: the others read those that have no outputs.
        """
        student, own = self.student(modality), rows_B[there_B]
        if not self.config.reads_dialogues:
            x, _ = self.parts_of(self.data.train)[modality].batch(own, self.layers_of(modality), self.device)
            with self.streams.use(modality):
                h_NH, logits_NC, states = student.staged(x, self.distill.review_parts)
            return Outputs(h_NH, logits_NC, lesson=self._lesson(own), states_NSPD=states)
        split = self.data.train
        assert isinstance(split, FusedSplit)
        whole, _ = split.only(modality).batch(rows_B, {modality: self.layers_of(modality)}, self.device)
        with self.streams.use(modality):
            h_BH, logits_BC, states = student.staged(whole, self.distill.review_parts)
        counted_B = torch.from_numpy(there_B).to(self.device)
        states_NSPD = None if states is None else states[counted_B]
        return Outputs(h_BH[counted_B], logits_BC[counted_B], lesson=self._lesson(own), states_NSPD=states_NSPD)

    def _fused_answer(self, students: dict[str, Outputs], present_BM: Tensor) -> Outputs:
        """Compute the fused head's outputs from the students' h, detached if its loss must not reach them."""
        assert isinstance(self.model, StudentsClassifier)
        parts, some_BH = {}, next(iter(students.values())).h_ND
        for i, modality in enumerate(self.modalities):
            parts[modality] = some_BH.new_zeros(len(present_BM), self.student(modality).width)
            if modality in students:
                h_BH = students[modality].h_ND
                parts[modality] = parts[modality].masked_scatter(
                    present_BM[:, i, None], h_BH if self.fusion_reaches_students else h_BH.detach()
                )
        with self.streams.use("fusion"):
            h_BH, logits_BC = self.model.scored(self.model.join(parts, present_BM))
        return Outputs(h_BH, logits_BC)

    def _lesson(self, rows_B: np.ndarray) -> Lesson | None:
        if self.distill.source == "fused":
            return None
        told = self.data.teacher["train"]
        copied = {
            name: torch.from_numpy(array[rows_B]).to(self.device)
            for name in ("logits_NC", "h_NK", "present_N", "states_NSPK", "staged_N")
            if (array := getattr(told, name)) is not None
        }
        return Lesson(
            copied["logits_NC"],
            copied["h_NK"],
            copied.get("present_N"),
            self.share(self.step_count),
            copied.get("states_NSPK"),
            copied.get("staged_N"),
        )

    def _taught(self, student: Outputs, fused: Outputs, there_B: Tensor) -> Outputs:
        """Add the fused head's outputs as the lesson in self-distillation; otherwise return the student's unchanged."""
        if self.distill.source == "teacher":
            return student
        return student._replace(lesson=Lesson(fused.logits_NC.detach()[there_B], share=self.share(self.step_count)))

    @property
    def fusion_reaches_students(self) -> bool:
        """True when the fused head's loss trains the students too, in the present epoch."""
        return self.distill.mode == "joint" and self.epoch >= self.distill.warm_epochs

    def share(self, step_count: int) -> float:
        """Return the warm-up factor in (0, 1] of the distillation losses: it rises to 1 over `warmup_steps`."""
        return min(1.0, (step_count + 1) / max(1, self.distill.warmup_steps))

    # -- parts -------------------------------------------------------------------------------------------------

    def _connect_draws(self) -> dict[str, Draws]:
        """Each student draws from numbers of its own: the same ones alone and beside others."""
        draws = super()._connect_draws()
        for modality in self.modalities:
            draws[modality] = Draws(device=self.device)
            draw_masks_from(self.student(modality), draws[modality])
        return draws

    @property
    def is_merged(self) -> bool:
        return len(self.modalities) > 1

    def student(self, modality: str) -> UtteranceClassifier:
        return self.model.student(modality) if self.is_merged else self.model

    def student_objective(self, modality: str) -> StudentObjective:
        whole = self.objective
        found = whole.student(modality) if isinstance(whole, StudentsObjective) else whole
        assert isinstance(found, StudentObjective)
        return found

    def layers_of(self, modality: str) -> list[int]:
        return self.layers[modality] if isinstance(self.layers, dict) else self.layers

    def parts_of(self, split: Split) -> Mapping[str, Part]:
        return split.parts if isinstance(split, FusedSplit) else {self.modalities[0]: split}

    def _trainable_rows(self) -> np.ndarray:
        super()._trainable_rows()  # raises if no row of the split is readable
        return np.arange(len(self.data.train))

    def _build_objective(self) -> Objective:
        students = {modality: self._build_student_objective(modality) for modality in self.modalities}
        if not self.is_merged:
            return students[self.modalities[0]]
        known = self.known_of(self.data.train)
        if isinstance(known, Tensor):
            fused = Objective(self.config.loss, known)
        else:
            fused = build_target_objective(self.config.loss, known)
        return StudentsObjective(self.distill, fused, students)

    def _build_student_objective(self, modality: str) -> StudentObjective:
        student, known = self.student(modality), self.known_of(self.parts_of(self.data.train)[modality])
        teacher_width = self.data.teacher["train"].h_NK.shape[1] if self.data.teacher else None
        with seeded(self.config.seed, "initialisation of the objective", modality):
            if isinstance(known, Tensor):
                base = build_objective(self.config.loss, width=student.width, counts_C=known)
            else:
                base = build_target_objective(self.config.loss, known)
            review = self._build_review(self.parts_of(self.data.train)[modality].width)
            distillation = Distillation(self.distill, student.width, teacher_width, review, units_of(known))
            return StudentObjective(base, distillation)

    def _build_review(self, width: int) -> Review | None:
        """Build the loss of a student's hidden states. Args: width: of these."""
        if self.distill.feature != "review":
            return None
        states_NSPK = self.data.teacher["train"].states_NSPK
        if states_NSPK is None:
            raise MerError("distill.teacher", "the hidden states of the teacher are not there")
        return Review(self.config.review_stages, width, states_NSPK.shape[-1])

    def _fit_unit(self) -> None:
        """Let each student know the unit of the rows that it reads, as it would alone; the fused head that of all."""
        if self.is_merged:
            super()._fit_unit()
        for modality, part in self.parts_of(self.data.train).items():
            if isinstance(known := self.known_of(part), Spread):
                self.student(modality).fit_unit(known.mean_T, known.scale_T)

    def _parameter_groups(self) -> dict[str, tuple[float, Iterable[nn.Parameter]]]:
        """Group parameters by owner: each student's weights and projection; the rest is the fusion's."""
        usual = self.config.optim.head_lr
        groups: dict[str, tuple[float, Iterable[nn.Parameter]]] = {}
        for modality in self.modalities:
            rate = self.distill.student(modality).head_lr or usual
            objective = self.student_objective(modality)
            groups[modality] = (rate, self.student(modality).head_parameters())
            groups |= {f"{modality}_{name}": (rate, own) for name, own in objective.parameter_groups().items()}
        if self.is_merged:
            rest = [p for name, p in self.model.named_parameters() if not name.startswith("students.")]
            groups["fusion"] = (usual, rest)
        return groups

    def _clipped_together(self) -> dict[str, list[nn.Parameter]]:
        """Clip each student by itself: one common norm would couple their steps."""
        owners: dict[str, list[nn.Parameter]] = {}
        for group in self.optimizer.param_groups:
            owner = group["name"].split("_")[0]
            learns = [p for p in group["params"] if p.grad is not None]  # none if the batch had no row for this owner
            owners.setdefault(f"grad_norm_{owner}" if self.is_merged else "grad_norm", []).extend(learns)
        return {name: parameters for name, parameters in owners.items() if parameters}

    # -- scores ------------------------------------------------------------------------------------------------

    def _further_scores(self, scores: AnyScores) -> Row:
        """Add each student's dev scores, and how often it predicts the teacher's class."""
        if not self.is_merged:
            return self.agreement("", scores)
        row = super()._further_scores(scores)
        for modality in self.modalities:
            row |= self.student_row(modality, self._student_scores(modality))
        return row

    def student_row(self, modality: str, scores: AnyScores) -> Row:
        """Return what a row says of one student's dev scores, and keep the student if they are its best."""
        self._keep_student_if_best(modality, scores)
        main = {f"dev_{scores.main}_{modality}": float(getattr(scores, scores.main))}
        return main | self.agreement(f"_{modality}", scores)

    def _student_scores(self, modality: str) -> AnyScores:
        dev, layers = self.data.dev, self.layers_of(modality)
        chunks: Iterable[Chunk]
        if self.config.reads_dialogues:
            assert isinstance(dev, FusedSplit)
            chunks = dev.only(modality).chunks({modality: layers}, self.device)
        else:
            chunks = self.parts_of(dev)[modality].chunks(layers, self.device)
        logits_NC = class_scores(self.config, self.student(modality), None, None, chunks)
        return self.scores(logits_NC, dev)

    def agreement(self, suffix: str, scores: AnyScores) -> Row:
        """Say how well these dev scores agree with the teacher's: how often on the class; {} without a teacher."""
        if not self.data.teacher:
            return {}
        return {f"dev_teacher_agreement{suffix}": scores.agreement(self.data.teacher["dev"].logits_NC)}

    def _keep_student_if_best(self, modality: str, scores: AnyScores) -> None:
        """Keep the student at its own best epoch, as a run of its own would."""
        row = {"epoch": float(self.epoch + 1), **scores.as_metrics("dev")}
        if self.member.improves(row, modality):
            weights = prefixed("model", self.student(modality).state_dict())
            weights |= prefixed("objective", self.student_objective(modality).state_dict())
            self.member.keep(row, weights, scores.logits_NC, modality)


def _present(part: Part, rows_B: np.ndarray) -> np.ndarray:
    return np.ones(len(rows_B), dtype=bool) if part.present_N is None else part.present_N[rows_B]
