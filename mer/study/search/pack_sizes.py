"""Say how many trials a worker of this study takes: as the user says, or by shape, memory and what is left to do."""

from __future__ import annotations

import math
from collections.abc import Callable

from mer.config import TrialConfig
from mer.features import select_layers
from mer.model_outputs import describe_encoder
from mer.study.space.spec import Resources, Sampler
from mer.training.packed.shape import shape_of
from mer.training.packed.size import Reads, auto_size

_UNINFORMED = ("random", "grid", "qmc")  # samplers that learn nothing from results
_LONGEST_QUEUE = 128
_AHEAD = 16  # a sampler that learns may ask a sixteenth of its trials before results of earlier ones
_TRAINED_AT_ONCE, _LEAST_CAPPED = 8, 4  # and may have an eighth in training, in packs of at least four


def queue_room(sampler: Sampler, trials: int) -> int:
    """Return how many trials may wait for others of their shape, besides as many as a pack has.

    A long queue lets packs of many shapes fill: of a space with 28 shapes, a pack of 8 began with 1.3 trials beside a
    queue of 8, with 3.8 beside one of 64.

    Args: trials: of the study's budget.
    """
    return _LONGEST_QUEUE if sampler.kind in _UNINFORMED else min(_LONGEST_QUEUE, trials // _AHEAD)


def learning_size(sampler: Sampler, trials: int, given: int, workers: int) -> int | None:
    """Return the largest pack that leaves a sampler time to learn; None when it learns nothing.

    Trials that train together know less of one another: on a hard landscape, packs of 8 of a study of 60 trials found
    less than packs of 4, which train nearly as fast (docs/performance.md).

    Args:
        trials: of the study's budget.
        given: of these, those that `points` name.
    """
    if sampler.kind in _UNINFORMED or given >= trials:
        return None
    return max(_LEAST_CAPPED, trials // (_TRAINED_AT_ONCE * workers))


class PackSizes:
    """Sizes of packs, worked out once for each shape.

    Args:
        resources: of the study.
        workers: that run at once.
        unfinished: trials that run, wait or are still to be drawn; `auto` shares them out so that no worker idles.
        most: that `auto` may choose; None: as many as fit.
    """

    def __init__(
        self, resources: Resources, workers: int, unfinished: Callable[[], int], most: int | None = None
    ) -> None:
        self.resources, self.workers, self.unfinished, self.most = resources, workers, unfinished, most
        self._by_shape: dict[str, int] = {}

    def __call__(self, config: TrialConfig) -> int:
        """Return the most trials like this one that a worker takes."""
        shape = shape_of(config)
        if not shape.is_packable:
            return 1
        if self.resources.pack != "auto":
            return self.resources.pack
        if shape.key not in self._by_shape:
            self._by_shape[shape.key] = self._fitting(config)
        share = math.ceil(self.unfinished() / self.workers)
        return max(1, min(share, self.most or share, self._by_shape[shape.key]))

    def _fitting(self, config: TrialConfig) -> int:
        cards = {modality: describe_encoder(encoder) for modality, encoder in config.encoders.present.items()}
        reads = {
            modality: Reads(
                cards[modality].width,
                len(select_layers(encoder.layers, cards[modality].layers, f"encoders.{modality}.layers")),
            )
            for modality, encoder in config.encoders.present.items()
        }
        return auto_size(config, reads, self.resources.device, min(1.0, self.resources.gpu))
