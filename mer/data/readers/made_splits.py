"""Splits that the data do not have: made once by `data.split`, written down beside the data, and kept.

The file says which speakers, dialogues or rows are dev and test; all others are train. It is read whenever it is there,
so that the commands that follow need no `data.split`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.config import SplitRule
from mer.errors import MerError
from mer.files import sha256_json, write_json

ENDING = ".splits.json"
HELD_OUT = ("test", "dev")
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


def record_path(source: Path, rule: SplitRule | None) -> Path:
    """Return the file that keeps the splits made of `source`."""
    if rule is not None and rule.file is not None:
        return Path(rule.file).expanduser()
    return source.with_name(f"{source.stem}{ENDING}")


def assign(
    rows: Sequence[Splittable], lacking: Sequence[str], rule: SplitRule | None, source: Path, *, numbered: bool
) -> list[str]:
    """Say for each row of train whether it stays there or becomes one of the `lacking` splits.

    Args:
        lacking: "dev" or "test", those that the data do not have.
        source: the file of the rows.
        numbered: rows have no names of their own: they are known by their places in the file.
    Returns: a split per row; all "train" without a rule and without a record.
    Raises: MerError for a record of another rule or of other rows, and a place that cannot be written.
    """
    path = record_path(source, rule)
    known = _read(path) if path.exists() else None
    if known is None and rule is None:
        return ["train"] * len(rows)
    if known is None:
        assert rule is not None
        known = _make(rows, lacking, rule, source, numbered=numbered)
        _write(path, known)
    _refuse_other(path, known, rule, rows)
    where = {group: split for split in HELD_OUT if split in lacking for group in known.get(split, [])}
    return [where.get(row.group(known["by"]), "train") for row in rows]


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
        found = f"{source} has {len(groups)} {by}{'s' if len(groups) > 1 else ''}: too few to hold out {len(shares)}"
        raise MerError("data.split.by", found, allowed=", ".join(_possible(rows)), then="--set data.split.by=row")
    held = _held_out(groups, shares, rule.seed, each_label=by == "row")
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
) -> dict[str, list[str]]:
    """Draw groups for each split until its share of rows is reached; rows are drawn label by label.

    The order is that of hashes: it depends on seed and name alone, so no library can change it.
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
            spare = next(name for name in groups if not any(name in others for others in held.values()))
            names.append(spare)
    return {split: sorted(names) for split, names in held.items()}


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


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        is_ours = known["by"] in ("speaker", "dialogue", "row") and isinstance(known["seed"], int)
        lists = [known.get(split, []) for split in HELD_OUT]
        is_ours = is_ours and isinstance(known["shares"], dict) and all(isinstance(names, list) for names in lists)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise MerError(path, "is no record of splits", then=f"remove {path}, and the splits are made anew")
    return dict(known)


def _write(path: Path, known: dict[str, Any]) -> None:
    try:
        write_json(path, known)
    except OSError as fault:
        raise MerError(
            path,
            f"the splits cannot be written here: {fault.strerror}",
            then=f"name another place: --set data.split.file={path.name}",
        ) from fault


def _refuse_other(path: Path, known: Mapping[str, Any], rule: SplitRule | None, rows: Sequence[Splittable]) -> None:
    """Refuse a record that another rule made, or of rows that were known by their places and have changed."""
    if rule is not None:
        made = {"seed": known["seed"], "by": known["by"], **known["shares"]}
        shares = {split: getattr(rule, split) for split in known["shares"]}
        asked = {"seed": rule.seed, "by": rule.by or known["by"], **shares}
        if made != asked:
            told = ", ".join(f"{name} {made[name]}" for name in made if made[name] != asked[name])
            raise MerError(
                path,
                f"these splits were made with {told}",
                then=f"leave data.split as it was, or remove {path} to split anew",
            )
    if known.get("rows_sha256") not in (None, _rows_sha256(rows)):
        raise MerError(
            path,
            "the rows have changed since they were split, and they have no ids to be known by",
            then=f"remove {path} to split anew, or give the rows a column id before they are split",
        )
