"""Ray is left while nobody collects garbage: a reference freed at that moment ends the process with exit code 1."""

from __future__ import annotations

import gc
import weakref

import pytest
import ray

from mer.study.cluster.leave import leave_ray


class Cycle:
    """Garbage that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("fault", [None, RuntimeError("the raylet has gone")])
def test_no_garbage_is_left_and_none_is_collected_while_ray_ends(monkeypatch, fault):
    held = weakref.ref(Cycle())
    seen: list[bool] = []

    def shutdown() -> None:
        seen.extend((gc.isenabled(), held() is not None))
        if fault is not None:
            raise fault

    monkeypatch.setattr(ray, "shutdown", shutdown)
    if fault is None:
        leave_ray()
    else:
        with pytest.raises(RuntimeError, match="gone"):
            leave_ray()
    assert seen == [False, False], "collecting, garbage"
    assert gc.isenabled()
