"""mkdocs hook: pages of the site that are made from other things when it is built, so that they cannot be out of date.

The first page is the README, the changelog is CHANGELOG.md; the reference of keys comes from the pydantic models, that
of commands from their typer apps. `python docs/site_pages.py` prints the reference.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
FROM_FILES = {
    "index.md": "README.md",
    "zh-CN.md": "README.zh-CN.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made. mkdocs calls this once the files of docs/ are listed."""
    from mkdocs.structure.files import File

    pages = {name: from_repository(path) for name, path in FROM_FILES.items()}
    pages |= {"reference/keys.md": keys_page(), "reference/commands.md": commands_page()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let links to the README lead to the first page."""
    return markdown.replace("](../README.md", "](index.md").replace("](../../README.md", "](../index.md")


def from_repository(path: str) -> str:
    """Read a page that lies beside docs/, with the links that it has here."""
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    for name, source in FROM_FILES.items():
        text = text.replace(f"]({source})", f"]({name})")
    return text.replace("](docs/", "](")


def keys_page() -> str:
    """Write the reference of what a search space may hold: keys of the file, then of a trial's configuration."""
    from mer.config import TrialConfig
    from mer.study.space.keys import RESERVED
    from mer.study.space.params import PARAM_KINDS
    from mer.study.space.schema import allowed_values, fields
    from mer.study.space.spec import StudySpec

    lines = [
        "# Keys of a search space",
        "",
        "Made from the models that read the file. `python -m mer.tune --explain KEY` says the same of one key,",
        "and which shipped spaces search it. How ranges, conditions and bounds are written:",
        "[search spaces](../search_spaces.md).",
        f"A range under `params` is of one of these kinds: {', '.join(f'`{kind}`' for kind in PARAM_KINDS)}.",
    ]
    for title, model in (("Keys of the file", StudySpec), ("Keys of a configuration", TrialConfig)):
        lines += ["", f"## {title}"]
        group = None
        for shown, field in fields(model, ""):
            name, _, kind = shown.partition("  (")
            if (found := name.rpartition(".")[0]) != group:
                group = found
                heading = [f"### {group}", ""] if group else []
                lines += ["", *heading, "| key | allowed | default | meaning |", "|---|---|---|---|"]
            default = "required" if field.is_required() else _json(field.get_default(call_default_factory=True))
            meaning = f"set by {RESERVED[name]}" if name in RESERVED else field.description or ""
            of = f" (kind {kind.rstrip(')')})" if kind else ""
            lines.append(_row(f"`{name}`{of}", _words(allowed_values(field)), f"`{default}`", _words(meaning)))
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Write the reference of all commands: what each does, its arguments and options."""
    import typer

    from mer.cli import COMMANDS

    lines = [
        "# Commands",
        "",
        "Made from the commands themselves; `--help` behind any of them says the same. `mer COMMAND` and",
        "`python -m mer.COMMAND` are one thing.",
    ]
    for name, (module, what) in COMMANDS.items():
        lines += ["", f"## mer {name}", ""]
        app = getattr(importlib.import_module(module), "app", None)
        if app is None:
            lines.append(_prose(what))
            continue
        for words, command in _commands(typer.main.get_command(app), f"mer {name}"):
            lines += [f"### {words}", ""] if words != f"mer {name}" else []
            lines += [_prose(command.help or what), ""]
            shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
            if shown:
                lines += ["| | default | meaning |", "|---|---|---|", *map(_option_row, shown), ""]
    return "\n".join(lines) + "\n"


def _commands(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    """Yield a command, or the commands of a group, with what is typed for each."""
    parts = getattr(command, "commands", {})
    if not parts or getattr(command, "invoke_without_command", False):
        yield words, command
    for name, part in parts.items():
        yield from _commands(part, f"{words} {name}")


def _option_row(option: Any) -> str:
    argument = option.param_type_name == "argument"
    names = [(option.name or "").upper()] if argument else [*option.opts, *option.secondary_opts]
    default = option.default
    # A default may be a function, or typer's mark for "none": neither is a value that can be typed.
    plain = isinstance(default, str | int | float | bool | Path) and default != "" and not option.required
    shown = "required" if option.required else f"`{_json(default)}`" if plain else ""
    return _row(", ".join(f"`{name}`" for name in names), shown, _words(getattr(option, "help", "") or ""))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _words(text: str) -> str:
    """Word a cell: one line, and nothing that Markdown or HTML would read as its own."""
    return re.sub(r"([\\*_\[\]`])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")


def _prose(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.replace("\b", "").replace("\f", ""))
    return "\n\n".join(_words(paragraph) for paragraph in paragraphs)


def _json(value: Any) -> str:
    def plain(part: Any) -> Any:
        return part.model_dump(mode="json") if hasattr(part, "model_dump") else str(part)

    return json.dumps(value, default=plain, ensure_ascii=False)


if __name__ == "__main__":
    print(keys_page(), commands_page(), sep="\n")
