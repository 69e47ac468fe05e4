"""Exceptions for a clip that cannot be used. It becomes a masked row and a log line, and ends no extraction."""

from __future__ import annotations


class MediaFault(Exception):
    """str() says in a few words what is wrong with the clip, without its path: "no sound track", "0 bytes"."""


class MediaAbsent(MediaFault):
    """There is no such file. Unlike other faults it may be gone tomorrow, so it says nothing about the content."""
