"""Doors of search spaces: the YAML file, `--set`, and the description of a corpus."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hostile_door import Door, Input, drawn, file_input
from hostile_mutations import json_bytes, mutated_bytes, mutated_tree
from pydantic import ValidationError
from yaml_inputs import PIECES, REPOSITORY, SHIPPED, mutated_yaml, spaces

from mer.config import DataConfig, TrialConfig, nest
from mer.data.corpus_file import read_corpus_file
from mer.data.settings import data_config
from mer.files import sha256_json, write_json
from mer.study.preflight.check_plan import reachable_configs
from mer.study.search.early_stopping import build_policy
from mer.study.search.ledger import Ledger
from mer.study.space.draws import random_params
from mer.study.space.keys import known_keys
from mer.study.space.load import load_spec
from mer.study.space.spec import StudySpec

QUICK = REPOSITORY / "search_spaces" / "quickstart.yaml"
_PLAIN = (str, int, float, bool, type(None))

SMALL = """study: small
trainable: text
objective: {metric: dev_weighted_f1, mode: max}
budget: {trials: 4, epochs: 6}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  encoders: {text: {backbone: minilm}}
params:
  optim.head_lr: {float: [1e-4, 1e-2], log: true}
  head.hidden: {int: [8, 64]}
"""


def read_space(path: Path) -> None:
    """Load a search space, and go as far with it as a study does before its first trial."""
    right(load_spec(path), path.parent)


def read_override(path: Path) -> None:
    """Give the content of a file as `--set`."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")  # as Python gives arguments
    right(load_spec(QUICK, [text]), path.parent)


def right(spec: StudySpec, folder: Path) -> None:
    """Assert that an accepted study can be drawn from, recorded, and handed out."""
    assert len(sha256_json(spec.identity())) == 64
    write_json(folder / "space.json", spec.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    rng = random.Random(0)
    for _ in range(5):
        params = random_params(spec, rng)
        assert spec.keeps_constraints(params), params
        assert all(plain(value) for value in params.values()), params
        try:
            config = spec.trial_config(params)
        except ValidationError:
            continue  # a rare combination, which fails as a trial with its reason
        assert TrialConfig.recorded(config.model_dump(mode="json")) == config
    for point in spec.points:
        assert all(spec.params[key].contains(value) for key, value in point.items())
    build_policy(spec.budget, spec.scheduler)
    reachable_configs(spec)
    study = folder / "study"
    study.mkdir()
    ledger = Ledger(study, spec)
    seen = []
    for _ in range(3):
        if (assignment := ledger.next_assignment()) is None:
            break
        assert spec.keeps_constraints(assignment.params)
        assert all(param in spec.params for param in assignment.params)
        seen.append(assignment.params)
    assert seen or spec.sampler.kind == "grid"
    again = Ledger(study, spec)  # as after a kill: the same trials
    assert [again.next_assignment().params for _ in seen] == seen  # type: ignore[union-attr]


def plain(value: Any) -> bool:
    """Tell whether a drawn value is one that a journal can hold."""
    if isinstance(value, list):
        return all(map(plain, value))
    return isinstance(value, _PLAIN) and (not isinstance(value, float) or math.isfinite(value))


def _bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def _merge_bomb(levels: int) -> str:
    lines = ["m0: &m0 {x: 1, y: 2}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def space_kinds(base: Path) -> Sequence[Input]:
    """Search spaces that were thought of: case V of public bug reports, and what is like them."""
    lr, hidden = "{float: [1e-4, 1e-2], log: true}", "{int: [8, 64]}"
    fixed = "{text: {backbone: minilm}}"
    bombs = {"nine of nine": _bomb(9, 9), "merge": _merge_bomb(9), "wide": _bomb(3, 400), "long": _bomb(3000, 2)}
    found = [file_input(f"alias bomb, {name}", "x.yaml", text + SMALL, "refused") for name, text in bombs.items()]
    chain = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [[[[*a{n - 1}]]]]\n" for n in range(1, 300))
    texts = {
        "alias chain that grows deep": chain + SMALL,
        "deep": f"x: {'[' * 1000}{']' * 1000}\n" + SMALL,
        "deep mapping": f"x: {'{a: ' * 1000}1{'}' * 1000}\n" + SMALL,
        "deep block": "".join(f"{' ' * n}a{n}:\n" for n in range(500)),
        "many unknown keys": SMALL + "".join(f"key{n}: {n}\n" for n in range(20_000)),
        "many fixed keys": SMALL.replace(fixed, "{x: 1}\n" + "".join(f"  k{n}: {n}\n" for n in range(20_000))),
        "many items under one key": SMALL.replace(fixed, f"{{text: {{backbone: [{'a, ' * 50_000}a]}}}}"),
        "two documents": SMALL + "---\n" + SMALL,
        "two megabytes": "#" * 2**21 + "\n" + SMALL,
        "utf-16 with NUL": SMALL.encode("utf-16-le"),
        "latin-1": SMALL.replace("small", "kleine Größe").encode("latin-1"),
        "NUL": SMALL.replace("small", "a\0b"),
        "epochs 10**400": SMALL.replace("epochs: 6", "epochs: 1" + "0" * 400),
        "trials: true": SMALL.replace("trials: 4", "trials: true"),
        "trials as text": SMALL.replace("trials: 4", 'trials: "4"'),
        "log: 1": SMALL.replace("log: true", "log: 1"),
        "huge int": SMALL.replace(hidden, "{int: [0, 1" + "0" * 400 + "]}"),
        "tiny step": SMALL.replace(lr, "{float: [0, 0.5], step: 1e-320}"),
        "wide range": SMALL.replace(lr, "{float: [-1e308, 1e308]}"),
        "exploding grid": SMALL.replace("random", "grid").replace(lr, "{choice: [1]}")
        .replace("8, 64", "2, 2000000000"),
        "grid of conditions": SMALL.replace("random", "grid").replace(lr, "{choice: [1, 2]}")
        .replace(hidden, "{int: [1, 900000]}\n  head.depth: {int: [1, 90], when: {head.hidden: [3, 4]}}"),
        "points beside params: 5": SMALL[: SMALL.index("params")] + "params: 5\npoints: [{head.hidden: 8}]\n",
        "depends_on [[1]]": SMALL + "depends_on: [[1]]\n",
        "home of nobody": SMALL.replace("fixed:", "fixed:\n  data.root: ~nosuchuser/x"),
        "unset variable": SMALL.replace("fixed:", "fixed:\n  data.root: ${NOPE_NOT_SET}/x"),
        "secret variable": SMALL.replace("fixed:", "fixed:\n  data.root: ${MY_API_KEY:-x}"),
        "escape in a key": SMALL + '"\\e]0;x\\a": 1\n',
        "long key": SMALL + "k" * 900 + ": 1\n",
        "two thousand points": SMALL + "points:\n" + "".join(f"  - {{head.hidden: {8 + n % 57}, optim.head_lr: "
                                                             f"{1e-4 + n * 1e-6}}}\n" for n in range(2000)),
        "nothing keeps the constraints": SMALL + "constraints: [head.hidden < 8]\n",
        "equality of a continuous range": SMALL + "constraints: [optim.head_lr == 0.001]\n",
        "constraint is code": SMALL + "constraints: [\"__import__('os').system('true')\"]\n",
        "constraint nests": SMALL + f"constraints: ['{'-' * 280}head.hidden < 9']\n",
        "constraint names nothing": SMALL + "constraints: [5 < 6, head.hiden < 9, optim.batch_size < 9]\n",
        "constraint with text": SMALL + "constraints: ['head.hidden < encoders.text.backbone']\n",
        "constraint calculates with text": SMALL + "constraints: [\"head.hidden * 'a' < 3\"]\n",
        "point against a constraint": SMALL + "constraints: [head.hidden < 20]\npoints: [{head.hidden: 30}]\n",
        "many constraints": SMALL + "constraints:\n" + "  - head.hidden > 1\n" * 60,
    }  # fmt: skip
    found += [file_input(kind, "x.yaml", text, "refused") for kind, text in texts.items()]
    many = ", ".join(map(str, range(2, 40_002)))
    good = {
        "40 000 choices": SMALL.replace("head.hidden: " + hidden, f"optim.batch_size: {{choice: [{many}]}}"),
        "marked text": SMALL.replace("params:", "params:\n  encoders.text.backbone: {choice: ['json:x', 'json:[1']}")
        .replace("{text: {backbone: minilm}}", "{text: {pooler: mean}}"),
        "utf-16": SMALL.encode("utf-16"),
        "utf-8 with mark": b"\xef\xbb\xbf" + SMALL.encode(),
        "anchors": SMALL.replace(lr, "&a {choice: [1e-4, 1e-3]}").replace(hidden, "{choice: &n [8, 16]}")
        + "points: [{head.hidden: 8}]\n",
        "a variable with a default": SMALL.replace("fixed:", "fixed:\n  data.root: ${NOPE_NOT_SET:-data}/x"),
        "constraints": SMALL.replace(hidden, "{int: [8, 64]}\n  optim.batch_size: {int: [2, 64]}")
        + "constraints: [head.hidden * 2 <= optim.batch_size + 60, head.hidden != 9, 'not head.hidden > 60']\n",
        "constraints of a grid": SMALL.replace("random", "grid").replace(lr, "{choice: [0.001, 0.01]}")
        + "constraints: [head.hidden * optim.head_lr <= 0.02]\n",
        **{f"constraints with {kind}": SMALL.replace("random", kind) + "constraints: [head.hidden >= 50]\n"
           for kind in ("tpe", "gp", "cmaes", "qmc")},
    }  # fmt: skip
    found += [file_input(kind, "x.yaml", text, "accepted") for kind, text in good.items()]
    pieces = [SMALL.replace(hidden, piece) for piece in PIECES]
    found += [file_input(f"as a parameter: {PIECES[n][:30]}", "x.yaml", text) for n, text in enumerate(pieces)]
    pieces = [SMALL.replace(fixed, f"{fixed}\n  data.root: {piece}") for piece in PIECES]
    found += [file_input(f"as data.root: {PIECES[n][:30]}", "x.yaml", text) for n, text in enumerate(pieces)]
    found.append(Input("a folder", lambda folder: folder, "refused"))
    found.append(Input("a device", lambda folder: Path("/dev/zero"), "refused"))
    return found


def space_mutants(base: Path, rng: random.Random) -> Iterator[Input]:
    """Mutated shipped search spaces; between them, some that Hypothesis makes up."""
    made_up = drawn(spaces(sorted(known_keys())), 300)
    while True:
        if made_up and rng.random() < 0.4:
            yield file_input("made up", "x.yaml", json_bytes(made_up.pop()))
        else:
            what, content = mutated_yaml(rng.choice(SHIPPED), rng)
            yield file_input(what, "x.yaml", content)


def override_kinds(base: Path) -> Sequence[Input]:
    """Options that were thought of."""
    texts = ["", "=", "a", "a=", "=1", "study=", "a.b.c.d=1", "budget.trials.x=1", "params.x=1", "fixed=1", "budget=5"]
    texts += ["budget..trials=1", ".=1", "budget.trials=true", "x" * 5000 + "=1", "\x1b[2J=1", "study=\udcff"]
    texts += ["objective.metric=test_f1", "constraints=[head.hidden <= 5]", "constraints=5", "points=[{}]"]
    texts += [f"head.hidden={piece}" for piece in PIECES] + [f"data.root={piece}" for piece in PIECES]
    texts += [f"budget.trials={piece}" for piece in PIECES] + [f"objective={piece}" for piece in PIECES]
    return [
        file_input(f"--set {text[:40]}", "x", text.encode("utf-8", "surrogateescape"))
        for text in texts
        if len(text) < 2**17
    ]


def override_mutants(base: Path, rng: random.Random) -> Iterator[Input]:
    """Any key with any piece."""
    keys = [*sorted(known_keys()), *StudySpec.model_fields, "budget.trials", "sampler.kind", "scheduler.kind"]
    while True:
        text = f"{rng.choice(keys)}={rng.choice(PIECES)}"
        yield file_input(f"--set {text[:40]}", "x", text.encode("utf-8", "surrogateescape"))


CORPUS = b"""root: recordings.csv
columns: {text: said, label: mood, speaker: who}
labels: [happy, sad, 'no']
merge_labels: {happy: [joy, excited], sad: grief}
split: {dev: 0.2, test: 0.1, by: speaker, seed: 3}
files: {train: 'x_{split}.csv'}
encoding: cp1251
label: emotion
"""


def read_corpus(path: Path) -> None:
    """Read a description as a study, and as a command that reads data, does."""
    keys = read_corpus_file(path)
    config = DataConfig.model_validate(nest(keys)["data"])
    assert DataConfig.model_validate(config.model_dump(mode="json")) == config
    assert data_config(path, None) == config


def corpus_kinds(base: Path) -> Sequence[Input]:
    """Descriptions that were thought of."""
    found = [file_input(f"as root: {piece[:30]}", "c.yaml", f"root: {piece}\n") for piece in PIECES]
    found += [file_input(f"as labels: {piece[:30]}", "c.yaml", f"labels: {piece}\n") for piece in PIECES]
    found += [file_input(f"as columns: {piece[:30]}", "c.yaml", f"columns: {piece}\n") for piece in PIECES]
    found.append(file_input("as it should be", "c.yaml", CORPUS, "accepted"))
    found.append(Input("a folder", lambda folder: folder, "refused"))
    return found


def corpus_mutants(base: Path, rng: random.Random) -> Iterator[Input]:
    """Mutations of a description that has every kind of key."""
    import yaml

    tree = yaml.safe_load(CORPUS)
    while True:
        what, content = mutated_bytes(CORPUS, rng)
        yield file_input(f"bytes: {what}", "c.yaml", content)
        what, changed = mutated_tree(tree, rng)
        yield file_input(f"tree: {what}", "c.yaml", json_bytes(changed))


DOORS = [
    Door("search space", read_space, space_kinds, space_mutants),
    Door("--set", read_override, override_kinds, override_mutants),
    Door("corpus description", read_corpus, corpus_kinds, corpus_mutants),
]
