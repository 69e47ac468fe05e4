"""What scores of classes and scores of several labels say of each of them."""

from __future__ import annotations

from typing import Any

import numpy as np


class PerClass:
    """Give rows and metrics of each class, or of each label of several.

    A subclass has names, and precision, recall, F1 (fractions) and support (rows), each (C,).
    """

    class_names: tuple[str, ...]
    precision_C: Any
    recall_C: Any
    f1_C: Any
    support_C: Any

    @property
    def present_C(self) -> np.ndarray:
        """The classes that the split has, bool (C,)."""
        return np.asarray(self.support_C > 0)

    def of_each(self, split: str) -> dict[str, float]:
        """Return F1 and recall of each class as flat metrics, e.g. `dev_f1_joy`, fractions in [0, 1]."""
        kinds = (("f1", self.f1_C), ("recall", self.recall_C))
        return {
            f"{split}_{kind}_{name}": float(value)
            for kind, values_C in kinds
            for name, value in zip(self.class_names, values_C, strict=True)
        }

    def per_class(self) -> list[dict[str, float | str | int]]:
        """Return a row per class: name, precision, recall, f1, support."""
        columns = zip(self.class_names, self.precision_C, self.recall_C, self.f1_C, self.support_C, strict=True)
        return [
            {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for name, p, r, f, n in columns
        ]
