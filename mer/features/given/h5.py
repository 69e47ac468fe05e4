"""The arrays of an HDF5 file (extra `h5`). Links to other files, and data that lie in other files, are refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mer.errors import MerError
from mer.features.given.unfit import Unfit, require_numbers, require_size
from mer.read_files import require_regular

_INSTALL = 'pip install "mer[h5]"'
_MOST = 200_000  # arrays


@contextlib.contextmanager
def open_h5(path: Path) -> Iterator[_H5]:
    """Open an HDF5 file. Raises: MerError without h5py; Unfit; OSError."""
    try:
        import h5py
    except ImportError as fault:
        raise MerError(path, "HDF5 is read by h5py, which is not installed", then=_INSTALL) from fault
    require_regular(path)
    try:
        file = h5py.File(path, "r")
    except OSError as fault:  # its message has the whole stack of the library
        raise Unfit("is no whole HDF5 file") from fault
    with file:
        yield _H5(file)


class _H5:
    """Arrays of all groups, named by their path: `train/audio`."""

    def __init__(self, file: Any) -> None:
        import h5py

        self._file = file
        shapes: dict[str, tuple[int, ...]] = {}
        texts: dict[str, tuple[str, ...]] = {}

        def look(name: str, entry: Any) -> None:
            if not isinstance(entry, h5py.Dataset):
                return
            if entry.external or entry.is_virtual:
                raise Unfit(f"array {name!r} lies in another file, which is not opened")
            if h5py.check_string_dtype(entry.dtype) is not None or entry.dtype.kind == "S":
                texts[name] = tuple(_text(item) for item in np.ravel(entry[()]).tolist())
            else:
                require_numbers(entry.dtype, name)
                require_size(entry.shape, entry.dtype.itemsize, name)
                shapes[name] = tuple(int(side) for side in entry.shape)
            if len(shapes) + len(texts) > _MOST:
                raise Unfit(f"holds more than {_MOST} arrays")

        file.visititems(look)  # passes over soft and external links
        self.shapes: Mapping[str, tuple[int, ...]] = shapes
        self.texts: Mapping[str, tuple[str, ...]] = texts

    def read(self, name: str, row: int | None = None) -> np.ndarray:
        return np.asarray(self._file[name][()] if row is None else self._file[name][row])


def _text(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
