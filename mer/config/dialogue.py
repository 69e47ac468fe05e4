"""Dialogue encoders: how an utterance reads others of its dialogue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from mer.config.base import Count, Frozen


class NoDialogue(Frozen):
    kind: Literal["none"] = "none"


class _Dialogue(Frozen):
    """Layers through which an utterance reads others of its dialogue; each adds to it.

    They read fused vectors, at fusion.width; in a model of one modality, and in every student, h, at head.hidden.
    """

    setting: Literal["online", "offline"] = Field(
        "online",
        description="online: reads earlier utterances only | offline: later ones too, which live use rules out",
    )
    layers: Annotated[int, Field(ge=1, le=4)] = Field(1, description="number of layers")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.2, description="dropout on the vector that each layer adds"
    )


class _Speaking(_Dialogue):
    """Kinds that may know who speaks."""

    speakers: Literal["none", "relative"] = Field(
        "none", description="relative: learn what it means that another turn is of the same speaker, or of another"
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave speakers out where they are not read, so that older configurations keep their hashes."""
        return {name: value for name, value in dump(self).items() if name != "speakers" or value != "none"}


class GRUDialogue(_Speaking):
    """A GRU that reads the dialogue from its first utterance; offline also one from its last."""

    kind: Literal["gru"] = "gru"


class AttentionDialogue(_Speaking):
    """Pre-norm transformer layers over the utterances, with a learned bias per distance."""

    kind: Literal["attention"] = "attention"
    heads: Count = Field(4, description="attention heads; the width that the layers read must be a multiple")


class GraphDialogue(_Dialogue):
    """A directed graph of turns, Shen et al. 2021 (DAG-ERC): who spoke decides which turns are read, and how."""

    kind: Literal["graph"] = "graph"
    reach: Count = Field(
        1, description="an utterance reads all turns back to the so-manieth earlier one of the same speaker"
    )

    @property
    def speakers(self) -> Literal["relative"]:
        """Edges tell turns of the same speaker from those of others."""
        return "relative"


Dialogue = Annotated[NoDialogue | GRUDialogue | AttentionDialogue | GraphDialogue, Field(discriminator="kind")]
