"""A text encoder whose upper layers are trained, and the usual head on what it gives (methods 6).

Weights that stay as they are, are views of the arrays they were given, which every worker of a node may share; only
what is trained is a tensor of the model's own, and only that is saved.

Shape suffixes: B rows, T tokens of the longest, D width, L hidden states that are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mer.config import TrialConfig
from mer.errors import MerError
from mer.features.backbones import BackboneFolder, locate
from mer.features.extraction import plan_batches
from mer.features.partial import BaseWeights, PartialBackbone, base_weights
from mer.models.adapters import ENCODER, add_adapters, refuse_idle
from mer.models.classifier import UtteranceClassifier
from mer.models.token_batch import TokenBatch

_FORWARD_COSTS = {"cpu": 96, "cuda": 4096}  # tokens; what starting a forward pass costs, whatever is in it
_TOKENS_AT_ONCE = 4096  # padding included, where no gradient is kept
_NORM_ROWS = 512  # utterances whose mean and sd scale the head's inputs
_CHECKED_ROWS = 4


class TunedEncoder(PartialBackbone):
    """From tokens to pooled hidden states (B, L, D), as a feature file would hold them.

    Args:
        config: of the trial.
        reads: hidden states the head reads.
        adapters: False leaves adapters out, for weights into which they were merged.
    """

    def __init__(
        self, config: TrialConfig, found: BackboneFolder, base: BaseWeights, reads: Sequence[int], *, adapters: bool
    ) -> None:
        ((self.modality, own),) = config.tuned.items()
        super().__init__(found, base, start=own.first_tuned, reads=reads)
        self.micro_batch = config.optim.micro_batch
        self.autocasts = own.dtype == "bfloat16"
        frozen = own.freeze_layers
        layers = {f"{self.layers_name}.{i}": layer for i, layer in self.numbered_layers() if i >= frozen}
        if own.tuned_dropout is not None:
            for module in (module for layer in layers.values() for module in layer.modules()):
                if isinstance(module, nn.Dropout):
                    module.p = own.tuned_dropout
        if own.mode == "lora" and adapters:
            add_adapters(self.model, layers, own.lora)
        else:
            tuned = tuple(f"{prefix}." for prefix in layers)
            full = own.mode == "full"  # what all layers read (position biases) is trained where all of them are
            other = {True: full and own.full.embeddings, False: full and frozen == 0}
            for name, _ in list(self.model.named_parameters()):
                if name.startswith(tuned) or other[name.startswith("embeddings.")]:
                    self._own(name)
        if own.recompute:
            self._recompute(found)
        # Dropout is for what learns: a frozen part gives in every step what the cache would hold.
        trained = {id(weight) for weight in self.parameters() if weight.requires_grad}
        below = [layer for i, layer in self.numbered_layers() if i < frozen]
        embeddings = self.model.embeddings
        self._still = [m for m in (*below, embeddings) if not trained & {id(weight) for weight in m.parameters()}]

    def _own(self, name: str) -> None:
        """Give a weight memory of its own, and train it."""
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
        self.model.config.use_cache = False  # of decoders; transformers would say so itself, aloud
        self.model.gradient_checkpointing_enable({"use_reentrant": False})

    def train(self, mode: bool = True) -> TunedEncoder:
        super().train(mode)
        for module in getattr(self, "_still", ()):
            module.eval()
        return self

    def trained(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""
        return {name: weight for name, weight in self.named_parameters() if weight.requires_grad}

    def rates(self, rate: float, decay: float) -> dict[str, tuple[float, list[nn.Parameter]]]:
        """Groups of an optimiser: per layer its learning rate and its weights; the rest learns as the lowest layer."""
        groups: dict[str, tuple[float, list[nn.Parameter]]] = {}
        seen: set[int] = set()
        for number, layer in reversed(self.numbered_layers()):
            own = [weight for weight in layer.parameters() if weight.requires_grad]
            seen |= {id(weight) for weight in own}
            groups[f"layer_{number:02d}"] = (rate * decay ** (self.stop - 1 - number), own)
        lowest = min((lr for lr, own in groups.values() if own), default=rate)
        groups["backbone"] = (lowest, [w for w in self.trained().values() if id(w) not in seen])
        return {name: group for name, group in groups.items() if group[1]}

    def pooled(self, batch: TokenBatch) -> Tensor:
        """(B, L, D) float32, row by row.

        Rows of like length are read together. With a micro-batch, each such group is computed again on the way back,
        so that the activations of one group at a time are in memory; the gradient is that of the whole batch.
        """
        training = self.training and torch.is_grad_enabled()
        if training:
            cost = _FORWARD_COSTS.get(batch.values.device.type, 0)
            groups = cheapest_groups(batch.lengths, self.micro_batch or len(batch.lengths), cost)
        else:
            groups = plan_batches(batch.lengths.tolist(), _TOKENS_AT_ONCE)
        again = training and self.micro_batch is not None and len(groups) > 1
        starts = np.concatenate([[0], np.cumsum(batch.lengths)])
        pieces = []
        for group in groups:
            padded = self._padded(batch, starts, group)
            pieces.append(checkpoint(self._read, *padded, use_reentrant=False) if again else self._read(*padded))
        order = torch.tensor([row for group in groups for row in group], device=batch.values.device)
        return torch.cat(pieces)[order.argsort()]

    def _padded(self, batch: TokenBatch, starts: np.ndarray, group: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, T) or (B, T, D), which of them are real (B, T), and the pooler's weights (B, T)."""
        values, device = batch.values, batch.values.device
        rows, longest = np.array(group), int(max(batch.lengths[row] for row in group))
        place_T = np.arange(longest)
        real = place_T < batch.lengths[rows, None]
        index = torch.from_numpy(np.where(real, starts[rows, None] + place_T, 0)).to(device)
        spans = batch.spans[rows]
        inside = (place_T >= spans[:, :1]) & (place_T < spans[:, 1:])
        weights_BT = torch.from_numpy((inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)).to(device)
        real_BT = torch.from_numpy(real).to(device)
        given = values[index]
        fill = real_BT if given.ndim == 2 else real_BT[..., None]
        given = torch.where(fill, given, self.pad if given.ndim == 2 else 0)
        return given, real_BT.long(), weights_BT

    def _read(self, given: Tensor, real_BT: Tensor, weights_BT: Tensor) -> Tensor:
        with torch.autocast(given.device.type, torch.bfloat16, enabled=self.autocasts):
            states = self(given.long() if given.ndim == 2 else given.float(), real_BT)
        return torch.stack([(weights_BT[:, None] @ state.float())[:, 0] for state in states], dim=1)


class TunedClassifier(UtteranceClassifier):
    """A TunedEncoder and the head of one modality. Its state is what is trained: not the backbone's frozen weights.

    Args: encoder: of the trial. classes: C.
    """

    def __init__(self, config: TrialConfig, encoder: TunedEncoder, classes: int) -> None:
        probe = config.loss.classification.probe
        super().__init__(config.head, layers=len(encoder.reads), width=encoder.width, classes=classes, probe=probe)
        self.encoder = encoder

    def represent(self, x: Any, present_N: Tensor | None = None) -> Tensor:
        """h (N, H) of a TokenBatch."""
        return super().represent(self.encoder.pooled(x), present_N)

    @torch.no_grad()
    def fit_norm(self, split: Any, layers: list[int], rows_N: np.ndarray) -> None:
        """Mean and sd of what the untrained encoder gives for some of the training rows; they stay as they are."""
        if self.input_norm.kind != "standardize":
            return
        self.eval()
        some_N = rows_N[:: max(1, len(rows_N) // _NORM_ROWS)][:_NORM_ROWS]
        batch, _ = split.batch(some_N, layers, str(next(self.parameters()).device))
        self.input_norm.fit(self.encoder.pooled(batch).cpu().numpy(), list(range(len(layers))))

    def refuse_idle(self, split: Any, layers: list[int], rows_N: np.ndarray) -> None:
        """One backward pass of a few rows. Raises: MerError when a weight that is to be trained gets no gradient."""
        self.eval()
        batch, _ = split.batch(rows_N[:_CHECKED_ROWS], layers, str(next(self.parameters()).device))
        pooled = self.encoder.pooled(batch)
        uneven_D = torch.linspace(-1.0, 1.0, pooled.shape[-1], device=pooled.device)  # a sum of squares, or a plain
        (pooled * uneven_D).sum().backward()  # sum, would be constant after a layer norm
        refuse_idle(self.encoder.trained())
        self.zero_grad(set_to_none=True)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Head and trained weights of the encoder."""
        trained = {f"{ENCODER}{name}" for name in self.encoder.trained()}
        state = super().state_dict(*args, **kwargs)
        return {name: t for name, t in state.items() if not name.startswith(ENCODER) or name in trained}

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """What `state_dict` gave. Raises: RuntimeError when a weight is missing, or is none of this model's."""
        if wrong := sorted(self.state_dict().keys() ^ state_dict.keys()):
            raise RuntimeError(f"{len(wrong)} weights are missing or unknown, e.g. {wrong[0]}")
        return super().load_state_dict(state_dict, strict=False)


def cheapest_groups(lengths: np.ndarray, most_rows: int, forward_cost: int) -> list[list[int]]:
    """Rows sorted by length and cut into groups of at most `most_rows`, where padding and forward passes cost least.

    Args: forward_cost: of one more group, in tokens.
    """
    order = np.argsort(lengths, kind="stable")
    longest = lengths[order]
    best, cut = [0.0], [0]
    for end in range(1, len(order) + 1):
        starts = range(max(0, end - most_rows), end)
        costs = [best[start] + (end - start) * int(longest[end - 1]) + forward_cost for start in starts]
        least = int(np.argmin(costs))
        best.append(costs[least])
        cut.append(starts[least])
    groups, end = [], len(order)
    while end:
        groups.append(order[cut[end] : end].tolist())
        end = cut[end]
    return groups[::-1]


def build_tuned(
    config: TrialConfig, layers: Sequence[int], classes: int, base: BaseWeights | None, *, adapters: bool = True
) -> TunedClassifier:
    """The untrained model of a configuration with one tuned encoder. Draws random numbers.

    Args:
        layers: hidden states the head reads.
        base: weights of the backbone; None: they are read from its folder.
    Raises: MerError when the backbone is not to be had, or cannot be tuned.
    """
    ((_, own),) = config.tuned.items()
    found = locate(own, weights=base is None)
    weights = base_weights(found, own.first_tuned) if base is None else base
    return TunedClassifier(config, TunedEncoder(config, found, weights, layers, adapters=adapters), classes)
