"""One cell: search, re-ranking, export and evaluation, each by its owner. What is done is not done again.

Every step knows by its own files how far it came, so a cell that was killed at any moment goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mer.checkpoints.export_folder import is_export, read_export
from mer.config.metrics import MAIN
from mer.errors import MerError
from mer.files import write_json, write_text
from mer.statistics import describe
from mer.study.bench.cells import Cell
from mer.study.bench.state import FORMAT, Done, Place
from mer.study.evaluate.exports import evaluate_exports
from mer.study.evaluate.report_on_test import Evaluated
from mer.study.evaluate.rerank import rerank
from mer.study.export.choose import ExportOptions, choose
from mer.study.export.write import export_study
from mer.study.folder.read_study import StudyRecord, read_record
from mer.study.paths import is_study
from mer.study.preflight.run_options import RunOptions
from mer.study.runner import run_study
from mer.study.search.identity import check_journal
from mer.terminal.commands import changed, command

Pages = Callable[[Path], list[str]]


@dataclass(frozen=True)
class CellOptions:
    """How the cells of a protocol are run.

    Args:
        place: the protocol's folder.
        command: what the user typed.
        study_pages, evaluation_pages: make the page of a folder, as `RunOptions.pages`.
    """

    studies: Path
    cache: Path
    place: Place
    command: str
    study_pages: Pages
    evaluation_pages: Pages

    def of_search(self, cell: Cell, *, dry_run: bool = False) -> RunOptions:
        """How the study of a cell is run: as if its search space had been typed."""
        places = changed({"--studies": (self.studies, "studies"), "--cache": (self.cache, "features")})
        space, begun = self.place.space(cell), is_study(self.studies / cell.spec.study)
        return RunOptions(
            self.studies, self.cache, resume=begun, command=command("mer.tune", space, *places), space=space,
            pages=self.study_pages, dry_run=dry_run,
        )  # fmt: skip

    @property
    def of_seeds(self) -> RunOptions:
        """How seeds are trained and scored."""
        return RunOptions(self.studies, self.cache, command=self.command, pages=self.evaluation_pages)


@dataclass(frozen=True)
class Winner:
    """The trial that dev chose.

    Args:
        searched: its dev score in the search.
        reranked: its mean on dev over the seeds of the re-ranking; None without one.
    """

    number: int
    searched: float
    reranked: float | None = None


def run_cell(cell: Cell, options: CellOptions, console: Console) -> Done:
    """Run a cell, or go on with it, and write down what it has given. As `scored_on_test`."""
    winner, scored = scored_on_test(cell, options, console)
    done = _done(cell, options, winner, scored)
    write_json(options.place.result(cell), done.model_dump())
    return done


def scored_on_test(cell: Cell, options: CellOptions, console: Console) -> tuple[Winner, Evaluated]:
    """Search, rank again, export, train the winner over seeds and score test once per seed.

    Raises: MerError for whatever stops one of the steps; KeyboardInterrupt after an orderly stop.
    """
    write_text(options.place.space(cell), cell.space)
    refuse_other_plan(cell, options)
    run_study(cell.spec, options.of_search(cell), console)
    record = read_record(options.studies / cell.spec.study)
    winner, export = _winner(cell, record, options, console), options.place.export(cell)
    if not _is_exported(record, winner.number, export):
        typed = command("mer.export", record.folder, "--trial", winner.number, "--out", export)
        asked = ExportOptions(export, winner.number, force=True, cache=options.cache, command=typed)
        export_study(record, asked, console)
    (scored,) = evaluate_exports(
        [export], cell.seeds, options.of_seeds, console, data_root=cell.data_root, resources=cell.spec.resources
    )
    return winner, scored


def refuse_other_plan(cell: Cell, options: CellOptions) -> None:
    """Refuse to go on with a study that another protocol of this name began. Raises: MerError with the differences."""
    folder = options.studies / cell.spec.study
    if not is_study(folder):
        return
    try:
        check_journal(folder, cell.spec)
    except MerError as fault:
        then = "give what has changed another name (its key `protocol` or `card`), or move that study away"
        raise MerError(fault.where, fault.found, allowed=fault.allowed, then=then) from None


def _winner(cell: Cell, record: StudyRecord, options: CellOptions, console: Console) -> Winner:
    """Choose on dev: by the mean over seeds where the cell is ranked again, else by the search."""
    if cell.rerank is None:
        best = choose(record, ExportOptions())[0]
        return Winner(best.number, best.best[cell.spec.objective[0].metric])
    found = rerank(
        record.folder, cell.rerank.top, cell.rerank.seeds, options.of_seeds, console,
        data_root=cell.data_root, resources=cell.spec.resources,
    )  # fmt: skip
    return Winner(found.number, found.searched, found.seeds.mean)


def _is_exported(record: StudyRecord, number: int, folder: Path) -> bool:
    """Tell whether the export is there, whole, and that of this trial."""
    if not is_export(folder):
        return False
    try:
        told = read_export(folder).provenance
    except MerError:
        return False
    return (told.get("generation"), told.get("trial")) == (record.generation, number)


def _done(cell: Cell, options: CellOptions, winner: Winner, scored: Evaluated) -> Done:
    place, metric = options.place, MAIN[scored.config.data.task]
    told = describe(scored.values(metric))
    return Done(
        format=FORMAT,
        plan=cell.plan,
        study=place.from_here(options.studies / cell.spec.study),
        trial=winner.number,
        searched=winner.searched,
        reranked=winner.reranked,
        export=place.from_here(place.export(cell)),
        results=place.from_here(scored.results[0].folder.parents[1] / "results.json"),
        metric=metric,
        mean=told.mean,
        sd=told.sd,
        n=told.n,
    )
