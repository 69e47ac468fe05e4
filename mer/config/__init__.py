"""The configuration of one trial: frozen Pydantic models, and the only thing a TrainingRun is built from.

Dotted paths into `TrialConfig` (`loss.contrastive.temperature`) are the keys of a search space.
Fields say what they mean and in which unit; `methods.md` section numbers are given where a formula stands behind one.

base      frozen, no unknown keys           encoders  text, audio, video; frozen or tuned
data      which utterances and labels       fusion    how modalities meet, and utterances of a dialogue
distill   what students learn               losses    head, classification, contrastive losses
training  steps and epochs                  trial     TrialConfig, and what its parts may be together
keys      nested configurations as dotted keys
"""

from mer.config.base import Frozen, Probability, Speaker, Task
from mer.config.data import DataConfig
from mer.config.distill import DistillConfig, StudentConfig
from mer.config.encoders import (
    TUNING_KEYS,
    AudioEncoderConfig,
    ClipEncoderConfig,
    ContextConfig,
    EncoderConfig,
    EncodersConfig,
    FullTuning,
    LoraTuning,
    TextEncoderConfig,
    VideoEncoderConfig,
    is_signal,
)
from mer.config.fusion import (
    AttentionDialogue,
    ConcatFusion,
    CrossAttentionFusion,
    Dialogue,
    Fusion,
    GRUDialogue,
    LateFusion,
    LMFFusion,
    NoDialogue,
    SelfAttentionFusion,
    ShiftingFusion,
    TGMoEFusion,
)
from mer.config.keys import flatten, nest
from mer.config.losses import (
    APCLConfig,
    ClassificationLossConfig,
    Contrastive,
    EACLConfig,
    HeadConfig,
    LossConfig,
    NoContrastive,
    SPCLConfig,
    SupConConfig,
)
from mer.config.training import OptimConfig, TrainingConfig
from mer.config.trial import TrialConfig, student_config

__all__ = [
    "TUNING_KEYS",
    "APCLConfig",
    "AttentionDialogue",
    "AudioEncoderConfig",
    "ClassificationLossConfig",
    "ClipEncoderConfig",
    "ConcatFusion",
    "ContextConfig",
    "Contrastive",
    "CrossAttentionFusion",
    "DataConfig",
    "Dialogue",
    "DistillConfig",
    "EACLConfig",
    "EncoderConfig",
    "EncodersConfig",
    "Frozen",
    "FullTuning",
    "Fusion",
    "GRUDialogue",
    "HeadConfig",
    "LMFFusion",
    "LateFusion",
    "LoraTuning",
    "LossConfig",
    "NoContrastive",
    "NoDialogue",
    "OptimConfig",
    "Probability",
    "SPCLConfig",
    "SelfAttentionFusion",
    "ShiftingFusion",
    "Speaker",
    "StudentConfig",
    "SupConConfig",
    "TGMoEFusion",
    "Task",
    "TextEncoderConfig",
    "TrainingConfig",
    "TrialConfig",
    "VideoEncoderConfig",
    "flatten",
    "is_signal",
    "nest",
    "student_config",
]
