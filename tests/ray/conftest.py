"""Fixtures of the Ray tests; what they are made of is in `conftest_ray`."""

from conftest_ray import database, forked_workers, forks, uninterrupted, workshop

__all__ = ["database", "forked_workers", "forks", "uninterrupted", "workshop"]
