"""`mer COMMAND`: every command as a subcommand; `python -m mer.COMMAND` is the same."""

from __future__ import annotations

import importlib
import sys

# name -> (module, what it does). Modules are imported when they are asked for: `mer --help` answers at once.
COMMANDS = {
    "tune": ("mer.tune", "run a study: python -m mer.tune search_spaces/quickstart.yaml"),
    "extract": ("mer.extract", "a study's features ahead of it, by several processes or a cluster"),
    "export": ("mer.export", "a trial as a folder that loads anywhere: python -m mer.export studies/quickstart"),
    "evaluate": (
        "mer.evaluate",
        "seed repeats, test once per seed: python -m mer.evaluate exports/spcl-meld-text",
    ),
    "bench": ("mer.bench", "a protocol: corpora x feature sets x methods in one table: python -m mer.bench small"),
    "reproduce": ("mer.reproduce", "a published number against what is got here: python -m mer.reproduce meld_text_ce"),
    "study": (
        "mer.study.__main__",
        "look after a study: is all recorded, in all places (audit); write what MLflow lacks (sync)",
    ),
    "verify": ("mer.verify", "run a trial again and compare every number"),
    "ui": ("mer.ui", "MLflow's pages on this machine"),
    "report": (
        "analysis.report",
        "a study or an evaluation as a page; report compare A B ...; report seeds RESULTS.json",
    ),
    "predict": ("mer.predict", "labels for texts and files: python -m mer.predict exports/spcl-meld-text --text ..."),
    "demo": ("mer.demo", "a page on this machine to try a model by hand: python -m mer.demo exports/spcl-meld-text"),
    "data": ("mer.data.__main__", "get, check and generate datasets"),
    "features": ("mer.features.__main__", "list, extract, verify and clean cached features"),
    "completion": ("mer.completion", "a script by which your shell completes commands: bash, zsh, fish"),
    "store": ("mer.store", "weights of all studies: what they take, are they whole, clean up"),
}


def main() -> None:
    """Hand over to the named command, or say which there are."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv = [f"mer {name}", *sys.argv[2:]]
        importlib.import_module(COMMANDS[name][0]).main()
        return
    listing = "\n".join(f"  {command:10s} {text}" for command, (_, text) in COMMANDS.items())
    usage = f"usage: mer COMMAND ...\n\n{listing}\n\n`mer COMMAND --help` says more."
    if name in ("-h", "--help"):
        print(usage)
        return
    print(f"error: mer: unknown command {name!r}\n{usage}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
