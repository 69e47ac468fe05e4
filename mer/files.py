"""Files that are whole or absent: written beside their place, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mer.read_files import open_regular


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def atomic_path(target: Path, *, mode: int = 0o666, previous: Path | None = None) -> Iterator[Path]:
    """Give a temporary path beside `target`; on a clean exit it becomes `target`, otherwise it is removed.

    Args:
        mode: permissions, less the process's umask; a copy passes those of its source, and is private until whole.
        previous: gets the file that was `target`, by a rename; a kill may leave `previous` alone.
    Raises: OSError naming `target` for everything the file system refuses, also when a library (safetensors) wraps
        the system's error number in text.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if mode != 0o666:
            temporary.touch(mode=0o600)
        yield temporary
        temporary.chmod(mode & 0o666 & ~_umask())  # safetensors writes files that only their owner may read
        handle = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if previous is not None:
            with contextlib.suppress(FileNotFoundError):
                target.replace(previous)
        temporary.replace(target)
        fsync_folder(target.parent)
    except Exception as fault:
        number = fault.errno if isinstance(fault, OSError) else _os_error_in(str(fault))
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(target)) from fault
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _os_error_in(text: str) -> int | None:
    found = re.search(r"os error (\d+)", text)
    return int(found.group(1)) if found else None


def _umask() -> int:
    """The process's umask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_text(target: Path, text: str) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises: OSError, also for what is no regular file."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, in hex: equal values, equal hash, on any machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
