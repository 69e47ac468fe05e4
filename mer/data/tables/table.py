"""A whole file of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.data.tables.encodings import decode
from mer.data.tables.json_lines import read_json_lines
from mer.data.tables.row import Row
from mer.data.tables.separated import read_separated
from mer.errors import MerError
from mer.read_files import read_bytes

LARGEST_BYTES = 2**28  # of a file; MELD has 1.1 MB
_JSON = (".jsonl", ".ndjson")
_NAME_IT = "name its encoding: --set data.encoding=gb18030 (Chinese), shift_jis (Japanese), cp1251 (Cyrillic)"
ENDINGS = (".csv", ".tsv", *_JSON)  # in any case
_OTHER_KINDS = {
    ".json": "write one JSON object a line: python -c 'import json; [print(json.dumps(row)) for row in "
    'json.load(open("{name}"))]\' > {stem}.jsonl',
    ".pkl": "export it as CSV: pickles are never read, they can run code",
}
_SPREADSHEET = "save it as CSV (UTF-8) in the program that made it"


@dataclass(frozen=True)
class Table:
    """A file's rows.

    Args:
        columns: names in the order of the file.
        rows: each has all columns.
        unusual: what is unusual about the file, in words: "cp1252", "';' between cells".
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    unusual: tuple[str, ...] = ()

    def missing(self, wanted: Sequence[str], then: str) -> MerError | None:
        """Return the fault of a header that lacks some of the wanted columns; None if all are there."""
        lacking = [column for column in wanted if column not in self.columns]
        if not lacking:
            return None
        return MerError(
            f"{self.path}:1",
            f"missing column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; the header has "
            f"{', '.join(self.columns) or 'nothing'}",
            allowed=f"a header with {', '.join(wanted)}",
            then=then,
        )


def refuse_other_kind(path: Path) -> None:
    """Refuse a file whose ending is that of no table, with what makes it readable. Raises: MerError."""
    if path.suffix.lower() not in ENDINGS:
        raise MerError(
            path,
            "is no table of utterances that can be read",
            allowed=f"a file that ends in {', '.join(ENDINGS)}",
            then=_OTHER_KINDS.get(path.suffix.lower(), _SPREADSHEET).format(name=path, stem=path.with_suffix("")),
        )


def read_table(path: Path, then: str, *, encoding: str | None = None) -> Table:
    """Read a user's CSV, TSV or JSON lines file.

    Args:
        then: what the user should do if something is wrong with the file.
        encoding: the encoding that the user names; None finds it out.
    Raises: MerError (or Faults), naming file and line, for anything that is wrong.
    """
    return _read(path, then, encoding, _NAME_IT)


def read_rows(path: Path, columns: Sequence[str], then: str, optional: Sequence[str] = ()) -> list[Row]:
    """Read all rows of a file whose header has at least `columns`; only these and `optional` ones are kept.

    Raises: MerError (or Faults) also for missing columns and no rows.
    """
    table = _read(path, then, None, then)
    if fault := table.missing(columns, then):
        raise fault
    if not table.rows:
        raise MerError(path, "the split is empty: the file has a header and no rows", then=then)
    kept = [*columns, *(name for name in optional if name in table.columns)]
    return [Row(row.path, row.line, {name: row.cells[name] for name in kept}) for row in table.rows]


def _read(path: Path, then: str, encoding: str | None, undecoded: str) -> Table:
    """Args: undecoded: what the user should do if the bytes are no text in this encoding."""
    try:
        content = read_bytes(path, largest=LARGEST_BYTES, then="split it into several files")
    except OSError as fault:
        raise MerError(path, f"cannot be read: {fault.strerror}", then=then) from fault
    text, name = decode(content, str(path), encoding=encoding, then=undecoded)
    is_json = path.suffix.lower() in _JSON
    columns, rows, unusual = (read_json_lines if is_json else read_separated)(path, text, then)
    return Table(path, tuple(columns), tuple(rows), (*([] if name == "UTF-8" else [name]), *unusual))
