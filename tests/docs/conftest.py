"""Fixtures of the pages' tests; what they are made of is in `page_typist`."""

from page_typist import door, quick_start, typed

__all__ = ["door", "quick_start", "typed"]
