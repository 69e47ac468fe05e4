"""The clips of a corpus as `python -m mer.data check` prints them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from mer.data.check.media import LONG_S, MODALITIES, CheckedClip, MediaSummary, worst

SHOWN = 8


def media_table(summaries: Sequence[MediaSummary]) -> Table:
    """Make a table with one row per split and modality."""
    table = Table("", "clips", "absent", "unreadable", f"> {LONG_S:g} s", "mean s", "max s")
    for column in table.columns:
        column.justify, column.no_wrap = "left" if column is table.columns[0] else "right", True
    for summary in summaries:
        table.add_row(
            f"{summary.split} {summary.modality}",
            f"{len(summary.clips) - summary.count('absent')} of {len(summary.clips)}",
            str(summary.count("absent")),
            str(summary.count("unreadable")),
            str(summary.over_long),
            "" if summary.mean_s is None else f"{summary.mean_s:.2f}",
            "" if summary.max_s is None else f"{summary.max_s:.1f}",
        )
    return table


def media_lines(summaries: Sequence[MediaSummary], *, deep: bool) -> list[str]:
    """List absent modalities, the worst clips by name, and whether clips were decoded."""
    if not summaries:
        return ["no audio, no video: text only"]
    missing = [modality for modality in MODALITIES if modality not in {summary.modality for summary in summaries}]
    lines = [f"no {modality}" for modality in missing]
    bad = _by_reason(worst(summaries))
    lines += bad[:SHOWN]
    if len(bad) > SHOWN:
        lines.append(f"  and {len(bad) - SHOWN} more")
    if not deep:
        lines.append("only headers were read; --deep decodes every clip")
    return lines


def _by_reason(clips: Sequence[CheckedClip]) -> list[str]:
    """Join the clips of an utterance that have the same fault into one line, in the order of their first clip."""
    states: dict[tuple[str, str], list[str]] = {}
    for clip in clips:
        over_long = f"only the first {LONG_S:g} s of {clip.duration_s or 0.0:.0f} s are used"
        state = clip.modality if clip.state == "good" else f"{clip.modality} {clip.state}"
        states.setdefault((clip.id, clip.words or over_long), []).append(state)
    return [f"  {name} {', '.join(found)}: {words}" for (name, words), found in states.items()]


def next_step(dataset: str, root: Path, summaries: Sequence[MediaSummary]) -> str:
    """Return the line that names the next command."""
    folder = shlex.quote(str(root))
    there = [summary.modality for summary in summaries if summary.count("good")]
    if there:
        chosen = "" if dataset == "meld" else f" --set data.dataset={dataset}"
        return f"next: python -m mer.tune search_spaces/{there[0]}.yaml{chosen} --set data.root={folder}"
    if dataset == "meld":
        return (
            f"next, for sound and pictures: python -m mer.data prepare RAW --out {folder}  (RAW: the unpacked archive)"
        )
    return f"next: python -m mer.tune search_spaces/ce.yaml --set data.dataset={dataset} --set data.root={folder}"
