"""A fresh folder in which the commands of a page are typed, as they stand, into a shell of its own.

The folder has what a checkout has that commands read (search spaces, Makefile, pins) and, below `.bin`, stand-ins for
the programs of pages: each hands its words to a `Door` (page_door), which runs them and says what they printed.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from page_commands import REHEARSED, REPOSITORY, PageCommand, commands_of, files_of

_COPIED = ("search_spaces", "docs/cluster", "Makefile", "pyproject.toml", "constraints.txt", "README.md")
_STANDING_IN = ("python", "mer", "pip", "make", "ray", "kubectl", "sbatch", "hf", "git", "uv", "docker", "curl")
_IN_VENV = ("python", "mer", "pip")
_PROGRAM = """#!{python} -ISs
import json, os, socket, sys
asked = dict(program=os.path.basename(sys.argv[0]), words=sys.argv[1:], cwd=os.getcwd(), environment=dict(os.environ))
with socket.socket(socket.AF_UNIX) as door:
    door.connect({door!r})
    request = json.dumps(asked).encode()
    door.sendall(len(request).to_bytes(8, "big") + request)
    with door.makefile("rb") as stream:
        answer = json.loads(stream.read())
sys.stdout.write(answer["output"])
sys.stdout.flush()
sys.exit(answer["code"])
"""
LEVEL, LINE = "PAGE_LEVEL", "PAGE_LINE"  # variables that tell the door how a command is checked, and where it stands


@dataclass(frozen=True)
class Typed:
    """What a page's commands came to. Args: failed: words about the first one that did not end well; "" if all did."""

    failed: str


def make_folder(folder: Path, door: Path) -> None:
    """Lay out a fresh folder. Args: door: the socket at which a Door answers."""
    for name in _COPIED:
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    program = _PROGRAM.format(python=sys.executable, door=str(door))
    places = [folder / ".bin" / name for name in _STANDING_IN]
    places += [folder / ".venv" / "bin" / name for name in _IN_VENV]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(program, encoding="utf-8")
        place.chmod(0o755)
    (folder / ".venv/bin/activate").write_text('PATH="$PWD/.venv/bin:$PATH"\n', encoding="utf-8")
    for stamp in ("base", "dev"):  # what `make` would build first
        (folder / ".venv" / stamp).touch()


def type_page(page: Path, folder: Path, timeout_s: float = 1500) -> Typed:
    """Type the commands of a page into bash, from top to bottom; the first that fails ends it."""
    for name, text in files_of(page).items():
        (folder / name).write_text(text, encoding="utf-8")
    commands = commands_of(page)
    if any("MELD" in one.needs for one in commands):
        stand_in_for_meld(folder)
    out = folder / ".out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    script = folder / ".page.sh"
    script.write_text("\n".join(map(_step, commands)), encoding="utf-8")
    environment = {**os.environ, "PATH": f"{folder}/.bin:{os.environ['PATH']}"}
    shell = subprocess.Popen(["bash", str(script)], cwd=folder, env=environment, start_new_session=True)
    try:
        ended = shell.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        ended = -9
    if not ended:
        return Typed("")
    line = max((int(path.name) for path in out.iterdir()), default=0)
    command = next((one for one in commands if one.line == line), PageCommand(line, "?"))
    printed = (out / str(line)).read_text(encoding="utf-8", errors="replace") if line else ""
    return Typed(f"{page.name}:{line}: exit code {ended}\n  {command.text}\n\n{printed}")


def _step(command: PageCommand) -> str:
    """Write a command as lines of a script; its output goes to a file that is called by its line."""
    return (
        f"export {LEVEL}={command.level} {LINE}={command.line}\n"
        f'{{ {command.text}\n}} >".out/{command.line}" 2>&1 </dev/null || exit $?\n'
    )


def stand_in_for_meld(folder: Path) -> None:
    """Put a generated corpus where MELD's tables would be."""
    from mer.data.sample.corpus import write_sample

    if not (folder / "datasets/MELD").exists():
        write_sample(folder / "datasets/MELD", dialogues_per_split={"train": 12, "dev": 6, "test": 6})


def own_table(path: Path, rows: list[dict[str, str]], *, delimiter: str = ",", encoding: str = "utf-8") -> None:
    """Write a table as a user might have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def utterances(folder: Path, split: str) -> list[dict[str, str]]:
    """Return texts, labels and speakers of a generated split, for tables of a user's own."""
    from mer.data.sample.corpus import write_sample

    corpus = folder / ".own"
    if not corpus.exists():
        write_sample(corpus, dialogues_per_split={"train": 40, "dev": 16, "test": 16}, seed=7)
    with (corpus / f"{split}_sent_emo.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        {"text": f"{row['Utterance']} Take {split} {number}.", "label": row["Emotion"], "speaker": row["Speaker"]}
        for number, row in enumerate(rows)  # no text is there twice: a check would say so
    ]


def give(page: str, folder: Path) -> None:
    """Put what a page calls the reader's own into the folder: tables of generated sentences."""
    every = [row for split in ("train", "dev", "test") for row in utterances(folder, split)]
    if page in ("README.md", "own_data.md"):
        own_table(folder / "mine.csv", every)
    if page == "own_data.md":
        for split in ("train", "dev", "test"):
            own_table(folder / f"mydata/{split}.csv", utterances(folder, split))
        names = {"joy": "Freude", "anger": "Ärger"}
        german = [{"Satz": row["text"], "Gefühl": names[row["label"]]} for row in every if row["label"] in names]
        own_table(folder / "recordings.csv", german, delimiter=";", encoding="cp1252")
    if page == "metrics.md":
        of_split = [(split, row) for split in ("train", "dev", "test") for row in utterances(folder, split)]
        two = [{**row, "split": split} for split, row in of_split if row["label"] in ("neutral", "anger")]
        own_table(folder / "two.csv", two)


__all__ = ["LEVEL", "LINE", "REHEARSED", "Typed", "give", "make_folder", "type_page"]
