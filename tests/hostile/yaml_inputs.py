"""Hostile YAML: pieces that stand for a value, broken text, and whole search spaces that Hypothesis makes up."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hostile_mutations import json_bytes, mutated_bytes, mutated_tree
from hypothesis import strategies as st

from mer.read_yaml import read_yaml_file

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = sorted((REPOSITORY / "search_spaces").glob("*.yaml"))

PIECES = [  # what may stand where a value is expected
    "!!bool maybe", "!!float x", "!!int x", '!!int ""', "!!null x", "!!str 5", "!!str [a]", "!!seq a", "!!map [a]",
    "!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 2024-01-01", "!!timestamp x", "!local x",
    "!!python/object/apply:os.system [ls]", "!!python/name:os.system", "!!python/tuple [1, 2]", "! 5", "!!",
    "2024-01-01", "2024-13-45", "2024-01-01 10:00:00", ".nan", ".inf", "-.inf", "1e999", "-1e999", "1e-320", "5e-324",
    "1" * 400, "-" + "9" * 5000, "0x" + "f" * 400, "1:30", "1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1", "0o17", "017",
    "1_000", "9007199254740993", "0.1e1", "'5'", "true", "no", "~", "null", "''", '"\\0"', '"\\e[2J"', '"\\ud800"',
    '"a\\x07b"', '"\\u202eabc"', "json:[", "json:1", "'json:{'", "*nope", "&a [*a]", "&a {<<: *a}", "<<", "=", "[]",
    "{}", "[[]]", "[[[[1]]]]", "[" * 1000, "[" * 60 + "]" * 60, "{a: " * 60 + "1" + "}" * 60, "{1: 2}", "{true: 2}",
    "{[1]: 2}", "{null: 1}", "{'': 1}", '{"\\e[2J": 1}', "{? {a: 1} : 2}", "{a: 1, a: 2}", "~nosuchuser/x",
    "${NOPE_NOT_SET}/x", "${HOME}/x", "${HOME", "${}", "${NOPE_NOT_SET:-x}", "$HOME", "${AWS_SECRET_ACCESS_KEY}",
    "../../../etc/passwd", "/dev/zero", "/dev/stdin", "x" * 300, "x" * 100_000, "ü" * 5000, "a b", "a/b",
    "[1, a, null, true]", "[1, 1.0]", "{float: [0, 1]}", "{int: [0, 1" + "0" * 400 + "]}",
    "{float: [0, 0.5], step: 1e-320}", "{int: [2, 2000000000]}", "{int: [0, 9007199254740992]}",
    "{float: [-1e308, 1e308]}", "{float: [5e-324, 1], log: true}", "{choice: [[1], [2]]}", "{choice: [{a: 1}]}",
    "{choice: ['json:[1', 'json:x', [1]]}", "{choice: [1, true, '1', null, [1]]}",
    "{int: [1, 3], when: {head.hidden: [8]}}", "{choice: [a], when: 5}", "{choice: [a], when: [a]}",
    "{float: [true, 2]}", "{int: [1, 9], log: 1}", "{int: ['1', 9]}", "{float: [1, 2], step: true}", "|\n    text",
    ">-\n    text", "? a", "@x", "`x", "%x", "- - 1", "a: b: c", "#", "\t", "---", "...", "--- 1", "\x00", "\x1b[2J",
    "\ufeff", "\x85",
]  # fmt: skip

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=30),
    st.sampled_from(["json:x", "5", "~", "${HOME}", "spcl", "none", "all", "auto"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4)
)
RANGES = st.one_of(
    st.fixed_dictionaries({"float": st.lists(st.floats(), min_size=2, max_size=2)}, optional={"log": st.booleans()}),
    st.fixed_dictionaries({"float": st.lists(st.floats(0, 9), min_size=2, max_size=2)}, optional={"step": st.floats()}),
    st.fixed_dictionaries(
        {"int": st.lists(st.integers(-5, 2**55), min_size=2, max_size=2)}, optional={"step": st.integers()}
    ),
    st.fixed_dictionaries({"choice": st.lists(SCALARS | st.lists(SCALARS, max_size=2), max_size=5)}),
    TREES,
)


def spaces(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Search spaces over known configuration keys, more or less as they should be."""
    known = st.sampled_from(sorted(keys))
    small = st.integers(-1, 30)
    return st.fixed_dictionaries(
        {
            "study": st.just("made-up") | st.text(max_size=20),
            "trainable": st.sampled_from(["text", "text", "text", "fusion", "distill", "x"]),
        },
        optional={
            "objective": st.sampled_from([{"metric": "dev_loss", "mode": "min"}, {"metric": "dev_ece"}]) | TREES,
            "budget": st.fixed_dictionaries({"trials": small}, optional={"epochs": small, "hours": SCALARS}) | TREES,
            "sampler": st.fixed_dictionaries(
                {"kind": st.sampled_from(["tpe", "gp", "cmaes", "random", "grid", "qmc"])}, optional={"seed": small}
            ),
            "scheduler": st.fixed_dictionaries({"kind": st.sampled_from(["asha", "hyperband", "median", "none"])}),
            "resources": st.dictionaries(st.sampled_from(["cpu", "gpu", "workers", "pack"]), SCALARS, max_size=2),
            "keep_weights": SCALARS, "max_failed": SCALARS, "depends_on": TREES, "description": SCALARS,
            "fixed": st.just({"encoders.text.backbone": "minilm"}) | st.dictionaries(known, SCALARS) | TREES,
            "params": st.dictionaries(known, RANGES, max_size=4) | TREES,
            "points": st.lists(st.dictionaries(known, SCALARS, max_size=3), max_size=3) | TREES,
            "constraints": st.lists(st.sampled_from(["head.hidden <= 5", "head.depth < optim.batch_size"]) | SCALARS),
        },
    )  # fmt: skip


def mutated_yaml(path: Path, rng: random.Random) -> tuple[str, bytes]:
    """Mutate a shipped file: its bytes, one value's text, or its tree. Returns what was done, and the content."""
    content = path.read_bytes()
    how = rng.choice(["bytes", "piece", "piece", "tree"])
    if how == "bytes":
        what, changed = mutated_bytes(content, rng)
        return f"bytes: {what}", changed
    if how == "tree":
        what, tree = mutated_tree(read_yaml_file(path).data, rng)
        return f"tree: {what}", json_bytes(tree)
    piece = rng.choice(PIECES)
    lines = content.decode().splitlines()
    numbers = [number for number, line in enumerate(lines) if ": " in line.split("#")[0]]
    number = rng.choice(numbers)
    key, _, rest = lines[number].partition(": ")
    if rest.lstrip().startswith("{") and rng.random() < 0.7:  # inside a flow mapping
        parts = rest.split(": ")
        place = rng.randrange(len(parts))
        parts[place] = piece + ("}" if place == len(parts) - 1 else ", " + parts[place].split(", ")[-1])
        lines[number] = f"{key}: {': '.join(parts)}"
    else:
        lines[number] = f"{key}: {piece}"
    return f"piece: {piece[:30]}", "\n".join(lines).encode("utf-8", "surrogatepass")
