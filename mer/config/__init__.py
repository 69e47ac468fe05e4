"""The configuration of one trial: frozen Pydantic models, the only thing a TrainingRun is built from.

    trial            TrialConfig, and which of its parts go together
    data             where utterances come from, how their file is read, which label
    encoders         text, audio and video encoders, frozen or tuned
    feature_setting  what in a configuration decides the content of a feature file
    folds            how utterances are divided into folds
    fusion           how modalities meet
    dialogue         how an utterance reads others of its dialogue
    distill          what students learn from a teacher
    losses           the head, and the losses on classes, numbers, labels and representations
    metrics          which metrics each task has, and which way they are better
    states           which settings go together with encoders that keep states (pooler none)
    task             which settings a task of numbers or of several labels has
    training         optimiser, schedule, epochs, how the best epoch is chosen
    keys             nested configurations as dotted keys, and back
    strict           numbers are numbers: no `true`, no "5"
    base             the common base class: frozen, no unknown keys, no NaN

Dotted paths into `TrialConfig` (`loss.contrastive.temperature`) are the keys of a search space. Field descriptions
are what `--keys` prints; "methods 2.3" in them names a section of methods.md.
"""

from mer.config.base import Frozen, Probability, Speaker, TargetKind, Task
from mer.config.data import Columns, DataConfig, SplitFiles, SplitRule
from mer.config.dialogue import AttentionDialogue, Dialogue, GraphDialogue, GRUDialogue, NoDialogue
from mer.config.distill import DistillConfig, StudentConfig
from mer.config.encoders import (
    GIVEN,
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
    given_place,
    has_weights,
    is_given,
    is_signal,
)
from mer.config.feature_setting import EARLIER, SPEAKERS, STAGES, TEACHER, FeatureSetting, settings_of
from mer.config.folds import FoldRule
from mer.config.fusion import (
    ConcatFusion,
    CrossAttentionFusion,
    Fusion,
    LateFusion,
    LMFFusion,
    MeanFusion,
    MISAFusion,
    MoEFusion,
    MulTFusion,
    SelfAttentionFusion,
    SelfMMFusion,
    ShiftingFusion,
    TFNFusion,
    TGMoEFusion,
)
from mer.config.keys import MAPPINGS, PATHS, flatten, nest
from mer.config.losses import (
    AdversarialConfig,
    APCLConfig,
    ClassificationLossConfig,
    Contrastive,
    CrossModalConfig,
    EACLConfig,
    HeadConfig,
    LossConfig,
    MultilabelLossConfig,
    NoContrastive,
    RegressionLossConfig,
    SPCLConfig,
    SupConConfig,
)
from mer.config.training import SWA, ConstantSWA, CyclicalSWA, NoSWA, OptimConfig, TrainingConfig
from mer.config.trial import TrialConfig, student_config

__all__ = [
    "EARLIER",
    "GIVEN",
    "MAPPINGS",
    "PATHS",
    "SPEAKERS",
    "STAGES",
    "SWA",
    "TEACHER",
    "TUNING_KEYS",
    "APCLConfig",
    "AdversarialConfig",
    "AttentionDialogue",
    "AudioEncoderConfig",
    "ClassificationLossConfig",
    "ClipEncoderConfig",
    "Columns",
    "ConcatFusion",
    "ConstantSWA",
    "ContextConfig",
    "Contrastive",
    "CrossAttentionFusion",
    "CrossModalConfig",
    "CyclicalSWA",
    "DataConfig",
    "Dialogue",
    "DistillConfig",
    "EACLConfig",
    "EncoderConfig",
    "EncodersConfig",
    "FeatureSetting",
    "FoldRule",
    "Frozen",
    "FullTuning",
    "Fusion",
    "GRUDialogue",
    "GraphDialogue",
    "HeadConfig",
    "LMFFusion",
    "LateFusion",
    "LoraTuning",
    "LossConfig",
    "MISAFusion",
    "MeanFusion",
    "MoEFusion",
    "Modality",
    "MulTFusion",
    "MultilabelLossConfig",
    "NoContrastive",
    "NoDialogue",
    "NoSWA",
    "OptimConfig",
    "Probability",
    "RegressionLossConfig",
    "SPCLConfig",
    "SelfAttentionFusion",
    "SelfMMFusion",
    "ShiftingFusion",
    "Speaker",
    "SplitFiles",
    "SplitRule",
    "StudentConfig",
    "SupConConfig",
    "TFNFusion",
    "TGMoEFusion",
    "TargetKind",
    "Task",
    "TextEncoderConfig",
    "TrainingConfig",
    "TrialConfig",
    "VideoEncoderConfig",
    "flatten",
    "given_place",
    "has_weights",
    "is_given",
    "is_signal",
    "nest",
    "settings_of",
    "student_config",
]
