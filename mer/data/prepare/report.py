"""A run of prepare in words: its log, and the lines that the command prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mer.data.prepare.manifest import NO_CLIP, Manifest
from mer.data.prepare.raw_clips import PREFIX


@dataclass(frozen=True, slots=True)
class Preparation:
    """Outcome of a run.

    Attributes:
        manifest: all outcomes, those of earlier runs too.
        asked: split -> ids of the utterances of this run.
        kept: how many of them were done before.
        left_out: split -> why it was not prepared.
    """

    manifest: Manifest
    asked: Mapping[str, tuple[str, ...]]
    kept: int
    left_out: Mapping[str, str]


def log_lines(manifest: Manifest) -> list[str]:
    """Write a line per fault, note, choice between twins, and clip without annotation; its first word says which."""
    lines = []
    for name, entry in manifest.entries.items():
        source = f" ({entry.source})" if entry.source else ""
        faults = {"sound": entry.audio_fault, "video": entry.video_fault}
        if entry.source is None:
            lines.append(f"fault {name}: {NO_CLIP}")
        else:
            lines += [f"fault {name}: {kind}: {fault}{source}" for kind, fault in faults.items() if fault]
        lines += [f"note {name}: {note}{source}" for note in (entry.audio.notes if entry.audio else ())]
        if len(entry.seen) > 1:
            lines.append(f"choice {name}: {entry.decision}")
    lines += [f"unannotated {path}" for paths in manifest.unannotated.values() for path in paths]
    return sorted(lines, key=lambda line: line.split()[0])  # a stable sort: each kind stays in the order of the corpus


def summary_lines(prepared: Preparation) -> list[str]:
    """Sum up the run: a line per split, then splits left out, and how videos were placed."""
    lines = []
    for split, names in prepared.asked.items():
        entries = [prepared.manifest.entries[name] for name in names]
        absent = sum(entry.source is None for entry in entries)
        silent = sum(entry.source is not None and entry.audio is None for entry in entries)
        blind = sum(entry.source is not None and bool(entry.video_fault) for entry in entries)
        twins = Counter("prefixed" if PREFIX in (e.source or "") else "plain" for e in entries if len(e.seen) > 1)
        words = [f"{split}: {len(entries) - absent - silent} of {len(entries)} clips have sound"]
        words += [f"{absent} not in the archive"] * bool(absent)
        words += [f"{silent} without usable sound"] * bool(silent)
        words += [f"{blind} that cannot be opened as video"] * bool(blind)
        if twins:
            words.append(f"{twins['plain']} plain and {twins['prefixed']} prefixed twins chosen")
        unannotated = len(prepared.manifest.unannotated.get(split, ()))
        words += [f"{unannotated} clips without annotation left alone"] * bool(unannotated)
        lines.append("; ".join(words))
    lines += [f"{split}: not prepared, {why}" for split, why in prepared.left_out.items()]
    pictures = [prepared.manifest.entries[name].video for names in prepared.asked.values() for name in names]
    links = Counter(picture.link for picture in pictures if picture is not None)
    made = ", ".join(f"{count} {_LINKS[kind]}" for kind, count in links.items()) or "none"
    lines.append(f"videos: {made}; {prepared.kept} clips were done before this run")
    return lines


def fault_lines(prepared: Preparation) -> list[str]:
    """Write a line per utterance of the run whose sound or video is missing or unusable."""
    asked = {name for names in prepared.asked.values() for name in names}
    lines = []
    for name, entry in prepared.manifest.entries.items():
        faults = dict.fromkeys(fault for fault in (entry.audio_fault, entry.video_fault) if fault)
        if name in asked and faults:
            lines.append(f"{name}: {'; '.join(faults)}")
    return lines


_LINKS = {"hard": "hard links", "symbolic": "symbolic links", "copy": "copies"}
