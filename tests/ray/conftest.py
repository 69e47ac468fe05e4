"""Fixtures of the Ray tests; what they are made of is in `conftest_ray`."""

from conftest_ray import uninterrupted, workshop

__all__ = ["uninterrupted", "workshop"]
