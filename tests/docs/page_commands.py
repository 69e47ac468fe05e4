"""The commands of a page in their order, and what each of them needs that a fresh folder does not have.

A command is a line of an indented block, or of a ```sh block, that begins with a program of PROGRAMS, an assignment or
a loop; other lines of a block are output, a tree or a formula. What is not here is said in round brackets:

    python -m mer.data get meld       # (needs MELD) in the comment: of this command

`(needs a GPU)` in a sentence or a heading: of all commands from there to the end of the section; above the first `##`,
of the whole page. Several needs are joined by "and". NEEDS lists them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = (
    "python", "mer", "make", "pip", "uv", "hf", "git", "source", "export", "eval", "cd", "sed", "cat", "cp", "mv",
    "ray", "kubectl", "docker", "sbatch", "squeue", "scancel", "tail", "curl",
)  # fmt: skip

# What a page may need -> how its commands are checked where that is not here.
REHEARSED, READ = "rehearsed", "read"
NEEDS = {
    "MELD": REHEARSED,  # the sample corpus has its shape and stands in its place: dry runs go through
    "RAVDESS": READ,
    "IEMOCAP": READ,
    "EmoryNLP": READ,
    "a GPU": READ,
    "the hub": READ,
    "SLURM": READ,
    "a cluster": READ,
    "a file of yours": READ,
}
HOW_TO_MARK = f"""\
mark it with what it needs that a fresh folder does not have: `(needs X)` in the command's comment, or in a sentence
above it for the rest of the section. X is one of: {", ".join(NEEDS)}.
docs/testing.md, "Commands of the pages", says more."""

_NEEDS = re.compile(r"\(needs ([^()]+)\)")
_COMMAND = re.compile(rf"(?:(?:{'|'.join(PROGRAMS)}) |for \w+ in |[A-Za-z_]+=\S)|make$")
_FENCE = re.compile(r"^\s*```(\w*)")


@dataclass(frozen=True)
class PageCommand:
    """A command as it stands on a page.

    Args:
        line: its first line, from 1.
        text: as printed, comments too; several lines where it goes on.
        needs: what it needs that is not here; () for most.
    """

    line: int
    text: str
    needs: tuple[str, ...] = ()

    @property
    def level(self) -> str:
        """How it is checked: "run", rehearsed or read."""
        ways = [NEEDS[need] for need in self.needs]
        return "run" if not ways else READ if READ in ways else REHEARSED


class UnknownNeed(AssertionError):
    """A page names a need that NEEDS does not list."""


def commands_of(page: Path) -> list[PageCommand]:
    """Read the commands of a page. Raises: UnknownNeed; AssertionError for a command that never ends."""
    return list(_commands(page.read_text(encoding="utf-8"), page.name))


def _commands(text: str, name: str) -> Iterator[PageCommand]:
    scopes: list[tuple[int, tuple[str, ...]]] = []  # level of the heading whose section needs it
    level, fence, begun, first = 0, None, "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if begun:
            begun += "\n" + line
        elif found := _FENCE.match(line):
            fence = None if fence is not None else found[1]
            continue
        elif fence not in (None, "sh"):
            continue
        elif fence is None and not line.startswith("    "):
            if heading := re.match(r"(#+) ", line):
                level = len(heading[1])
                scopes = [scope for scope in scopes if scope[0] < level]
            if not line.startswith("|") and (needs := _needs_in(line, f"{name}:{number}")):
                scopes.append((level, needs))
            continue
        elif _COMMAND.match(line.strip()):
            begun, first = line, number
        if begun and _is_whole(begun):
            own = _needs_in(begun, f"{name}:{first}")
            above = [need for _, needs in scopes for need in needs]
            yield PageCommand(first, _without_margin(begun), tuple(dict.fromkeys([*above, *own])))
            begun = ""
    assert not begun, f"{name}:{first}: this command never ends: {begun!r}"


def _needs_in(text: str, where: str) -> tuple[str, ...]:
    """List the needs that a text names; rows of tables are no marks. Raises: UnknownNeed."""
    named = [need.strip() for found in _NEEDS.findall(text) for need in found.split(" and ")]
    if unknown := [need for need in named if need not in NEEDS]:
        raise UnknownNeed(f"{where}: (needs {unknown[0]}): nobody knows that. {HOW_TO_MARK}")
    return tuple(named)


def _is_whole(text: str) -> bool:
    """Tell whether a command ends here: no line goes on, loops and quotes are closed."""
    if text.rstrip().endswith("\\"):
        return False
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # a quotation goes on
        return False
    bare = [word.strip(";()") for word in words]
    opened = sum(word.count("$(") for word in words)
    return bare.count("do") == bare.count("done") and opened <= sum(word.count(")") for word in words)


def _without_margin(text: str) -> str:
    first, *rest = text.splitlines()
    margin = len(first) - len(first.lstrip())
    return "\n".join([first.strip(), *(line[margin:] for line in rest)])


def files_of(page: Path) -> dict[str, str]:
    """Name -> text of the files that a page shows in full: YAML blocks whose first line is `# NAME.yaml`."""
    blocks = re.findall(r"^```yaml\n(# (\S+\.ya?ml)\n.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return {name: text for text, name in blocks}
