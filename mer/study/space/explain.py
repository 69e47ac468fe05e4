"""One key of a search space in words, as `python -m mer.tune --explain KEY` prints it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mer.config import TrialConfig, flatten
from mer.errors import MerError, brief, did_you_mean
from mer.study.space.keys import RESERVED
from mer.study.space.schema import allowed_values, fields
from mer.study.space.spec import StudySpec, default_values
from mer.study.space.yaml_file import read_yaml
from mer.terminal.commands import command

_MOST = 12  # keys of a group, and search spaces, that are listed


def explain(key: str, spaces: Path = Path("search_spaces")) -> str:
    """Say what a key means, what it may be, its default, and which search spaces search it.

    Args:
        key: of a configuration or of the file itself, dotted; or a group of them.
        spaces: folder of search spaces.
    Raises: MerError for an unknown key.
    """
    known = list(_keys())
    mine = [(kind, field) for name, kind, field in known if name == key]
    choosing = {f"{name.rpartition('.')[0]}.kind" for name, kind, _ in known if kind}
    names = list(dict.fromkeys([*(name for name, _, _ in known), *sorted(choosing)]))
    if key in choosing:
        return _explain_kind(key, spaces)
    if not mine:
        below = [name for name in names if name.startswith(f"{key}.")]
        if not below:
            meant = did_you_mean(key, names) or _ends_alike(key, names)
            raise MerError(
                f"--explain {key}",
                f"unknown key.{meant}",
                allowed="a key of a search space",
                then="list them all: python -m mer.tune --keys",
            )
        return f"{key} is a group of {len(below)} keys:\n" + "\n".join(f"  {name}" for name in below)
    lines = [key]
    if key in RESERVED:
        lines.append(f"  set by     {RESERVED[key]}: write that instead")
    for kind, field in mine:
        of = f" (kind {kind})" if kind and len(mine) > 1 else ""
        lines.append(f"  meaning    {field.description or 'see docs/search_spaces.md'}{of}")
        lines.append(f"  allowed    {allowed_values(field) or 'any value of its form'}{of}")
        default = "required" if field.is_required() else _as_yaml(field.get_default(call_default_factory=True))
        lines.append(f"  default    {default}{of}")
    kinds = [kind for kind, _ in mine if kind]
    if kinds and key.count("."):
        lines.append(f"  only with  {key.rpartition('.')[0]}.kind: {', '.join(kinds)}")
    lines += _uses(key, spaces)
    return "\n".join(dict.fromkeys(lines))


def _explain_kind(key: str, spaces: Path) -> str:
    """Explain a key that chooses which others have a meaning."""
    group = key.removesuffix(".kind")
    values = sorted({kind for name, kind, _ in _keys() if kind and name.startswith(f"{group}.")})
    default = default_values().get(key)
    lines = [
        key,
        f"  meaning    which keys under {group} there are; all of them: {command('mer.tune', '--explain', group)}",
        f"  allowed    {' | '.join(dict.fromkeys([*([default] if default else []), *values]))}",
        f"  default    {_as_yaml(default)}",
    ]
    return "\n".join([*lines, *_uses(key, spaces)])


def _keys() -> Iterator[tuple[str, str, Any]]:
    """Yield (dotted key, kind that has it or "", field) of configurations, then of the file itself."""
    for model in (TrialConfig, StudySpec):
        for shown, field in fields(model, ""):
            name, _, kind = shown.partition("  (")
            yield name, kind.rstrip(")"), field


def _uses(key: str, spaces: Path) -> list[str]:
    """Say which search spaces search a key, and over what; and how many fix it."""
    searched, fixed = [], []
    for path in sorted(spaces.glob("*.yaml")):
        try:
            data = read_yaml(path).data
        except MerError:
            continue
        if not isinstance(data, dict):
            continue
        params, given = data.get("params"), data.get("fixed")
        if isinstance(params, Mapping) and key in params:
            searched.append(f"{path.stem} {brief(params[key]).replace(chr(39), '')}")
        elif isinstance(given, Mapping) and key in flatten(dict(given)):
            fixed.append(path.stem)
    lines = [f"  {'searched by' if not i else '':10s} {line}" for i, line in enumerate(searched[:_MOST])]
    lines += [f"             and {len(searched) - _MOST} more"] if len(searched) > _MOST else []
    return lines + ([f"  fixed in   {', '.join(fixed[:_MOST])}"] if fixed else [])


def _ends_alike(key: str, names: list[str]) -> str:
    last = key.rpartition(".")[2]
    alike = [name for name in names if name.rpartition(".")[2] == last]
    return f" Did you mean {' or '.join(map(repr, alike[:3]))}?" if alike else ""


def _as_yaml(value: Any) -> str:
    return json.dumps(value, default=lambda part: part.model_dump() if hasattr(part, "model_dump") else str(part))
