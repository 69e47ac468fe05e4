"""A clip that cannot be used. It masks a row and is logged; it never ends an extraction or a preparation."""

from __future__ import annotations


class MediaFault(Exception):
    """str() says in a few words what is wrong with the clip, without its path: "no sound track", "0 bytes"."""


class MediaAbsent(MediaFault):
    """There is no such file (any more): a property of the folder now, not of the clip's content."""
