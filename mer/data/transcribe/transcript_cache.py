"""Keep transcripts by the hash of their clip, so that a run goes on where another stopped."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mer.data.transcribe.recogniser import versions
from mer.files import sha256_json
from mer.read_files import parse_json, read_bytes

_LARGEST_BYTES = 2**28
MADE_BY = "mer.data.transcribe"  # written into files, so that they are known as ours later


class TranscriptCache:
    """Transcripts by the SHA-256 of the clip's bytes, in one file of JSON lines per model and its options.

    A line is written as soon as its clip is transcribed. A half-written line of a killed run is skipped when read.

    Args:
        folder: of all transcript caches.
        identity: everything besides the clip that decides a transcript, with the key "model".
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        name = re.sub(r"[^\w.-]+", "-", str(identity["model"])).strip("-.")[-60:]
        self.path = folder / f"{name}-{sha256_json(identity)[:16]}.jsonl"
        self._identity = dict(identity)
        self._texts = dict(_cached_lines(self.path))
        self._ready = False

    def get(self, sha256: str) -> str | None:
        """Return the transcript of a clip, or None."""
        return self._texts.get(sha256)

    def add(self, sha256: str, text: str) -> None:
        """Keep a transcript, also on disk."""
        self._texts[sha256] = text
        if not self._ready:
            self._begin()
        self._append({"sha256": sha256, "text": text})

    def _begin(self) -> None:
        """Make the file ready for whole lines."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self._append({"made_by": MADE_BY, **self._identity, "versions": versions()})
        elif not self.path.read_bytes().endswith(b"\n"):
            with self.path.open("ab") as stream:  # ends a half-written line, so that the next one stands apart
                stream.write(b"\n")
        self._ready = True

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("ab") as stream:
            stream.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")


def _cached_lines(path: Path) -> Iterable[tuple[str, str]]:
    """Yield hash and text of every whole line."""
    if not path.exists():
        return
    for line in read_bytes(path, largest=_LARGEST_BYTES, then=f"rm {shlex.quote(str(path))}").splitlines():
        try:
            entry = parse_json(line, path)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("text"), str):
            yield entry["sha256"], entry["text"]
