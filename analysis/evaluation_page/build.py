"""Put the parts of an evaluation's page into their order."""

from __future__ import annotations

from pathlib import Path

from analysis.evaluation_page.calibration import calibration
from analysis.evaluation_page.classes import alike, confusion, per_class
from analysis.evaluation_page.corpora import other_corpora
from analysis.evaluation_page.folds import folds_section
from analysis.evaluation_page.scores import first_screen, seeds_section
from analysis.evaluation_page.targets import of_targets
from analysis.evaluation_page.thresholds import thresholds
from analysis.findings.chance import chance_on_split
from analysis.page.document import Section, page
from analysis.page.html import folded, say
from analysis.page.tables import Table
from analysis.page.words import counted
from analysis.stores.evaluation import Evaluation
from analysis.stores.links import related_to_evaluation
from analysis.study_page.facts import related
from analysis.study_page.top import near


def evaluation_sections(one: Evaluation, target: Path) -> list[Section]:
    """Build every part. Args: target: where the page will lie; its links are relative to that."""
    found = alike(one)
    guessed = chance_on_split(found[0]) if found else None
    chance = guessed.value if guessed else None
    parts = [first_screen(one, chance), seeds_section(one)]
    parts += [section] if (section := folds_section(one)) else []
    parts += [confusion(one), per_class(one)] if one.kind == "class" else [of_targets(one)]
    parts += [section for section in (calibration(one), thresholds(one)) if section is not None]
    parts += [section] if (section := other_corpora(one.path.parent)) else []
    parts += [section] if (section := related(related_to_evaluation(one), target)) else []
    sections = [*parts, _facts(one)]
    if one.unreadable:
        said = say(f"Made without {', '.join(one.unreadable)}: garbage.", "warn")
        first = sections[0]
        sections[0] = Section(first.anchor, first.title, said + first.html, first.tables)
    return sections


def evaluation_html(one: Evaluation, sections: list[Section], tables: Path) -> str:
    """Assemble the page."""
    dataset, task, split = one.group
    lead = f"{dataset} {task} · {split} · {counted(len(one.seeds), 'seed')}; each epoch was chosen on dev"
    return page(f"{one.name} on {split}", lead, sections, f"Made by python -m analysis.report. Tables: {tables.name}/")


def _facts(one: Evaluation) -> Section:
    keys = ("method", "dataset", "task", "export", "test_utterances", f"{one.split}_{one.unit}s", "macro_f1", "created")
    rows = [[key.replace("_", " "), str(one.told[key])] for key in keys if one.told.get(key)]
    rows += [["folder", near(one.path.parent)]]
    table = Table("evaluation", ["fact", "value"], rows)
    return Section("facts", "Facts", folded("Where the numbers come from", table.html()), [table])
