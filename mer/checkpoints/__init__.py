"""Tensor files that are whole or absent, with a JSON card; stored once when they are equal. No pickle."""

from mer.checkpoints.store import Store
from mer.checkpoints.tensors import load_tensors, read_card, save_tensors

__all__ = ["Store", "load_tensors", "read_card", "save_tensors"]
