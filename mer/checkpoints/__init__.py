"""Tensor files that are whole or absent, with a JSON card in their header. No pickle."""

from mer.checkpoints.tensors import load_tensors, read_card, save_tensors

__all__ = ["load_tensors", "read_card", "save_tensors"]
