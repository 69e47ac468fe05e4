"""Features of frozen backbones: extracted once, kept in one content-addressed safetensors file per split.

- `request`: what is asked for, and the key that names it      - `tokens`: turns of a dialogue to token ids
- `backbones`: where a backbone lies, what is known of it      - `encoder`: ids to pooled hidden states
- `ensure`: find or extract the files of a configuration       - `extraction`: batches, shards, resuming
- `cache`: the file, written and checked; `load_features`      - `layers`: which hidden states a head reads
- `upkeep`: list, verify, gc (`python -m mer.features --help`) - `progress`: a bar, or sparse lines

Importing this imports neither torch nor transformers.
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
