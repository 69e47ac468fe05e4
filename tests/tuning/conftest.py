"""Tiny backbones and a small corpus (tests/text_backbones.py); one thread, since everything here is tiny."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from text_backbones import backbone, data, meld_root

__all__ = ["backbone", "data", "meld_root"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def lab(backbone, data, tmp_path_factory):
    """Runs on tiny backbones; features are kept for the test."""
    from tuning_lab import Lab

    return Lab(backbone, data, tmp_path_factory.mktemp("features"))
