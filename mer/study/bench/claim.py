"""Cards of claimed numbers: what a paper says, by which protocol, and the configuration that is to give it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mer.config import Frozen, TrialConfig
from mer.config.metrics import NO_SHARES, USUAL
from mer.errors import did_you_mean
from mer.study.bench.protocol import Name, Seeds
from mer.study.space.spec import Epochs, Trials
from trainables import TRAINABLES

SHIPPED_CARDS = Path(__file__).parent / "cards"
FIVE = (0, 42, 43, 114, 3407)
_METRICS = tuple(dict.fromkeys(name for names in USUAL.values() for name in names))


class Claim(Frozen):
    """A number that was published."""

    source: str = Field(min_length=1, max_length=500, description="paper or page")
    table: str = Field("", max_length=500, description="table and row in it")
    metric: str = Field(description="of the test split, e.g. weighted_f1, without test_")
    value: float = Field(description="the mean as printed: shares in percent, errors and correlations as they are")
    sd: Annotated[float, Field(ge=0)] | None = Field(None, description="sample standard deviation, as printed")
    runs: Annotated[int, Field(ge=1, le=10**6)] | None = Field(None, description="seeds or repeats behind the mean")
    seeds: Seeds | None = Field(None, description="the seeds themselves, where they are told")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.metric not in _METRICS:
            meant = did_you_mean(self.metric, _METRICS)
            raise ValueError(f"metric: got {self.metric!r}.{meant} Allowed: {', '.join(_METRICS)}")
        if self.is_share and not 1 <= self.value <= 100:
            raise ValueError(f"value: got {self.value:g}; {self.metric} is written in percent, 60.85")
        if self.seeds is not None and self.runs not in (None, len(self.seeds)):
            raise ValueError(f"runs: {self.runs}, but {len(self.seeds)} seeds are named")
        return self

    @property
    def is_share(self) -> bool:
        """True for metrics that are printed in percent."""
        return not NO_SHARES.fullmatch(self.metric)

    @property
    def count(self) -> int | None:
        """Seeds behind the mean; None where nobody says."""
        return len(self.seeds) if self.seeds is not None else self.runs

    def as_measured(self, value: float) -> float:
        """Turn a printed value into one of a results file, where shares are fractions."""
        return value / 100 if self.is_share else value

    def shown(self, value: float, *, signed: bool = False) -> str:
        """Print a value of a results file as the claim prints it."""
        sign, digits = "+" if signed else "", 2 if self.is_share else 4
        number = round(100 * value if self.is_share else value, digits) + 0.0  # never -0.00
        return f"{number:{sign}.{digits}f}"


class ClaimedProtocol(Frozen):
    """How the number came about, as far as the source says. What differs from here makes it incomparable."""

    dataset: str | None = Field(None, description="as data.dataset has it: meld, emorynlp ...")
    label: str | None = Field(None, description="emotion or sentiment")
    folds: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="how many; 1: a single split")
    chosen_on: Literal["dev", "test"] | None = Field(None, description="what chose the epoch and the settings")
    encoders: dict[str, str] = Field({}, description="modality -> backbone")
    remark: str = Field("", max_length=500, description="another reason why the number is not comparable")

    def differences(self, config: TrialConfig) -> list[str]:
        """Say in words what is done otherwise here.

        Args: config: what was evaluated here; epoch and settings are always chosen on dev.
        """
        data, rule = config.data, config.data.folds
        ours: dict[str, tuple[Any, Any]] = {
            "dataset": (self.dataset, data.dataset),
            "label": (self.label, data.label),
            "folds": (self.folds, 1 if rule is None else rule.k or self.folds),
            "chosen on": (self.chosen_on, "dev"),
        }
        found = [
            f"{name} {claimed} there, {here} here"
            for name, (claimed, here) in ours.items()
            if claimed is not None and claimed != here
        ]
        here = {modality: encoder.backbone for modality, encoder in config.encoders.present.items()}
        for modality, backbone in self.encoders.items():
            if here.get(modality) != backbone:
                found.append(f"{modality} encoder {backbone} there, {here.get(modality, 'none')} here")
        if self.encoders:
            found += [f"{name} is read here, and not there" for name in here if name not in self.encoders]
        return [*found, self.remark] if self.remark else found


class Card(Frozen):
    """A claim, and what is to give the same number: a configuration, a search space, or an export."""

    card: Name
    description: str = Field("", max_length=5000)
    claim: Claim
    protocol: ClaimedProtocol = ClaimedProtocol()
    fixed: dict[str, Any] | None = Field(None, description="config keys with their values, nested or dotted")
    trainable: str = Field("text", description="of `fixed`: text, audio, video, fusion")
    epochs: Epochs = Field(20, description="of `fixed`")
    space: str | None = Field(None, min_length=1, description="a search space, from the card's folder")
    trials: Trials | None = Field(None, description="of `space`; default: its budget")
    export: str | None = Field(None, min_length=1, description="an export, from where the command is typed")
    seeds: Seeds | None = Field(None, description="that are trained here; default: those of the claim, else five")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("fixed", "space", "export") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"fixed, space, export: give one of the three, got {' and '.join(given) or 'none'}")
        if self.trainable not in TRAINABLES or self.trainable == "distill":
            raise ValueError(f"trainable: got {self.trainable!r} (allowed: text, audio, video, fusion)")
        if self.trials is not None and self.space is None:
            raise ValueError("trials: is about `space`, and there is none")
        return self

    @property
    def own_seeds(self) -> tuple[int, ...]:
        """The seeds that are trained here."""
        return self.seeds or self.claim.seeds or FIVE
