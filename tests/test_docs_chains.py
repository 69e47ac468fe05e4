"""Pages of docs/ in their order: an export or a study that a command reads was made by a command above it.

What README makes counts as made. Loops of the shell are unrolled; a command with a placeholder (SPACE.yaml) is passed
over.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from test_readme import DOCUMENTS, PLACEHOLDER, REPOSITORY, code_lines, commands_in, parse

from mer.errors import MerError
from mer.study.space.load import load_spec

MADE_BY_READER = {"nodes.yaml", "again.yaml", "ta.yaml", "tv.yaml", "av.yaml"}  # spaces that a page tells how to write
IN_WORDS = {"distillation.md": {f"exports/{name}" for name in ("kd-av", "plain-av", "kd-av-joint", "self-av")}}


def unrolled(line: str, variables: dict[str, str]) -> list[str]:
    """A line of the shell without its loops, variables filled in."""
    if assigned := re.fullmatch(r"""([A-Z]+)=("[^"]*"|[^\s"$]+)""", line.split("#")[0].strip()):
        variables[assigned[1]] = assigned[2].strip('"')
        return []
    loop = re.fullmatch(r"for (\w+) in ([^;]+); do (.*); done.*", line)
    if loop:
        lines = [re.sub(rf"\${loop[1]}\b|\${{{loop[1]}}}", value, loop[3]) for value in loop[2].split()]
        return [one for inner in lines for one in unrolled(inner, variables)]
    for name, value in variables.items():
        line = re.sub(rf"\${name}\b", value, line)
    return [line]


def chain(document: Path, made: set[str]) -> list[str]:
    """Go through a page; add what its commands make to `made`. Returns what is read and was not made."""
    lacking: list[str] = []
    made |= IN_WORDS.get(document.name, set())
    variables: dict[str, str] = {}
    lines = [part for line in code_lines(document) for part in unrolled(line, variables)]
    for command in [one for line in lines for one in commands_in(line)]:
        words = " ".join(command)
        if command[0].split(".")[0] not in ("mer", "analysis"):
            continue
        if PLACEHOLDER.search(re.sub(r"(datasets/|data.root=)[A-Z]\w+", r"\1here", words)):
            made |= set(re.findall(r"--out (exports/\S+)", words))
            made |= {f"studies/{name}" for name in re.findall(r"--set study=([\w-]+)", words)}
            continue
        given = parse(command)
        match command[0]:
            case "mer.tune" if given["space"]:
                made |= studies_of(given)
            case "mer.export":
                lacking += [f"{reads}: {words}" for reads in given["given"] if reads not in made]
                made |= {f"{given['out']}-{place + 1}" for place in range(given["top"] or 0)} or {str(given["out"])}
            case _:
                reads_them = re.findall(r"(?<![\w/.])(?:exports|studies)/[\w.-]+(?![\w.*-])", words)
                lacking += [f"{one}: {words}" for one in reads_them if one not in made]
    return lacking


def studies_of(given: dict[str, Any]) -> set[str]:
    """The folder of the study that a command runs; the space must be one that is here."""
    typed = dict(text.split("=", 1) for text in given["overrides"] or ())
    if Path(given["space"]).name in MADE_BY_READER and "study" not in typed:
        return set()
    if "study" in typed:
        return {f"studies/{typed['study']}"}
    try:
        return {f"studies/{load_spec(REPOSITORY / given['space'], given['overrides'] or ()).study}"}
    except MerError as fault:
        pytest.fail(f"{given['space']}: {fault}")


@pytest.fixture(scope="module")
def readme_made() -> set[str]:
    made = {"mine.csv"}
    assert chain(REPOSITORY / "README.md", made) == []
    return made


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one.name != "README.md"], ids=lambda path: path.stem)
def test_what_a_page_reads_was_made_above(document: Path, readme_made: set[str]):
    assert chain(document, set(readme_made)) == []


def test_a_loop_is_unrolled():
    line = "for k in ce spcl; do python -m mer.tune search_spaces/$k.yaml --set study=s-$k; done"
    assert unrolled(line, {}) == [
        "python -m mer.tune search_spaces/ce.yaml --set study=s-ce",
        "python -m mer.tune search_spaces/spcl.yaml --set study=s-spcl",
    ]


def test_an_export_that_nobody_made_is_noticed(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "    python -m mer.predict exports/audio --text a\n    python -m mer.export studies/x --out exports/x\n"
    )
    assert len(chain(page, set())) == 2
