"""Faults that published data are known to have: shown as such, so that nobody looks for a mistake of their own."""

from __future__ import annotations

from collections.abc import Sequence

from mer.data.check.summary import SplitSummary

# MELD's raw archive, by its issue tracker and by the CSV files themselves
_CLIPS = {
    "meld": {
        "train/dia125_utt3": "cannot be decoded in the published archive",
        "dev/dia110_utt7": "is not in the published archive",
        "test/dia38_utt4": "is cut wrongly in the published archive (305 s)",
        "test/dia220_utt0": "is cut wrongly in the published archive (235 s)",
        "train/dia309_utt0": "is cut wrongly in the published archive (41 s)",
    }
}


def is_published(splits: Sequence[SplitSummary]) -> bool:
    """Tell whether every split equals the published file: what its text, labels and speakers show is known then."""
    return all(summary.official for summary in splits)


def known_clip(dataset: str, utterance_id: str) -> str:
    """Return what is known to be wrong with a clip of a published dataset; "" if nothing is."""
    return _CLIPS.get(dataset, {}).get(utterance_id, "")
