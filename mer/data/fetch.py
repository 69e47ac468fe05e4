"""Fetch the three official MELD CSV files and check them. Media are not fetched: they are one archive of 11 GB.

pooch would check hashes too, but it keeps each file as it arrives and reads a body of any length; here nothing is kept
unless all that was missing arrived whole.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from pathlib import Path

from mer.data.readers.meld import MELD
from mer.errors import MerError
from mer.files import atomic_path, sha256_file

SOURCE = "https://github.com/declare-lab/MELD/tree/2d2011b409d3ca2d7e94460cd007d434b1d0a102/data/MELD"
RAW_URL = "https://raw.githubusercontent.com/declare-lab/MELD/2d2011b409d3ca2d7e94460cd007d434b1d0a102/data/MELD"
TIMEOUT_S = 30.0
LARGEST_BYTES = 16 * 2**20  # the largest of the three has 1.1 MB; a far larger body is something else


def get_meld(root: Path) -> list[Path]:
    """Put the three official CSV files into `root`; files that are right already are left alone.

    Nothing is written unless every file that was missing has arrived with the right hash.

    Returns: the files written, none if all were there.
    Raises: MerError if a different file is in the way, there is no connection, or a hash is wrong.
    """
    expected = {MELD.path(root, split): sha256 for split, sha256 in MELD.sha256.items()}
    for path, sha256 in expected.items():
        if path.exists() and sha256_file(path) != sha256:
            raise MerError(
                path,
                f"a different file is here already (SHA-256 {sha256_file(path)}); it is not overwritten",
                allowed=f"the official file (SHA-256 {sha256}), or none",
                then=f"move it away, or choose another folder: `python -m mer.data get meld --root FOLDER`; "
                f"if it is what you want to use, --set data.root={root} does",
            )
    contents = {path: _download(path) for path in expected if not path.exists()}
    for path, content in contents.items():
        received = hashlib.sha256(content).hexdigest()
        if received != expected[path]:
            raise MerError(
                f"{RAW_URL}/{path.name}",
                f"the download has SHA-256 {received}; nothing was kept",
                allowed=f"SHA-256 {expected[path]}",
                then=f"run the same command again; if that does not help, {_by_hand(root)}",
            )
    for path, content in contents.items():
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    return list(contents)


def _download(path: Path) -> bytes:
    """Return the bytes of the file of that name. Raises: MerError when it cannot be fetched."""
    url = f"{RAW_URL}/{path.name}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            content: bytes = response.read(LARGEST_BYTES + 1)
            return content
    except (OSError, http.client.HTTPException) as fault:  # URLError, HTTPError, time-outs, broken transfers
        reason = str(getattr(fault, "reason", fault)) or type(fault).__name__
        raise MerError(url, f"cannot be fetched: {reason}", then=_by_hand(path.parent)) from fault


def _by_hand(root: Path) -> str:
    """Say how to get the files without this program."""
    names = ", ".join(MELD.path(root, split).name for split in MELD.sha256)
    return f"put {names} into {root} by hand; they come from {SOURCE} (repository declare-lab/MELD)"
