"""Which keys of a trial's configuration its run shows: those that were searched, and those that are not as usual.

All of them are in `config.json`, among the run's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from mer.config import TrialConfig, flatten
from mer.errors import MerError


def told_params(sampled: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the searched keys first, then those whose values differ from the defaults of the kinds that were chosen.

    Args: config: as `config.json` has it. Of one that this version cannot read, every key is told.
    """
    flat = flatten(dict(config))
    try:
        model = TrialConfig.recorded(dict(config))
    except (ValueError, MerError):
        unusual = set(flat)
    else:
        given = flatten(model.model_dump(mode="json", exclude_defaults=True))
        usual = _usual()
        kinds = {key for key in flat if key.endswith(".kind") and flat[key] != usual.get(key, "none")}
        unusual = kinds | {key for key in flat if key in given or (key in usual and flat[key] != usual[key])}
    return {
        **{key: flat.get(key, value) for key, value in sampled.items()},
        **{key: value for key, value in flat.items() if key in unusual and key not in sampled},
    }


@cache
def _usual() -> Mapping[str, Any]:
    return flatten(TrialConfig().model_dump(mode="json"))
