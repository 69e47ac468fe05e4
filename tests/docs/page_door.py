"""What answers the programs that a page's commands call: runs a command in small, rehearses it, or only reads it.

Commands of ours are forked from a process that has imported what they need (`ForkServer`), and Ray's workers from
another one (`ForkedWorkers`): 45 commands then take minutes instead of a quarter of an hour. What makes them small is
added behind what is typed: fewer trials and epochs, fewer dialogues of the sample corpus. Servers are asked for their
page, then interrupted as by Ctrl-C.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page_commands import READ, REHEARSED, REPOSITORY
from page_folder import LEVEL, LINE
from test_readme import parse

from benchmarks.kills.fork_server import WORKERS_PYTHON, ForkServer
from mer.cli import COMMANDS
from mer.study.space.load import load_spec

SERVERS = ("mer.ui", "mer.demo")
OURS = ("mer", "analysis")
SMALL_CORPUS = ["--dialogues", "24"]
SMALL_STUDY = [
    "--trials", "2", "--set", "budget.epochs=2", "--set", "scheduler.grace_epochs=1", "--set", "scheduler.reduction=2",
]  # fmt: skip
_OPTIONS_ALONE = ("--keys", "--explain", "--help", "--slurm")
_FORM = re.compile(r"(?<!datasets/)(?:^|(?<=[=/ ]))(?:[A-Z][A-Z_]{2,}|N)\b(?![=:])|\.\.\.|^[\[<]", re.MULTILINE)
_SECONDS = 600  # most of one command


@dataclass(frozen=True)
class Ran:
    """A command that was called. Args: line: of the page. level: run, rehearsed or read. small: what was added."""

    line: int
    program: str
    words: tuple[str, ...]
    level: str
    small: tuple[str, ...] = ()
    output: str = ""
    code: int = 0


class Door:
    """A socket at which programs of a page ask: `with Door(path, forks, workers) as door:`.

    Args:
        path: of the socket; short.
        forks: starts commands.
        workers: the Python that Ray's workers are started with; None: the usual one.
    Attributes: ran: all that was called, in its order.
    """

    def __init__(self, path: Path, forks: ForkServer, workers: Path | None) -> None:
        self.path, self._forks, self._workers = path, forks, workers
        self.ran: list[Ran] = []
        self._asking = threading.Lock()  # the fork server answers one at a time
        door = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                size = int.from_bytes(self.rfile.read(8), "big")
                asked = json.loads(self.rfile.read(size))
                ran = door.answer(**asked)
                self.wfile.write(json.dumps({"output": ran.output, "code": ran.code}).encode())

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)

    def __enter__(self) -> Door:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, program: str, words: Sequence[str], cwd: str, environment: Mapping[str, str]) -> Ran:
        """Do what a program was asked for, as far as its page's mark allows."""
        level, line = environment.get(LEVEL, "run"), int(environment.get(LINE, "0"))
        try:
            ran = self._answer(program, list(words), Path(cwd), environment, level, line)
        except BaseException as fault:  # what a parser says ends as SystemExit or an exception of click
            ran = Ran(line, program, tuple(words), level, output=f"{type(fault).__name__}: {fault}\n", code=99)
        self.ran.append(ran)
        return ran

    def _answer(
        self, program: str, words: list[str], cwd: Path, environment: Mapping[str, str], level: str, line: int
    ) -> Ran:
        if program == "make":
            return self._make(words, cwd, environment, level, line)
        if program == "mer":
            program, words = "python", ["-m", _module(words[0]), *words[1:]]
        if program != "python" or words[:1] != ["-m"]:
            refused = refusal(program, words, level)
            return Ran(line, program, tuple(words), READ, output=refused, code=2 if refused else 0)
        module, arguments = words[1], words[2:]
        form = _FORM.search("\n".join(arguments)) is not None
        ours = module.split(".")[0] in OURS
        rehearsable = module == "mer.tune" and (level != REHEARSED or has_its_exports(arguments, cwd))
        if not ours or form or level == READ or (level == REHEARSED and not rehearsable):
            return Ran(line, module, tuple(arguments), READ, output=read_only(module, arguments, cwd, form))
        small = smaller(module, arguments, rehearsed=level == REHEARSED)
        code, output = self._run(module, [*arguments, *small], cwd, environment)
        return Ran(line, module, tuple(arguments), level, tuple(small), output, code)

    def _run(self, module: str, arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        left_out = ("MLFLOW_TRACKING_URI", LEVEL, LINE)
        settings = {name: value for name, value in environment.items() if name not in left_out}
        settings |= {"PYTHONPATH": str(REPOSITORY), "BROWSER": "true", "OMP_NUM_THREADS": "1"}
        settings["PATH"] = os.environ["PATH"]  # a command of ours asks the real git
        if self._workers is not None:
            settings[WORKERS_PYTHON] = str(self._workers)
        server = module in SERVERS
        with self._asking:
            running = self._forks(module, arguments, cwd=cwd, environment=settings, own_group=server)
        if server:
            return _asked_for_its_page(running, self._poll)
        deadline = time.monotonic() + _SECONDS
        while self._poll(running) is None:
            if time.monotonic() > deadline:
                running.kill()
                return 124, f"{running.output()}\nstill running after {_SECONDS} s"
            time.sleep(0.05)
        return int(running.returncode or 0), running.output()

    def _poll(self, running: Any) -> int | None:
        with self._asking:
            return running.poll()

    def _make(self, words: list[str], cwd: Path, environment: Mapping[str, str], level: str, line: int) -> Ran:
        """`make demo` runs; of other targets it is shown that there are such."""
        run = words == ["demo"] and level == "run"
        ended = subprocess.run(
            ["/usr/bin/make", *([] if run else ["--dry-run"]), *words],
            cwd=cwd if run else REPOSITORY, env=dict(environment), capture_output=True, text=True, timeout=_SECONDS,
        )  # fmt: skip
        output = ended.stdout + ended.stderr
        return Ran(line, "make", tuple(words), "run" if run else READ, (), output, ended.returncode)


def smaller(module: str, arguments: Sequence[str], *, rehearsed: bool = False) -> list[str]:
    """Return what is typed behind a command so that it takes seconds."""
    if module == "mer.tune" and not set(arguments) & {*_OPTIONS_ALONE, "--resume"}:  # printed with all that it needs
        rehearsal = ["--dry-run"] if rehearsed and "--dry-run" not in arguments else []
        elsewhere = ["--studies", ".rehearsed"] if rehearsed else []  # a study of that name may be here
        return [*SMALL_STUDY, *rehearsal, *elsewhere]
    if module == "mer.data" and arguments[:1] == ["sample"]:
        return SMALL_CORPUS
    if module in SERVERS:
        return ["--port", str(_free_port())]
    return []


def read_only(module: str, arguments: Sequence[str], cwd: Path, form: bool) -> str:
    """Read a command by its own parser, and its search space with what is set. Raises: whatever they refuse with."""
    if module.split(".")[0] not in OURS:
        assert importlib.util.find_spec(module), f"there is no module {module}"
        return ""
    whole = ["1" if word == "N" else _without_brackets(word) for word in arguments if word != "..."]
    given = parse([module, *whole])
    space = given.get("space")
    plain = space and not form and not given.get("sample")
    if module in ("mer.tune", "mer.extract") and plain and (cwd / space).exists():
        load_spec(cwd / space, given.get("overrides") or ())
    return ""


def _without_brackets(word: str) -> str:
    """Return a word of a form without the brackets of an option, `[--port 5000]`; a list in a value keeps its own."""
    return word.strip("[]") if word.startswith("[") or "[" not in word else word


def has_its_exports(arguments: Sequence[str], cwd: Path) -> bool:
    """Tell whether a study's exports are there: rehearsals above it on the page have made none."""
    given = parse(["mer.tune", *arguments])
    spec = load_spec(cwd / given["space"], given["overrides"] or ())
    return all((cwd / folder).exists() for folder in spec.depends_on)


def refusal(program: str, words: Sequence[str], level: str) -> str:
    """Say what is wrong with a command of another program; "" where nothing is."""
    if program == "pip":
        known = [(REPOSITORY / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt")]
        text = "\n".join([*known, (REPOSITORY / "Makefile").read_text(encoding="utf-8")])
        for word in words[1:]:
            if found := re.fullmatch(r"(?:mer|\.)\[([\w,]+)\]", word):
                lacking = [name for name in found[1].split(",") if not re.search(rf"^{name} = \[", text, re.MULTILINE)]
                if lacking:
                    return f"pip: pyproject.toml has no extra {lacking[0]}\n"
            elif "==" in word and word not in text:
                return f"pip: {word} is pinned nowhere\n"
        return ""
    if program == "python":
        return "" if words[:1] == ["-c"] or (REPOSITORY / words[0]).exists() else f"there is no {words[0]}\n"
    return "" if level == READ else f"{program} is not here: the page does not say what this command needs\n"


def _module(name: str) -> str:
    """Return the module of `mer NAME` that is run."""
    return COMMANDS[name][0].removesuffix(".__main__")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _asked_for_its_page(running: Any, poll: Any) -> tuple[int, str]:
    """Ask the first address that a server prints for its page, then press Ctrl-C."""
    deadline, said = time.monotonic() + 120, "it printed no address"
    while time.monotonic() < deadline and poll(running) is None:
        found = re.search(r"^ +(http://127\.0\.0\.1:\d+)\S*$", running.output(), re.MULTILINE)
        if found:
            try:
                with urllib.request.urlopen(found[1], timeout=10) as answer:
                    said = "" if answer.status == 200 else f"its page: {answer.status}"
                break
            except OSError as fault:
                said = f"its page: {fault}"
        time.sleep(0.2)
    if poll(running) is None:
        os.killpg(running.pid, signal.SIGINT)
        until = time.monotonic() + 30
        while poll(running) is None and time.monotonic() < until:
            time.sleep(0.1)
        running.kill()
    output = running.output()
    if "Traceback" in output:
        said = said or "it ended with a traceback"
    return (3, f"{output}\n{said}") if said else (0, output)
