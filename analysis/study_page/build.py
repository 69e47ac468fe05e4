"""Put the parts of a study's page into their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.findings.chance import chance_on_dev, dev_noise
from analysis.findings.importance import importance
from analysis.findings.luck import search_luck
from analysis.page.document import Section, page
from analysis.page.html import say
from analysis.page.words import counted
from analysis.stores.links import related_to_study
from analysis.stores.study import Study
from analysis.stores.texts import Turn
from analysis.study_page import classes, curves, facts, parameters, running, trials, utterances
from analysis.study_page.parallel import parallel
from analysis.study_page.reranked import reranked
from analysis.study_page.result import Measured, endings
from analysis.study_page.targets import targets
from analysis.study_page.top import top
from analysis.study_page.two_classes import two_classes


def study_sections(study: Study, target: Path, texts: Mapping[str, Turn]) -> list[Section]:
    """Build every part.

    Args:
        target: where the page will lie; its links are relative to that.
        texts: utterance id -> what was said; empty where that is not to be shown.
    """
    measured = Measured(dev_noise(study), chance_on_dev(study), search_luck(study))
    matters = importance(study)
    parts: list[Callable[[], Section | None]] = [
        lambda: top(study, measured),
        lambda: trials.leaderboard(study),
        lambda: reranked(study.folder),
        lambda: trials.comparison(study),
        lambda: parameters.importances(study, matters),
        lambda: parameters.two_most(study, matters),
        lambda: parameters.slices(study),
        lambda: parallel(study),
        lambda: parameters.ranges(study),
        lambda: curves.curves(study),
        lambda: classes.classes(study) if study.task == "class" else targets(study),
        lambda: two_classes(study),
        lambda: classes.calibrated(study),
        lambda: utterances.utterance_map(study, texts),
        lambda: utterances.hardest(study, texts),
        lambda: running.timeline(study),
        lambda: running.cost(study),
        lambda: running.failures(study),
        lambda: facts.related(related_to_study(study.folder, study.generation), target),
        lambda: facts.facts(study),
    ]
    sections = [section for part in parts if (section := part()) is not None]
    return [_with_unreadable(sections[0], study), *sections[1:]]


def study_html(study: Study, sections: list[Section], tables: Path) -> str:
    """Assemble the page."""
    foot = f"Made by python -m analysis.report from the journal and the study folder. Tables: {tables.name}/"
    aims = ", ".join(metric for metric, _ in study.objectives)
    trials_said = f"{counted(len(study.trials), 'trial')}: {endings(study)}"
    lead = f"{study.space.get('description') or 'A study'} · {trials_said} · objective {aims}"
    return page(study.name, lead, sections, foot, about=study.generation)


def _with_unreadable(first: Section, study: Study) -> Section:
    """Name the files that are garbage on the first screen; they are known when every part is built."""
    if not study.unreadable:
        return first
    said = say(f"Made without {', '.join(study.unreadable)}: garbage. See Failures.", "warn")
    return Section(first.anchor, first.title, said + first.html, first.tables)
