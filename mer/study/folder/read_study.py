"""Read a study from its folder: what was asked for, and how every trial ended. Writes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import optuna

from mer.errors import MerError, did_you_mean
from mer.places import home
from mer.read_files import read_object
from mer.study.folder.lock import live_owner
from mer.study.folder.standings import Standing, rank, standings_of
from mer.study.paths import JOURNAL, SPACE, is_study, studies_in, trial_folder
from mer.study.search.journal import readable_journal
from mer.study.space.spec import StudyObjective


@dataclass(frozen=True)
class StudyRecord:
    """A study as its journal has it.

    Args:
        folder: the study folder; its parent holds all studies.
        generation: tells this search from earlier ones of the same name.
        features: `FeatureSetting.recorded` -> split -> name of the feature file.
        standings: every trial that was handed out.
        owner: who runs it just now, in words; None when nobody does.
    """

    folder: Path
    name: str
    generation: str
    objective: tuple[StudyObjective, ...]
    features: dict[str, dict[str, str]]
    standings: tuple[Standing, ...]
    owner: str | None

    @property
    def ranked(self) -> list[Standing]:
        """The finished trials, best first by the first objective."""
        return rank(self.standings, self.objective[0])

    def trial_folder(self, number: int) -> Path:
        """Return the folder of one trial."""
        return trial_folder(self.folder, number)

    def find(self, number: int) -> Standing:
        """Return how one trial stands. Raises: MerError when no such trial was handed out."""
        for standing in self.standings:
            if standing.number == number:
                return standing
        known = [s.number for s in self.standings]
        allowed = f"{min(known)} to {max(known)}" if known else "none: the study is empty"
        raise MerError(self.folder, f"there is no trial {number}", allowed=allowed)

    def failures(self) -> str:
        """Count the three most frequent reasons of failure, in one line."""
        reasons = Counter(s.reason for s in self.standings if s.state == "failed")
        return "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))


def find_study(study: str, studies: Path) -> Path:
    """Find the folder of a study by path or by name. Raises: MerError when there is none.

    Args: studies: the folder of all studies, for names.
    """
    for folder in (home(study), studies / study):
        if is_study(folder):
            return folder.resolve()
    for folder in (home(study), studies / study):
        if folder.is_dir():
            raise MerError(folder, f"not a study (no {JOURNAL} in it)", allowed=_known(studies))
    names = studies_in(studies)
    found = f"no such study, neither as a folder nor in {studies}.{did_you_mean(Path(study).name, names)}"
    raise MerError(study, found, allowed=_known(studies), then="another folder of studies: --studies DIR")


def read_record(folder: Path) -> StudyRecord:
    """Read a study's journal. Raises: MerError when nothing can be read from it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        name = str(read_object(folder / SPACE)["study"])
    except (OSError, ValueError, LookupError):
        name = folder.name
    try:
        with readable_journal(folder, name) as study:
            attributes, trials = study.user_attrs, study.get_trials(deepcopy=False)
        return StudyRecord(
            folder=folder,
            name=name,
            generation=str(attributes["generation"]),
            objective=tuple(StudyObjective.model_validate(part) for part in attributes["identity"]["objective"]),
            features=dict(attributes.get("features", {})),
            standings=tuple(standings_of(trials)),
            owner=live_owner(folder.parent, name),
        )
    except (LookupError, ValueError, TypeError, AttributeError) as fault:
        raise MerError(
            folder / JOURNAL,
            f"no study {name!r} can be read from it ({type(fault).__name__})",
            allowed="the journal of a study made by python -m mer.tune",
        ) from fault


def _known(studies: Path) -> str:
    names = studies_in(studies)
    return f"in {studies}: {', '.join(names)}" if names else f"a study folder; {studies} holds none"
