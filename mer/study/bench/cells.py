"""The cells of a protocol: each has a search space, which is put together from the parts of the protocol.

A cell is an ordinary study: its search space is written down as YAML, and every command opens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mer.data.registry import present_splits
from mer.errors import Faults, MerError, did_you_mean
from mer.files import sha256_json
from mer.places import expanded, home
from mer.study.bench.compose import Lines, search_space
from mer.study.bench.protocol import Protocol, Rerank, cell_name
from mer.study.bench.yaml_models import read_model_file
from mer.study.space.load import build_spec
from mer.study.space.spec import StudySpec
from mer.study.space.yaml_file import KeyPath, YamlFile


@dataclass(frozen=True)
class Cell:
    """A study that is to be searched, and what is done with its best trials.

    Args:
        name: of its files.
        corpus, features, method: names in the protocol; "" for a cell of none.
        spec: the study.
        space: its search space, as YAML.
        rerank: None: the best trial of the search is the winner.
        seeds: of the evaluation.
    """

    name: str
    corpus: str
    features: str
    method: str
    spec: StudySpec
    space: str
    rerank: Rerank | None
    seeds: tuple[int, ...]

    @property
    def data_root(self) -> str:
        """Folder or file of the data, variables of the environment replaced."""
        return expanded(self.spec.data.root, "data.root")

    @property
    def plan(self) -> str:
        """SHA-256 of all that decides the cell's scores; where the data lie and what trains them is left out."""
        rerank = self.rerank.model_dump(mode="json") if self.rerank else None
        return sha256_json([self.spec.identity(), self.spec.budget.trials, rerank, list(self.seeds)])


def read_protocol(path: Path, *, data: Mapping[str, str], trials: int | None) -> tuple[Protocol, YamlFile]:
    """Read a protocol, with what the command line says otherwise.

    Args:
        data: corpus -> folder or file of its data.
        trials: of each search; None: as the file says.
    Raises: MerError, Faults.
    """
    protocol, file = read_model_file(path, Protocol)
    for name in data:
        if name not in protocol.corpora:
            found = f"the protocol has no corpus {name!r}.{did_you_mean(name, protocol.corpora)}"
            raise MerError(f"--data {name}", found, allowed=", ".join(protocol.corpora))
    if trials is not None:
        least = protocol.rerank.top if protocol.rerank else 1
        if trials < least:
            raise MerError("--trials", f"{trials} are fewer than are ranked again", allowed=f"{least} or more")
        search = protocol.search.model_copy(update={"trials": trials})
        protocol = protocol.model_copy(update={"search": search})
    return protocol.with_data(data), file


def make_cells(
    protocol: Protocol, file: YamlFile, combinations: Sequence[tuple[str, str, str]], *, workers: int | None = None
) -> list[Cell]:
    """Make the cells of some combinations.

    Args:
        file: the protocol's, for the lines that faults name.
        workers: trials at once; None: as the protocol says.
    Raises: Faults with whatever is wrong with any of them: keys that there are not, ranges, corpora that are not there.
    """
    faults = _absent_corpora(protocol, file, dict.fromkeys(corpus for corpus, _, _ in combinations))
    cells: list[Cell] = []
    lines = Lines(file)
    for combination in combinations if not faults else ():
        try:
            cells.append(_cell(protocol, lines, combination, workers))
        except MerError as fault:
            faults += fault.faults if isinstance(fault, Faults) else [fault]
    if not faults:
        faults = _without_test(file, cells)
    if faults:
        raise Faults(file.path, list({fault.message: fault for fault in faults}.values()))
    return cells


def _absent_corpora(protocol: Protocol, file: YamlFile, names: Mapping[str, None]) -> list[MerError]:
    """List corpora whose data are not where the protocol says."""
    faults = []
    for name in names:
        part = protocol.corpora[name]
        keys: KeyPath = ("corpora", name, "data", "root") if "root" in part.data else ("corpora", name, "data")
        where = f"{file.where(keys)}: {'.'.join(map(str, keys))}"
        if not isinstance(root := part.data.get("root"), str):
            faults.append(MerError(where, "no `root` says where the data lie" if root is None else f"got {root!r}"))
            continue
        try:
            is_there = home(expanded(root, where), where).exists()
        except MerError as fault:  # a variable that is not set, the home of nobody
            faults.append(fault)
            continue
        if not is_there:
            then = f"{part.get + ', or ' if part.get else ''}--data {name}=FOLDER_OR_FILE, or without it: --only NAME"
            faults.append(MerError(where, f"there is no such file or folder: {root}", then=then))
    return faults


def _without_test(file: YamlFile, cells: Sequence[Cell]) -> list[MerError]:
    """List corpora that have neither a test split nor folds: hours of search would end without a score."""
    faults = []
    for corpus, cell in {cell.corpus: cell for cell in cells}.items():
        data = cell.spec.data.model_copy(update={"root": cell.data_root})
        if data.folds is None and "test" not in present_splits(data):
            where = f"{file.where(('corpora', corpus, 'data'))}: corpora.{corpus}.data"
            then = "divide all rows: add `folds: 4` (docs/folds.md)"
            faults.append(MerError(where, f"{data.root} has no test split", then=then))
    return faults


def _cell(protocol: Protocol, lines: Lines, combination: tuple[str, str, str], workers: int | None) -> Cell:
    space, name = search_space(protocol, lines, combination, workers), cell_name(combination)
    text = f"# A cell of the protocol {protocol.protocol}, made by mer.bench.\n{as_yaml(space.data)}"
    return Cell(name, *combination, build_spec(space), text, protocol.rerank, protocol.evaluate.seeds)


def as_yaml(space: object) -> str:
    """Write a search space as YAML."""
    return yaml.safe_dump(space, sort_keys=False, allow_unicode=True, width=110)
