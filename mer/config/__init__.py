"""The configuration of one trial: frozen Pydantic models, and the only thing a TrainingRun is built from.

Dotted paths into `TrialConfig` (`loss.contrastive.temperature`) are the keys of a search space.
Fields say what they mean and in which unit; `methods.md` section numbers are given where a formula stands behind one.

    base             frozen models that refuse unknown keys
    data             which utterances and which of their labels
    encoders         encoders of text, audio and video, frozen or tuned
    fusion           how modalities become one representation, and how utterances of a dialogue read each other
    losses           the head, the classification loss and the contrastive losses
    distill          what students learn from a teacher
    training         the optimizer, its steps and epochs
    trial            TrialConfig, and which parts may stand together
    feature_setting  what decides the feature files of a trial, as one hashable value
    keys             nested configurations as dotted keys, and back
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
    Modality,
    TextEncoderConfig,
    VideoEncoderConfig,
    is_signal,
)
from mer.config.feature_setting import TEACHER, FeatureSetting, settings_of
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
    "TEACHER",
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
    "FeatureSetting",
    "Frozen",
    "FullTuning",
    "Fusion",
    "GRUDialogue",
    "HeadConfig",
    "LMFFusion",
    "LateFusion",
    "LoraTuning",
    "LossConfig",
    "Modality",
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
    "settings_of",
    "student_config",
]
