"""The commands that README, docs and search spaces print: every one parses, and README's work in their order.

Nothing is run here. A command is parsed by its own parser, a search space is loaded with the overrides typed after it,
and a path is used only after a command above it has made it.
"""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mer.evaluate import join_seeds
from mer.study.show.words import BAR
from mer.study.space.load import load_spec

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
SPACES = sorted((REPOSITORY / "search_spaces").glob("*.yaml"))
DOWNLOAD = "(needs MELD)"  # what README writes behind a command that cannot run without one
PLACEHOLDER = re.compile(r"\b([A-Z]{3,}|N)\b|\$|\.\.\.|\[|<|--help")  # SPACE.yaml, $k, `--seeds ...`, [--mode full]


def code_lines(document: Path) -> Iterator[str]:
    """Shell lines of indented blocks, continued lines joined; a fenced block is YAML."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\\\n\s*", "", text)
    text = re.sub(r"^( +for [^\n]*; do)\n((?: {8,}[^\n]*\n)+) +done", _in_one_line, text, flags=re.MULTILINE)
    for line in text.splitlines():
        if re.match(r" {4,}(python -m |for |[A-Z]+=)", line):
            yield line.strip()


def _in_one_line(loop: re.Match[str]) -> str:
    return f"{loop[1]} {'; '.join(line.strip() for line in loop[2].splitlines())}; done"


def commands_in(text: str) -> list[list[str]]:
    """Arguments of every `python -m ...` of a shell line, the module's name first."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";|&()<>")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:  # without comments
        if re.fullmatch(r"[;|&()]+|do|done", word):
            found.append([])
        else:
            found[-1].append(word)
    return [words[2:] for words in found if words[:2] == ["python", "-m"]]


def printed() -> list[tuple[str, list[str]]]:
    """(where, command) of all that can be parsed as it stands."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        lines = [*code_lines(document), *re.findall(r"`(python -m [^`]+)`", text)]
        found += [(document.name, one) for line in lines for one in commands_in(line)]
    for space in SPACES:
        lines = re.findall(r"^#.*?(python -m .*)$", space.read_text(encoding="utf-8"), re.MULTILINE)
        found += [(space.name, one) for line in lines for one in commands_in(line)]
    ours = [(where, one) for where, one in found if one[0].split(".")[0] in ("mer", "analysis")]
    return [(where, one) for where, one in ours if not PLACEHOLDER.search(" ".join(one))]


def parse(command: list[str]) -> dict[str, Any]:
    """The values of a command's arguments and options. Ends the test for a command that is refused."""
    module, *arguments = command
    found = importlib.import_module(
        f"{module}.__main__" if module in ("mer.data", "mer.features", "mer.study") else module
    )
    if not hasattr(found, "app"):
        assert module == "mer.study.schema", f"{module} is no command"
        return {}
    parser: Any = typer.main.get_command(found.app)
    if hasattr(parser, "commands"):
        assert arguments[0] in parser.commands, command
        parser = parser.commands[arguments.pop(0)]
    return dict(parser.make_context(module, join_seeds(arguments)).params)


def test_there_are_commands_to_look_at():
    where = [name for name, _ in printed()]
    assert where.count("README.md") > 10 and {"cluster.md", "basic.md", "spcl.yaml", "distill.yaml"} <= set(where)


@pytest.mark.parametrize(("where", "command"), printed(), ids=lambda value: value if isinstance(value, str) else None)
def test_a_printed_command_parses(where: str, command: list[str]):
    parse(command)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_command_names_several_files_in_braces(document: Path):
    """The shell would hand mer.tune three spaces, and it takes one."""
    text = document.read_text(encoding="utf-8")
    lines = [*code_lines(document), *re.findall(r"`(python -m [^`]+)`", text)]
    assert [line for line in lines if re.search(r"\{\w+,", line)] == []


class Reader:
    """Someone who types README from top to bottom, in an empty folder: what is there after each command."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.variables: dict[str, str] = {}

    def types(self, line: str) -> None:
        if assigned := re.fullmatch(r"([A-Z]+)=(\S+)", line.split("#")[0].strip()):
            self.variables[assigned[1]] = assigned[2]
            return
        for name, value in self.variables.items():
            line = line.replace(f"${name}", value)
        for command in commands_in(line):
            assert "$" not in " ".join(command), f"{line}: a variable that nobody has set"
            marked = DOWNLOAD in line
            getattr(self, command[0].replace(".", "_"))(parse(command), command[1:], marked)

    def needs(self, path: object) -> None:
        assert str(path) in self.made, f"{path} is used, and nothing above has made it; there are {sorted(self.made)}"

    def mer_data(self, given: dict[str, Any], arguments: list[str], marked: bool) -> None:
        match arguments[0]:
            case "sample":
                self.made.add(str(given["out"]))
            case "get":
                assert marked
                self.made.add(str(given["root"]))
            case "prepare":
                assert marked and str(given["raw"]) == "RAW"
                self.needs(given["out"])  # the texts come first
            case "check":
                self.needs(given["root"])
            case other:
                raise AssertionError(f"tell this test what `mer.data {other}` makes")

    def _space(self, given: dict[str, Any]) -> str:
        """The study of a search space that can be searched with what is there."""
        spec = load_spec(REPOSITORY / given["space"], given["overrides"] or ())
        self.needs(spec.fixed["data.root"])
        for export in spec.depends_on:
            self.needs(export)
        return spec.study

    def mer_extract(self, given: dict[str, Any], arguments: list[str], marked: bool) -> None:
        self._space(given)

    def mer_tune(self, given: dict[str, Any], arguments: list[str], marked: bool) -> None:
        study = self._space(given)
        if not given["dry_run"]:
            self.made.add(f"studies/{study}")

    def mer_ui(self, given: dict[str, Any], arguments: list[str], marked: bool) -> None:
        self.needs(f"studies/{given['study']}")

    def analysis_report(self, given: dict[str, Any], arguments: list[str], marked: bool) -> None:
        self.needs(given["study"])

    def mer_export(self, given: dict[str, Any], arguments: list[str], marked: bool) -> None:
        for source in given["given"]:
            self.needs(source)
        assert given["out"], "a folder with the trial's number in its name cannot be foretold"
        self.made.add(str(given["out"]))

    def mer_evaluate(self, given: dict[str, Any], arguments: list[str], marked: bool) -> None:
        for export in [given["export"], *(given["against"] or [])]:
            self.needs(export)

    def mer_predict(self, given: dict[str, Any], arguments: list[str], marked: bool) -> None:
        self.needs(given["export"])
        for kind, ending in (("audio", "flac"), ("video", "mp4")):
            for clip in given[kind] or []:
                root, name = str(clip).split(f"/{kind}s/")
                self.needs(root)
                assert re.fullmatch(rf"(train|dev|test)/dia0_utt0\.{ending}", name), f"{clip} may not be there"


def test_readme_works_as_printed_from_top_to_bottom():
    reader = Reader()
    reader.made.add("mine.csv")  # the data of whoever reads
    for line in code_lines(REPOSITORY / "README.md"):
        reader.types(line)
    assert {"exports/spcl-meld-text", "exports/audio-meld", "exports/fusion-meld"} <= reader.made
    inline = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("## What it promises")[0]
    for path in re.findall(r'(?:mer\.load\("|`)(exports/[\w-]+)', inline):
        reader.needs(path)


def test_the_quick_start_works_as_printed_from_top_to_bottom():
    reader = Reader()
    for line in code_lines(REPOSITORY / "docs" / "quick_start.md"):
        reader.types(line)
    assert "exports/spcl-meld-text" in reader.made


@pytest.mark.parametrize(
    "lines",
    [
        ["python -m mer.tune search_spaces/audio.yaml"],
        ["python -m mer.data sample datasets/sample", "python -m mer.tune search_spaces/audio.yaml"],
        ["python -m mer.data get meld  # (needs MELD)", "python -m mer.tune search_spaces/distill.yaml"],
        ["python -m mer.predict exports/audio --audio a.flac"],
        ["python -m mer.data get meld"],
    ],
)
def test_the_reader_notices_what_is_not_there(lines: list[str]):
    """The mistakes that README had."""
    reader = Reader()
    with pytest.raises(AssertionError):
        for line in lines:
            reader.types(line)


def test_the_pictures_are_small_and_show_what_the_program_prints():
    folder = REPOSITORY / "docs" / "images"
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"!\[([^\]]+)\]\(docs/images/([^)]+)\)", text))
    assert sorted(shown.values()) == sorted(path.name for path in folder.iterdir()) == ["leaderboard.svg", "report.png"]
    assert all(len(alt) > 40 for alt in shown), "whoever does not see the picture reads this"
    assert all(path.stat().st_size < 200_000 for path in folder.iterdir())
    drawn = (folder / "leaderboard.svg").read_text(encoding="utf-8")
    assert "https:" not in drawn and "href" not in drawn
    for words in ("wF1", *BAR["class"].split(), "export it:", "over seeds:"):
        assert words in drawn, f"{words}: make images"


def test_the_badges_say_what_the_project_says():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    badges = re.findall(r"`([^`]+)`", (REPOSITORY / "README.md").read_text(encoding="utf-8").split("\n\n")[2])
    assert badges[:2] == [f"Python {project['requires-python'].replace('>=', '≥ ')}", f"{project['license']} licence"]


def test_paths_that_the_structure_page_names_are_there():
    text = (REPOSITORY / "docs" / "structure.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:mer|trainables|tests|analysis)/[\w/.]+)`", text))
    assert len(named) > 40
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists()] == []


def test_the_structure_page_names_every_part_of_mer():
    text = (REPOSITORY / "docs" / "structure.md").read_text(encoding="utf-8")
    parts = {path.stem for path in (REPOSITORY / "mer").iterdir() if not path.name.startswith(("_", "."))}
    assert sorted(part for part in parts if not re.search(rf"\b{part}\b", text)) == []
