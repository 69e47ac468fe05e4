"""Packages and compilers that only some settings need: whether they are here, before the first trial."""

from __future__ import annotations

from typing import Any

from mer.study.space.spec import StudySpec
from mer.training.compiling import require_compiler
from mer.training.eight_bits import require_eight_bits


def refuse_lacking_tools(spec: StudySpec) -> None:
    """Raise MerError when some trial may need what this machine lacks."""
    if _may_be(spec, "optim.moment_bits", 8):
        require_eight_bits()
    if _may_be(spec, "training.compile", True):
        require_compiler(spec.resources.device)


def _may_be(spec: StudySpec, key: str, value: Any) -> bool:
    return spec.fixed.get(key) == value or (key in spec.params and spec.params[key].contains(value))
