"""The search space whose only point is the configuration of a trial: a study of one trial, which trains it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mer.config import TrialConfig, flatten, nest
from mer.study.folder.read_study import StudyRecord
from mer.study.folder.recorded import read_config, read_environment
from mer.study.folder.standings import Standing
from mer.study.paths import trial_name
from mer.study.preflight.feature_plan import trainable_of
from mer.study.show.words import show
from mer.study.space.keys import RESERVED
from mer.study.space.schema import editor_line
from mer.terminal.commands import command


def trial_as_space(record: StudyRecord, standing: Standing, file: Path | None) -> str:
    """Write the YAML for a trial.

    Args: file: where the YAML will lie, for the lines that name it; None: it is printed.
    Raises: OSError, Unreadable for a trial without a configuration.
    """
    folder = record.trial_folder(standing.number)
    config, environment = read_config(folder), read_environment(folder)
    metric = record.objective[0].metric
    score = f", {metric} {show(metric, standing.best.get(metric))} on dev" if standing.best else ""
    resources = {
        **({"cpu": environment.threads} if environment.threads > 1 else {}),  # threads decide the last digits
        **({"gpu": 1} if str(environment.device).startswith("cuda") else {}),
    }
    was = f"{standing.state}{score}"
    return space_text(record, standing, config, resources, was, file)


def space_text(
    record: StudyRecord,
    standing: Standing,
    config: TrialConfig,
    resources: Mapping[str, Any],
    was: str,
    file: Path | None,
) -> str:
    """Write the YAML: what the search drew under params, each with its one value, the rest under fixed.

    Args: was: how the trial ended and how good it was, in words.
    """
    study, number, objective, sampled = record.name, standing.number, record.objective, standing.params
    flat = {k: v for k, v in flatten(config.model_dump(mode="json")).items() if k not in RESERVED}
    drawn = {key: flat[key] for key in sampled if key in flat and key != "seed"}
    fixed = nest({key: value for key, value in flat.items() if key not in drawn})
    body: dict[str, Any] = {
        "study": f"{study[:90]}-{trial_name(number)}",
        "description": f"Trial {number} of {study} again; {was}.",
        "trainable": trainable_of(config),
        "objective": [one.model_dump() for one in objective] if len(objective) > 1 else objective[0].model_dump(),
        "budget": {"trials": 1, "epochs": config.training.epochs},
        "sampler": {"kind": "random", "seed": 0},
        "scheduler": {"kind": "none"},
        **({"resources": dict(resources)} if resources else {}),
        "fixed": fixed,
        "params": {key: {"choice": [value]} for key, value in drawn.items()},
        "points": [drawn] if drawn else [],
    }
    head = [
        *editor_line(file),
        f"# Trial {number} of {study} ({was}), as a study of one trial that trains it again.",
        f"#   {command('mer.tune', file or Path('FILE.yaml'))}",
    ]
    return "\n".join(head) + "\n" + yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes lists of plain values on one line, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _sequence(dumper: yaml.SafeDumper, data: Any) -> Any:
    plain = not any(isinstance(item, list | dict) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=plain)


_Dumper.add_representer(list, _sequence)
