"""The runs of a study as a view of what its folder says: opened, brought up to date, closed. One thread at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mer.study.tracking.about import NOTHING, About
from mer.study.tracking.content import TAG_GIT, Closing, Content, StudyIdentity
from mer.study.tracking.found_runs import FoundRun, one_for_each
from mer.study.tracking.held import Held, has_value, missing
from mer.study.tracking.run_batch import Patch, Written, trash, write_batch
from mer.study.tracking.store import (
    NAME_TAG,
    NOTE_TAG,
    PARENT_TAG,
    STUDY,
    TAG_DIGEST,
    TAG_GENERATION,
    TAG_OUTCOME,
    TAG_STUDY,
    TAG_TRIAL,
)
from mer.study.tracking.study_runs import StudyRuns, clock_ms

RUNNING = "RUNNING"


@dataclass
class _Open:
    """A run of a trial that goes on, as far as this process has written it.

    Args:
        rows: so many of its epochs are in.
        before: values that earlier drivers have logged.
        tags: that it has.
    """

    run_id: str
    rows: int
    before: Mapping[tuple[str, int], tuple[float, ...]]
    tags: Mapping[str, str]


@dataclass
class StudyRecord:
    """The runs of one study in an open store.

    Args:
        runs: the store.
        note, git_sha: of a study's run that is new.
        alive: told after every step that was done.
        about: what is said beside the numbers.
    Attributes:
        parent: id of the study's run, once it was begun.
        found: the run of each trial, by its number as text.
        extra: superfluous runs that were put into the trash.
    """

    runs: StudyRuns
    identity: StudyIdentity
    note: str
    git_sha: str
    alive: Callable[[], None] = lambda: None
    about: About = NOTHING
    parent: str = ""
    found: dict[str, FoundRun] = field(default_factory=dict)
    extra: int = 0
    _open: dict[str, _Open] = field(default_factory=dict)

    def begin(self, status: str = "") -> None:
        """Find what is there, open the study's own run or make it, and put superfluous runs into the trash.

        Comes first, and after every failure: an answer may have been lost, so a run may be there that nobody heard of.

        Args: status: of the study's own run; "" leaves it as it is.
        """
        self._open.clear()
        if status:  # else a store that is whole need not take anything
            self.runs.probe()
        self.found, extra = one_for_each(self.runs.find())
        for run in extra:
            trash(self.runs, run)
            self.extra += 1
        if (mine := self.found.get(STUDY)) is None:
            self._make_parent()
        else:
            self.parent = mine.run_id
            if mine.deleted:
                self.runs.restore(mine.run_id)
            if status and mine.status != status:
                self.runs.set_status(mine.run_id, status)
            self.found[STUDY] = mine._replace(status=status or mine.status, deleted=False)
        if self.about.data:
            self.runs.log_data(self.parent, self.about.data)
        if self.about.view:
            self.runs.show(self.about.view)
        self.alive()

    def _make_parent(self) -> None:
        tags = {TAG_STUDY: self.identity.name, TAG_GENERATION: self.identity.generation, TAG_TRIAL: STUDY}
        tags |= {NOTE_TAG: self.note, TAG_GIT: self.git_sha, **self.about.tags}
        self.parent = self.runs.create(self.identity.name, tags, clock_ms())
        for run in self.found.values():  # their parent is gone for good
            if not run.deleted:
                self.runs.log(run.run_id, tags={PARENT_TAG: self.parent})

    def add(self, files: Iterable[Path]) -> None:
        """Upload files to the study's run; those that are not there are passed over."""
        self.runs.upload(self.parent, [file for file in files if file.exists()])

    def close(self, closing: Closing, files: Iterable[Path], *, whole: bool) -> None:
        """End the study's run, unless that was done. Args: whole: every trial is in; without it, there is no proof."""
        if self.has(STUDY, closing.digest):
            return
        self.runs.log(self.parent, closing.points(), tags={NOTE_TAG: closing.note})
        self.add(files)
        self.runs.set_status(self.parent, closing.status, closing.end_ms)
        mine = self.found.get(STUDY)
        if whole or (mine is not None and mine.digest):
            self.runs.log(self.parent, tags={TAG_DIGEST: closing.digest if whole else ""})
        self.alive()

    def has(self, trial: str, digest: str, outcome: str | None = None) -> bool:
        """True when a run holds what has this digest, or lies in the trash: what its owner deleted stays deleted.

        Args:
            digest: of a trial that is over; "" while it runs, so that one that goes on comes out of the trash.
            outcome: that its tag must say; None where the digest stands for it.
        """
        run = self.found.get(trial)
        if run is None or not digest:
            return False
        return run.deleted or (run.digest == digest and outcome in (None, run.outcome) and run.status != RUNNING)

    def write(self, contents: Sequence[Content]) -> Written:
        """Bring the runs of some trials up to date.

        Raises: StoreAway; whatever the store raises when it is asked what a run holds. After that, and when a trial
            failed, `begin` comes next.
        """
        counted = {content.trial: len(content.rows) for content in contents}  # rows of running trials grow meanwhile
        patches = {content.trial: self._patch(content, counted[content.trial]) for content in contents}
        written = write_batch(self.runs, patches.values(), self.alive)
        for content in contents:
            trial = content.trial
            if trial not in written.runs:
                continue
            outcome, digest = content.tags.get(TAG_OUTCOME, ""), patches[trial].digest
            run_id = written.runs[trial]
            self.found[trial] = FoundRun(run_id, trial, content.status, outcome, digest, False, content.start_ms)
            before = self._open.pop(trial, None)
            if content.status == RUNNING:
                values = before.before if before else {}
                self._open[trial] = _Open(run_id, counted[trial], values, content.tags)
        return written

    def _patch(self, must: Content, rows: int) -> Patch:
        """Say what has to be written of a run whose first so many rows are known."""
        over = must.status != RUNNING
        ending, digest = (None, "")
        if over:
            ending, digest = (must.status, must.end_ms), must.digest
        if (known := self._open.get(must.trial)) is not None:
            points = [p for p in must.points(known.rows, rows) if not has_value(known.before, p)]
            tags = {key: value for key, value in must.tags.items() if known.tags.get(key) != value}
            return Patch(
                must.trial, known.run_id, points=points, tags=tags, files=must.files,
                ending=ending, digest=digest,
            )  # fmt: skip
        if (run := self.found.get(must.trial)) is not None:
            return self._repair(replace(must, rows=must.rows[:rows]), run, ending, digest)
        tags = {**must.tags, PARENT_TAG: self.parent}
        points = list(replace(must, rows=must.rows[:rows]).points())
        return Patch(
            must.trial, create=(must.name, tags, must.start_ms), params=must.params, points=points, files=must.files,
            ending=ending, digest=digest,
        )  # fmt: skip

    def _repair(self, must: Content, run: FoundRun, ending: tuple[str, int] | None, digest: str) -> Patch:
        """Say what a run lacks that an earlier driver made, or whose writing has failed."""
        held = self.runs.held(run.run_id)
        lacks = missing(must, held, self.parent)
        if lacks.others:
            return self._replacement(must, run, held, ending, digest)
        self._open[must.trial] = _Open(run.run_id, 0, held.points, {})
        return Patch(
            must.trial,
            run.run_id,
            restore=held.deleted,
            reopen=ending is None and held.status != RUNNING,
            params=lacks.params,
            points=lacks.points,
            tags=lacks.tags,
            files=lacks.files,
            ending=ending if lacks.status else None,
            digest=digest,
        )

    def _replacement(
        self, must: Content, run: FoundRun, held: Held, ending: tuple[str, int] | None, digest: str
    ) -> Patch:
        """Say what makes a new run for one whose parameters are others: MLflow never changes a parameter.

        Name, note and tags that somebody gave to it go to the new one; all else of it stays in the trash.
        """
        given = {key: value for key, value in held.tags.items() if key == NOTE_TAG or not key.startswith("mlflow.")}
        given.pop(TAG_DIGEST, None)
        name = held.tags.get(NAME_TAG, must.name)
        return Patch(
            must.trial, create=(name, {**given, **must.tags, PARENT_TAG: self.parent}, must.start_ms),
            replaces=None if held.deleted else run, params=must.params, points=list(must.points()), files=must.files,
            ending=ending, digest=digest,
        )  # fmt: skip
