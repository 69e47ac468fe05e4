"""Leave Ray without the process being ended by it."""

from __future__ import annotations

import gc


def leave_ray() -> None:
    """End a Ray of this process's own, or leave the cluster that it has joined.

    Ray ends the whole process with exit code 1 when a reference to an object is freed once its core has been shut down.
    A thread that collects cycles of garbage at that moment may free one; so all cycles are collected before, and none
    while Ray ends. References freed after it has ended do no harm.
    """
    import ray

    collects = gc.isenabled()
    gc.disable()
    try:
        gc.collect()
        ray.shutdown()
    finally:
        if collects:
            gc.enable()
