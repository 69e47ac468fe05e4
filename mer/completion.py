"""`mer completion bash|zsh|fish`: a script by which a shell completes commands, options, files and keys."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from mer.cli_app import launch
from mer.errors import MerError, did_you_mean

SHELLS = ("bash", "zsh", "fish")

_BASH = """# mer: completion for {shell}. Load it: {load}
_mer() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
  case "$before" in
    --set|--explain) words="{keys}" ;;
    *) if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"
       else case "${{COMP_WORDS[1]}}" in
{cases}
       esac; fi ;;
  esac
  COMPREPLY=( $(compgen -W "$words" -- "$word") )
  case "$word" in -*) ;; *) [ "$COMP_CWORD" -gt 1 ] && COMPREPLY+=( $(compgen -f -- "$word") ) ;; esac
}}
complete -o filenames -F _mer mer
"""
_LOAD = {
    "bash": 'eval "$(mer completion bash)", in ~/.bashrc',
    "zsh": 'eval "$(mer completion zsh)", in ~/.zshrc',
    "fish": "mer completion fish | source, in ~/.config/fish/config.fish",
}


def script(shell: str) -> str:
    """Write the script of a shell. Raises: MerError for another shell."""
    from mer.study.space.keys import RESERVED, known_keys

    if shell not in SHELLS:
        found = f"{shell!r} is not known.{did_you_mean(shell, SHELLS)}" if shell else "which shell?"
        raise MerError("mer completion", found, allowed=", ".join(SHELLS))
    options = command_options()
    keys = sorted(known_keys() - set(RESERVED))
    if shell == "fish":
        return _fish(options, keys)
    cases = "\n".join(f'         {name}) words="{" ".join(words)}" ;;' for name, words in options.items())
    text = _BASH.format(shell=shell, load=_LOAD[shell], keys=" ".join(keys), commands=" ".join(options), cases=cases)
    return f"autoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text


def command_options() -> dict[str, list[str]]:
    """List the options of every command, and the names of its own commands."""
    from typer.main import get_command

    from mer.cli import COMMANDS

    found: dict[str, list[str]] = {}
    for name, (module, _) in COMMANDS.items():
        app = getattr(importlib.import_module(module), "app", None)
        found[name] = sorted(_words(get_command(app))) if app is not None else list(SHELLS)
    return found


def _words(command: Any) -> set[str]:
    words = {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}
    for name, part in getattr(command, "commands", {}).items():
        words |= {name, *_words(part)}
    return words | {"--help"}


def _fish(options: dict[str, list[str]], keys: list[str]) -> str:
    lines = [f"# mer: completion for fish. Load it: {_LOAD['fish']}"]
    lines += [f"complete -c mer -f -n __fish_use_subcommand -a {name}" for name in options]
    for name, words in options.items():
        for word in words:
            given = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c mer -n '__fish_seen_subcommand_from {name}' {given}")
    every = " ".join(keys)
    lines.append(f"complete -c mer -n '__fish_seen_subcommand_from tune' -l explain -x -a '{every}'")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the script for the shell that is named."""
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command()
    def completion(shell: str = typer.Argument("", help="bash, zsh or fish")) -> None:
        """Print a script by which a shell completes mer's commands."""
        sys.stdout.write(script(shell))

    launch(app, "mer.completion")


if __name__ == "__main__":
    main()
