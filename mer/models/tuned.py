"""A pretrained encoder of text, sound or pictures whose upper layers are trained with the head (methods 6).

Frozen weights are views of arrays that all workers of a machine share. Trained weights are the model's own tensors, and
only they are saved.

Shape suffixes: B rows, D width, L hidden states that are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer.config import TrialConfig
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder, locate
from mer.features.partial import BaseWeights, base_weights
from mer.models.adapters import add_adapters, refuse_idle
from mer.models.sequence_encoder import SequenceEncoder

_NORM_ROWS = 512  # utterances from which the mean and sd of the head's input norm are computed
_CHECKED_ROWS = 4


class TunedEncoder(SequenceEncoder):
    """A SequenceEncoder that is trained: adapters, or weights above the frozen layers.

    Args:
        config: configuration of the trial.
        modality: of the encoder.
        found: folder of the backbone.
        base: weights of the backbone.
        reads: numbers of the hidden states that the head reads.
        adapters: False leaves adapters out, for weights into which they were merged.
    """

    def __init__(
        self,
        config: TrialConfig,
        modality: str,
        found: BackboneFolder,
        base: BaseWeights,
        reads: Sequence[int],
        *,
        adapters: bool,
    ) -> None:
        own = config.tuned[modality]
        super().__init__(own, found, base, start=own.first_tuned, reads=reads, micro_batch=config.optim.micro_batch)
        self.modality = modality
        frozen = own.freeze_layers
        layers = {f"{self.layers_name}.{i}": layer for i, layer in self.numbered_layers() if i >= frozen}
        if own.tuned_dropout is not None:
            for layer in layers.values():
                _set_dropout(layer, own.tuned_dropout)
        if own.mode == "lora" and adapters:
            add_adapters(self.model, layers, own.lora, modality=modality)
        else:
            tuned = tuple(f"{prefix}." for prefix in layers)
            full = own.mode == "full"  # weights that all layers use (position biases) are trained if all layers are
            other = {True: full and own.full.embeddings, False: full and frozen == 0}
            for name, _ in list(self.model.named_parameters()):
                if name.startswith(tuned) or other[name.startswith(self.below)]:
                    self._own(name)
        if own.recompute:
            self._recompute(found)
        self._still = self._untrained_parts()

    def _own(self, name: str) -> None:
        """Copy a weight out of the shared arrays, and train the copy."""
        owner, _, leaf = name.rpartition(".")
        weight = self.model.get_parameter(name)
        self.model.get_submodule(owner).register_parameter(leaf, nn.Parameter(weight.detach().clone()))

    def _recompute(self, found: BackboneFolder) -> None:
        if not self.model.supports_gradient_checkpointing:
            family = self.model.config.model_type
            raise MerError(
                f"encoders.{self.modality}.recompute",
                f"transformers cannot recompute single layers of {family!r} ({found.name})",
                then="set it to false, and optim.micro_batch to fewer rows: it saves memory in the same way",
            )
        self.model.config.use_cache = False  # for decoders; otherwise transformers warns and does it itself
        # It makes the embeddings' output require a gradient, which would send the backward pass through frozen layers.
        self.model.enable_input_require_grads = lambda: None
        self.model.gradient_checkpointing_enable({"use_reentrant": False})

    def _untrained_parts(self) -> list[nn.Module]:
        """Find the largest modules without a trained weight or tuned layer in them.

        They stay in eval mode, without dropout, so that their output equals what a cache would hold.
        """
        layers = {id(layer): number for number, layer in self.numbered_layers()}
        first = min((n for n, layer in self.numbered_layers() if _learns(layer)), default=0)
        still: list[nn.Module] = []

        def visit(module: nn.Module) -> None:
            number = layers.get(id(module))
            below = number is not None and number < first
            holds_layers = any(id(part) in layers for part in module.modules() if part is not module)
            if below or (number is None and not holds_layers and not _learns(module)):
                still.append(module)
            elif number is None:
                for part in module.children():
                    visit(part)

        visit(self.model)
        return still

    def train(self, mode: bool = True) -> TunedEncoder:
        super().train(mode)
        for module in getattr(self, "_still", ()):
            module.eval()
        for module in self.modules():  # running statistics are not weights: keep the backbone's
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def trained(self) -> dict[str, nn.Parameter]:
        """Trained weights by name."""
        return {name: weight for name, weight in self.named_parameters() if weight.requires_grad}

    def state_dict(self, *args: Any, prefix: str = "", **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """State of the trained weights only."""
        state = super().state_dict(*args, prefix=prefix, **kwargs)
        trained = {f"{prefix}{name}" for name in self.trained()}
        for name in [name for name in state if name.startswith(prefix) and name not in trained]:
            del state[name]
        return state

    def rates(self, rate: float, decay: float) -> dict[str, tuple[float, list[nn.Parameter]]]:
        """Group trained weights by layer, with their learning rate; those outside the layers get the lowest layer's."""
        groups: dict[str, tuple[float, list[nn.Parameter]]] = {}
        seen: set[int] = set()
        for number, layer in reversed(self.numbered_layers()):
            own = [weight for weight in layer.parameters() if weight.requires_grad]
            seen |= {id(weight) for weight in own}
            groups[f"layer_{number:02d}"] = (rate * decay ** (self.stop - 1 - number), own)
        lowest = min((lr for lr, own in groups.values() if own), default=rate)
        groups["backbone"] = (lowest, [w for w in self.trained().values() if id(w) not in seen])
        return {name: group for name, group in groups.items() if group[1]}

    # -- before training ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, split: Any, rows_N: np.ndarray) -> np.ndarray:
        """Encode some of the given training rows, (n, L, D), for the mean and sd of the head's input norm."""
        some_N = rows_N[:: len(rows_N) // _NORM_ROWS][:_NORM_ROWS] if len(rows_N) >= 2 * _NORM_ROWS else rows_N
        rows = split.chunk_rows
        pieces = [self._of_rows(split, some_N[at : at + rows]) for at in range(0, len(some_N), rows)]
        return torch.cat(pieces).cpu().numpy()

    def refuse_idle(self, split: Any, rows_N: np.ndarray) -> None:
        """Check with a few rows, one by one to save memory, that every trained weight gets a gradient.

        Raises: MerError naming the weights that get none.
        """
        for row in rows_N[:_CHECKED_ROWS]:
            pooled = self._of_rows(split, np.array([row]))
            # uneven weights: after a layer norm a plain sum, or a sum of squares, is constant
            uneven_D = torch.linspace(-1.0, 1.0, pooled.shape[-1], device=pooled.device)
            (pooled * uneven_D).sum().backward()
        refuse_idle(self.trained(), modality=self.modality)
        self.zero_grad(set_to_none=True)

    def _of_rows(self, split: Any, rows_N: np.ndarray) -> Tensor:
        batch, _ = split.batch(rows_N, [], str(next(self.parameters()).device))
        return self.pooled(batch)


_DROPOUTS = ("dropout", "activation_dropout", "attention_dropout", "dropout_prob")


def _set_dropout(layer: nn.Module, rate: float) -> None:
    """Set the rate of a layer's dropout modules, and of rates that some families keep as plain numbers."""
    for module in layer.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        for name in _DROPOUTS:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, rate)


def _learns(module: nn.Module) -> bool:
    return any(weight.requires_grad for weight in module.parameters())


def build_encoder(
    config: TrialConfig, modality: str, reads: Sequence[int], base: BaseWeights | None, *, adapters: bool
) -> TunedEncoder:
    """Build the untrained encoder of one modality. Draws random numbers.

    Args:
        reads: numbers of the hidden states that the head reads.
        base: weights of the backbone; None: read them from its folder.
        adapters: False leaves adapters out, for weights into which they were merged.
    Raises: MerError if the backbone cannot be found, or cannot be tuned.
    """
    own = config.tuned[modality]
    found = locate(own, weights=base is None)
    weights = base_weights(own, found, own.first_tuned) if base is None else base
    return TunedEncoder(config, modality, found, weights, reads, adapters=adapters)
