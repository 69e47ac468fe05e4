"""A whole check: everything that was counted, the findings, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mer.data.check.finding import Finding, Level, Tokens
from mer.data.check.in_clips import clip_findings
from mer.data.check.in_rows import label_findings, leak_findings, text_findings
from mer.data.check.known import is_published
from mer.data.check.leakage import Leak, clip_leaks, text_leaks
from mer.data.check.media import MediaSummary, check_media
from mer.data.check.summary import SplitSummary, check
from mer.data.types import Corpus
from mer.files import sha256_json
from mer.progress import Step

FORMAT, MADE_BY = 1, "python -m mer.data check"
MOST_UNKNOWN = 0.5  # of all tokens; above it the backbone reads another language
EXIT_SOUND, EXIT_WRONG = 0, 1
_CLIPS_SEEN = {None: "not looked at", False: "headers read", True: "decoded"}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Args:
        data_sha256: split -> hash of what was read of it: ids, speakers, texts and labels.
        decoded: True if clips were decoded, False if their headers were read, None if no clip was looked at.
        tokens: what a text backbone reads; None if none was asked.
        findings: what makes results wrong comes first.
    """

    dataset: str
    root: Path
    data_sha256: Mapping[str, str]
    splits: Sequence[SplitSummary]
    leaks: Sequence[Leak]
    media: Sequence[MediaSummary]
    decoded: bool | None
    tokens: Tokens | None
    findings: Sequence[Finding]

    @property
    def wrong(self) -> int:
        return sum(finding.level == "wrong" for finding in self.findings)

    @property
    def exit_code(self) -> int:
        return EXIT_WRONG if self.wrong else EXIT_SOUND

    @property
    def verdict(self) -> str:
        """Say in a sentence whether results on these data can be right."""
        if not self.wrong:
            return "sound: nothing was found that makes results wrong"
        return f"{self.wrong} {'finding makes' if self.wrong == 1 else 'findings make'} results wrong"


def check_rows(corpus: Corpus) -> Checked:
    """Check labels, texts, speakers and dialogues; no clip is looked at. Takes a second for MELD."""
    return _judge(corpus, text_leaks(corpus), [], None, None)


def check_everything(
    corpus: Corpus, *, deep: bool, workers: int, progress: Step, tokens: Tokens | None = None
) -> Checked:
    """Check rows and clips. Arguments as `check_media`. A bad clip never raises."""
    media = check_media(corpus, deep=deep, workers=workers, progress=progress)
    leaks = [*text_leaks(corpus), *(clip_leaks(corpus) if media else [])]
    return _judge(corpus, leaks, media, deep if media else None, tokens)


def as_json(checked: Checked) -> dict[str, Any]:
    """Describe a check for programs, and for `mer.export`, which stamps it on model cards."""
    return {
        "format": FORMAT,
        "made_by": MADE_BY,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "dataset": checked.dataset,
        "root": str(checked.root),
        "data_sha256": dict(checked.data_sha256),
        "splits": {summary.split: _split_json(summary) for summary in checked.splits},
        "clips_were": _CLIPS_SEEN[checked.decoded],
        "clips": [_media_json(summary) for summary in checked.media],
        "leakage": [asdict(leak) for leak in checked.leaks],
        "tokens": None if checked.tokens is None else asdict(checked.tokens),
        "findings": [asdict(finding) for finding in checked.findings],
        "verdict": checked.verdict,
        "exit_code": checked.exit_code,
    }


def _judge(
    corpus: Corpus, leaks: Sequence[Leak], media: Sequence[MediaSummary], decoded: bool | None, tokens: Tokens | None
) -> Checked:
    splits = check(corpus)
    published = is_published(splits)
    found = [*label_findings(splits), *text_findings(splits, media, published), *leak_findings(leaks, published)]
    if tokens is not None:
        level: Level = "wrong" if tokens.unknown_share >= MOST_UNKNOWN else "note"
        found += [Finding(level, "tokens", words) for words in tokens.words]
    for modality in dict.fromkeys(summary.modality for summary in media):
        of_modality = [summary for summary in media if summary.modality == modality]
        found += clip_findings(corpus.name, of_modality, published)
    order = ("wrong", "note", "known")
    found.sort(key=lambda one: order.index(one.level))
    hashes = {split: _sha256(corpus, split) for split in corpus.splits}
    return Checked(corpus.name, corpus.root, hashes, splits, leaks, media, decoded, tokens, found)


def _sha256(corpus: Corpus, split: str) -> str:
    rows = [
        [one.id, one.speaker, one.text, *(getattr(one, task) for task in corpus.label_names), *map(repr, one.targets)]
        for one in corpus.utterances(split)
    ]
    return sha256_json(rows)


def _split_json(summary: SplitSummary) -> dict[str, Any]:
    left_out = {"split"} | (set() if summary.numbers else {"numbers"})
    told = {name: value for name, value in asdict(summary).items() if name not in left_out}
    return told | {"speakers": summary.speakers}


def _media_json(summary: MediaSummary) -> dict[str, Any]:
    bad = [clip for clip in summary.clips if clip.words or clip.other_length]
    return {
        "split": summary.split, "modality": summary.modality, "clips": len(summary.clips),
        "absent": summary.count("absent"), "unreadable": summary.count("unreadable"),
        "say_nothing": summary.says_nothing, "other_length": summary.other_length, "over_long": summary.over_long,
        "mean_s": summary.mean_s, "max_s": summary.max_s,
        "listed": [
            {"id": c.id, "state": c.state, "words": c.words, "duration_s": c.duration_s, "said_s": c.said_s}
            for c in bad
        ],
    }  # fmt: skip
