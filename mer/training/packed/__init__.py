"""Many trials trained as one batched program.

shape              what trials must have in common to share a program, and why one cannot
size               how many trials a worker takes, by shape and memory
stacked            tensors of several modules as one, with a member axis in front
joined             several models of one structure as one module, whose weights have a member axis in front
model              the forward pass of several classifiers
objective          the losses of stacked objectives: classification, and what all have in common
targets            the losses of numbers, and of several labels
contrastive        the contrastive ones: SupCon, SPCL, APCL, EACL
optimizer          AdamW and gradient clipping over stacked tensors, a rate for each member
rows               training and dev rows for all members at once
fused_rows         the same for rows of several modalities
placing            the rows of each step, those that can be read first
teacher            a teacher's outputs for the rows of all members
student_objective  the losses of a student, its labels' and its teacher's
student            one student of all members: model, losses, rows, optimiser
fused_students     the fusion of all members' students
scoring            scores of dev, and the averages that prototypes begin with
stepped            models, objectives and optimisers of several runs as one, and their step
run                the epoch of a pack
folds              the epoch of all folds of several trials
distillation       the epoch of a pack of distillations
build              the pack that runs of one shape need
"""

from __future__ import annotations

from mer.training.packed.build import Program, Run, build_pack, build_program, pack_epochs
from mer.training.packed.run import Ending, Pack
from mer.training.packed.shape import Shape, shape_of

__all__ = ["Ending", "Pack", "Program", "Run", "Shape", "build_pack", "build_program", "pack_epochs", "shape_of"]
