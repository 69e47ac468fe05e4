"""Tuned runs on tiny backbones, as a worker would build them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mer.config import DataConfig, TrialConfig
from mer.features.backbone.files import BackboneFolder, locate
from mer.features.partial import base_weights
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from mer.training import TrainingData, build_run
from mer.training.tuning import TuningRun
from trainables.shared_table import as_training_data, read_table

SMALL: dict[str, Any] = {
    "head": {"hidden": 16, "dropout": 0.1},
    "optim": {"batch_size": 8, "head_lr": 0.01, "encoder_lr": 0.005},
    "training": {"epochs": 3},
}


@dataclass(frozen=True)
class Lab:
    """Tiny backbones, data, and the folder of features."""

    backbone: Callable[..., Path]
    data: DataConfig
    cache: Path

    def config(self, family: str = "roberta", depth: int = 2, mode: str = "lora", **settings: Any) -> TrialConfig:
        """`optim`, `loss`, ... are parts of the configuration; everything else is the encoder's."""
        parts = {name: {**SMALL.get(name, {}), **settings.pop(name, {})} for name in (*SMALL, "loss")}
        encoder = {"backbone": str(self.backbone(family, depth)), "mode": mode, **settings}
        return TrialConfig.model_validate({"data": self.data.model_dump(), "encoders": {"text": encoder}, **parts})

    def training_data(self, config: TrialConfig, *, base: bool = True) -> tuple[TrainingData, Any]:
        paths = ensure_config(config, SPLITS, self.cache)
        train, dev = ({name: read_table(path) for name, path in paths[split].items()} for split in SPLITS)
        data, layers = as_training_data(config, train, dev)
        ((_, encoder),) = config.tuned.items()
        found = locate(encoder, weights=True)
        shared = {"text": read_only(base_weights(encoder, found, encoder.first_tuned))} if base else {}
        return replace(data, base=shared), layers

    def run(self, **settings: Any) -> TuningRun:
        config = self.config(**settings)
        made = build_run(config, *self.training_data(config))
        assert isinstance(made, TuningRun)
        return made

    def found(self, family: str, depth: int = 2) -> BackboneFolder:
        return BackboneFolder(family, self.backbone(family, depth))


@contextmanager
def interrupted_after(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, items: int) -> Iterator[None]:
    """Inside, `method` (self, some items) is cut off by Ctrl-C once it was given more than `items` in all."""
    usual, given = getattr(owner, method), []

    def failing(self: Any, some: Any) -> Any:
        given.append(len(some))
        if sum(given) > items:
            raise KeyboardInterrupt
        return usual(self, some)

    monkeypatch.setattr(owner, method, failing)
    with pytest.raises(KeyboardInterrupt):
        yield
    monkeypatch.setattr(owner, method, usual)


def read_only(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Make arrays read-only, as Ray hands them out."""
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def step_losses(run: TuningRun, steps: int) -> list[float]:
    """Losses of the first steps of a run that is not used further."""
    torch.manual_seed(1)
    run._begin_epoch()
    rng = np.random.default_rng(3)
    return [run._step(rng.permutation(len(run.data.train))[:8])["loss"] for _ in range(steps)]
