"""What a protocol may say: corpora, feature sets and methods, and what is done with each combination of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from mer.config import Frozen
from mer.errors import did_you_mean
from mer.study.space.spec import Epochs, Resources, Sampler, Scheduler, StudyObjective, Trials
from trainables import TRAINABLES

SHIPPED = Path(__file__).parent / "protocols"
MOST_CELLS = 10_000
LONGEST_NAME = 24  # four of them name a study, which has 100 characters
Name = Annotated[str, Field(pattern=rf"^[A-Za-z0-9][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}$")]


def _once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    for seed in seeds:
        if not 0 <= seed < 2**31:
            raise ValueError(f"{seed} is no seed: whole numbers from 0 to {2**31 - 1}")
        if seeds.count(seed) > 1:
            raise ValueError(f"seed {seed} is there twice: a repeat tells nothing new")
    return seeds


Seeds = Annotated[tuple[int, ...], Field(min_length=1, max_length=1000), AfterValidator(_once)]


class Part(Frozen):
    """A piece of a search space. A cell's space is made of several: later ones count more than earlier ones."""

    fixed: dict[str, Any] = Field({}, description="config keys with one value, nested or dotted")
    params: dict[str, Any] = Field({}, description="config keys that are searched, with ranges")
    start: dict[str, Any] = Field({}, description="values of searched keys in trial 0")


class CorpusPart(Part):
    """A corpus."""

    data: dict[str, Any] = Field(description="the keys of data, without `data.`: dataset, root, folds ...")
    features: tuple[Name, ...] | None = Field(None, min_length=1, description="feature sets it has; default: all")
    get: str = Field("", max_length=500, description="how to get it, for the message when it is not there")


class FeaturePart(Part):
    """A feature set: encoders, and what joins them."""

    trainable: str = Field(description="what kind of model a trial trains: text, audio, video, fusion")


class MethodPart(Part):
    """A method."""

    features: tuple[Name, ...] | None = Field(None, min_length=1, description="feature sets it is for; default: all")


class Search(Frozen):
    """The search of every cell, on dev."""

    trials: Trials = 50
    epochs: Epochs = 20
    objective: StudyObjective | None = Field(None, description="dev metric; default: that of the task")
    sampler: Sampler = Sampler()
    scheduler: Scheduler = Scheduler(kind="none")


class Rerank(Frozen):
    """The best trials of the search, trained again over seeds and ranked by their mean on dev."""

    top: Annotated[int, Field(ge=2, le=1000)] = 5
    seeds: Seeds = (1, 2, 3)


class Evaluation(Frozen):
    """The seeds of the winner that are scored on test, once each."""

    seeds: Seeds = (0, 42, 43, 114, 3407)


class Protocol(Frozen):
    """A protocol: every corpus with each of its feature sets and every method that is for them."""

    protocol: Name = Field(description="name; studies are called PROTOCOL-CORPUS-FEATURES-METHOD")
    description: str = Field("", max_length=5000)
    search: Search = Search()
    rerank: Rerank | None = Field(None, description="default: the best trial of the search is the winner")
    evaluate: Evaluation = Evaluation()
    resources: Resources = Resources()
    common: Part = Part()
    corpora: dict[Name, CorpusPart] = Field(min_length=1, max_length=200)
    features: dict[Name, FeaturePart] = Field(min_length=1, max_length=200)
    methods: dict[Name, MethodPart] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _names_are_there(self) -> Self:
        for group, parts in (("corpora", self.corpora), ("methods", self.methods)):
            for name, part in parts.items():
                for wanted in part.features or ():
                    if wanted not in self.features:
                        meant = did_you_mean(wanted, self.features)
                        raise ValueError(f"{group}.{name}.features: there is no feature set {wanted!r}.{meant}")
        for name, of_features in self.features.items():
            if of_features.trainable not in TRAINABLES or of_features.trainable == "distill":
                allowed = ", ".join(kind for kind in TRAINABLES if kind != "distill")
                raise ValueError(f"features.{name}.trainable: got {of_features.trainable!r} (allowed: {allowed})")
        if self.rerank is not None and self.rerank.top > self.search.trials:
            raise ValueError(f"rerank: top {self.rerank.top} is above search.trials {self.search.trials}")
        if len(self.corpora) * len(self.features) * len(self.methods) > MOST_CELLS:
            raise ValueError(f"corpora x features x methods are more than {MOST_CELLS}: make several protocols of them")
        if not self.combinations():
            raise ValueError("features: no corpus has a feature set that a method is for")
        return self

    def combinations(self) -> list[tuple[str, str, str]]:
        """List corpus, feature set and method of every cell, in the order of the file."""
        return [
            (corpus, features, method)
            for corpus, of_corpus in self.corpora.items()
            for features in self.features
            if of_corpus.features is None or features in of_corpus.features
            for method, of_method in self.methods.items()
            if of_method.features is None or features in of_method.features
        ]

    def chosen(self, only: Sequence[str]) -> list[tuple[str, str, str]]:
        """List the combinations that one of the names is about. Args: only: corpora, feature sets, methods or cells."""
        every = self.combinations()
        return [one for one in every if not only or {*one, cell_name(one)} & set(only)]

    def names(self) -> list[str]:
        """List what `chosen` takes."""
        return [*self.corpora, *self.features, *self.methods, *map(cell_name, self.combinations())]

    def with_data(self, roots: Mapping[str, str]) -> Protocol:
        """Return the protocol with data of some corpora elsewhere. Args: roots: corpus -> folder or file."""
        moved = {
            name: part.model_copy(update={"data": part.data | ({"root": roots[name]} if name in roots else {})})
            for name, part in self.corpora.items()
        }
        return self.model_copy(update={"corpora": moved})


def cell_name(combination: tuple[str, str, str]) -> str:
    """Name a cell: corpus, feature set, method."""
    return "-".join(combination)
