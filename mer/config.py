"""The configuration of one trial: frozen Pydantic models, and the only thing a TrainingRun is built from.

Dotted paths into `TrialConfig` (`loss.contrastive.temperature`) are the keys of a search space.
Fields say what they mean and in which unit; `methods.md` section numbers are given where a formula stands behind one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Task = Literal["emotion", "sentiment"]
Speaker = Literal["none", "name", "name_says", "upper", "local"]


class Frozen(BaseModel):
    """Base of every configuration: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class DataConfig(Frozen):
    """Which utterances, and which of their labels."""

    dataset: Literal["meld", "emorynlp", "ravdess"] = Field(
        "meld", description="reader; the sample corpus is MELD-shaped"
    )
    root: str = Field("datasets/MELD", description="folder of the CSV files, relative to where the command is typed")
    label: Task = Field("emotion", description="what is predicted: 7 emotions or 3 sentiments")


class ContextConfig(Frozen):
    """Neighbouring turns of the dialogue that the encoder reads together with the utterance."""

    past: int | Literal["all"] = Field(0, description="turns before the utterance", union_mode="left_to_right")
    future: Annotated[int, Field(ge=0)] = Field(0, description="turns after it; > 0 is the offline setting")
    max_tokens: Annotated[int, Field(ge=8)] = Field(256, description="longest input; truncated on the left")

    @model_validator(mode="after")
    def _past_is_a_count(self) -> Self:
        if isinstance(self.past, int) and self.past < 0:
            raise ValueError(f"past must be 0 or more, or 'all', got {self.past}")
        return self


class LoraTuning(Frozen):
    """Low-rank adapters on linear layers, by peft (methods 6.3)."""

    rank: PositiveInt = 16
    alpha: PositiveFloat | None = Field(None, description="adapters are scaled by alpha / rank; null: twice the rank")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.05, description="on the input of every adapter")
    targets: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="linear layers that get an adapter, by name; auto: those that suit the backbone's family"
    )
    dora: bool = Field(False, description="weight-decomposed adapters (DoRA)")
    rslora: bool = Field(False, description="scale by alpha / sqrt(rank), for large ranks")

    @property
    def scale_alpha(self) -> float:
        """Alpha as a number."""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    @model_validator(mode="after")
    def _has_targets(self) -> Self:
        if isinstance(self.targets, tuple) and (not self.targets or len(set(self.targets)) != len(self.targets)):
            raise ValueError(f"targets must be distinct names and at least one, got {list(self.targets)}")
        return self


class FullTuning(Frozen):
    """All weights above the frozen layers are trained."""

    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.9, description="each layer's learning rate is that of the layer above it, times this"
    )
    embeddings: bool = Field(False, description="train the embeddings too; needs freeze_layers: 0")


class _Encoder(Frozen):
    """What the encoders of all modalities have in common.

    Of a frozen one, pooled hidden states are cached once (methods 6.1, 6.2). Of a tuned one, the layers above
    `freeze_layers` are trained (methods 6), and what they read is cached instead: hidden states of every token.
    """

    revision: str | None = Field(None, description="revision of a Hugging Face id")
    mode: Literal["frozen", "lora", "full"] = Field(
        "frozen",
        description="frozen: features are cached once | lora: adapters are trained | full: weights are",
    )
    layers: Literal["last", "all"] | tuple[int, ...] = Field(
        "last", description="hidden states the head reads; 0 is the embedding layer, negatives count from the end"
    )
    lora: LoraTuning = LoraTuning()
    full: FullTuning = FullTuning()
    freeze_layers: Annotated[int, Field(ge=0)] = Field(
        0, description="first layers that are never trained, nor the embeddings below them"
    )
    split_cache: bool = Field(
        True, description="what the frozen layers give is cached for every token; false: they run in every step"
    )
    tuned_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] | None = Field(
        None, description="dropout inside the tuned layers; null: as the backbone was made (0.1 in most)"
    )
    recompute: bool = Field(False, description="gradient checkpointing: less memory, about a third more time")

    @model_serializer(mode="wrap")
    def _without_other_modes(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What only another mode reads is not mentioned, so that a frozen encoder keeps its hash."""
        mute = set(TUNING_KEYS) if self.mode == "frozen" else {"lora", "full"} - {self.mode}
        return {name: value for name, value in dump(self).items() if name not in mute}

    @property
    def first_tuned(self) -> int:
        """The hidden state that training starts from, which is what is cached of a tuned encoder."""
        return self.freeze_layers if self.split_cache else 0

    @model_validator(mode="after")
    def _layers_are_distinct(self) -> Self:
        if isinstance(self.layers, tuple) and (not self.layers or len(set(self.layers)) != len(self.layers)):
            raise ValueError(f"layers must be distinct and at least one, got {list(self.layers)}")
        return self

    @model_validator(mode="after")
    def _settings_are_of_the_mode(self) -> Self:
        for name in TUNING_KEYS if self.mode == "frozen" else {"lora", "full"} - {self.mode}:
            if getattr(self, name) != type(self).model_fields[name].default:
                allowed = f"mode: {name}" if name in ("lora", "full") else "mode: lora or mode: full"
                raise ValueError(f"{name} has no meaning with mode '{self.mode}': it needs {allowed}")
        if self.mode == "full" and self.full.embeddings and self.freeze_layers:
            raise ValueError(
                f"full.embeddings needs freeze_layers: 0, got {self.freeze_layers}: what is below a frozen layer "
                "is not trained"
            )
        return self


TUNING_KEYS = ("lora", "full", "freeze_layers", "split_cache", "tuned_dropout", "recompute")


class TextEncoderConfig(_Encoder):
    """A pretrained text encoder, and how it reads an utterance in its dialogue (methods 7.7)."""

    backbone: str = Field("minilm", description="'minilm', a Hugging Face id, or a local folder")
    pooler: Literal["mean", "target", "mask", "first"] = Field(
        "mean", description="tokens that are averaged: all | those of the utterance itself | the mask | the first"
    )
    context: ContextConfig = ContextConfig()
    speaker: Speaker = Field("none", description="how a turn names its speaker")
    prompt: bool = Field(False, description="append 'Now {speaker} feels <mask>' (needed by pooler 'mask')")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="arithmetic of the encoder")

    @model_validator(mode="after")
    def _mask_needs_prompt(self) -> Self:
        if self.pooler == "mask" and not self.prompt:
            raise ValueError("pooler 'mask' reads the hidden state at the mask token: set prompt: true")
        return self


class _ClipEncoder(_Encoder):
    """Encoders of media files. A clip that cannot be read is a masked row, never a dropped utterance."""

    pooler: Literal["auto", "mean", "first"] = Field(
        "auto", description="over real frames or patches: the family's own way | the mean | the first"
    )
    max_seconds: Annotated[float, Field(gt=0.0, le=120.0)] = Field(
        20.0, description="longer clips are cut to their first seconds"
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="bfloat16: autocast, for a GPU that has it")


class AudioEncoderConfig(_ClipEncoder):
    """A speech encoder on 16 kHz mono, or statistics of the signal that need no weights."""

    backbone: str = Field("melstats", description="'melstats', a Hugging Face id, or a local folder")


class VideoEncoderConfig(_ClipEncoder):
    """A video (or per-frame image) encoder, or statistics of appearance and motion that need no weights."""

    backbone: str = Field("framestats", description="'framestats', a Hugging Face id, or a local folder")
    frames: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="frames taken evenly from the clip; null: as many as the backbone was made for"
    )
    crops: str | None = Field(
        None, description="folder below data.root with clips cropped to the speaker's face, used instead of videos/"
    )
    face_detector: str | None = Field(
        None, description="YuNet model file (.onnx): every frame is cropped to its largest face"
    )


class EncodersConfig(Frozen):
    """One encoder per modality; a modality without one is not read."""

    text: TextEncoderConfig | None = None
    audio: AudioEncoderConfig | None = None
    video: VideoEncoderConfig | None = None

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A modality that is not read is not mentioned: what a text model's configuration says, and its hash, do not
        change when modalities are added to this class."""
        return {modality: encoder for modality, encoder in dump(self).items() if encoder is not None}

    @property
    def present(self) -> dict[str, EncoderConfig]:
        """The encoders there are, by modality, in the order text, audio, video."""
        named = {"text": self.text, "audio": self.audio, "video": self.video}
        return {modality: encoder for modality, encoder in named.items() if encoder is not None}

    @property
    def only(self) -> tuple[str, EncoderConfig]:
        """The one encoder of a model that reads one modality. Raises: ValueError when there is none, or several."""
        if len(self.present) != 1:
            raise ValueError(
                f"one encoder expected, there are {len(self.present)}: {', '.join(self.present) or 'none'}"
            )
        return next(iter(self.present.items()))


EncoderConfig = TextEncoderConfig | AudioEncoderConfig | VideoEncoderConfig
ClipEncoderConfig = AudioEncoderConfig | VideoEncoderConfig


class _Fusion(Frozen):
    """What all fusions have in common (methods 5): every modality is normalised and projected, then they meet."""

    width: PositiveInt = Field(256, description="width of the fused representation")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    modality_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="chance that a modality other than text is left out of a training row; never all of a row's"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        heads = getattr(self, "heads", 1)
        if self.width % heads:
            raise ValueError(f"width must be a multiple of heads, got width={self.width} with heads={heads}")
        return self


class ConcatFusion(_Fusion):
    """Side by side, then Linear blocks: the bar for every other fusion. depth 1 is the plain linear layer."""

    kind: Literal["concat"] = "concat"
    depth: Annotated[int, Field(ge=1, le=6)] = Field(
        1, description="1 = one Linear; more = Linear-LayerNorm-GELU blocks"
    )


class LMFFusion(_Fusion):
    """Low-rank multimodal fusion, Liu et al. 2018 (methods 5.2)."""

    kind: Literal["lmf"] = "lmf"
    rank: PositiveInt = 4
    factor_width: PositiveInt = Field(64, description="width each modality is reduced to before the product")


class SelfAttentionFusion(_Fusion):
    """Pre-norm transformer layers over modality tokens (methods 5.4)."""

    kind: Literal["self_attention"] = "self_attention"
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    heads: PositiveInt = 4
    read: Literal["token", "mean"] = Field("token", description="a [FUSE] token | the mean of the present tokens")


class CrossAttentionFusion(_Fusion):
    """Text asks, the others answer; residual on text (methods 5.4)."""

    kind: Literal["cross_attention"] = "cross_attention"
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    heads: PositiveInt = 4


class ShiftingFusion(_Fusion):
    """TelME's attention-based modality shifting, over modality tokens, never over the batch (methods 5.3)."""

    kind: Literal["shifting"] = "shifting"
    heads: PositiveInt = 4
    threshold: PositiveFloat = Field(0.1, description="theta: largest shift relative to the norm of text")


class TGMoEFusion(_Fusion):
    """Text-guided mixture of experts, as we define it (methods 5.5)."""

    kind: Literal["tgmoe"] = "tgmoe"
    heads: PositiveInt = 4
    experts: Annotated[int, Field(ge=1, le=64)] = 4
    top_k: PositiveInt = Field(2, description="experts a row is sent to; at most `experts`")
    noise: bool = Field(True, description="noisy gate in training")
    balance: Literal["switch", "cv2", "none"] = Field("switch", description="load balancing: Switch form | CV squared")
    balance_weight: Annotated[float, Field(ge=0.0)] = 0.01
    z_weight: Annotated[float, Field(ge=0.0)] = Field(1e-3, description="of the router z-loss")

    @model_validator(mode="after")
    def _enough_experts(self) -> Self:
        if self.top_k > self.experts:
            raise ValueError(f"top_k must be at most experts, got top_k={self.top_k} with experts={self.experts}")
        return self


class LateFusion(_Fusion):
    """One head per modality; their log-probabilities are averaged with learned weights (methods 5.6)."""

    kind: Literal["late"] = "late"
    own_loss: Annotated[float, Field(ge=0.0)] = Field(1.0, description="weight of each modality's own cross-entropy")


Fusion = Annotated[
    ConcatFusion | LMFFusion | SelfAttentionFusion | CrossAttentionFusion | ShiftingFusion | TGMoEFusion | LateFusion,
    Field(discriminator="kind"),
]


class StudentConfig(Frozen):
    """What is one student's own in a distillation."""

    head_lr: PositiveFloat | None = Field(None, description="its learning rate; null: optim.head_lr")
    weight: PositiveFloat = Field(1.0, description="of its losses in the sum; with mode parallel much like a rate")


class DistillConfig(Frozen):
    """Knowledge distillation into the heads of all encoders in one run (methods 4).

    Every encoder has a student: L_m = ce_weight L_cls + response_weight L_response + feature_weight L_feature. The
    fusion joins the students' h, and has a classification loss of its own.
    """

    source: Literal["teacher", "fused"] = Field(
        "teacher", description="an exported model | the fused head of this very model (self-distillation)"
    )
    teacher: str | None = Field(None, description="folder of an export, read once, never in a trial")
    mode: Literal["parallel", "joint"] = Field(
        "parallel", description="the fusion reads detached h: as in separate runs | its loss reaches the students too"
    )
    warm_epochs: Annotated[int, Field(ge=0)] = Field(0, description="joint: first epochs in which h is detached")
    ce_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="of the students' classification loss")
    response: Literal["dist", "kl", "none"] = Field("dist", description="DIST (Huang et al. 2022) | Hinton's KL")
    response_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="a; TelME: 1 (MELD), 0.1 (IEMOCAP)")
    temperature: PositiveFloat = Field(4.0, description="tau of the response, whose square multiplies it")
    inter_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="beta of DIST: over classes, per row")
    intra_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="gamma of DIST: over rows, per class")
    feature: Literal["similarity", "none"] = Field(
        "similarity", description="TelME's feature term: the teacher's similarities between rows of the batch"
    )
    feature_weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="b")
    feature_temperature: PositiveFloat = Field(1.0, description="kappa; 1 gives flat targets, smaller sharpens them")
    kd_filter: Literal["none", "correct_only"] = Field("none", description="correct_only: rows the teacher has right")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(200, description="steps in which response and feature fade in")
    fused_weight: PositiveFloat = Field(1.0, description="w_F, of the fused head's classification loss")
    other_context: bool = Field(False, description="allow a teacher that reads other turns than its students")
    text: StudentConfig = StudentConfig()
    audio: StudentConfig = StudentConfig()
    video: StudentConfig = StudentConfig()

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.source == "teacher" and self.teacher is None:
            raise ValueError("distill.teacher is missing: the folder of an export (or source: fused)")
        if self.source == "fused":
            if self.teacher is not None:
                raise ValueError("distill.source 'fused' teaches from the fused head: remove teacher")
            if self.mode != "joint" or self.feature != "none":
                raise ValueError("distill.source 'fused' needs mode: joint and feature: none")
        if self.response == "none" and self.feature == "none":
            raise ValueError("distill.response and distill.feature are both 'none': nothing is distilled")
        return self

    def student(self, modality: str) -> StudentConfig:
        """The own settings of one student."""
        own: StudentConfig = getattr(self, modality)
        return own


class NoDialogue(Frozen):
    kind: Literal["none"] = "none"


class _Dialogue(Frozen):
    """What a fused utterance is told of the others of its dialogue: layers that add to it, as wide as the fusion."""

    setting: Literal["online", "offline"] = Field(
        "online", description="online: reads earlier utterances | offline: later ones too, which a live model cannot"
    )
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.2, description="on what each layer adds")


class GRUDialogue(_Dialogue):
    """Recurrent: reads the dialogue from its first utterance; offline also from its last."""

    kind: Literal["gru"] = "gru"


class AttentionDialogue(_Dialogue):
    """Pre-norm transformer layers over the utterances, which know how far apart they are."""

    kind: Literal["attention"] = "attention"
    heads: PositiveInt = 4


Dialogue = Annotated[NoDialogue | GRUDialogue | AttentionDialogue, Field(discriminator="kind")]


class HeadConfig(Frozen):
    """From encoder features to the representation h, and from h to class scores."""

    hidden: Annotated[int, Field(ge=0)] = Field(256, description="width of h; 0 = linear probe on the features")
    depth: PositiveInt = Field(1, description="Linear-GELU-Dropout blocks before h's classifier")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.3, description="before the classifier and each block")
    input_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="on the encoder features")
    layer_mix: Literal["concat", "mean", "learned"] = Field("concat", description="how several layers become one")
    input_norm: Literal["standardize", "layernorm", "none"] = Field(
        "standardize", description="standardize: by mean and sd of the training split"
    )


class ClassificationLossConfig(Frozen):
    """Supervised loss on the class scores (methods 3.1-3.3)."""

    kind: Literal["ce", "focal"] = "ce"
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0.0)] = Field(2.0, description="used by kind 'focal'; 0 equals ce")
    class_weight: Literal["none", "power", "effective"] = Field(
        "none", description="power: (N / (C n_c)) ** class_weight_exponent; effective: effective number of samples"
    )
    class_weight_exponent: Probability = Field(0.5, description="0 = none, 0.5 = square root, 1 = inverse frequency")
    logit_adjustment: Annotated[float, Field(ge=0.0)] = Field(0.0, description="t in z + t log prior, training only")
    probe: bool = Field(False, description="train the classifier on detached h (SPCL's reference code)")

    @model_validator(mode="after")
    def _smoothing_is_for_ce(self) -> Self:
        if self.kind == "focal" and self.label_smoothing > 0:
            raise ValueError("label_smoothing is defined for kind 'ce' only; set it to 0 with 'focal'")
        return self


class NoContrastive(Frozen):
    kind: Literal["none"] = "none"


class _Contrastive(Frozen):
    weight: Annotated[float, Field(ge=0.0)] = Field(1.0, description="w in L = L_cls + w L_contrast")
    temperature: PositiveFloat = 0.1


class SupConConfig(_Contrastive):
    """Khosla et al. 2020 (methods 3.4)."""

    kind: Literal["supcon"] = "supcon"
    temperature: PositiveFloat = 0.07


class SPCLConfig(_Contrastive):
    """Song et al. 2022, supervised prototypical contrastive learning (methods 1)."""

    kind: Literal["spcl"] = "spcl"
    temperature: PositiveFloat = Field(0.08, description="of (1 + cos) / 2, so 0.08 here is 0.16 in plain cosine")
    pool_size: PositiveInt = Field(512, description="features kept per class")
    support_size: PositiveInt = Field(64, description="random members a prototype is the mean of")
    form: Literal["spcl", "spdcl"] = Field("spcl", description="spdcl: the decoupled form")
    hinge: Annotated[float, Field(ge=0.0)] = Field(0.0, description="anchors with a loss at or under it are left out")
    small_pool: Literal["available", "center"] = Field(
        "available", description="pool smaller than support_size: use what is there | use the class centre"
    )
    curriculum: bool = Field(False, description="easy samples first, hard ones last")

    @model_validator(mode="after")
    def _support_fits_pool(self) -> Self:
        if self.support_size > self.pool_size:
            raise ValueError(
                f"support_size must be at most pool_size, got support_size={self.support_size} with "
                f"pool_size={self.pool_size}"
            )
        return self


class APCLConfig(_Contrastive):
    """Adaptive prototypical contrastive learning, as we define it (methods 2.3)."""

    kind: Literal["apcl"] = "apcl"
    temperature: PositiveFloat = 0.08
    beta: PositiveFloat = Field(0.1, description="step gain of the prototypes")
    gamma: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="momentum decay of the prototypes")
    orthogonalize: Literal["polar", "qr_signed", "none"] = "polar"
    proto_init: Literal["orthogonal", "label_text"] = "orthogonal"
    anchors: Literal["batch", "all"] = "batch"
    hinge: Annotated[float, Field(ge=0.0)] = 0.0

    @model_validator(mode="after")
    def _prototypes_are_stable(self) -> Self:
        if self.beta >= 2 * (1 + self.gamma):
            raise ValueError(
                f"prototypes diverge unless beta < 2 (1 + gamma), got beta={self.beta} with gamma={self.gamma}"
            )
        return self


class EACLConfig(Frozen):
    """Yu et al. 2024, emotion-anchored contrastive learning (methods 2.4)."""

    kind: Literal["eacl"] = "eacl"
    temperature: PositiveFloat = 0.1
    ce_weight: Probability = Field(0.1, description="lambda in lambda CE + (1 - lambda) (L_con + eta L_angle)")
    angle_weight: Annotated[float, Field(ge=0.0)] = Field(0.1, description="eta")
    stage_two_epochs: Annotated[int, Field(ge=0)] = Field(0, description="last epochs that adapt the anchors only")
    stage_two_lr: PositiveFloat = 1e-4


Contrastive = Annotated[
    NoContrastive | SupConConfig | SPCLConfig | APCLConfig | EACLConfig, Field(discriminator="kind")
]


class LossConfig(Frozen):
    classification: ClassificationLossConfig = ClassificationLossConfig()
    contrastive: Contrastive = NoContrastive()


class OptimConfig(Frozen):
    """AdamW; the schedule counts steps, not epochs."""

    head_lr: PositiveFloat = 1e-3
    encoder_lr: PositiveFloat | None = Field(
        None, description="of a tuned encoder; null: 5e-4 with mode lora, 2e-5 with mode full"
    )
    micro_batch: PositiveInt | None = Field(
        None, description="rows a tuned encoder reads at once, to save memory; null: batch_size. Changes no gradient"
    )
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(0.01, description="not applied to biases and norms")
    batch_size: Annotated[int, Field(ge=2)] = Field(
        64, description="utterances per step; about as many where a dialogue encoder wants whole dialogues"
    )
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.06, description="share of all steps")
    clip_norm: PositiveFloat = Field(1.0, description="largest gradient norm")

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What only tuned encoders read is not mentioned where it is not set."""
        absent = {"encoder_lr", "micro_batch"}
        return {name: value for name, value in dump(self).items() if name not in absent or value is not None}


class TrainingConfig(Frozen):
    epochs: PositiveInt = Field(20, description="set by budget.epochs in a study")
    patience: Annotated[int, Field(ge=0)] = Field(0, description="epochs without a dev gain before stopping; 0 = off")
    prediction: Literal["head", "nearest_center", "nearest_anchor"] = Field(
        "head", description="class scores | nearest class centre of h | EACL's nearest anchor"
    )
    metric: str = Field("dev_weighted_f1", description="dev metric that picks the best epoch")
    mode: Literal["max", "min"] = "max"


class TrialConfig(Frozen):
    """Everything that decides a trial's numbers, given the data."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="of initialisation, batches and dropout")
    data: DataConfig = DataConfig()
    encoders: EncodersConfig = EncodersConfig()
    fusion: Fusion | None = Field(None, description="how several encoders become one representation")
    distill: DistillConfig | None = Field(None, description="what the heads of the encoders learn from a teacher")
    dialogue: Dialogue = Field(NoDialogue(), description="how fused utterances of one dialogue read each other")
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    training: TrainingConfig = TrainingConfig()

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A part that is not there is not mentioned, so that a configuration without it keeps its hash."""
        absent = {"fusion": None, "dialogue": {"kind": "none"}, "distill": None}
        return {name: value for name, value in dump(self).items() if name not in absent or value != absent[name]}

    @property
    def tuned(self) -> dict[str, EncoderConfig]:
        """The encoders that are trained, by modality."""
        return {name: encoder for name, encoder in self.encoders.present.items() if encoder.mode != "frozen"}

    @model_validator(mode="after")
    def _fusion_joins_encoders(self) -> Self:
        there = self.encoders.present
        if self.fusion is not None and len(there) == 1:
            raise ValueError(f"fusion joins several encoders; there is one ({', '.join(there)})")
        if self.fusion is not None and self.fusion.kind == "late" and self.loss.contrastive.kind != "none":
            raise ValueError("fusion.kind 'late' averages class scores and has no h for a contrastive loss")
        return self

    @model_validator(mode="after")
    def _students_can_learn(self) -> Self:
        if self.distill is None:
            return self
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
        if self.dialogue.kind != "none":
            raise ValueError(
                "dialogue.kind must be 'none' beside distill: a student reads single utterances. Export the students, "
                "then fuse them with dialogue (encoders.audio.backbone: exports/...)"
            )
        if self.training.prediction != "head":
            raise ValueError("students are read by their classifiers: distill needs training.prediction 'head'")
        if self.distill.feature != "none" and self.head.hidden == 0:
            raise ValueError(
                "distill.feature acts on h, which a frozen encoder cannot change: head.hidden must be 1 or more"
            )
        if several and self.distill.mode == "parallel" and self.training.patience:
            raise ValueError(
                "distill.mode 'parallel': each student has its own best epoch, so training.patience must be 0"
            )
        return self

    @model_validator(mode="after")
    def _tuned_encoder_can_learn(self) -> Self:
        contrastive, optim = self.loss.contrastive, self.optim
        for modality, encoder in self.tuned.items():
            mode = f"encoders.{modality}.mode '{encoder.mode}'"
            if modality != "text":
                raise ValueError(f"{mode}: only text encoders can be tuned so far, set mode: frozen")
            if self.distill is not None or len(self.encoders.present) > 1:
                what = "of a distillation" if self.distill is not None else "beside other encoders"
                raise ValueError(
                    f"{mode} {what} is not possible yet: tune it alone, export it, and give the export as its backbone "
                    "with mode: frozen"
                )
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
        return self

    @property
    def encoder_lr(self) -> float:
        """Learning rate of the tuned encoder. Raises: StopIteration when there is none."""
        usual = {"lora": 5e-4, "full": 2e-5}[next(iter(self.tuned.values())).mode]
        return self.optim.encoder_lr or usual

    @model_validator(mode="after")
    def _dialogue_reads_fused_utterances(self) -> Self:
        dialogue, contrastive, text = self.dialogue, self.loss.contrastive, self.encoders.text
        if isinstance(dialogue, NoDialogue):
            return self
        if self.fusion is None:
            raise ValueError(f"dialogue.kind '{dialogue.kind}' reads fused utterances: it needs a fusion")
        if self.data.dataset == "ravdess":
            raise ValueError("data.dataset 'ravdess' has no dialogues: dialogue.kind must be 'none'")
        if self.fusion.kind == "late":
            raise ValueError("fusion.kind 'late' classifies by itself and leaves nothing for dialogue to read")
        if isinstance(dialogue, AttentionDialogue) and self.fusion.width % dialogue.heads:
            raise ValueError(
                f"fusion.width must be a multiple of dialogue.heads, got {self.fusion.width} with {dialogue.heads}"
            )
        if isinstance(contrastive, SPCLConfig) and contrastive.curriculum:
            raise ValueError("loss.contrastive.curriculum draws single utterances, dialogue trains on whole dialogues")
        if dialogue.setting == "online" and text is not None and text.context.future:
            raise ValueError(
                f"dialogue.setting 'online' reads no later utterance, but encoders.text.context.future is "
                f"{text.context.future}: set it to 0, or dialogue.setting: offline"
            )
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        contrastive = self.loss.contrastive
        if contrastive.kind != "none" and self.head.hidden == 0 and not self.tuned:
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
    """The run that trains one student of a merged distillation alone.

    With `distill.mode: parallel` it gives the very weights that the merged run gives this student.
    """
    assert config.distill is not None
    encoders = EncodersConfig.model_validate({modality: config.encoders.present[modality]})
    return config.model_copy(update={"encoders": encoders, "fusion": None})


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}; keys may be dotted already. Empty mappings vanish."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}.") if isinstance(value, dict) else {path: value})
    return flat


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """{'a.b': 1} -> {'a': {'b': 1}}, the inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree
