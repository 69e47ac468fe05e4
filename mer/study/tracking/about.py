"""What a study's own run and its experiment say beside numbers: who ran what on which data, and how the page opens."""

from __future__ import annotations

import contextlib
import getpass
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mer.files import sha256_json

_LONGEST_TAG = 5000  # characters


@dataclass(frozen=True)
class DataUsed:
    """One split of a dataset, as MLflow lists it among the inputs of a run.

    Args:
        context: `train` or `dev`.
        digest: of the names of its feature files, which are hashes of all that went into them.
        place: where it was read.
    """

    name: str
    context: str
    digest: str
    place: str

    @property
    def source(self) -> str:
        """Where it was read, as MLflow's page takes it."""
        return json.dumps({"uri": self.place})


@dataclass(frozen=True)
class About:
    """What is said of a study. Args: view: as `shared_view.view_of` writes it; "" leaves the page as it is."""

    view: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    data: tuple[DataUsed, ...] = ()


NOTHING = About()


def source_tags(command: str, git_sha: str) -> dict[str, str]:
    """Return MLflow's own tags for who ran which command on which code. Args: command: without secrets."""
    tags = {"mlflow.source.name": command, "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": git_sha}
    with contextlib.suppress(OSError, KeyError, ImportError):  # a user without an entry
        tags["mlflow.user"] = getpass.getuser()
    return {key: value[:_LONGEST_TAG] for key, value in tags.items() if value}


def data_used(base: Mapping[str, Any], files: Iterable[Mapping[str, str]]) -> tuple[DataUsed, ...]:
    """Return train and dev of a study.

    Args:
        base: values by dotted key that all trials share.
        files: of every feature setting: split -> file name.
    """
    name, place = str(base.get("data.dataset", "data")), str(base.get("data.root", ""))
    by_split: dict[str, list[str]] = {}
    for splits in files:
        for split, file in splits.items():
            by_split.setdefault(split, []).append(file)
    return tuple(DataUsed(name, split, sha256_json(sorted(names))[:12], place) for split, names in by_split.items())
