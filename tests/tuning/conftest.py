"""Tiny backbones and a small corpus (tests/text_backbones.py); one thread, since everything here is tiny."""

from __future__ import annotations

import pytest
from one_thread import one_thread
from text_backbones import backbone, data, meld_root

__all__ = ["backbone", "data", "meld_root", "one_thread"]


@pytest.fixture
def lab(backbone, data, tmp_path_factory):
    """Runs on tiny backbones; features are kept for the test."""
    from tuning_lab import Lab

    return Lab(backbone, data, tmp_path_factory.mktemp("features"))
