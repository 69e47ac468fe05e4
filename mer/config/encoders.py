"""Encoders of text, audio and video, frozen or tuned."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, SerializerFunctionWrapHandler, model_serializer, model_validator

from mer.config.base import CountOrNone, Frozen, Speaker, Width

Modality = Literal["text", "audio", "video"]
SIGNALS: dict[Modality, tuple[str, ...]] = {  # statistics that are backbones by name
    "text": (),
    "audio": ("melstats", "egemaps", "compare2016"),
    "video": ("framestats",),
}
GIVEN = "file:"  # begins the backbone of features that others extracted


class ContextConfig(Frozen):
    """Neighbouring turns of the dialogue that the encoder reads together with the utterance."""

    past: int | Literal["all"] = Field(
        0, description="turns before the utterance, a number or all", union_mode="left_to_right"
    )
    future: CountOrNone = Field(0, description="turns after the utterance; more than 0 is the offline setting")
    max_tokens: Annotated[int, Field(ge=8, le=10**6)] = Field(
        256, description="longest input in tokens; longer ones lose their oldest tokens"
    )

    @model_validator(mode="after")
    def _past_is_a_count(self) -> Self:
        if isinstance(self.past, int) and self.past < 0:
            raise ValueError(f"past must be 0 or more, or 'all', got {self.past}")
        if isinstance(self.past, int) and self.past > 10**6:
            raise ValueError(f"past must be at most 1000000, or 'all', got {self.past}")
        return self


class LoraTuning(Frozen):
    """Low-rank adapters on linear layers, by peft (methods 6.3)."""

    rank: Width = Field(16, description="width of the two matrices of an adapter")
    alpha: PositiveFloat | None = Field(None, description="adapters are scaled by alpha / rank; null: twice the rank")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.05, description="dropout on the input of every adapter")
    targets: Literal["auto"] | tuple[str, ...] = Field(
        "auto",
        description="names of the linear layers that get an adapter; auto: those usual for the backbone's family",
    )
    dora: bool = Field(False, description="weight-decomposed adapters (DoRA)")
    rslora: bool = Field(False, description="scale by alpha / sqrt(rank), for large ranks")

    @property
    def scale_alpha(self) -> float:
        """The alpha that is used: `alpha`, or twice the rank."""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    @model_validator(mode="after")
    def _has_targets(self) -> Self:
        if isinstance(self.targets, tuple) and (not self.targets or len(set(self.targets)) != len(self.targets)):
            raise ValueError(f"targets must be distinct names and at least one, got {list(self.targets)}")
        return self


class FullTuning(Frozen):
    """All weights above the frozen layers are trained."""

    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.9, description="learning rate of each layer, as a factor of that of the layer above it"
    )
    embeddings: bool = Field(
        False,
        description="train what lies below the first layer too (embeddings, convolutions); needs freeze_layers: 0",
    )


Dtype = Literal["float32", "bfloat16", "float16"]
_HALF = "float16: of a tuned encoder, on a GPU without bfloat16; gradients are scaled"


class _Encoder(Frozen):
    """Settings that encoders of all modalities share.

    A frozen encoder is run once and its pooled hidden states are cached (methods 6.1, 6.2). A tuned encoder trains
    its layers above `freeze_layers` (methods 6); the cache then holds their input, one hidden state per token.
    """

    modality: ClassVar[Modality]

    revision: str | None = Field(None, description="revision of the Hugging Face id; null: the main branch")
    mode: Literal["frozen", "lora", "full"] = Field(
        "frozen",
        description="frozen: features are cached once | lora: adapters are trained | full: the weights are trained",
    )
    layers: Literal["last", "all"] | tuple[int, ...] = Field(
        "last",
        description="hidden states that the head reads; 0 is the embedding layer, negative numbers count from the end",
    )
    lora: LoraTuning = LoraTuning()
    full: FullTuning = FullTuning()
    lr: PositiveFloat | None = Field(None, description="learning rate of this encoder; null: optim.encoder_lr")
    max_states: Annotated[int, Field(ge=1, le=4096)] = Field(
        64,
        description="used by pooler none: most states that are kept of an utterance; a longer one is averaged over so "
        "many equal parts of time",
    )
    freeze_layers: CountOrNone = Field(
        0, description="number of lowest layers that are not trained; if above 0, the embeddings are not either"
    )
    split_cache: bool = Field(
        True, description="cache the output of the frozen layers, one state per token; false: run them in every step"
    )
    tuned_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] | None = Field(
        None, description="dropout inside the tuned layers; null: the backbone's own (0.1 in most)"
    )
    recompute: bool = Field(
        False, description="recompute activations in the backward pass: less memory, about a third more time"
    )

    @model_serializer(mode="wrap")
    def _without_other_modes(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out settings that only another mode reads, so that a frozen encoder keeps its hash."""
        mute = set(TUNING_KEYS) if self.mode == "frozen" else {"lora", "full"} - {self.mode}
        mute |= {"lr"} if self.lr is None else set()
        mute |= set() if self.keeps_states else {"max_states"}
        return {name: value for name, value in dump(self).items() if name not in mute}

    @property
    def keeps_states(self) -> bool:
        """True where the cache keeps a state for each token or step of time, and the trial's model pools them."""
        return getattr(self, "pooler", "") == "none"

    @property
    def first_tuned(self) -> int | None:
        """Number of the hidden state that a tuned encoder's cache holds; None: the cache holds its raw input.

        0 is the input of the first layer. For text it would save no work over token ids, so None is given there.
        """
        if not self.split_cache or self.full.embeddings:
            return None
        return self.freeze_layers or (None if self.modality == "text" else 0)

    @model_validator(mode="after")
    def _layers_are_distinct(self) -> Self:
        if isinstance(self.layers, tuple) and (not self.layers or len(set(self.layers)) != len(self.layers)):
            raise ValueError(f"layers must be distinct and at least one, got {list(self.layers)}")
        return self

    @model_validator(mode="after")
    def _states_can_be_kept(self) -> Self:
        if not self.keeps_states:
            if self.max_states != type(self).model_fields["max_states"].default:
                raise ValueError(f"max_states has no meaning without pooler: none, got {self.max_states}")
            return self
        if self.mode != "frozen":
            raise ValueError(
                f"pooler 'none' keeps the states of a frozen encoder, and mode is '{self.mode}': set mode: frozen, or "
                "another pooler"
            )
        backbone = str(getattr(self, "backbone", ""))
        if backbone in SIGNALS[self.modality][1:]:
            raise ValueError(
                f"pooler 'none' keeps a state of every token or step of time, and {backbone} says one vector of an "
                "utterance: leave pooler out"
            )
        if self.layers != "last" and (self.layers == "all" or len(self.layers) > 1):
            found = self.layers if isinstance(self.layers, str) else list(self.layers)
            raise ValueError(f"pooler 'none' keeps one hidden state: layers must be last or one number, got {found}")
        return self

    @model_validator(mode="after")
    def _settings_are_of_the_mode(self) -> Self:
        for name in TUNING_KEYS if self.mode == "frozen" else {"lora", "full"} - {self.mode}:
            if getattr(self, name) != type(self).model_fields[name].default:
                allowed = f"mode: {name}" if name in ("lora", "full") else "mode: lora or mode: full"
                raise ValueError(f"{name} has no meaning with mode '{self.mode}': it needs {allowed}")
        if self.mode == "frozen" and getattr(self, "dtype", "") == "float16":
            raise ValueError("dtype 'float16' scales gradients, and mode 'frozen' has none: set float32 or bfloat16")
        if self.mode == "full" and self.full.embeddings and self.freeze_layers:
            raise ValueError(
                f"full.embeddings needs freeze_layers: 0, got {self.freeze_layers}: what is below a frozen layer "
                "is not trained"
            )
        return self


TUNING_KEYS = ("lora", "full", "lr", "freeze_layers", "split_cache", "tuned_dropout", "recompute")


class TextEncoderConfig(_Encoder):
    """A pretrained text encoder, and how it reads an utterance in its dialogue (methods 7.7)."""

    modality: ClassVar[Modality] = "text"

    backbone: str = Field(
        "minilm", description="'minilm' (needs no hub), a Hugging Face id, a local folder, or file:PATH of features"
    )
    pooler: Literal["mean", "target", "mask", "first", "last", "none"] = Field(
        "mean",
        description="tokens that are averaged: mean = all | target = the utterance's own | mask, first, last = that "
        "one (last: of language models that read from left to right) | none: the utterance's own are kept, for the "
        "model to pool (head.pool) or to read as a sequence (fusion mult)",
    )
    context: ContextConfig = ContextConfig()
    speaker: Speaker = Field("none", description="how a turn names its speaker, e.g. name_says: 'Ross says: ...'")
    prompt: bool = Field(False, description="append 'Now {speaker} feels <mask>'; pooler mask needs it")
    dtype: Dtype = Field("float32", description=f"arithmetic of the encoder; {_HALF}")

    @model_validator(mode="after")
    def _mask_needs_prompt(self) -> Self:
        if self.pooler == "mask" and not self.prompt:
            raise ValueError("pooler 'mask' reads the hidden state at the mask token: set prompt: true")
        return self


class _ClipEncoder(_Encoder):
    """Encoders of media files. A clip that cannot be read becomes a masked row; its utterance stays."""

    pooler: Literal["auto", "mean", "first", "none"] = Field(
        "auto",
        description="how frames or patches become one vector: auto = the family's own way | mean | first | none: one "
        "state for each step of time is kept, for the model to pool (head.pool) or to read as a sequence (fusion mult)",
    )
    max_seconds: Annotated[float, Field(gt=0.0, le=120.0)] = Field(
        20.0, description="seconds of a clip that are read, from its start"
    )
    dtype: Dtype = Field("float32", description=f"bfloat16: autocast, for a GPU that has it; {_HALF}")


class AudioEncoderConfig(_ClipEncoder):
    """A speech encoder on 16 kHz mono sound, or signal statistics that need no weights."""

    modality: ClassVar[Modality] = "audio"

    backbone: str = Field(
        "melstats",
        description="'melstats' (signal statistics), 'egemaps' or 'compare2016' (openSMILE), a Hugging Face id, a "
        "local folder, or file:PATH of features",
    )


class VideoEncoderConfig(_ClipEncoder):
    """A video or per-frame image encoder, or statistics of appearance and motion that need no weights."""

    modality: ClassVar[Modality] = "video"

    backbone: str = Field(
        "framestats",
        description="'framestats' (picture statistics), a Hugging Face id, a local folder, or file:PATH of features",
    )
    frames: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="number of frames, evenly spaced over the clip; null: as many as the backbone was made for"
    )
    crops: str | None = Field(
        None, description="folder below data.root with clips of the speaker's face, read instead of videos/"
    )
    face_detector: str | None = Field(
        None, description="YuNet model file (.onnx); every frame is cropped to its largest face"
    )


class EncodersConfig(Frozen):
    """One encoder per modality; a modality without one is not read."""

    text: TextEncoderConfig | None = None
    audio: AudioEncoderConfig | None = None
    video: VideoEncoderConfig | None = None

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out modalities without an encoder, so that a configuration keeps its hash when this class grows."""
        return {modality: encoder for modality, encoder in dump(self).items() if encoder is not None}

    @property
    def present(self) -> dict[str, EncoderConfig]:
        """The encoders that are set, by modality, in the order text, audio, video."""
        named = {"text": self.text, "audio": self.audio, "video": self.video}
        return {modality: encoder for modality, encoder in named.items() if encoder is not None}

    @property
    def only(self) -> tuple[str, EncoderConfig]:
        """Modality and encoder of a model with one encoder. Raises: ValueError when there is none, or several."""
        if len(self.present) != 1:
            raise ValueError(
                f"one encoder expected, there are {len(self.present)}: {', '.join(self.present) or 'none'}"
            )
        return next(iter(self.present.items()))


def is_signal(encoder: EncoderConfig) -> bool:
    """True for statistics of the signal, which have no weights to locate, download or tune."""
    return encoder.backbone in SIGNALS[encoder.modality]


def is_given(encoder: EncoderConfig) -> bool:
    """True for features that others extracted, which are read from the files at `given_place`."""
    return encoder.backbone.startswith(GIVEN)


def given_place(encoder: EncoderConfig) -> str:
    """Return the path behind `file:`, as it was typed."""
    return encoder.backbone.removeprefix(GIVEN)


def has_weights(encoder: EncoderConfig) -> bool:
    """False for an encoder that is no network: statistics of the signal, and features that others extracted."""
    return not is_signal(encoder) and not is_given(encoder)


EncoderConfig = TextEncoderConfig | AudioEncoderConfig | VideoEncoderConfig
ClipEncoderConfig = AudioEncoderConfig | VideoEncoderConfig
