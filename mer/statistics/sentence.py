"""A comparison as one sentence."""

from __future__ import annotations

import numpy as np

from mer.statistics.results import Paired


def verdict(
    name_a: str,
    name_b: str,
    seeds: Paired,
    units: Paired,
    *,
    unit: str,
    alpha: float = 0.05,
    in_percent: bool = True,
) -> str:
    """Say in one sentence what the two views support about a - b, by the adjusted p where there is one.

    Args:
        units: the difference over resampled units.
        unit: what they are, one word in the singular: dialogue, actor.
        in_percent: differences are of fractions, and told in points; else as they are.
    """
    by_seed, by_unit, many = _supports(seeds, alpha), _supports(units, alpha), f"{unit}s"
    evidence = f"{_view('seeds', seeds, in_percent)}; {_view(many, units, in_percent)}"
    if seeds.p is None and units.p is None:
        return f"{name_a} and {name_b} cannot be told apart by any test here ({evidence})."
    if by_seed * by_unit < 0:
        return f"{name_a} and {name_b}: seeds and {many} point in opposite directions, no conclusion ({evidence})."
    if not by_seed and not by_unit:
        return f"{name_a} and {name_b}: no difference at this sample size ({evidence})."
    better, worse = (name_a, name_b) if by_seed + by_unit > 0 else (name_b, name_a)
    shown = seeds if by_seed else units
    size = abs(shown.difference or 0.0)
    claim = f"{better} is above {worse} by {f'{100 * size:.2f} points' if in_percent else f'{size:.4f}'}"
    if by_seed and by_unit:
        return f"{claim}: seeds and {many} both support it ({evidence})."
    if by_seed:
        return f"{claim} over seeds only: it may not hold on other {many} ({evidence})."
    return f"{claim} over {many} only: it may not hold for other seeds ({evidence})."


def _supports(view: Paired, alpha: float) -> int:
    """Return +1 or -1 when a or b is better in this view, 0 when the view supports neither."""
    p = view.p_to_judge
    return int(np.sign(view.difference or 0.0)) if p is not None and p < alpha else 0


def _view(name: str, view: Paired, in_percent: bool) -> str:
    """Write one view as `280 dialogues: +1.30 [+0.30, +2.30], p < 0.001`. Args: name: in the plural."""
    if view.difference is None:
        return f"{name}: {view.note}"
    told = (lambda value: f"{100 * value:+.2f}") if in_percent else (lambda value: f"{value:+.4f}")
    text = f"{view.n} {name if view.n != 1 else name[:-1]}: {told(view.difference)}"
    if view.interval:
        text += f" [{told(view.interval.low)}, {told(view.interval.high)}]"
    p = view.p_to_judge
    return text + (f", p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}" if p is not None else f", {view.note}")
