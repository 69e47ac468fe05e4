"""A clip's file before a decoder opens it: regular, not empty, and the clip itself rather than a stand-in for it.

A pipe would hang whoever opens it, a device has no end, and decoders take text for a raw sound now and then.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from mer.data.media.faults import MediaAbsent, MediaFault
from mer.read_files import KINDS

_HEAD_BYTES = 512

# beginning of the file (lower case, without a byte order mark and blanks) -> what it is, and what to do
_STAND_INS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer, not the clip: `git lfs pull` fetches it",
    b"/annex/objects/": "a git-annex pointer, not the clip: `git annex get` fetches it",
    b"<!doctype html": "a web page (HTML), not the clip: its download failed",
    b"<html": "a web page (HTML), not the clip: its download failed",
    b"<?xml": "an XML text, not the clip: its download failed",
    b"<error>": "an XML text, not the clip: its download failed",
    b"pk\x03\x04": "an archive (zip), not a clip: unpack it",
    b"\x1f\x8b": "an archive (gzip), not a clip: unpack it",
    b"7z\xbc\xaf": "an archive (7z), not a clip: unpack it",
    b"rar!": "an archive (rar), not a clip: unpack it",
}


def require_file(path: Path) -> os.stat_result:
    """Return the status of a regular file; a link is followed. Raises: MediaAbsent; MediaFault for anything else."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as fault:
        raise MediaAbsent("no such file") from fault
    except OSError as fault:
        looped = fault.errno == errno.ELOOP
        raise MediaFault("a loop of symbolic links" if looped else f"cannot be opened: {fault.strerror}") from fault
    except ValueError as fault:  # a zero byte in the name
        raise MediaFault("cannot be opened: its name has a zero byte") from fault
    if not stat.S_ISREG(status.st_mode):
        raise MediaFault(f"not a file: {KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}")
    return status


def require_content(path: Path) -> None:
    """Raise MediaAbsent if there is no such file, MediaFault if it is empty, no regular file, or only a stand-in."""
    if require_file(path).st_size == 0:
        raise MediaFault("0 bytes")
    try:
        with path.open("rb", buffering=0) as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as fault:
        raise MediaFault(f"cannot be opened: {fault.strerror}") from fault
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, said in _STAND_INS.items():
        if head.startswith(beginning):
            raise MediaFault(said)
