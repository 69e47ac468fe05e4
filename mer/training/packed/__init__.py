"""Many trials trained as one batched program.

shape       what trials must have in common to share a program, and why one cannot
size        how many trials a worker takes, by shape and memory
stacked     tensors of several modules as one, with a member axis in front
model       the forward pass of stacked classifiers
objective   the losses of stacked objectives
optimizer   AdamW and gradient clipping over stacked tensors, a rate for each member
rows        training and dev rows for all members at once
run         the epoch of a pack
"""

from __future__ import annotations

from mer.training.packed.run import Pack
from mer.training.packed.shape import Shape, shape_of

__all__ = ["Pack", "Shape", "shape_of"]
