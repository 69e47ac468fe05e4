"""`python -m mer.bench PROTOCOL`: corpora x feature sets x methods, searched, evaluated over seeds, in one table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.cli_app import Debug, launch
from mer.console import page
from mer.errors import MerError, did_you_mean
from mer.terminal.commands import changed, command

if TYPE_CHECKING:
    from mer.study.bench.cells import Cell
    from mer.study.bench.one_cell import CellOptions
    from mer.study.bench.protocol import Protocol

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
EPILOG = (
    "Every cell is a study in the studies folder, which all other commands open. The same command goes on after "
    "a kill: what is done is not done again. A cell that fails stops no other. docs/bench.md"
)
_AGAIN = "nothing is lost; the same command goes on: cells that are done are not run again"


@app.command(epilog=EPILOG)
def bench(
    protocol: Annotated[
        str, typer.Argument(help="a YAML file, or one that is shipped: small, merbench, emobox", show_default=False)
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="CORPUS=PLACE", help="where data lie, e.g. meld=/data/MELD"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="a corpus, feature set, method or cell; may be repeated [default: all]"),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="trials of each search [default: the protocol's]")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="trials at once [default: the protocol's]")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check everything, estimate the cost, run nothing")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="print the protocol, to copy and change it")] = False,
    out: Annotated[Path | None, typer.Option(help="folder of tables and exports [default: benches/<protocol>]")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    cache: Annotated[Path, typer.Option(help="folder of all feature files")] = Path("features"),
    cell: Annotated[str, typer.Option(metavar="NAME", help="run this cell alone, in this process")] = "",
    debug: Debug = False,
) -> None:
    """Run a protocol: search every cell on dev, re-rank, evaluate over seeds, and put all into one table."""
    from mer.study.bench.process import end_with_parent

    end_with_parent()
    from mer.study.bench.cells import make_cells, read_protocol
    from mer.study.bench.protocol import SHIPPED
    from mer.study.bench.yaml_models import find_yaml

    path = find_yaml(protocol, SHIPPED, "protocol")
    if show:
        sys.stdout.write(path.read_text(encoding="utf-8"))
        return
    console = page()
    read, file = read_protocol(path, data=_places(data or ()), trials=trials)
    known = read.names()
    for name in (*(only or ()), *([cell] if cell else ())):
        if name not in known:
            option, found = "--cell" if name == cell else "--only", "the protocol has no such part."
            raise MerError(f"{option} {name}", f"{found}{did_you_mean(name, known)}", allowed=", ".join(known))
    cells = make_cells(read, file, read.chosen([cell] if cell else only or ()), workers=workers)
    given = {"--out": (out, None), "--studies": (studies, "studies"), "--cache": (cache, "features")}
    limits = {"--trials": (trials, None), "--workers": (workers, None)}
    said = [protocol, *(word for one in data or () for word in ("--data", one)), *changed(limits), *changed(given)]
    typed = command("mer.bench", *said, *(word for one in only or () for word in ("--only", one)))
    options = _options(read, studies, cache, out, typed)
    if cell:
        from mer.study.bench.one_cell import run_cell
        from mer.study.bench.run import in_words

        console.print(f"{cell}: {in_words(run_cell(cells[0], options, console))}", soft_wrap=True)
        return
    if dry_run:
        from mer.study.bench.cost import print_costs

        if refused := print_costs(cells, options, console):
            raise MerError(f"{len(refused)} of {len(cells)} cells", "\n".join(fault.message for fault in refused))
        return
    _run(read, cells, options, ["mer.bench", *map(str, said)])


def _places(data: Sequence[str]) -> dict[str, str]:
    """Read `--data CORPUS=PLACE`. Raises: MerError."""
    places = {}
    for text in data:
        name, separator, place = text.partition("=")
        if not separator or not place:
            raise MerError(f"--data {text}", "expected CORPUS=PLACE", allowed="e.g. --data meld=/data/MELD")
        places[name] = place
    return places


def _options(read: Protocol, studies: Path, cache: Path, out: Path | None, typed: str) -> CellOptions:
    from analysis.at_the_end import evaluation_pages, study_pages
    from mer.study.bench.one_cell import CellOptions
    from mer.study.bench.state import Place

    place = Place(out or Path("benches") / read.protocol)
    return CellOptions(studies, cache, place, typed, study_pages, evaluation_pages)


def _run(read: Protocol, cells: list[Cell], options: CellOptions, words: list[str]) -> None:
    """Run the cells and print the table. Raises: MerError at the end when some have failed."""
    from analysis.bench_page.build import write_bench
    from mer.study.bench.run import Bench

    console = page()
    run = Bench(read, cells, options.place, options.studies, words, options.command, write_bench)
    standings = run.run(console)
    folder = options.place.folder
    for name in ("scores.md", "ranks.md"):
        if (folder / name).is_file():
            console.print((folder / name).read_text(encoding="utf-8"), soft_wrap=True, highlight=False)
    console.print(f"written: {folder / 'report.html'}, scores and ranks as .md and .csv beside it", soft_wrap=True)
    if failed := [one.cell.name for one in standings if one.state == "failed"]:
        raise MerError(
            f"{len(failed)} of {len(standings)} cells failed",
            ", ".join(failed),
            then=f"mend the causes that are said above, then run `{options.command}` again: it runs these alone",
        )


def main() -> None:
    launch(app, "mer.bench", _AGAIN)


if __name__ == "__main__":
    main()
