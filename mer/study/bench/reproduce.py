"""A claimed number against what is got here: the seeds, the interval of the difference, and a verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from mer.checkpoints.hub_export import export_folder
from mer.config import flatten
from mer.errors import MerError
from mer.files import write_json, write_text
from mer.places import home
from mer.statistics import Paired, Summary, against_claim, describe
from mer.study.bench.cells import Cell, as_yaml
from mer.study.bench.claim import Card
from mer.study.bench.one_cell import CellOptions, scored_on_test
from mer.study.bench.yaml_models import read_model_file
from mer.study.evaluate.exports import evaluate_exports
from mer.study.evaluate.report_on_test import Evaluated
from mer.study.space.load import build_spec, load_spec
from mer.study.space.spec import StudySpec
from mer.study.space.yaml_file import YamlFile

Finding = Literal["reproduced", "lower", "higher", "not comparable", "unknown"]
_RESULT = "verdict.json"


@dataclass(frozen=True)
class Verdict:
    """What came of a card.

    Args:
        values: seed -> the metric on test, got here.
        got: their mean and spread.
        difference: got minus claimed.
        finding: in one word.
        says: in words.
    """

    card: Card
    values: dict[int, float]
    got: Summary
    difference: Paired
    finding: Finding
    says: str

    @property
    def lines(self) -> list[str]:
        """Everything as lines of text."""
        claim = self.card.claim
        show = claim.shown
        spread = f" ± {claim.sd:g}" if claim.sd is not None else ""
        runs = f", {claim.count} runs" if claim.count else ""
        interval = self.got.t_interval
        around = f", 95 % over seeds {show(interval.low)} to {show(interval.high)}" if interval else ""
        own_spread = f" ± {show(self.got.sd)}" if self.got.sd is not None else ""
        ends = self.difference.interval
        between = f", 95 % {show(ends.low, signed=True)} to {show(ends.high, signed=True)}" if ends else ""
        note = f" ({self.difference.note})" if self.difference.note else ""
        return [
            f"claimed:    {claim.metric} {claim.value:g}{spread}{runs}: {claim.source}"
            + (f", {claim.table}" if claim.table else ""),
            f"got:        {show(self.got.mean)}{own_spread}, {self.got.n} seeds{around}",
            "by seed:    " + ", ".join(f"{seed}: {show(value)}" for seed, value in self.values.items()),
            f"difference: {show(self.difference.difference or 0.0, signed=True)}{between}{note}",
            f"verdict:    {self.says}",
        ]


def read_card(path: Path, data: str | None, workers: int | None) -> tuple[Card, Cell | None]:
    """Read a card.

    Args:
        data: where the data lie, if not where the card says.
        workers: trials at once; None: as many as fit.
    Returns: the card, and the cell that is to be run; None for a card that names an export.
    Raises: MerError, Faults with all that is wrong with it.
    """
    card, file = read_model_file(path, Card)
    if card.export is not None:
        return card, None
    if card.space is not None:
        parts = {"budget.trials": card.trials, "resources.workers": workers, "study": _study(card), "data.root": data}
        place = home(card.space) if home(card.space).is_absolute() else path.parent / card.space
        spec = load_spec(place, (), parts)
        return card, _cell(card, spec, as_yaml(_as_tree(spec)))
    body: dict[str, Any] = {
        "study": _study(card),
        "description": f"The configuration of the card {card.card}.",
        "trainable": card.trainable,
        "budget": {"trials": 1, "epochs": card.epochs},
        "sampler": {"kind": "random"},
        "scheduler": {"kind": "none"},
        **({"resources": {"workers": workers}} if workers else {}),
        "fixed": flatten(card.fixed or {}) | ({"data.root": data} if data is not None else {}),
    }
    spec = build_spec(YamlFile(file.path, body, file.lines))
    return card, _cell(card, spec, as_yaml(body))


def _study(card: Card) -> str:
    return f"card-{card.card}"


def _cell(card: Card, spec: StudySpec, text: str) -> Cell:
    text = f"# The search of the card {card.card}, made by mer.reproduce.\n{text}"
    return Cell(card.card, "", "", "", spec, text, None, card.own_seeds)


def _as_tree(spec: StudySpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def reproduce(card: Card, cell: Cell | None, data: str | None, options: CellOptions, console: Console) -> Verdict:
    """Get the number: train what is not trained yet, score test once per seed, compare, and write the verdict down.

    Args: data: where the data of an export lie, if not where it says.
    """
    if cell is not None:
        _, scored = scored_on_test(cell, options, console)
    else:
        assert card.export is not None
        (scored,) = evaluate_exports(
            [export_folder(home(card.export))], card.own_seeds, options.of_seeds, console, data_root=data
        )
    verdict = judge(card, scored)
    folder = options.place.folder
    told = {"card": card.model_dump(mode="json", exclude_none=True), **_as_json(verdict)}
    write_json(folder / _RESULT, told | {"command": options.command})
    text = "\n".join(f"    {line}" for line in verdict.lines)
    write_text(folder / "verdict.md", f"# {card.card}\n\n{card.description}\n\n{text}\n\n    {options.command}\n")
    return verdict


def judge(card: Card, scored: Evaluated) -> Verdict:
    """Compare the seeds that were scored with the claim. Raises: MerError where they do not have its metric."""
    claim = card.claim
    key = f"test_{claim.metric}"
    values = {one.seed: one.test[key] for one in scored.results if one.test and key in one.test}
    if len(values) != len(scored.results):
        known = sorted(name.removeprefix("test_") for name in scored.results[0].test or {})
        raise MerError(f"{card.card}: claim.metric", f"nothing here has {claim.metric}", allowed=", ".join(known))
    differences = card.protocol.differences(scored.config)
    return verdict_of(card, values, differences)


def verdict_of(card: Card, values: dict[int, float], differences: Sequence[str]) -> Verdict:
    """Judge seeds against the claim. Args: differences: what was done otherwise here, in words."""
    claim = card.claim
    sd = claim.as_measured(claim.sd) if claim.sd is not None else None
    found = against_claim(list(values.values()), claim.as_measured(claim.value), sd, claim.count)
    size = claim.shown(abs(found.difference or 0.0))
    finding: Finding
    if differences:
        finding, says = "not comparable", f"not comparable: other protocol ({'; '.join(differences)})"
    elif found.interval is None:
        finding, says = "unknown", f"cannot be judged: {found.note}"
    elif found.interval.low <= 0 <= found.interval.high:
        half = claim.shown((found.interval.high - found.interval.low) / 2)  # a wide one says little, so it is said
        finding, says = "reproduced", f"reproduced within its interval (± {half})"
    else:
        finding = "lower" if (found.difference or 0.0) < 0 else "higher"
        says = f"{finding} by {size}, outside"
    return Verdict(card, values, describe(list(values.values())), found, finding, says)


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "values": {str(seed): value for seed, value in verdict.values.items()},
        "got": asdict(verdict.got),
        "difference": asdict(verdict.difference),
        "finding": verdict.finding,
        "verdict": verdict.says,
    }
