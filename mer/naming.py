"""Derive the names of methods and checkpoints, as the reference project writes them (methods 6.4).

predicted:    emotion, or valence, arousal
method_name:  spcl(temp=0.08, pool_size=512, support_set_size=64)
label:        T--EF(minilm), T+A+V--EF--LMF(roberta-large+microsoft__wavlm-base-plus+...), T+A--EF--LMF+GRU-online(...)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.config import (
    GIVEN,
    APCLConfig,
    DataConfig,
    DistillConfig,
    EACLConfig,
    EncoderConfig,
    NoDialogue,
    SPCLConfig,
    SupConConfig,
    TrialConfig,
    given_place,
    is_given,
)
from mer.errors import MerError
from mer.places import shown_place

MODALITIES = {"text": "T", "audio": "A", "video": "V"}
TASKS = {"emotion": "E", "sentiment": "S"}
MODES = {"full": "T", "lora": "L", "frozen": "F"}
_FUSION_NAMES = {
    "concat": "Concat", "lmf": "LMF", "self_attention": "SelfAttention", "cross_attention": "CrossAttention",
    "shifting": "ASF", "tgmoe": "TGMoE", "late": "Late", "mean": "Mean", "tfn": "TFN", "misa": "MISA", "moe": "MoE",
    "mult": "MulT", "self_mm": "SelfMM",
}  # fmt: skip
_DIALOGUE_NAMES = {"gru": "GRU", "attention": "Attention", "graph": "DAG"}
_FEW = 6  # numbers or labels that are named one by one
_LABEL = re.compile(
    r"^(?P<modality>[TAV](?:\+[TAV])*)--(?P<task>[ES])(?P<mode>[TLF])(?:--(?P<fusion>[^()]+))?\((?P<backbone>[^()]+)\)$"
)


def predicted(data: DataConfig, names: Sequence[str]) -> str:
    """Say what a model predicts: its label, or by name the numbers or labels. Args: names: of its outputs."""
    if data.task == "class":
        return data.label
    return ", ".join(names[:_FEW]) + (" ..." if len(names) > _FEW else "")


def method_name(config: TrialConfig) -> str:
    """Name the method as tables of results do: the loss with its settings, then which encoders are tuned.

    A fused model's name begins with modalities and fusion, that of a model of one modality with what reads its
    dialogues; a distilled model's ends with the kind of distillation.
    """
    name = " ".join([_loss_name(config), *_tuned_names(config)])
    if config.fusion is not None:
        letters = "+".join(MODALITIES[name] for name in config.encoders.present)
        name = f"{letters} {_fusion_name(config)} {name}"
    elif config.reads_dialogues:
        name = f"{_dialogue_name(config)} {name}"
    return name if config.distill is None else f"{name} with {_distillation_name(config.distill)}"


def _tuned_names(config: TrialConfig) -> list[str]:
    """Name the tuned encoders: `LoRA(rank=16)` or `full`; with several modalities `T-LoRA(rank=16)`."""
    several = len(config.encoders.present) > 1
    return [
        (f"{MODALITIES[modality]}-" if several else "")
        + (_call("LoRA", {"rank": encoder.lora.rank}) if encoder.mode == "lora" else "full")
        for modality, encoder in config.tuned.items()
    ]


def _distillation_name(distill: DistillConfig) -> str:
    settings = {}
    if distill.response != "none":
        settings = {"temp": distill.temperature, "a": distill.response_weight}
    if distill.feature == "similarity":
        settings |= {"kappa": distill.feature_temperature, "b": distill.feature_weight}
    elif distill.feature == "review":
        settings |= {"levels": distill.review_levels, "b": distill.feature_weight}
    terms = "-".join(kind for kind in (distill.response, distill.feature) if kind != "none")
    source = "kd" if distill.source == "teacher" else "self-kd"
    return _call(f"{source}-{distill.mode}-{terms}" if distill.mode == "joint" else f"{source}-{terms}", settings)


def _fusion_name(config: TrialConfig) -> str | None:
    """Name the fusion and the dialogue encoder, what there is of them: `Concat`, `Concat+GRU-online`, `GRU-online`."""
    fusion = [] if config.fusion is None else [_FUSION_NAMES[config.fusion.kind]]
    return "+".join([*fusion, *([_dialogue_name(config)] if config.reads_dialogues else [])]) or None


def _dialogue_name(config: TrialConfig) -> str:
    """Name the dialogue encoder, `GRU-online`; with relative speakers `GRU-online-speakers`."""
    dialogue = config.dialogue
    assert not isinstance(dialogue, NoDialogue)
    chosen = "-speakers" if config.reads_speakers and dialogue.kind != "graph" else ""
    return f"{_DIALOGUE_NAMES[dialogue.kind]}-{dialogue.setting}{chosen}"


def _loss_name(config: TrialConfig) -> str:
    contrastive = config.loss.contrastive
    match contrastive:
        case SupConConfig():
            settings = {"temp": contrastive.temperature}
        case SPCLConfig():
            settings = {
                "temp": contrastive.temperature,
                "pool_size": contrastive.pool_size,
                "support_set_size": contrastive.support_size,
            }
        case APCLConfig():
            settings = {"temp": contrastive.temperature, "beta": contrastive.beta, "gamma": contrastive.gamma}
            settings |= {"prototypes": contrastive.prototypes} if contrastive.prototypes > 1 else {}
        case EACLConfig():
            settings = {"temp": contrastive.temperature, "ce_weight": contrastive.ce_weight}
        case _ if config.data.task == "regression":
            regression = config.loss.regression
            return _call(regression.kind, {"delta": regression.huber_delta} if regression.kind == "huber" else {})
        case _ if config.data.task == "multilabel":
            exponent = config.loss.multilabel.pos_weight_exponent
            return _call("bce", {"pos_weight": exponent} if exponent else {})
        case _:
            classification = config.loss.classification
            settings = {"gamma": classification.focal_gamma} if classification.kind == "focal" else {}
            return _call(classification.kind, settings)
    return _call(contrastive.kind, settings)


def _call(kind: str, settings: dict[str, float]) -> str:
    inner = ", ".join(f"{name}={value:.4g}" for name, value in settings.items())
    return f"{kind}({inner})" if inner else kind


@dataclass(frozen=True)
class Label:
    """Parts of a checkpoint's short name.

    Args:
        modalities: in the order text, audio, video.
        task: emotion or sentiment.
        mode: full, lora or frozen.
        backbones: one per modality, in their order.
        fusion: its name, and that of a dialogue encoder; None for a model that has neither.
    """

    modalities: tuple[str, ...]
    task: str
    mode: str
    backbones: tuple[str, ...]
    fusion: str | None = None

    def __str__(self) -> str:
        modality = "+".join(MODALITIES[name] for name in self.modalities)
        fusion = f"--{self.fusion}" if self.fusion else ""
        backbone = "+".join(name.replace("/", "__") for name in self.backbones)
        return f"{modality}--{TASKS[self.task]}{MODES[self.mode]}{fusion}({backbone})"

    @classmethod
    def parse(cls, text: str) -> Label:
        """Read what str() wrote. `T` stands for a modality or a mode, by its place. Raises: MerError."""
        found = _LABEL.match(text)
        if found is None:
            raise MerError("label", f"{text!r} is not a checkpoint label", allowed="e.g. T--EF(minilm)")
        back = {letter: name for name, letter in MODALITIES.items()}
        return cls(
            modalities=tuple(back[letter] for letter in found["modality"].split("+")),
            task=next(name for name, letter in TASKS.items() if letter == found["task"]),
            mode=next(name for name, letter in MODES.items() if letter == found["mode"]),
            backbones=tuple(name.replace("__", "/") for name in found["backbone"].split("+")),
            fusion=found["fusion"],
        )


def _backbone_name(encoder: EncoderConfig) -> str:
    """Name a backbone as it was typed, without a place of this machine, where features of others lie too."""
    return f"{GIVEN}{Path(given_place(encoder)).name}" if is_given(encoder) else shown_place(encoder.backbone)


def label_of(config: TrialConfig) -> Label:
    """Return the label of a configuration's checkpoint. Its one mode is that of the encoder tuned most."""
    present = config.encoders.present
    modes = {encoder.mode for encoder in present.values()}
    return Label(
        modalities=tuple(present),
        task=config.data.label,
        mode=next(mode for mode in ("full", "lora", "frozen") if mode in modes),
        fusion=_fusion_name(config),
        backbones=tuple(map(_backbone_name, present.values())),
    )
