"""Count what became of the utterances of a split."""

from __future__ import annotations

from dataclasses import dataclass

from mer.data.transcribe.word_errors import word_errors, words


@dataclass(slots=True)
class SplitTally:
    """Counts of one split; utterances = kept + from_cache + transcribed + unreadable.

    Attributes:
        kept: utterances with text, which --only-missing leaves alone.
        empty: utterances transcribed now or earlier without a word in them.
        errors, gold_words: summed over transcribed utterances with gold text; `errors / gold_words` is the word error
            rate. Unreadable clips are left out, since they say nothing about the recogniser.
    """

    utterances: int = 0
    kept: int = 0
    from_cache: int = 0
    transcribed: int = 0
    empty: int = 0
    unreadable: int = 0
    errors: int = 0
    gold_words: int = 0

    @property
    def word_error_rate(self) -> float | None:
        """Errors per gold word; may exceed 1. None where there is no gold text."""
        return self.errors / self.gold_words if self.gold_words else None

    def __str__(self) -> str:
        kept = f"{self.kept} kept, " if self.kept else ""
        rate = self.word_error_rate
        return (
            f"{self.utterances} utterances: {kept}{self.from_cache} from the cache, {self.transcribed} transcribed, "
            f"{self.unreadable} unreadable; {self.empty} of those heard are empty; word error rate "
            + ("unknown, no gold text" if rate is None else f"{rate:.2%} of {self.gold_words} words")
        )

    def score(self, gold: str, heard: str) -> None:
        """Add the word errors of one utterance; one without gold words adds nothing."""
        if gold_words := words(gold):
            self.errors += word_errors(gold_words, words(heard))
            self.gold_words += len(gold_words)
