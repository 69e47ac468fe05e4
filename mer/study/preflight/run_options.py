"""How the command that runs a study was called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mer.terminal.commands import changed

if TYPE_CHECKING:
    from rich.console import Console

COMMAND = "MER_COMMAND"  # variable of the environment, set by a job script: what the user typed to get the job


def _no_pages(folder: Path) -> list[str]:
    return []


@dataclass(frozen=True)
class RunOptions:
    """The options of the command that runs a study.

    Args:
        studies: folder of all studies.
        cache: folder of all feature files.
        resume: go on with an existing study.
        fresh: put an existing study aside.
        address: Ray cluster, or None for this machine.
        command: what to type again, without --resume, --fresh, --dry-run and --trials.
        quiet: no leaderboard and no advice at the end.
        retry_failed: try the failed trials of an existing study again.
        trials: the number of trials that was typed; None: the search space says it.
        dry_run: only checks and prints.
        pages: makes picture and report of the folder of what has just ended, and returns lines that say where they
            are; it never raises.
        space: the YAML file, kept in the folder as it was typed.
    """

    studies: Path
    cache: Path
    resume: bool = False
    fresh: bool = False
    address: str | None = None
    command: str = "python -m mer.tune"
    quiet: bool = False
    retry_failed: bool = False
    trials: int | None = None
    dry_run: bool = False
    pages: Callable[[Path], list[str]] = _no_pages
    space: Path | None = None

    @property
    def again(self) -> str:
        """The command as it was typed, without --resume, --fresh and --dry-run."""
        return " ".join([self.command, *map(str, changed({"--trials": (self.trials, None)}))])

    @property
    def as_typed(self) -> str:
        """The command as it was typed, without --resume and --fresh, for advice on which of them to add."""
        return f"{self.again} --dry-run" if self.dry_run else self.again

    @property
    def beginning(self) -> str:
        """What was typed of how the study begins; "": from nothing."""
        if self.fresh:
            return "--fresh"
        return " ".join(["--resume"] * self.resume + ["--retry-failed"] * self.retry_failed)

    @property
    def once_more(self) -> str:
        """The command as it was typed, all of it; an evaluation has only its own."""
        return self.command if self.quiet else f"{self.as_typed} {self.beginning}".rstrip()

    def make_pages(self, folders: Sequence[Path], console: Console) -> None:
        """Make picture and report of each of these folders, and print where they are."""
        for line in [line for folder in folders for line in self.pages(folder)]:
            console.print(line, soft_wrap=True, highlight=False, markup=False)

    def go_on(self, trials: int) -> str:
        """Return the command that goes on with the study; that of an evaluation needs no --resume."""
        return self.command if self.quiet else f"{self.command} --trials {trials} --resume"

    @property
    def start_over(self) -> str:
        """The command that begins the study again."""
        return self.command if self.quiet else f"{self.command} --fresh"

    def try_again(self, trials: int) -> str:
        """Return the command that tries failed trials again; an evaluation has none and goes on."""
        return self.go_on(trials) if self.quiet else f"{self.go_on(trials)} --retry-failed"

    @property
    def places(self) -> list[object]:
        """Words that other commands need to find this study and its features."""
        return changed({"--studies": (self.studies, "studies"), "--cache": (self.cache, "features")})
