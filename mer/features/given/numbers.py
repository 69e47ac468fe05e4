"""Rows of numbers in CSV: the frames of one clip, or a table of clips with a column that names them.

Any of , ; tab and blank separates. Columns that say which frame a row is (`start`, `frame`, `timestamp`, ...) are no
features. Rows of one name are its frames where such a column is there.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mer.features.given.unfit import Unfit
from mer.read_files import open_regular

ENDINGS = (".csv", ".tsv")
LARGEST_BYTES = 2**32
_NAMES = ("id", "name", "names", "file", "filename", "utterance", "utterance_id", "clip", "path", "key", "")
_FRAMES = ("start", "end", "frame", "frametime", "frameindex", "timestamp", "time", "face_id")
_BYTES_OF_HEAD = 2**20  # ComParE's header of 6373 columns has 0.3 MB


class _Rows:
    """The rows of a file, and what its columns are."""

    def __init__(self, stream: io.TextIOBase) -> None:
        head = stream.readline(_BYTES_OF_HEAD)
        if not head.strip():
            raise Unfit("is empty")
        self._separator = max(",;\t ", key=head.strip().count)
        cells = next(csv.reader([head], delimiter=self._separator, skipinitialspace=True))
        self.columns = [cell.strip().lower() for cell in cells]
        counted = len(cells) > 2 and self.columns == [str(at) for at in range(len(cells))]  # pandas, without names
        has_header = counted or not self.columns[0] or any(not _is_number(cell) for cell in cells)
        self._first = None if has_header else cells
        self._stream = stream
        self.names = next((self.columns.index(n) for n in _NAMES if has_header and n in self.columns[:3]), None)
        frames = {at for at, column in enumerate(self.columns) if has_header and column in _FRAMES}
        self.has_frames = bool(frames)
        index = {at for at, column in enumerate(self.columns) if has_header and column in _NAMES}
        self._numbers = [at for at in range(len(cells)) if at not in frames | index]
        if not self._numbers:
            raise Unfit(f"has no column of features: {', '.join(self.columns[:5])}")

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the name ("" without such a column) and the numbers of each row."""
        rest = csv.reader(self._stream, delimiter=self._separator, skipinitialspace=True)
        rows: Iterator[list[str]] = itertools.chain([self._first] if self._first else [], rest)
        for number, row in enumerate(rows, start=1 if self._first else 2):
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(self.columns):
                raise Unfit(f"line {number} has {len(row)} cells, the first has {len(self.columns)}")
            try:
                values = np.array([row[at] for at in self._numbers], dtype=np.float64)
            except ValueError:
                at = next(at for at in self._numbers if not _is_number(row[at]))
                raise Unfit(f"line {number}, column {self.columns[at]!r}: {row[at][:40]!r} is no number") from None
            yield row[self.names].strip() if self.names is not None else "", values


def width_of(path: Path) -> int:
    """Count the features of a row, by the first one. Raises: Unfit; OSError."""
    with _opened(path) as stream, _worded():
        first = next(iter(_Rows(stream)), None)
    if first is None:
        raise Unfit("has a header and no rows")
    return len(first[1])


def read_frames(path: Path) -> np.ndarray:
    """Read the frames of one clip: (T, D) float64. Raises: Unfit; OSError."""
    with _opened(path) as stream, _worded():
        frames = [values for _, values in _Rows(stream)]
    if not frames:
        raise Unfit("has a header and no rows")
    return np.stack(frames)


def read_named(path: Path) -> dict[str, np.ndarray]:
    """Read a table of clips: name -> (D,), or frames (T, D). Raises: Unfit; OSError."""
    found: dict[str, list[np.ndarray]] = {}
    with _opened(path) as stream, _worded():
        rows = _Rows(stream)
        if rows.names is None:
            raise Unfit(
                f"has no column that names the clips (id, name or file); its first are {', '.join(rows.columns[:5])}"
            )
        for name, values in rows:
            if name in found and not rows.has_frames:
                raise Unfit(f"holds {name!r} twice, and no column (start, frame, timestamp) says that rows are frames")
            found.setdefault(name, []).append(values)
    return {name: values[0] if len(values) == 1 else np.stack(values) for name, values in found.items()}


@contextlib.contextmanager
def _worded() -> Iterator[None]:
    try:
        yield
    except csv.Error as fault:
        raise Unfit(f"is no CSV file: {fault}") from fault
    except UnicodeDecodeError as fault:
        raise Unfit(f"byte {fault.start} is not UTF-8") from fault


def _opened(path: Path) -> io.TextIOWrapper:
    stream = open_regular(path)
    if (size := path.stat().st_size) > LARGEST_BYTES:
        stream.close()
        raise Unfit(f"has {size} bytes, at most {LARGEST_BYTES} are read: save it as .npz or .safetensors")
    return io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
