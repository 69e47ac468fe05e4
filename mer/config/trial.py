"""The configuration of one trial, and the checks that its parts go together."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, model_serializer, model_validator

from mer.config.base import RECORDED, Frozen, is_recorded
from mer.config.data import DataConfig
from mer.config.dialogue import AttentionDialogue, Dialogue, NoDialogue
from mer.config.distill import DistillConfig
from mer.config.encoders import EncoderConfig, EncodersConfig, has_weights, is_given
from mer.config.fusion import Fusion
from mer.config.losses import EACLConfig, HeadConfig, LossConfig, SPCLConfig
from mer.config.states import unfit_for_states
from mer.config.task import unfit_for_task, with_metric_of_task
from mer.config.training import OptimConfig, TrainingConfig


class TrialConfig(Frozen):
    """Everything but the data that decides a trial's numbers."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="random seed of initialisation, batches and dropout"
    )
    data: DataConfig = DataConfig()
    encoders: EncodersConfig = EncodersConfig()
    fusion: Fusion | None = Field(None, description="how the features of several encoders become one vector")
    distill: DistillConfig | None = Field(None, description="knowledge distillation from a teacher")
    dialogue: Dialogue = Field(NoDialogue(), description="how an utterance reads others of its dialogue")
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    training: TrainingConfig = TrainingConfig()

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out parts that are absent, so that a configuration without them keeps its hash."""
        absent = {"fusion": None, "dialogue": {"kind": "none"}, "distill": None}
        return {name: value for name, value in dump(self).items() if name not in absent or value != absent[name]}

    @classmethod
    def recorded(cls, data: Any) -> Self:
        """Read the configuration of a trial that was trained, maybe by an older version that refused less."""
        return cls.model_validate(data, context=RECORDED)

    @model_validator(mode="before")
    @classmethod
    def _has_a_metric(cls, data: Any) -> Any:
        return with_metric_of_task(data)

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        if unfit := unfit_for_task(self.data.task, self.loss, self.distill, self.training):
            raise ValueError(unfit)
        if unfit := unfit_for_states(self.encoders.present, self.fusion, self.distill, self.head, self.loss):
            raise ValueError(unfit)
        return self

    @property
    def keeps_states(self) -> bool:
        """True when the model is given states of tokens or steps of time, of at least one modality (pooler none)."""
        return any(encoder.keeps_states for encoder in self.encoders.present.values())

    @property
    def tuned(self) -> dict[str, EncoderConfig]:
        """Encoders in mode lora or full, by modality."""
        return {name: encoder for name, encoder in self.encoders.present.items() if encoder.mode != "frozen"}

    @property
    def reads_dialogues(self) -> bool:
        """True when utterances are read and trained on in whole dialogues."""
        return self.dialogue.kind != "none"

    @property
    def reads_speakers(self) -> bool:
        """True when the model is told which turns of a dialogue are of one speaker."""
        return getattr(self.dialogue, "speakers", "none") != "none"

    @property
    def reads_tables_together(self) -> bool:
        """True for batches of several parts: of several modalities, or of whole dialogues."""
        return len(self.encoders.present) > 1 or self.reads_dialogues

    @model_validator(mode="after")
    def _fusion_joins_encoders(self) -> Self:
        there = self.encoders.present
        if self.fusion is not None and len(there) == 1:
            raise ValueError(f"fusion joins several encoders; there is one ({', '.join(there)})")
        if self.fusion is not None and self.fusion.kind == "late" and self.loss.contrastive.kind != "none":
            raise ValueError("fusion.kind 'late' averages class scores and has no h for a contrastive loss")
        if self.fusion is not None and self.fusion.kind == "self_mm" and self.distill is not None:
            raise ValueError(
                "fusion.kind 'self_mm' makes labels for each modality, and with distill a teacher teaches them: "
                "choose another kind"
            )
        return self

    @model_validator(mode="after")
    def _students_can_learn(self, info: ValidationInfo) -> Self:
        if self.distill is None:
            return self
        if self.data.folds is not None:
            raise ValueError(
                "data.folds has no place beside distill: a teacher has seen rows that are test in some fold. Remove "
                "one of the two"
            )
        several, contrastive = len(self.encoders.present) > 1, self.loss.contrastive
        if several and self.fusion is None:
            raise ValueError("distill with several encoders needs a fusion that joins the students, e.g. concat")
        if not several and self.distill.source == "fused":
            raise ValueError("distill.source 'fused' needs several encoders and a fusion")
        if contrastive.kind not in ("none", "supcon", "apcl") or getattr(contrastive, "proto_init", "") == "label_text":
            raise ValueError(
                f"loss.contrastive.kind '{contrastive.kind}' reads more than its batch: students take none, supcon, or "
                "apcl with proto_init: orthogonal"
            )
        untrained = (
            several and self.loss.classification.probe and self.fusion is not None and self.fusion.kind != "late"
        )
        if untrained and not is_recorded(info):
            raise ValueError(
                "loss.classification.probe must be false beside distill with several encoders: the fused head learns "
                "by its classification loss alone, and no gradient of it would reach the fusion"
            )
        if self.training.prediction != "head":
            raise ValueError("students are read by their classifiers: distill needs training.prediction 'head'")
        if self.distill.feature == "review":
            self._refuse_nothing_to_review()
        if self.distill.feature in ("similarity", "mse") and self._some_h_is_fixed:
            raise ValueError(
                "distill.feature acts on h, which a frozen encoder cannot change: head.hidden must be 1 or more"
            )
        if several and self.distill.mode == "parallel" and self.training.patience:
            raise ValueError(
                "distill.mode 'parallel': each student has its own best epoch, so training.patience must be 0"
            )
        return self

    def _refuse_nothing_to_review(self) -> None:
        """Raise ValueError unless every student trains an encoder of which it reads several hidden states."""
        for modality, encoder in self.encoders.present.items():
            where = f"encoders.{modality}"
            if encoder.mode == "frozen":
                raise ValueError(
                    f"distill.feature 'review' trains hidden states, which {where}.mode 'frozen' cannot change: set it "
                    "to lora or full"
                )
            if not isinstance(encoder.layers, tuple) or len(encoder.layers) < 2:
                raise ValueError(
                    f"distill.feature 'review' compares stage after stage: {where}.layers must list two or more hidden "
                    f"states, got {encoder.layers if isinstance(encoder.layers, str) else list(encoder.layers)}"
                )
        if len(counts := {len(encoder.layers) for encoder in self.encoders.present.values()}) > 1:
            raise ValueError(
                "distill.feature 'review' gives all students the teacher's stages: encoders.*.layers must list equally "
                f"many hidden states, got {', '.join(map(str, sorted(counts)))}"
            )

    @property
    def review_stages(self) -> int:
        """Hidden states of the teacher that students review; 0 where none are compared."""
        if self.distill is None or self.distill.feature != "review":
            return 0
        return len(next(iter(self.encoders.present.values())).layers)

    @model_validator(mode="after")
    def _weights_weigh(self, info: ValidationInfo) -> Self:
        """Refuse the weight of a loss that alone trains its parameters: AdamW ignores the scale of a gradient.

        Such a weight acts through `optim.clip_norm` only, in the steps where one setting is clipped and another is not.
        """
        if is_recorded(info):
            return self
        distill, contrastive = self.distill, self.loss.contrastive
        adds_losses = self.fusion is not None and (self.fusion.adds_losses or self.loss.cross_modal.weight > 0)
        fused_alone = self.fusion is not None and not adds_losses
        if distill is not None and distill.mode == "parallel" and fused_alone and distill.fused_weight != 1.0:
            raise ValueError(
                f"distill.fused_weight must be 1 with distill.mode 'parallel', got {distill.fused_weight:g}: the fused "
                "head's loss alone trains it, and AdamW ignores its scale. Remove it, or set distill.mode: joint"
            )
        shaped_by_others = adds_losses if distill is None else distill.feature != "none"
        if not self.loss.classification.probe or shaped_by_others:
            return self
        name = "ce_weight" if isinstance(contrastive, EACLConfig) else "weight"
        found, usual = getattr(contrastive, name, None), {"ce_weight": 0.1, "weight": 1.0}[name]
        if found is not None and found != usual:
            raise ValueError(
                f"loss.contrastive.{name} must be {usual:g} with loss.classification.probe, got {found:g}: the "
                "contrastive loss alone shapes h there, and AdamW ignores its scale. Remove it, or set "
                "loss.classification.probe: false"
            )
        return self

    @model_validator(mode="after")
    def _tuned_encoder_can_learn(self) -> Self:
        contrastive, optim = self.loss.contrastive, self.optim
        for modality, encoder in self.tuned.items():
            mode = f"encoders.{modality}.mode '{encoder.mode}'"
            if not has_weights(encoder):
                raise ValueError(f"{mode}: {encoder.backbone} has no weights to tune, set mode: frozen")
            if contrastive.kind == "eacl" or getattr(contrastive, "proto_init", "") == "label_text":
                raise ValueError(
                    f"{mode}: loss.contrastive.kind '{contrastive.kind}' reads the label words, which are not cached "
                    "for a tuned encoder: choose another kind (or proto_init: orthogonal)"
                )
            if self.loss.classification.probe and contrastive.kind == "none":
                raise ValueError(f"{mode} learns nothing with loss.classification.probe and no contrastive loss")
        for name in ("encoder_lr", "micro_batch") if not self.tuned else ():
            if getattr(optim, name) is not None:
                raise ValueError(f"optim.{name} is of a tuned encoder, and encoders.*.mode is 'frozen': remove it")
        of_tuned = {"optim.moment_bits 8": optim.moment_bits == 8, "training.compile": self.training.compile}
        for name in (name for name, is_set in of_tuned.items() if is_set and not self.tuned):
            raise ValueError(f"{name} is of tuned encoders, and encoders.*.mode is 'frozen': remove it")
        return self

    @property
    def _some_h_is_fixed(self) -> bool:
        """True if a loss acts on an h that no trainable layer produced. In a distillation each student has its h."""
        apart = self.distill is not None
        frozen = len(self.tuned) < len(self.encoders.present) if apart else not self.tuned
        return self.head.hidden == 0 and frozen

    def encoder_lr(self, modality: str) -> float:
        """Learning rate of a tuned encoder. Raises: KeyError if the modality has none."""
        encoder = self.tuned[modality]
        return encoder.lr or self.optim.encoder_lr or {"lora": 5e-4, "full": 2e-5}[encoder.mode]

    @model_validator(mode="after")
    def _dialogue_has_utterances_to_read(self) -> Self:
        dialogue, contrastive, text = self.dialogue, self.loss.contrastive, self.encoders.text
        if isinstance(dialogue, NoDialogue):
            return self
        if self.data.dataset == "ravdess":
            raise ValueError("data.dataset 'ravdess' has no dialogues: dialogue.kind must be 'none'")
        fused = self.fusion is not None and self.distill is None  # students read dialogues, and then meet
        if self.fusion is not None and self.fusion.kind == "late" and fused:
            raise ValueError("fusion.kind 'late' classifies by itself and leaves nothing for dialogue to read")
        if not fused and self.head.hidden == 0:
            readers = "every student's h" if self.distill is not None else "h"
            raise ValueError(f"dialogue.kind '{dialogue.kind}' reads {readers} here: head.hidden must be 1 or more")
        width = self.fusion.width if fused and self.fusion is not None else self.head.hidden
        if isinstance(dialogue, AttentionDialogue) and width % dialogue.heads:
            name = "fusion.width" if fused else "head.hidden"
            raise ValueError(f"{name} must be a multiple of dialogue.heads, got {width} with {dialogue.heads}")
        if isinstance(contrastive, SPCLConfig) and contrastive.curriculum:
            raise ValueError("loss.contrastive.curriculum draws single utterances, dialogue trains on whole dialogues")
        if dialogue.setting == "online" and text is not None and text.context.future:
            raise ValueError(
                f"dialogue.setting 'online' reads no later utterance, but encoders.text.context.future is "
                f"{text.context.future}: set it to 0, or dialogue.setting: offline"
            )
        return self

    @property
    def asks_earlier(self) -> bool:
        """True when windows of the text encoder are read once more, asked about an earlier turn (SPCL)."""
        return isinstance(self.loss.contrastive, SPCLConfig) and self.loss.contrastive.earlier_share > 0

    @model_validator(mode="after")
    def _earlier_turns_can_be_asked_about(self) -> Self:
        text, contrastive = self.encoders.text, self.loss.contrastive
        if not self.asks_earlier or not self.encoders.present:
            return self
        where = "loss.contrastive.earlier_share"
        if text is None or self.reads_tables_together:
            raise ValueError(
                f"{where} asks a text encoder about its context: it needs text alone, and dialogue.kind none"
            )
        if not text.context.past:
            raise ValueError(
                f"{where} asks about earlier turns of the window: encoders.text.context.past must be 1 or more"
            )
        if text.pooler not in ("target", "mask") and not text.prompt:
            raise ValueError(
                f"{where}: encoders.text.pooler '{text.pooler}' does not tell which turn is asked about: set pooler: "
                "target, or mask with prompt: true"
            )
        if text.mode != "frozen" and text.first_tuned is not None:
            raise ValueError(f"{where} with a tuned encoder needs encoders.text.split_cache: false")
        if getattr(contrastive, "curriculum", False):
            raise ValueError(
                f"{where} and loss.contrastive.curriculum both choose the rows of an epoch: set one of them"
            )
        return self

    @model_validator(mode="after")
    def _further_losses_reach_something(self) -> Self:
        loss, distill = self.loss, self.distill
        if loss.cross_modal.weight:
            if self.fusion is None or (self.encoders.present and len(self.encoders.present) < 2):
                raise ValueError("loss.cross_modal contrasts modalities: it needs several encoders and a fusion")
            if distill is not None and distill.mode == "parallel":
                raise ValueError(
                    "loss.cross_modal reaches no student with distill.mode 'parallel': set distill.mode: joint, or "
                    "loss.cross_modal.weight: 0"
                )
        if loss.adversarial.weight:
            where, contrastive = "loss.adversarial", loss.contrastive
            if distill is not None:
                raise ValueError(f"{where} moves the h of one model: students have several, set its weight to 0")
            if self.fusion is not None and self.fusion.kind == "late":
                raise ValueError(f"{where} moves h, and fusion.kind 'late' classifies without one: set its weight to 0")
            if loss.classification.probe and contrastive.kind == "none":
                raise ValueError(f"{where} follows the gradient of h, and loss.classification.probe leaves it none")
            if isinstance(contrastive, EACLConfig) and contrastive.stage_two_epochs:
                raise ValueError(f"{where} moves h, which stage two of 'eacl' holds still: set stage_two_epochs: 0")
            if self._some_h_is_fixed:
                raise ValueError(f"{where} moves h, which a frozen encoder gives: head.hidden must be 1 or more")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        contrastive = self.loss.contrastive
        if contrastive.kind != "none" and self._some_h_is_fixed:
            raise ValueError(
                f"loss.contrastive.kind '{contrastive.kind}' acts on h, which a frozen encoder cannot change: "
                "head.hidden must be 1 or more"
            )
        reads_words = contrastive.kind == "eacl" or getattr(contrastive, "proto_init", "") == "label_text"
        if reads_words and self.encoders.present and list(self.encoders.present) != ["text"]:
            raise ValueError(
                f"loss.contrastive.kind '{contrastive.kind}' reads the label words as text, which only a text model "
                "can: choose another kind (or proto_init: orthogonal)"
            )
        if reads_words and self.encoders.text is not None and is_given(self.encoders.text):
            raise ValueError(
                f"loss.contrastive.kind '{contrastive.kind}' reads the label words through the text encoder, which "
                f"{self.encoders.text.backbone} is not: choose another kind (or proto_init: orthogonal)"
            )
        if self.training.prediction == "nearest_anchor" and contrastive.kind != "eacl":
            raise ValueError("training.prediction 'nearest_anchor' needs loss.contrastive.kind 'eacl'")
        if isinstance(contrastive, EACLConfig):
            if contrastive.stage_two_epochs >= self.training.epochs:
                raise ValueError(
                    f"loss.contrastive.stage_two_epochs must be below the number of epochs ({self.training.epochs}), "
                    f"got {contrastive.stage_two_epochs}"
                )
            if contrastive.stage_two_epochs and self.training.prediction != "nearest_anchor":
                raise ValueError("stage two adapts the anchors: it needs training.prediction 'nearest_anchor'")
        return self


def student_config(config: TrialConfig, modality: str) -> TrialConfig:
    """Configuration that trains one student of a merged distillation by itself.

    With `distill.mode: parallel` that run and the merged one give this student the same weights, bit for bit.
    """
    assert config.distill is not None
    encoder = config.encoders.present[modality]
    encoders = EncodersConfig.model_validate({modality: encoder})
    of_tuned = {"encoder_lr": None, "micro_batch": None, "moment_bits": 32} if encoder.mode == "frozen" else {}
    optim = config.optim.model_copy(update=of_tuned)
    training = config.training.model_copy(update={"compile": False} if encoder.mode == "frozen" else {})
    parts = {"encoders": encoders, "fusion": None, "optim": optim, "training": training}
    return config.model_copy(update=parts)
