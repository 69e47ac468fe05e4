"""python -m mer.features list | extract | verify | gc: the feature cache from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from mer.cli_app import Debug, launch
from mer.config import ContextConfig, DataConfig, Speaker, TextEncoderConfig
from mer.console import EXIT_FAULT
from mer.errors import MerError
from mer.features.request import Dtype
from mer.features.tokens import Pooler
from mer.features.upkeep import Entry, collect, entries, verify

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The cache of extracted features.")
Cache = Annotated[Path, typer.Option("--cache", help="folder of the feature files")]
DEFAULT_CACHE = Path("features")


@app.command("list")
def list_files(cache: Cache = DEFAULT_CACHE, debug: Debug = False) -> None:
    """Show every file: key, what it holds, size, days since its last use."""
    _need(cache)
    found = entries(cache)
    table = Table(box=None, pad_edge=False)
    for column in ("key", "dataset", "split", "backbone", "input", "pooler", "rows", "states x width", "MB", "unused"):
        table.add_column(column, justify="right" if column in {"rows", "MB", "unused"} else "left", no_wrap=True)
    for entry in found:
        table.add_row(*_row(entry))
    console = Console(width=None if sys.stdout.isatty() else 200)  # a pipe has no width: do not cut columns for it
    console.print(table)
    console.print(
        f"{len(found)} files, {sum(entry.cache_bytes for entry in found) / 1e6:.1f} MB in {cache}", soft_wrap=True
    )


@app.command()
def extract(
    data_root: Annotated[str, typer.Option(help="folder of the CSV files")],
    dataset: Annotated[str, typer.Option(help="meld | emorynlp")] = "meld",
    backbone: Annotated[str, typer.Option(help="'minilm', a Hugging Face id, or a local folder")] = "minilm",
    revision: Annotated[str | None, typer.Option(help="revision of a Hugging Face id")] = None,
    splits: Annotated[list[str] | None, typer.Option(help="split to extract; may be repeated [train, dev]")] = None,
    more_splits: Annotated[list[str] | None, typer.Argument(metavar="[SPLIT]...", help="further splits")] = None,
    past: Annotated[str, typer.Option(help="turns before the utterance, or 'all'")] = "0",
    future: Annotated[int, typer.Option(min=0, help="turns after it; > 0 is the offline setting")] = 0,
    max_tokens: Annotated[int, typer.Option(min=8, help="longest input; truncated on the left")] = 256,
    speaker: Annotated[Speaker, typer.Option(help="how a turn names its speaker")] = "none",
    prompt: Annotated[bool, typer.Option(help="append 'Now {speaker} feels <mask>'")] = False,
    pooler: Annotated[Pooler, typer.Option(help="tokens that are averaged")] = "mean",
    dtype: Annotated[Dtype, typer.Option(help="arithmetic of the backbone")] = "float32",
    cache: Cache = DEFAULT_CACHE,
    debug: Debug = False,
) -> None:
    """Extract the features of some splits now. Run again after an interruption: it goes on where it was."""
    from mer.features.ensure import ensure_features

    wanted = [*(splits or []), *(more_splits or [])] or ["train", "dev"]
    try:
        context = ContextConfig(
            past=int(past) if past.lstrip("-").isdigit() else past, future=future, max_tokens=max_tokens
        )
        encoder = TextEncoderConfig(
            backbone=backbone, revision=revision, context=context, speaker=speaker, prompt=prompt,
            pooler=pooler, dtype=dtype,
        )  # fmt: skip
        data = DataConfig(dataset=dataset, root=data_root)
    except ValidationError as fault:
        first = fault.errors()[0]
        raise MerError(
            "--" + "-".join(map(str, first["loc"][:1])) if first["loc"] else "options", first["msg"]
        ) from fault
    done = ensure_features(data, encoder, wanted, cache=cache)
    for path in done.paths.values():
        print(path)
    print(f"{done.encoded} texts encoded in {done.seconds:.1f} s")


@app.command("verify")
def verify_files(cache: Cache = DEFAULT_CACHE, debug: Debug = False) -> None:
    """Read every file whole and check every byte; exit 2 when one is bad."""
    _need(cache)
    count, faults = 0, []
    for path, fault in verify(cache):
        count += 1
        print(f"{'bad ' if fault else 'good'} {path}")
        if fault:
            faults.append(fault)
    for fault in faults:
        typer.echo(f"error: {fault.message}", err=True)
    print(f"{count - len(faults)} of {count} files are good")
    if faults:
        raise typer.Exit(EXIT_FAULT)


@app.command("gc")
def collect_garbage(
    older_than: Annotated[float | None, typer.Option(metavar="DAYS", min=0, help="also files unused that long")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="key (or its beginning) that stays; may be repeated")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, remove nothing")] = False,
    cache: Cache = DEFAULT_CACHE,
    debug: Debug = False,
) -> None:
    """Remove leftovers of interrupted runs and, with --older-than, files nobody has read for that long."""
    _need(cache)
    removed = collect(cache, older_than_days=older_than, keep=keep or (), dry_run=dry_run)
    for removal in removed:
        print(f"{removal.cache_bytes / 1e6:10.1f} MB  {removal.path}  ({removal.reason})")
    freed = sum(removal.cache_bytes for removal in removed)
    print(f"{freed} bytes ({freed / 1e6:.1f} MB) {'would be' if dry_run else 'were'} freed")


def _row(entry: Entry) -> tuple[str, ...]:
    size, unused = f"{entry.cache_bytes / 1e6:.1f}", _age(entry.unused_s)
    if entry.fault:
        return (f"BAD {entry.path.name}", "", "", "", entry.fault.found[:60], "", "", "", size, unused)
    words = entry.header["ingredients"]
    reads, (rows, layers, width) = words["input"], entry.header["shapes"]["features"]
    context = f"-{reads['past']}+{reads['future']}" if reads["past"] or reads["future"] else "alone"
    parts = [context, f"speaker {reads['speaker']}", f"{reads['max_tokens']} tokens"] + (
        ["prompt"] if reads["prompt"] else []
    )
    backbone = words["backbone"]["name"] + (" bf16" if words["backbone"]["dtype"] == "bfloat16" else "")
    about = (words["dataset"], words["split"], backbone, ", ".join(parts), words["pooler"])
    return (entry.key[:12], *about, str(rows), f"{layers} x {width}", size, unused)


def _age(seconds: float) -> str:
    return (
        f"{seconds / 86_400:.0f} d"
        if seconds >= 172_800
        else f"{seconds / 3600:.0f} h"
        if seconds >= 7200
        else f"{seconds / 60:.0f} min"
    )


def _need(cache: Path) -> None:
    if not cache.is_dir():
        raise MerError(cache, "no such folder", allowed="a feature cache", then="python -m mer.features extract --help")


def main() -> None:
    launch(app, "mer.features")


if __name__ == "__main__":
    main()
