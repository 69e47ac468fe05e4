"""Fixtures of the Ray tests; what they are made of is in `conftest_ray`."""

from conftest_ray import forks, uninterrupted, workshop

__all__ = ["forks", "uninterrupted", "workshop"]
