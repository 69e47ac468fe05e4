"""Features of pretrained encoders: extracted once, kept in one content-addressed safetensors file per split.

    ensure      make sure that the feature files of a configuration are there
    rehearse    what extraction would refuse, found out without extracting
    disk_space  refuse sequences that fit neither the disk nor shared memory
    from_text   texts to the rows of a feature file, or to live input
    from_clips  clips to the rows of a feature file, or to live input
    from_files  features of others to the rows of a feature file, or to live input
    speakers    who speaks, as numbers, for models of dialogues
    failures    clips that could not be read: reasons by kind, the share that may fail
    lacking     refuse an encoder of what the data do not have
    reading     the interface between `ensure` and the ten ways of reading a split
    partial     a part of an encoder, between two of its hidden states
    modalities  one door to the encoders of all modalities
    text        text encoders
    audio       speech encoders, and statistics of sound
    video       video encoders, and statistics of pictures
    given       features that others extracted: folders and tables of arrays
    backbone    pretrained backbones: files, loading, running in parts
    cache       the feature files: keys, tensors, shards, upkeep

Importing this imports neither torch nor transformers. On the command line: python -m mer.features --help
"""

from mer.features.backbone.files import BackboneCard
from mer.features.backbone.layers import select_layers
from mer.features.cache.feature_file import FeatureTable, load_features
from mer.features.ensure import Ensured, ensure_features
from mer.features.from_text.request import FeatureRequest
from mer.features.modalities import describe_backbone

__all__ = [
    "BackboneCard",
    "Ensured",
    "FeatureRequest",
    "FeatureTable",
    "describe_backbone",
    "ensure_features",
    "load_features",
    "select_layers",
]
