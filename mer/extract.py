"""`python -m mer.extract SPACE.yaml`: the features a study will ask for, ahead of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.cli_app import Debug, launch
from mer.terminal.commands import changed, command

if TYPE_CHECKING:
    from mer.study.preflight.feature_plan import FeaturePlan
    from mer.study.space.spec import StudySpec

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DEFAULT_CACHE = Path("features")


@app.command()
def extract(
    space: Annotated[Path, typer.Argument(help="search space, e.g. search_spaces/ravdess_audio.yaml")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key, e.g. data.root=/data/MELD")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="processes that read clips, at most one per CPU or GPU [default: this process alone]"),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster whose nodes read the clips, e.g. auto or 10.0.0.1:6379")
    ] = None,
    max_failed: Annotated[
        str | None, typer.Option(help="share of clips that may be unreadable, e.g. 5% [default: any, listed]")
    ] = None,
    cache: Annotated[Path, typer.Option(help="folder of all feature files")] = DEFAULT_CACHE,
    debug: Debug = False,
) -> None:
    """Extract every feature file (train and dev) that a search space can ask for.

    Run again after an interruption: it goes on where it was. With --address and without --workers, as many processes
    as the cluster has room for. Texts are read by this process: they are quick.
    """
    from mer.study.space.load import load_spec

    plan = _ensure(load_spec(space, overrides or (), {"max_failed": max_failed}), cache, workers, address)
    for path in plan.paths():
        print(path)
    rate = f" ({plan.encoded / plan.seconds:.1f}/s)" if plan.encoded else ""
    words = f"{plan.encoded} inputs encoded" if plan.encoded else "all cached, nothing encoded"
    print(f"{len(plan.paths())} files, {words} in {plan.seconds:.1f} s{rate}")
    for line in plan.failed_lines():
        print(f"note: {line}")
    said = [
        *(word for text in overrides or () for word in ("--set", text)),
        *changed({"--cache": (cache, DEFAULT_CACHE)}),
    ]
    said += ["--max-failed", max_failed] if max_failed else []
    said += ["--address", address] if address else []
    print(f"next: {command('mer.tune', space, *said)}")


def _ensure(spec: StudySpec, cache: Path, workers: int | None, address: str | None) -> FeaturePlan:
    from mer.study.preflight.check_plan import check_plan
    from mer.study.preflight.feature_plan import ensure_plan

    checked = check_plan(spec)
    if workers is None and address is None:
        return ensure_plan(checked, cache, max_failed=spec.max_failed)
    from mer.study.cluster.clip_workers import RaySpread

    with RaySpread(workers, address) as spread:
        return ensure_plan(checked, cache, spread=spread, max_failed=spec.max_failed)


def main() -> None:
    launch(app, "mer.extract", "the same command goes on: what is encoded stays")


if __name__ == "__main__":
    main()
