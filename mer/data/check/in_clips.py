"""What the clips of a corpus say about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from mer.data.check.finding import Finding, by_split
from mer.data.check.known import known_clip
from mer.data.check.leakage import EXAMPLES
from mer.data.check.media import LONG_S, CheckedClip, MediaSummary

MOST_WRONG = 0.05  # of a split's clips; above it scores are those of other data


_KINDS: dict[str, tuple[str, Callable[[CheckedClip], bool]]] = {
    "absent": ("absent", lambda clip: clip.state == "absent"),
    "unreadable": ("that cannot be used", lambda clip: clip.state == "unreadable"),
    "silent": ("in which there is nothing to hear", lambda clip: clip.says_nothing),
    "other length": ("of another length than the data say", lambda clip: clip.other_length),
    "remarks": ("with a remark", lambda clip: clip.usable and bool(clip.words)),
    "over-long": (
        f"longer than {LONG_S:g} s, of which only so much is read",
        lambda clip: clip.usable and (clip.duration_s or 0.0) > LONG_S,
    ),
}


def clip_findings(dataset: str, summaries: Sequence[MediaSummary], published: bool) -> Iterator[Finding]:
    """Judge the clips of one modality, kind by kind, and the share that is lost altogether.

    Args:
        summaries: one per split.
        published: whether the data files are the published ones, whose bad clips are known.
    """
    modality = summaries[0].modality
    for summary in summaries:
        unusable = sum(not clip.usable for clip in summary.clips)
        mislabelled = summary.other_length
        for count, what in ((unusable, "cannot be used"), (mislabelled, "have another length than the data say")):
            if count / len(summary.clips) > MOST_WRONG:
                share = f"{count} of {len(summary.clips)} clips ({count / len(summary.clips):.0%})"
                words = f"{modality} of {summary.split}: {share} {what}; scores with {modality} mean little"
                yield Finding("wrong", "many clips", words)
    for kind, (words, belongs) in _KINDS.items():
        bad = {summary.split: [clip for clip in summary.clips if belongs(clip)] for summary in summaries}
        clips = [clip for of_split in bad.values() for clip in of_split]
        known = {clip.id: fact for clip in clips if (fact := known_clip(dataset, clip.id)) and published}
        for clip_id, fact in known.items():
            yield Finding("known", kind, f"{modality} of {clip_id} {fact}", (clip_id,))
        rest = [clip for clip in clips if clip.id not in known]
        if rest:
            counts = by_split(Counter(clip.id.partition("/")[0] for clip in rest))
            shown = ", ".join(f"{clip.id}: {_reason(clip, kind)}" for clip in rest[:EXAMPLES])
            more = " ..." if len(rest) > EXAMPLES else ""
            examples = tuple(clip.id for clip in rest[:EXAMPLES])
            yield Finding("note", kind, f"{modality} {words}: {counts} ({shown}{more})", examples)


def _reason(clip: CheckedClip, kind: str) -> str:
    if kind == "other length":
        return f"{clip.duration_s:.2f} s instead of {clip.said_s:.2f} s"
    if kind == "over-long":
        return f"{clip.duration_s:.0f} s"
    return clip.words
