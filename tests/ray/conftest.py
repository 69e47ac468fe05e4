"""Fixtures of the Ray tests; what they are made of is in `conftest_ray`."""

from conftest_ray import forked_workers, forks, uninterrupted, workshop

__all__ = ["forked_workers", "forks", "uninterrupted", "workshop"]
