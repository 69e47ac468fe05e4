"""Whatever a study refuses before its first trial, as one list that the study and its dry run both go through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mer.config import DataConfig, EncoderConfig, FeatureSetting, settings_of
from mer.data import Corpus, open_corpus, refuse_unkeepable
from mer.data.folds import Folds
from mer.data.registry import folds_of
from mer.errors import MerError
from mer.model_outputs import rehearse_encoder
from mer.places import home
from mer.study.folder.claim import refuse_taken
from mer.study.folder.lock import refuse_locked
from mer.study.paths import is_study
from mer.study.preflight.check_plan import CheckedPlan, check_plan
from mer.study.preflight.dialogues import idle_windows, refuse_no_dialogues
from mer.study.preflight.feature_plan import SPLITS
from mer.study.preflight.machine import Machine, most_trials
from mer.study.preflight.objective_classes import refuse_unscored_classes
from mer.study.preflight.run_options import RunOptions
from mer.study.preflight.tools import refuse_lacking_tools
from mer.study.search.identity import check_journal
from mer.study.space.on_sample import words_to_try
from mer.study.space.spec import StudySpec
from mer.study.tracking.recorded_store import store_of
from mer.study.tracking.store import DATABASE, FILES
from mer.study.tracking.usable import refuse_unusable


@dataclass(frozen=True)
class CheckedStudy:
    """A study that may begin.

    Args:
        plan: the configurations that it may ask for.
        corpus: train and dev.
        workers: trials that run at once.
        folds: of the data; None without `data.folds`. The corpus then has all rows in each of its splits.
    """

    plan: CheckedPlan
    corpus: Corpus
    workers: int
    folds: Folds | None = None

    @property
    def notes(self) -> list[str]:
        """What was guessed and made of the data, and which settings have nothing to read."""
        folded = self.folds.notes if self.folds else ()
        return [*self.corpus.notes, *folded, *idle_windows(self.plan.configs, self.corpus)]

    @property
    def settings(self) -> dict[FeatureSetting, EncoderConfig]:
        """The encoders whose features the study reads, one for each feature file."""
        return {
            settings_of(config)[modality]: encoder
            for config in self.plan.configs
            for modality, encoder in config.encoders.present.items()
        }


def check_study(spec: StudySpec, options: RunOptions, have: Sequence[Machine]) -> CheckedStudy:
    """Go through the list; writes nothing.

    The rest of what may be refused needs weights and room on the disk: the study reads every text and clip right after
    this, its dry run one of each.

    Args: have: the machines that trials may use.
    Raises: MerError with the first thing that is refused.
    """
    workers = most_trials(spec.resources, have)
    if options.address is None:  # what the machines of a cluster have, their workers say
        refuse_lacking_tools(spec)
    plan = check_plan(spec)
    _refuse_place(spec, options)
    refuse_unusable(store_of(options.studies / spec.study))
    data = plan.configs[0].data
    corpus = _opened(data, options)
    refuse_unkeepable(corpus)
    if data.label not in corpus.label_names:
        allowed = ", ".join(corpus.label_names)
        raise MerError("data.label", f"this dataset has no {data.label} labels", allowed=allowed)
    folds = folds_of(data)
    labels_N = corpus.labels("dev", data.label)
    refuse_unscored_classes(spec, data.task, corpus.label_names[data.label], labels_N)
    refuse_no_dialogues(spec, corpus)
    checked = CheckedStudy(plan, corpus, workers, folds)
    for encoder in checked.settings.values():
        rehearse_encoder(encoder, corpus, SPLITS, max_failed=spec.max_failed)
    return checked


def _opened(data: DataConfig, options: RunOptions) -> Corpus:
    """Read train and dev. Raises: MerError, which names the sample corpus where the file's own data are not there."""
    try:
        return open_corpus(data, SPLITS)
    except MerError as fault:
        if options.space is None or home(data.root).exists() or "data.root=" in options.command:
            raise
        then = "; ".join(filter(None, [fault.then, words_to_try(options.space)]))
        raise MerError(fault.where, fault.found, allowed=fault.allowed, then=then) from None


def _refuse_place(spec: StudySpec, options: RunOptions) -> None:
    """Refuse a folder that is taken, or holds another search than the one to go on with."""
    if spec.study in (DATABASE, FILES):
        raise MerError("study", f"{spec.study!r} is where MLflow's record lies", then="--set study=NAME")
    folder = options.studies / spec.study
    refuse_locked(options.studies, spec.study)
    refuse_taken(folder, options.as_typed, resume=options.resume, fresh=options.fresh)
    if options.resume and is_study(folder):
        check_journal(folder, spec)
