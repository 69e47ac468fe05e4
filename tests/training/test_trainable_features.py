"""Features in a worker: trials of a pack read the very same arrays."""

from __future__ import annotations

import numpy as np
import pytest
from toy_data import toy_config

from trainables import shared_features
from trainables.shared_features import SharedFeatures
from trainables.shared_table import SharedTable


def table() -> SharedTable:
    ids = tuple(f"dia0_utt{row}" for row in range(4))
    labels = {"emotion": np.array([0, 1, 0, 1])}
    return SharedTable(ids, np.zeros((4, 3, 5), np.float16), labels, {"emotion": ("a", "b")}, {}, None)


def test_trials_of_a_pack_share_one_mapping_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray gives a new object each time; a pack knows equal features by their identity, and makes one table of them."""
    monkeypatch.setattr(shared_features.ray, "get", lambda handle: table())
    features = SharedFeatures({name: name for name in ("a-train", "a-dev", "b-train", "b-dev")})  # type: ignore[misc]
    of = lambda name: {"text": {"train": f"{name}-train", "dev": f"{name}-dev"}}  # noqa: E731
    config = toy_config(encoders__text__backbone="minilm")
    one, third, other = (features.training_data(config, of(name))[0] for name in "aba")
    assert one.train.features_NLD is other.train.features_NLD and one.dev.features_NLD is other.dev.features_NLD
    assert third.train.features_NLD is not one.train.features_NLD
    features.let_go()
    assert features.training_data(config, of("a"))[0].train.features_NLD is not one.train.features_NLD
