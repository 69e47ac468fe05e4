"""python -m mer.data: get the data, make a sample corpus, check what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from mer.cli_app import Debug, launch
from mer.data.check import SplitSummary, check
from mer.data.fetch import get_meld
from mer.data.registry import load_corpus, present_splits
from mer.data.sample import write_sample

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)


@app.command("get")
def get_command(
    dataset: Annotated[Literal["meld"], typer.Argument(help="what to fetch")],
    root: Annotated[Path, typer.Option(help="folder for the CSV files")] = Path("datasets/MELD"),
    debug: Debug = False,
) -> None:
    """Fetch the official MELD text (three CSV files, 1.6 MB) and check its hashes."""
    written = get_meld(root)
    for path in written:
        print(f"fetched {path}")
    if not written:
        print(f"{root} has the official files already")
    print(f"next: python -m mer.data check {root}")


@app.command("sample")
def sample_command(
    out: Annotated[Path, typer.Argument(help="folder to write; new, empty, or an earlier sample corpus")],
    seed: Annotated[int, typer.Option(help="of every draw; the same seed gives the same bytes")] = 0,
    debug: Debug = False,
) -> None:
    """Generate a small corpus in MELD's shape, free to use (CC0)."""
    write_sample(out, seed=seed)
    print(f"wrote a sample corpus to {out}\nnext: python -m mer.data check {out}")


@app.command("check")
def check_command(
    root: Annotated[Path, typer.Argument(help="folder of the CSV files")],
    dataset: Annotated[str, typer.Option(help="reader: meld (also for the sample corpus) or emorynlp")] = "meld",
    splits: Annotated[
        str, typer.Option(help="comma-separated, such as train,dev; all that are there if left out")
    ] = "",
    debug: Debug = False,
) -> None:
    """Read a dataset and print what is in it: sizes, labels, gaps, and whether the files are the official ones."""
    asked = tuple(split.strip() for split in splits.split(",") if split.strip()) or present_splits(dataset, root)
    corpus = load_corpus(dataset, root, asked or ("train", "dev"))
    Console().print(_table(f"{corpus.name} in {root}", check(corpus)))


def _table(title: str, summaries: list[SplitSummary]) -> Table:
    """One column per split, one row per number."""
    table = Table("", *(summary.split for summary in summaries), title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for field in ("utterances", "dialogues", "longest_dialogue", "speakers", "gapped_dialogues", "untimed"):
        table.add_row(_ROW_NAMES.get(field, field), *(str(getattr(summary, field)) for summary in summaries))
    official = {True: "yes", False: "no", None: "unknown"}
    table.add_row("official file", *(official[summary.official] for summary in summaries), end_section=True)
    for task, counts in summaries[0].label_counts.items():
        for label in counts:
            table.add_row(f"{task}: {label}", *(_share(summary, task, label) for summary in summaries))
        table.add_section()
    return table


_ROW_NAMES = {
    "longest_dialogue": "longest dialogue (turns)",
    "gapped_dialogues": "dialogues with skipped ids",
    "untimed": "without usable times",
}


def _share(summary: SplitSummary, task: str, label: str) -> str:
    count = summary.label_counts[task][label]
    return f"{count} ({count / summary.utterances:6.2%})"


def main() -> None:
    launch(app, "mer.data")


if __name__ == "__main__":
    main()
