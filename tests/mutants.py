"""Change the code in one small place at a time, run the tests near it, and count how often they notice.

    python tests/mutants.py                                # every folder, 60 mutants each
    python tests/mutants.py mer/losses --count 0           # every mutant of one folder
    python tests/mutants.py mer/losses --only 3f2a9c       # one mutant again, with the output of its tests

cosmic-ray finds the places and makes the changes. Its own runner starts a process for each mutant and writes the change
into the source file; with imports of several seconds that takes hours here. This one forks from a process that has the
large libraries imported, and hands the changed text to Python's import: no file changes. Only the forked process sees
the mutant: not what a test starts by `subprocess` or Ray.

Left out: changes that no test can see (annotations of functions, `is` against `==`), and changes that fail wherever
the line is run (`+` against `>>`), since they flatter the rate.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.abc
import importlib.util
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
NEAR = {  # folder -> tests that must notice, the quickest first
    "mer/study/search": [
        *(f"tests/study/test_study_{part}.py" for part in ("policies", "stop", "slots", "samplers", "engine")),
        *(f"tests/study/test_study_{part}.py" for part in ("standings", "ledger", "ledger_draws", "identity")),
        *(f"tests/study/test_study_journal_{part}.py" for part in ("damage", "writes")),
    ],
    "mer/study/tracking": [
        *(f"tests/study/test_study_{part}.py" for part in ("tracker", "tracker_heir", "tracking_store")),
        "tests/export/test_export_registering.py",
    ],
    "mer/study/folder": [
        *(f"tests/study/test_study_{part}.py" for part in ("standings", "folder", "artifacts", "retention")),
        "tests/export/test_export_refusals.py",
    ],
    "mer/losses": ["tests/losses", "tests/training/test_training_distillation.py"],
    "mer/checkpoints": ["tests/checkpoints", "tests/export/test_export_refusals.py"],
}  # fmt: skip
LIMIT_S = 240.0
MARKS = "not ray and not faults and not hostile and not real and not browser and not gpu and not docs"
_PAIRS = (
    "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Div Mod_Mul Pow_Mul BitOr_BitAnd BitAnd_BitOr",
    "Eq_NotEq NotEq_Eq Lt_LtE LtE_Lt Gt_GtE GtE_Gt Lt_Gt Gt_Lt LtE_GtE GtE_LtE Is_IsNot IsNot_Is",
)
OPERATORS = (
    *(f"core/ReplaceBinaryOperator_{pair}" for pair in _PAIRS[0].split()),
    *(f"core/ReplaceComparisonOperator_{pair}" for pair in _PAIRS[1].split()),
    "core/ReplaceUnaryOperator_USub_UAdd", "core/ReplaceUnaryOperator_Delete_Not", "core/AddNot",
    "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue", "core/ReplaceAndWithOr", "core/ReplaceOrWithAnd",
    "core/ReplaceBreakWithContinue", "core/ReplaceContinueWithBreak", "core/ExceptionReplacer", "core/NumberReplacer",
    "core/RemoveDecorator", "core/ZeroIterationForLoop",
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One changed module."""

    path: Path
    text: str
    line: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """Six digits of a hash, equal as long as the file is."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:6]

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")

    def __str__(self) -> str:
        where = f"{self.path.relative_to(REPOSITORY)}:{self.line}"
        return f"{self.name}  {where}\n    - {self.before.strip()}\n    + {self.after.strip()}"


def mutants(path: Path) -> Iterator[Mutant]:
    """All that change what the file does, each once."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = path.read_text(encoding="utf-8")
    seen = {_meaning(source)}
    for name in OPERATORS:
        operator = get_operator(name)()
        for occurrence in itertools.count():
            try:
                if (text := mutate_code(source, operator, occurrence)) is None:
                    break
                meaning = _meaning(text)
            except (AttributeError, SyntaxError):  # cosmic-ray cannot replace `except a.B`; a change may be no Python
                continue
            if meaning not in seen:
                seen.add(meaning)
                pairs = zip(source.splitlines(), text.splitlines(), strict=False)
                line, before, after = next((n, a, b) for n, (a, b) in enumerate(pairs, 1) if a != b)
                yield Mutant(path, text, line, before, after)


def _meaning(text: str) -> str:
    """The program without what no test can see: annotations of functions, and whether arguments go by name."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns, given = None, node.args
            given.args = [*given.posonlyargs, *given.args, *given.kwonlyargs]  # `*` and `/` only limit callers
            given.posonlyargs, given.kwonlyargs = [], []
            given.defaults = [one for one in (*given.defaults, *given.kw_defaults) if one is not None]
            given.kw_defaults = []
            for argument in given.args:
                argument.annotation = None
            for inner in ast.walk(node):
                if isinstance(inner, ast.AnnAssign):
                    inner.annotation = ast.Constant(None)
    return ast.dump(tree)


def sample(folder: Path, count: int, seed: int) -> list[Mutant]:
    """`count` mutants of a folder, or all for 0: lines at random, then one mutant of each line."""
    of_line: dict[tuple[Path, int], list[Mutant]] = {}
    for path in sorted(folder.glob("*.py")):
        for mutant in mutants(path):
            of_line.setdefault((path, mutant.line), []).append(mutant)
    if not count:
        return [mutant for several in of_line.values() for mutant in several]
    rng = random.Random(seed)
    lines = rng.sample(sorted(of_line), min(count, len(of_line)))
    return [rng.choice(of_line[line]) for line in sorted(lines)]


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from the mutant's text and leaves all others to Python."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.mutant.module:
            return None
        folder = [str(self.mutant.path.parent)] if self.mutant.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name, self.mutant.path, loader=self, submodule_search_locations=folder
        )

    def get_source(self, name: str) -> str:
        return self.mutant.text

    def is_package(self, name: str) -> bool:
        return self.mutant.path.name == "__init__.py"

    def exec_module(self, module: object) -> None:
        exec(compile(self.mutant.text, str(self.mutant.path), "exec"), vars(module))


def run(mutant: Mutant | None, tests: Sequence[str], *, shown: bool = False) -> tuple[int, float]:
    """Exit code of pytest in a process of its own (0: nothing noticed; -9: out of time), and seconds."""
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if not shown:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
        if mutant is not None:
            sys.meta_path.insert(0, _Changed(mutant))
        import pytest

        os._exit(
            pytest.main(["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", MARKS, *tests])
        )
    while time.monotonic() - begun < LIMIT_S:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), time.monotonic() - begun
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -9, LIMIT_S


def judge(folder: str, count: int, seed: int, only: str) -> tuple[int, int]:
    """Print the survivors of a folder. Returns how many mutants were noticed, and how many there were."""
    tests = [test for test in NEAR[folder] if (REPOSITORY / test).exists()]
    code, seconds = run(None, tests)
    if code != 0:
        sys.exit(f"{folder}: its tests fail without a mutant (pytest {' '.join(tests)})")
    chosen = sample(REPOSITORY / folder, 0 if only else count, seed)
    if only:
        chosen = [mutant for mutant in chosen if mutant.name == only]
        if not chosen:
            sys.exit(f"{folder}: no mutant {only}; names change with their file")
    print(f"{folder}: {len(chosen)} mutants; the tests near take {seconds:.0f} s", flush=True)
    noticed = 0
    for mutant in chosen:
        if only:
            print(mutant, flush=True)
        code, _ = run(mutant, tests, shown=bool(only))
        noticed += code != 0
        if code == 0 and not only:
            print(f"survived {mutant}", flush=True)
    print(f"{folder}: {noticed} of {len(chosen)} noticed ({100 * noticed / max(1, len(chosen)):.0f} %)", flush=True)
    return noticed, len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description="mutation rates of folders")
    parser.add_argument("folders", nargs="*", choices=[*NEAR, []], default=list(NEAR), metavar="FOLDER")
    parser.add_argument("--count", type=int, default=60, help="mutants a folder; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="the six digits of one mutant")
    given = parser.parse_args()
    os.chdir(REPOSITORY)
    sys.path.insert(0, str(REPOSITORY))
    os.environ["OMP_NUM_THREADS"] = "1"
    for large in (
        "torch",
        "numpy",
        "pydantic",
        "optuna",
        "mlflow",
        "sklearn.linear_model",
        "scipy.stats",
        "rich.table",
        "ray",
    ):
        importlib.import_module(large)
    assert not [name for name in sys.modules if name.partition(".")[0] in ("mer", "trainables")]
    for folder in given.folders:
        judge(folder, given.count, given.seed, given.only)


if __name__ == "__main__":
    main()
