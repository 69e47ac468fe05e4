"""Splits that the data do not have: made once by `data.split`, written down beside the data, and kept.

The record (`split_record`) says which speakers, dialogues or rows are dev and test; all others are train. It is read
whenever it is there, so that the commands that follow need no `data.split`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.config import SplitRule
from mer.data.readers.split_record import HELD_OUT, read_record, record_path, refuse_other
from mer.data.types import MadeSplits
from mer.errors import MerError
from mer.files import sha256_json

ADVICE = "to make one: --set data.split.dev=0.1 (written once beside the data, and kept)"


@dataclass(frozen=True)
class Splittable:
    """A row that has no split yet.

    Args:
        speaker, dialogue: "" where the data do not say.
        row: name of the row, unique.
        label: its label, "" without one.
    """

    speaker: str
    dialogue: str
    row: str
    label: str

    def group(self, by: str) -> str:
        return {"speaker": self.speaker, "dialogue": self.dialogue, "row": self.row}[by]


def assign(
    rows: Sequence[Splittable], lacking: Sequence[str], rule: SplitRule | None, source: Path, *, numbered: bool
) -> tuple[list[str], MadeSplits | None]:
    """Say for each row of train whether it stays there or becomes one of the `lacking` splits. Writes nothing.

    Args:
        lacking: "dev" or "test", those that the data do not have.
        source: the file of the rows.
        numbered: rows have no names of their own: they are known by their places in the file.
    Returns: a split per row, all "train" without a rule and without a record; and how they were made.
    Raises: MerError for a record of another rule or of other rows, and for too few rows.
    """
    path = record_path(source, rule)
    kept = path.exists()
    if kept:
        known = read_record(path)
    elif rule is not None:
        known = _make(rows, lacking, rule, source, numbered=numbered)
    else:
        return ["train"] * len(rows), None
    refuse_other(path, known, rule, _rows_sha256(rows))
    where = {group: split for split in HELD_OUT if split in lacking for group in known.get(split, [])}
    return [where.get(row.group(known["by"]), "train") for row in rows], MadeSplits(path, known, kept)


def _make(
    rows: Sequence[Splittable], lacking: Sequence[str], rule: SplitRule, source: Path, *, numbered: bool
) -> dict[str, Any]:
    by = rule.by or _usual(rows)
    groups: defaultdict[str, list[Splittable]] = defaultdict(list)
    for row in rows:
        if not row.group(by):
            raise MerError("data.split.by", f"{source} has rows without a {by}", allowed=", ".join(_possible(rows)))
        groups[row.group(by)].append(row)
    shares = {split: getattr(rule, split) for split in HELD_OUT if split in lacking and getattr(rule, split)}
    if len(groups) <= len(shares):
        raise _too_few(len(groups), by, list(shares), source)
    held = _held_out(groups, shares, rule.seed, each_label=by == "row")
    if held is None:
        raise _too_few(len(groups), by, list(shares), source, labels=len({row.label for row in rows}))
    return {
        "made_of": source.name,
        "by": by,
        "seed": rule.seed,
        "shares": shares,
        **({"rows_sha256": _rows_sha256(rows)} if by == "row" and numbered else {}),
        **held,
    }


def _held_out(
    groups: Mapping[str, Sequence[Splittable]], shares: Mapping[str, float], seed: int, *, each_label: bool
) -> dict[str, list[str]] | None:
    """Draw groups for each split until its share of rows is reached; rows are drawn label by label.

    The order is that of hashes: it depends on seed and name alone, so no library can change it. Train keeps at least
    one group, or one row of each label. Returns: None where that leaves a split without any.
    """
    strata: defaultdict[str, list[str]] = defaultdict(list)
    for name, rows in groups.items():
        strata[rows[0].label if each_label else ""].append(name)
    held: dict[str, list[str]] = {split: [] for split in shares}
    owed = dict.fromkeys(shares, 0.0)
    for _, names in sorted(strata.items()):
        waiting = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        total = sum(len(groups[name]) for name in names)
        for split, share in shares.items():
            owed[split] += share * total
            while owed[split] >= 0.5 and len(waiting) > 1:
                held[split].append(waiting.pop())
                owed[split] -= len(groups[held[split][-1]])
    for names in held.values():  # of very few rows: at least one
        if not names:
            left = {name: key for key, all_of in strata.items() for name in all_of if not _is_in(name, held)}
            kept = Counter(left.values())
            spare = next((name for name in groups if kept[left.get(name, "")] > 1 and name in left), None)
            if spare is None:
                return None
            names.append(spare)
    return {split: sorted(names) for split, names in held.items()}


def _is_in(name: str, held: Mapping[str, Sequence[str]]) -> bool:
    return any(name in names for names in held.values())


def _too_few(count: int, by: str, splits: Sequence[str], source: Path, labels: int = 0) -> MerError:
    of = f" of {labels} labels" if labels and by == "row" else ""
    one_less = f", or one split less: --set data.split.{splits[0]}=0" if len(splits) > 1 else ""
    return MerError(
        "data.split",
        f"{source} has {count} {by}{'s' if count != 1 else ''}{of}: too few to hold out {' and '.join(splits)}",
        allowed="data of which train keeps a part, and every label",
        then=f"--set data.split.by=row{one_less}" if by != "row" else f"add rows{one_less}",
    )


def _usual(rows: Sequence[Splittable]) -> str:
    """Choose what is never cut: dialogues of several rows, else speakers, else rows."""
    dialogues = {row.dialogue for row in rows}
    if len(dialogues) < len(rows) and len(dialogues) > 2:
        return "dialogue"
    speakers = {row.speaker for row in rows}
    return "speaker" if "" not in speakers and len(speakers) > 2 else "row"


def _possible(rows: Sequence[Splittable]) -> list[str]:
    return [by for by in ("speaker", "dialogue", "row") if all(row.group(by) for row in rows)]


def _rows_sha256(rows: Sequence[Splittable]) -> str:
    return sha256_json([[row.row, row.label] for row in rows])
