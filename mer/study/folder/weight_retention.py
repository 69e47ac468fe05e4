"""Keep or drop the weights of trials that have ended; equal ones are stored once.

The tracker's writer thread calls this when it has written the artifacts of a trial: no weights may go before their
predictions and tables are on disk. Only trials that the ledger calls ended come here, and those are not taken up
again, so running and interrupted trials are never touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from mer.checkpoints import Store
from mer.checkpoints.header import sidecar
from mer.errors import MerError
from mer.io_faults import patiently
from mer.read_files import read_object
from mer.study.folder.standings import Standing, rank
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, trial_folder
from mer.study.search.stored_trial import ENDED
from mer.study.space.spec import StudySpec
from mer.training import Row
from trainables.trial_files import LAST
from trainables.wire import Outcome

_COLLECT_BYTES = 2**30  # give dropped weights back to the disk so often while a study runs
_LAST_TRIES = 2  # at a study's end, for what a disk refused
_FREE_SHARE = 0.25  # say it aloud when the weights of a study take more than this share of what is free


class WeightKeeper:
    """Publishes the weights of ended trials, and drops those that `keep_weights` has no place for.

    Args:
        store: of the studies folder.
        folder: of the study.
        say: tells the user something, once.
    """

    def __init__(self, store: Store, spec: StudySpec, folder: Path, say: Callable[[str], None]) -> None:
        self.store, self.spec, self.folder, self.say = store, spec, folder, say
        self.problems: list[str] = []
        self._ended: set[int] = set()
        self._ranked: list[Standing] = []  # at most keep_weights finished trials, best first
        self._front: dict[int, tuple[float, ...]] = {}  # not dominated, when there are several objectives
        self._stored: dict[str, int] = {}  # bytes of each distinct file
        self._loose: dict[str, int] = {}  # bytes of files that perhaps nothing links to any more
        self._cards: list[Path] = []  # of those: a card without its tensors says what is still to be collected
        self._said: set[str] = set()

    def remember(self, trials: Iterable[FrozenTrial]) -> None:
        """Rank the trials that earlier drivers ended. Touches no file."""
        for trial in trials:
            if trial.state in ENDED:
                best = trial.user_attrs.get("ending", {}).get("best")
                self._enter(trial.number, best if trial.state == TrialState.COMPLETE else None)

    def trial_ended(self, number: int, outcome: Outcome, best: Row | None) -> None:
        """Settle a trial whose artifacts are written, and the trials that lost their place to it."""
        displaced = self._enter(number, best if outcome == "finished" else None)
        for each in (number, *displaced):
            self._settle(each)
        if sum(self._loose.values()) >= _COLLECT_BYTES:
            self._collect()

    def finish(self) -> None:
        """Settle every ended trial, also those that a killed driver left unsettled, and free what was dropped."""
        for _ in range(_LAST_TRIES):
            self.problems.clear()  # of what may be mended by now
            for number in sorted(self._ended):
                self._settle(number)
            if not self.problems:
                break
        self._collect()
        if self.problems:
            self.say(f"weights: {len(self.problems)} files stay as they are: {self.problems[0]}")

    # -- who is kept ---------------------------------------------------------------------------------------------

    def kept(self, number: int) -> bool:
        """True for an ended trial whose weights stay."""
        return self.spec.keep_weights is None or number in self._front or number in {s.number for s in self._ranked}

    def _enter(self, number: int, best: Row | None) -> list[int]:
        """Note that a trial has ended; return the trials that lose their place."""
        if number in self._ended:
            return []
        self._ended.add(number)
        if best is None or self.spec.keep_weights is None:
            return []
        scores = tuple(best[o.metric] * (1 if o.mode == "max" else -1) for o in self.spec.objective)
        ranked = rank([*self._ranked, Standing(number, "finished", best)], self.spec.objective[0])
        self._ranked = ranked[: self.spec.keep_weights]
        displaced = [standing.number for standing in ranked[self.spec.keep_weights :]]
        if len(scores) > 1 and not any(_dominates(other, scores) for other in self._front.values()):
            beaten = [n for n, other in self._front.items() if _dominates(scores, other)]
            displaced += [n for n in beaten if self._front.pop(n)]
            self._front[number] = scores
        return [n for n in dict.fromkeys(displaced) if n != number]

    # -- what happens to files -----------------------------------------------------------------------------------

    def _settle(self, number: int) -> None:
        """Publish the weights of an ended trial if they are kept, else drop them."""
        folder = trial_folder(self.folder, number)
        try:
            for path in sorted(folder.glob("*.safetensors")):
                if path.name == LAST:
                    continue
                if not self.kept(number):
                    self._drop(folder, path)
                elif not path.is_symlink():
                    self._publish(path)
            if not self.kept(number):
                self._find_dropped(folder)
        except (OSError, MerError) as fault:  # the weights stay where they are, whole; the study goes on
            self.problems.append(str(fault).splitlines()[0])

    def _publish(self, path: Path) -> None:
        key = str(path)
        if self.store.links:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # said below, in the study's own words
                key = patiently(lambda: self.store.publish(path, split_card=True))
        self._stored[key] = path.stat().st_size
        self._loose.pop(key, None)
        if not self.store.links:
            self._once("this file system has no symlinks: equal weights of several trials are kept as copies")
        taken, free = sum(self._stored.values()), shutil.disk_usage(self.folder).free
        if self.spec.keep_weights is None and taken > _FREE_SHARE * free:
            self._once(
                f"the weights of this study take {taken / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: "
                "keep_weights: 20 in the search space keeps those of the best 20 trials only "
                "(also for a study that exists: --resume --set keep_weights=20)"
            )

    def _drop(self, folder: Path, path: Path) -> None:
        """Remove one file of weights with its card, unless the trial's artifacts are not all written."""
        if not (folder / ARTIFACTS / DEV_PREDICTIONS).exists():  # written last: the rest is there too
            return
        if not path.is_symlink() and self.store.links and self.store.object_of(path):
            self._publish(path)  # a driver that was killed or refused has done half of it: the object must go too
        if path.is_symlink():
            self._loose[path.resolve().stem] = path.stat().st_size if path.exists() else 0
            self._cards.append(sidecar(path))
            path.unlink()
        else:
            path.unlink()
            sidecar(path).unlink(missing_ok=True)

    def _find_dropped(self, folder: Path) -> None:
        """Find weights that a killed driver had dropped, and not collected: their cards are there without them."""
        for card in sorted(folder.glob("*.json")):
            with contextlib.suppress(ValueError, KeyError):  # somebody else's file
                if card not in self._cards and not os.path.lexists(card.with_suffix(".safetensors")):
                    self._loose.setdefault(str(read_object(card)["tensors_sha256"]), 0)
                    self._cards.append(card)

    def _collect(self) -> None:
        """Delete from the store what nothing links to any more, among the files that this study dropped."""
        if not self._loose:
            return
        try:  # no grace time is needed: the store's lock keeps publishers out meanwhile
            patiently(lambda: self.store.gc(grace_s=0, only=frozenset(self._loose)))
        except (OSError, MerError) as fault:
            self.problems.append(str(fault).splitlines()[0])
            return
        for card in self._cards:
            with contextlib.suppress(OSError):  # the next driver finds it
                card.unlink(missing_ok=True)
        for sha in self._loose:
            self._stored.pop(sha, None)
        self._loose.clear()
        self._cards.clear()

    def _once(self, text: str) -> None:
        """Tell the user something, unless a text with the same beginning was told before."""
        if text[:40] not in self._said:
            self._said.add(text[:40])
            self.say(text)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """True when `one` is as good in every objective and better in one; larger is better."""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
