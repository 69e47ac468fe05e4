"""Named arrays of a file: their shapes first, then one of them or one row of it. Nothing in a file is run.

.npy and .npz are read by their headers, never with pickle; .safetensors by the header that `mer.tensor_header` checks.
A file says how large its arrays are before one is read, and that is compared with the bytes that are there.
"""

from __future__ import annotations

import contextlib
import lzma
import math
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from mer.errors import MerError
from mer.features.given.unfit import Unfit, require_numbers, require_size
from mer.read_files import Unreadable, open_regular, parse_json
from mer.tensor_header import read_header

ENDINGS = (".npy", ".npz", ".safetensors", ".h5", ".hdf5")
MOST_ARRAYS = 200_000
ONE = ""  # the name of the array of a .npy file
IDS = "ids"  # metadata of a safetensors file: JSON, a list of ids, or one for each part of the data
_TEXT = "US"
_BROKEN = (  # what libraries raise for a file that is not what its ending says
    ValueError, EOFError, TypeError, KeyError, SyntaxError, MemoryError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OverflowError,
)  # fmt: skip


class NamedArrays(Protocol):
    """An open file.

    Args:
        shapes: of the arrays of numbers, by name.
        texts: the arrays of text, by name, flat.
    """

    shapes: Mapping[str, tuple[int, ...]]
    texts: Mapping[str, tuple[str, ...]]

    def read(self, name: str, row: int | None = None) -> np.ndarray:
        """Read an array, or one row of it. Raises: Unfit."""
        ...


@contextlib.contextmanager
def open_arrays(path: Path) -> Iterator[NamedArrays]:
    """Open a file by its ending. Raises: Unfit, also for a pipe, a folder, or what cannot be opened."""
    ending = path.suffix.lower()
    with contextlib.ExitStack() as opened:
        with as_unfit(ending):
            arrays: NamedArrays
            if ending == ".npy":
                arrays = _Npy(opened.enter_context(open_regular(path)))
            elif ending == ".npz":
                arrays = _Npz(opened.enter_context(zipfile.ZipFile(opened.enter_context(open_regular(path)))))
            elif ending == ".safetensors":
                from safetensors import safe_open

                header = read_header(path)
                file = opened.enter_context(safe_open(path, framework="np"))
                arrays = _Safetensors(file, header.metadata, header.dtypes, header.shapes)
            else:
                from mer.features.given.h5 import open_h5

                arrays = opened.enter_context(open_h5(path))
        yield arrays


@contextlib.contextmanager
def as_unfit(ending: str) -> Iterator[None]:
    """Word what libraries raise for a file that is not what its ending says. Raises: Unfit."""
    try:
        yield
    except Unreadable as fault:
        raise Unfit(fault.found) from fault
    except MerError:
        raise
    except OSError as fault:
        raise Unfit(f"cannot be opened: {fault.strerror or fault}") from fault
    except _BROKEN as fault:
        raise Unfit(f"is no whole {ending} file") from fault
    except Exception as fault:
        if type(fault).__name__ != "SafetensorError":  # that of a library which only its files need
            raise
        raise Unfit(f"is no whole {ending} file") from fault


class _Npy:
    """The one array of a .npy file."""

    def __init__(self, stream: IO[bytes]) -> None:
        shape, fortran, dtype = _npy_header(stream)
        require_numbers(dtype, ONE)
        left = os.fstat(stream.fileno()).st_size - stream.tell()
        if (size := require_size(shape, dtype.itemsize, ONE)) != left:
            raise Unfit(f"its header promises {size} bytes of numbers, {left} are there")
        self.shapes: Mapping[str, tuple[int, ...]] = {ONE: shape}
        self.texts: Mapping[str, tuple[str, ...]] = {}
        self._stream, self._dtype, self._fortran = stream, dtype, fortran

    def read(self, name: str, row: int | None = None) -> np.ndarray:
        array = _as_array(self._stream.read(), self.shapes[name], self._dtype, self._fortran)
        return array if row is None else array[row]


class _Npz:
    """The arrays of a .npz file. The last that was read stays in memory, for its rows are asked for one by one."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(self._infos) > MOST_ARRAYS:
            raise Unfit(f"holds {len(self._infos)} arrays, at most {MOST_ARRAYS} are read")
        shapes: dict[str, tuple[int, ...]] = {}
        texts: dict[str, tuple[str, ...]] = {}
        for name, info in self._infos.items():
            with archive.open(info) as stream:
                shape, _, dtype = _npy_header(stream)
            if dtype.kind in _TEXT:
                texts[name] = tuple(_words(self._array(name)))
            else:
                require_numbers(dtype, name)
                shapes[name] = shape
        self.shapes: Mapping[str, tuple[int, ...]] = shapes
        self.texts: Mapping[str, tuple[str, ...]] = texts
        self._last: tuple[str, np.ndarray] | None = None

    def read(self, name: str, row: int | None = None) -> np.ndarray:
        if self._last is None or self._last[0] != name:
            self._last = (name, self._array(name))
        array = self._last[1]
        return array if row is None else array[row]

    def _array(self, name: str) -> np.ndarray:
        info = self._infos[name]
        with self._archive.open(info) as stream:
            shape, fortran, dtype = _npy_header(stream)
            size = require_size(shape, dtype.itemsize, name)
            if info.file_size - stream.tell() != size:
                raise Unfit(f"array {name!r} promises {size} bytes, {info.file_size - stream.tell()} are there")
            return _as_array(stream.read(size), shape, dtype, fortran)


class _Safetensors:
    def __init__(
        self, file: Any, metadata: Mapping[str, str], dtypes: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        if unknown := [name for name, dtype in dtypes.items() if dtype.startswith(("BF", "F8"))]:
            raise Unfit(f"array {unknown[0]!r} is of type {dtypes[unknown[0]]}: save it as float32 or float16")
        self.shapes, self._file = shapes, file
        self.texts: Mapping[str, tuple[str, ...]] = _ids_in(metadata)

    def read(self, name: str, row: int | None = None) -> np.ndarray:
        array: np.ndarray = self._file.get_tensor(name) if row is None else self._file.get_slice(name)[row]
        return array


def _ids_in(metadata: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Read the ids of a safetensors file as an array of text is named: "ids", or "train.ids"."""
    if IDS not in metadata:
        return {}
    said = parse_json(metadata[IDS], "its ids")
    parts = {f"{part}.{IDS}": ids for part, ids in said.items()} if isinstance(said, dict) else {IDS: said}
    for ids in parts.values():
        if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
            raise Unfit("its metadata 'ids' is no list of texts")
    return {name: tuple(ids) for name, ids in parts.items()}


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of .npy content; the stream is then at the first number."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise Unfit(f"is .npy content of version {version[0]}.{version[1]}, numbers are written as 1.0 or 2.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # written by Python 2
        shape, fortran, dtype = readers[version](stream)
    return tuple(int(side) for side in shape), bool(fortran), dtype


def _as_array(content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], fortran: bool) -> np.ndarray:
    return np.frombuffer(content, dtype, count=math.prod(shape)).reshape(shape, order="F" if fortran else "C")


def _words(array: np.ndarray) -> Iterator[str]:
    for item in array.ravel().tolist():
        yield item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
