"""`python -m mer.store du | verify | gc`: the weights of all studies, stored once when they are equal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.cli_app import Debug, launch
from mer.console import EXIT_FAULT, page

if TYPE_CHECKING:
    from mer.checkpoints import Store

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Weights of all studies: equal files are stored once in studies/.store and linked into place.",
)
Studies = Annotated[Path, typer.Option("--studies", help="folder of all studies")]
Also = Annotated[
    list[Path] | None, typer.Option("--also", help="another folder with links into the store; may be repeated")
]
DEFAULT_STUDIES = Path("studies")


@app.command()
def du(studies: Studies = DEFAULT_STUDIES, also: Also = None, debug: Debug = False) -> None:
    """Say how much the weights take, and how much they would take as copies."""
    from rich.table import Table

    store = _store(studies, also)
    usage = store.du()
    table = Table(box=None, pad_edge=False)
    for column, justify in (("", "left"), ("files", "right"), ("MB", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for name, files, size in (
        ("as the folders look", usage.references, usage.logical_bytes),
        ("stored", usage.objects, usage.stored_bytes),
        ("  of these, nobody links to (gc removes them)", usage.orphans, usage.orphan_bytes),
        ("not in the store (of running trials, copies)", usage.plain, usage.plain_bytes),
    ):
        table.add_row(name, str(files), f"{size / 1e6:.2f}")
    page().print(table)
    saved = usage.logical_bytes - (usage.stored_bytes - usage.orphan_bytes)
    print(f"{saved / 1e6:.2f} MB saved in {store.root}")


@app.command()
def verify(studies: Studies = DEFAULT_STUDIES, also: Also = None, debug: Debug = False) -> None:
    """Hash every stored file and follow every link; exit 2 when something is wrong."""
    check = _store(studies, also).verify()
    for fault in check.faults:
        print(f"error: {fault.message}", file=sys.stderr)
    for path in check.orphans:
        print(f"nobody links to {path}")
    words = f"{len(check.faults)} faults" if check.faults else "all good"
    print(f"{check.objects} stored files, {check.references} links, {len(check.orphans)} without a link: {words}")
    if check.faults:
        raise typer.Exit(EXIT_FAULT)


@app.command()
def gc(
    studies: Studies = DEFAULT_STUDIES,
    also: Also = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, remove nothing")] = False,
    grace: Annotated[float, typer.Option(metavar="MINUTES", min=0, help="leave younger files alone")] = 60,
    debug: Debug = False,
) -> None:
    """Remove stored files that no folder links to, and leftovers of killed writers. Safe while a study runs."""
    done = _store(studies, also).gc(dry_run=dry_run, grace_s=60 * grace)
    for path in done.objects:
        print(f"nobody links to it   {path}")
    for path in done.leftovers:
        print(f"of a killed writer   {path}")
    count = len(done.objects) + len(done.leftovers)
    print(f"{count} files, {done.freed_bytes / 1e6:.2f} MB {'would be' if dry_run else 'were'} freed")
    if done.young:
        print(f"{done.young} more are younger than {grace:g} minutes: left alone")


def _store(studies: Path, also: list[Path] | None) -> Store:
    from mer.checkpoints import Store  # torch comes along: not for --help

    return Store(studies, tuple(also or ()))


def main() -> None:
    launch(app, "mer.store", "nothing is half-removed: type the same command again")


if __name__ == "__main__":
    main()
