"""The table of docs/methods.md: every method that a key can name has a row, and every row a test that is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from mer.config import TrialConfig
from mer.study.space.keys import models_in

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs/methods.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Against public code")[1].split("\n## ")[0]
ROWS = [line.strip("|").split(" | ") for line in SECTION.splitlines() if line.startswith("| `")]
UNIONS = ("fusion", "dialogue", "loss.contrastive", "optim.swa")
CHOICES = (
    "loss.classification.kind", "loss.regression.kind", "distill.response", "distill.feature", "head.pool",
)  # fmt: skip


def field(dotted: str) -> Any:
    """The annotation of a key; of a union of kinds, of all of them."""
    models: list[Any] = [TrialConfig]
    for name in dotted.split("."):
        found = next(model.model_fields[name].annotation for model in models if name in model.model_fields)
        models = models_in(found)
    return found


def kinds() -> set[tuple[str, str]]:
    found = {
        (f"{union}.kind", model.model_fields["kind"].default) for union in UNIONS for model in models_in(field(union))
    }
    for key in CHOICES:
        annotation = field(key)
        assert get_origin(annotation) is Literal, key
        found |= {(key, value) for value in get_args(annotation)}
    return {(key, value) for key, value in found if value != "none"}


def test_every_kind_has_a_row():
    told = {
        (key, value.strip())
        for row in ROWS
        for key, values in re.findall(r"`([\w.]+): ([\w, ]+)`", row[0])
        for value in values.split(",")
    }
    assert kinds() - told == set()
    assert told - kinds() == {("data.task", "multilabel")}, "a kind that no key has any more"


def test_every_row_names_tests_that_are_there_and_that_the_command_runs():
    command = next(re.finditer(r'    python -m pytest -m "" ((?:.*\\\n)*.*)', SECTION))[1].replace("\\\n", " ")
    places = [(REPOSITORY / place) for place in command.split()]
    assert all(place.exists() for place in places) and len(ROWS) > 30
    for row in ROWS:
        named = re.findall(r"`(tests/[\w/.]+)::(test_\w+)`", row[-1])
        assert len(row) == 5 and named, row[0]
        for file, test in named:
            path = REPOSITORY / file
            assert re.search(rf"^ *def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE), f"{file}::{test}"
            assert any(path == place or place in path.parents for place in places), f"the command leaves out {file}"
