"""Word metrics, values, differences and times as people read them."""

from __future__ import annotations

import re
from typing import Any

_NUMBERS = re.compile(r"(best_)?(dev_|test_)?(loss|(ccc|pearson|mae|rmse)(_.+)?)")


def is_fraction(metric: str) -> bool:
    """Tell whether a metric is printed in percent: losses, errors and correlations of numbers are not."""
    return not metric.endswith("_loss") and not _NUMBERS.fullmatch(metric)


def show(metric: str, value: float | None) -> str:
    """Write a metric as people read it: fractions in percent, losses, errors and correlations as they are."""
    if value is None or value != value:
        return "-"
    return f"{100 * value:.2f}" if is_fraction(metric) else f"{value:.4f}"


def gap(metric: str, value: float | None) -> str:
    """Write a difference with its sign."""
    return ("+" if value is not None and value >= 0 else "") + show(metric, value)


def points(metric: str, value: float) -> str:
    """Write a difference with its sign and unit, as in a sentence: +2.3 points."""
    return f"{100 * value:+.1f} points" if is_fraction(metric) else f"{value:+.3f}"


def words(metric: str) -> str:
    """Write a metric's key in words: `dev_weighted_f1` becomes weighted-F1."""
    name = metric.removeprefix("dev_").removeprefix("test_")
    known = {
        "weighted_f1": "weighted-F1",
        "macro_f1": "macro-F1",
        "ece": "ECE",
        "unweighted_accuracy": "UA (unweighted accuracy)",
        "ccc": "CCC",
        "pearson": "Pearson",
        "mae": "MAE",
        "rmse": "RMSE",
        "micro_f1": "micro-F1",
        "samples_f1": "samples-F1",
        "jaccard": "Jaccard",
        "acc2_has0": "Acc-2 (has0)",
        "acc2_non0": "Acc-2 (non0)",
        "acc5": "Acc-5",
        "acc7": "Acc-7",
    }
    return known.get(name, name.replace("f1_", "F1 ").replace("_", " "))


def clock(seconds: float) -> str:
    """Write a time span in two units at most."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def plain(value: Any) -> str:
    """Write a parameter's value as people do."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(plain, value)) + "]"
    known = {None: "none", True: "true", False: "false"}
    return known[value] if value is None or isinstance(value, bool) else str(value)


def counted(count: int, noun: str) -> str:
    """Write a number with its noun: 1 trial, 2 trials."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
