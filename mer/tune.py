"""`python -m mer.tune SPACE.yaml`: run a study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.cli_app import Debug, launch
from mer.console import page
from mer.errors import MerError
from mer.terminal.commands import changed, command

if TYPE_CHECKING:
    from rich.console import Console

    from mer.study.space.spec import StudySpec

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EPILOG = (
    "A study lives in studies/<name>/ and can be killed at any moment: --resume goes on where it was. "
    "Every trial is in MLflow (studies/mlflow.db, or MLFLOW_TRACKING_URI)."
)


@app.command(epilog=EPILOG)
def tune(
    space: Annotated[
        Path | None, typer.Argument(help="search space, e.g. search_spaces/spcl.yaml", show_default=False)
    ] = None,
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE ...]", help="as --set KEY=VALUE", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key, e.g. data.root=/data/MELD")
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="on the generated corpus in datasets/sample, in small: to try a space")
    ] = False,
    trials: Annotated[int | None, typer.Option(min=1, help="number of trials in all [default: budget.trials]")] = None,
    hours: Annotated[float | None, typer.Option(min=0.0, help="stop after so many hours; resumable")] = None,
    max_failed: Annotated[
        str | None, typer.Option(help="share of clips that may be unreadable, e.g. 5% [default: any, listed]")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="trials at once [default: as many as fit]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with an existing study")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="put an existing study aside and start over")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="with --resume: try failed trials again, each under a new number")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check everything, estimate the cost, run nothing")
    ] = False,
    address: Annotated[str | None, typer.Option(help="Ray cluster, e.g. auto or 10.0.0.1:6379")] = None,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="submit it as a job of SLURM that resumes until it is done; docs/slurm.md")
    ] = False,
    nodes: Annotated[int, typer.Option(min=1, help="of the job: machines; Ray runs on all of them")] = 1,
    time: Annotated[
        str, typer.Option(metavar="HH:MM:SS", help="of the job: its limit [default: the partition's]")
    ] = "",
    partition: Annotated[str, typer.Option(help="of the job [default: the cluster's]")] = "",
    gpus_per_node: Annotated[int, typer.Option(min=0, help="of the job")] = 0,
    slurm_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="of the job: another option of sbatch, cpus-per-task=8"),
    ] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    cache: Annotated[Path, typer.Option(help="folder of all feature files")] = Path("features"),
    open_it: Annotated[bool, typer.Option("--open", help="show the report in the browser when the study ends")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="list every configuration key with its meaning")] = False,
    key_explained: Annotated[
        str, typer.Option("--explain", metavar="KEY", help="say what a key means, allows, and who searches it")
    ] = "",
    debug: Debug = False,
) -> None:
    """Search hyper-parameters: YAML in, trials out, nothing lost."""
    console = page()
    overrides = [*(overrides or ()), *(pairs or ())]
    if keys:
        from mer.study.space.schema import print_keys

        print_keys(console)
        return
    if key_explained:
        from mer.study.space.explain import explain

        print(explain(key_explained))
        return
    if space is None:
        raise typer.BadParameter("which search space? e.g. python -m mer.tune search_spaces/quickstart.yaml")
    from mer.study.space.load import load_spec

    parts = {
        "budget.trials": trials, "budget.hours": hours, "resources.workers": workers, "max_failed": max_failed
    }  # fmt: skip
    spec = _on_sample(space, overrides, parts, console) if sample else load_spec(space, overrides, parts)
    from analysis.at_the_end import study_pages
    from mer.study.preflight.run_options import COMMAND, RunOptions

    request = None
    if slurm:
        from mer.study.slurm.request import SlurmRequest

        request = SlurmRequest.read(nodes, time, partition, gpus_per_node, slurm_option or ())
    elif extra := changed(
        {
            "--nodes": (nodes, 1), "--time": (time, ""), "--partition": (partition, ""),
            "--gpus-per-node": (gpus_per_node, 0), "--slurm-option": (slurm_option or [], []),
        }
    ):  # fmt: skip
        raise MerError(
            ", ".join(map(str, extra[::2])), "belongs to a job of SLURM", then="add --slurm, or leave it out"
        )
    places = {"--studies": (studies, Path("studies")), "--cache": (cache, Path("features"))}
    said: list[object] = ["--sample"] * sample
    said += [*changed(places), *(word for text in overrides or () for word in ("--set", text))]
    limits = {"--hours": (f"{hours:g}" if hours else None, None), "--workers": (workers, None)}
    said += changed({"--max-failed": (max_failed, None), "--address": (address, None), **limits})
    typed = command("mer.tune", space, *said, *(request.words if request else ()))
    options = RunOptions(
        studies, cache, resume, fresh, address, typed if request else os.environ.get(COMMAND, typed),
        retry_failed=retry_failed, trials=trials, dry_run=dry_run, pages=study_pages, space=space,
    )  # fmt: skip
    if retry_failed and not resume:
        then = f"{options.as_typed} --resume --retry-failed"
        raise MerError("--retry-failed", "goes on with an existing study", then=then)
    if request:
        from mer.study.slurm.submit import run_as_job

        run_as_job(spec, options, request, [space, *said, *changed({"--trials": (trials, None)})], console)
        return
    if dry_run:
        from mer.study.cluster.connect import machines_at
        from mer.study.preflight.dry_run import dry_run as rehearse

        rehearse(spec, options, console, machines_at(address))
        return
    from mer.study.preflight.interruption import going_on_told

    with going_on_told(options, spec, console):  # importing takes seconds
        from mer.study.paths import REPORT
        from mer.study.runner import run_study

        run_study(spec, options, console)
    if open_it:
        from analysis.report import opened

        for line in opened(studies / spec.study / REPORT):
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _on_sample(space: Path, overrides: list[str], parts: dict[str, Any], console: Console) -> StudySpec:
    """Load a search space as `--sample` changes it, and say how. Raises: MerError beside `--set data.root=...`."""
    from mer.study.space.load import load_spec
    from mer.study.space.on_sample import OPTION, put_on_sample

    if named := [text for text in overrides if text.partition("=")[0].strip() in ("data.root", "data.dataset")]:
        raise MerError(OPTION, f"is the sample corpus, and --set {named[0]} names other data", then="leave out one")
    changes: list[str] = []
    spec = load_spec(space, overrides, parts, lambda file: changes.append(put_on_sample(file)))
    console.print(changes[0], highlight=False, markup=False, soft_wrap=True)
    return spec


def main() -> None:
    launch(app, "mer.tune", "nothing is lost: type the same command again")


if __name__ == "__main__":
    main()
