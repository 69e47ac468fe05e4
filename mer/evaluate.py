"""`python -m mer.evaluate EXPORT --seeds 0 42 43 114 3407`: train over seeds, score test once per seed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.cli_app import Debug, launch
from mer.console import page
from mer.errors import MerError
from mer.places import home
from mer.redaction import words_without_secrets

if TYPE_CHECKING:  # Ray and Optuna take seconds: --help does not wait for them
    from mer.study.preflight.run_options import RunOptions
    from mer.study.space.spec import Resources

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SEEDS = "0 42 43 114 3407"


@app.command()
def evaluate(
    export: Annotated[Path | None, typer.Argument(help="an export, e.g. exports/spcl", show_default=False)] = None,
    seeds: Annotated[str, typer.Option(metavar="S S ...", help="seeds; those already done are not redone")] = SEEDS,
    against: Annotated[list[Path] | None, typer.Option(help="compare with this export too; may be repeated")] = None,
    top_k_from: Annotated[Path | None, typer.Option(help="re-rank the best trials of this study by mean dev")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="how many trials --top-k-from re-trains")] = 5,
    data_root: Annotated[str | None, typer.Option(help="where the data are, if not where the export says")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="seeds at once [default: as many as fit]")] = None,
    gpu: Annotated[float, typer.Option(min=0.0, help="GPUs per seed, e.g. 1 or 0.5; test is scored on one too")] = 0.0,
    address: Annotated[str | None, typer.Option(help="Ray cluster, e.g. auto or 10.0.0.1:6379")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    cache: Annotated[Path, typer.Option(help="folder of all feature files")] = Path("features"),
    dev_only: Annotated[bool, typer.Option("--dev-only", help="stop before test: for data without one")] = False,
    open_it: Annotated[bool, typer.Option("--open", help="show the report in the browser when it is made")] = False,
    on: Annotated[
        Path | None,
        typer.Option(metavar="CORPUS", help="score on another corpus: folder, file or YAML description"),
    ] = None,
    on_dataset: Annotated[str | None, typer.Option(help="how CORPUS is read [default: as it looks]")] = None,
    on_set: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="a key of CORPUS's data, e.g. data.label=sentiment")
    ] = None,
    on_split: Annotated[
        str | None, typer.Option(help="split of CORPUS [default: test, where there is none dev]")
    ] = None,
    label_map: Annotated[
        str | None,
        typer.Option(
            "--map", metavar="{LABEL: CLASS}", help="labels of CORPUS as classes, or numbers; default by name"
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Train an exported configuration once per seed, choose each epoch on dev, read test once per seed."""
    from analysis.at_the_end import evaluation_pages, with_pages_opened
    from mer.study.preflight.run_options import RunOptions
    from mer.study.space.spec import Resources

    numbers = parse_seeds(seeds)
    console = page()
    pages = with_pages_opened(evaluation_pages) if open_it else evaluation_pages
    options, resources = (
        RunOptions(studies, cache, address=address, command=_typed(), pages=pages),
        Resources(workers=workers, gpu=gpu),
    )
    if top_k_from is not None and (export is not None or against):
        raise MerError("--top-k-from", "re-ranks the trials of a study: an export has no place beside it")
    if top_k_from is not None:
        from mer.study.evaluate.rerank import rerank

        rerank(top_k_from, top_k, numbers, options, console, data_root=data_root, resources=resources)
        return
    if export is None:
        raise typer.BadParameter("which export? e.g. python -m mer.evaluate exports/spcl")
    from mer.checkpoints.ensemble_folder import is_ensemble
    from mer.checkpoints.hub_export import export_folder

    if is_ensemble(export):
        _evaluate_ensemble(export, numbers, options, resources, data_root, dev_only, bool(against), on is not None)
        return
    if on is not None:
        if against or dev_only:
            raise MerError("--on", "has no place beside --against and --dev-only", then="evaluate one export at a time")
        from mer.study.evaluate.on_corpus import OtherCorpus, evaluate_on

        other = OtherCorpus(on, on_dataset, tuple(on_set or ()), on_split, label_map)
        evaluate_on(export, other, numbers, options, console, data_root=data_root, resources=resources)
        return
    if any((on_dataset, on_set, on_split, label_map)):
        raise MerError("--on-dataset, --on-set, --on-split, --map", "are about --on CORPUS", then="add --on CORPUS")
    from mer.study.evaluate.exports import evaluate_exports

    exports = [export_folder(one) for one in (export, *(against or []))]
    evaluate_exports(exports, numbers, options, console, data_root=data_root, resources=resources, dev_only=dev_only)


def _evaluate_ensemble(
    folder: Path,
    seeds: list[int],
    options: RunOptions,
    resources: Resources,
    data_root: str | None,
    dev_only: bool,
    against: bool,
    on: bool,
) -> None:
    """Evaluate an ensemble over groups of seeds. Raises: MerError for options that it does not have."""
    if against:
        raise MerError(
            "--against",
            f"{folder} is an ensemble, whose seeds are groups of runs",
            allowed="one ensemble at a time",
            then="evaluate each by itself, then set them beside each other: python -m analysis.compare STUDY STUDY",
        )
    if on:
        raise MerError("--on", f"{folder} is an ensemble", allowed="an export of one model")
    from mer.study.evaluate.ensembles import evaluate_ensemble

    evaluate_ensemble(home(folder), seeds, options, page(), data_root=data_root, resources=resources, dev_only=dev_only)


def _typed() -> str:
    """Return the command in a form that can be typed again."""
    typed = words_without_secrets(sys.argv[1:])
    words = [word if set(word) <= set("0123456789 ") else shlex.quote(word) for word in typed]
    return " ".join(["python -m mer.evaluate", *words])


def parse_seeds(text: str) -> list[int]:
    """Read `0 42 43` or `0,42,43`. Raises: MerError for a repeated seed and for a word that is none."""
    words = text.replace(",", " ").split()
    seeds: list[int] = []
    for word in words:
        if not word.isdigit() or int(word) >= 2**31:
            raise MerError("--seeds", f"{word!r} is not a seed", allowed="whole numbers from 0, e.g. --seeds 0 42 43")
        if int(word) in seeds:
            raise MerError("--seeds", f"{word} is there twice", then="give each seed once: a repeat tells nothing new")
        seeds.append(int(word))
    if not seeds:
        raise MerError("--seeds", "no seed given", allowed=f"e.g. --seeds {SEEDS}")
    return seeds


def join_seeds(arguments: list[str]) -> list[str]:
    """Join the words after `--seeds` into one argument: a shell splits `--seeds 0 42 43`, Typer wants one value."""
    joined: list[str] = []
    position = 0
    while position < len(arguments):
        joined.append(arguments[position])
        position += 1
        if joined[-1] == "--seeds":
            start = position
            while position < len(arguments) and not arguments[position].startswith("--"):
                position += 1
            joined.append(" ".join(arguments[start:position]))
    return joined


def main() -> None:
    sys.argv[1:] = join_seeds(sys.argv[1:])
    launch(app, "mer.evaluate", "the same command goes on: seeds that are done are not done again")


if __name__ == "__main__":
    main()
