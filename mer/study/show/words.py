"""Word metrics, sampled values and run names, wherever a person reads them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.text import Text

from mer.config import TrialConfig
from mer.config.metrics import NO_SHARES
from mer.study.paths import trial_name

_LOSS_KINDS = ("loss.contrastive.kind", "loss.classification.kind")
# The bar that every trial must clear, by data.task, in tables of terminal and pages; it reads nothing of an utterance.
# "Guessing" is another word: the better of this and of answering each class as often as it occurs (analysis.findings).
BAR = {"class": "majority", "regression": "mean", "multilabel": "frequent"}


def show(metric: str, value: float | None) -> str:
    """Write a metric as people print it: fractions in percent, losses, errors and correlations as they are, "-" for
    none and NaN."""
    if value is None or value != value:
        return "-"
    name = metric.removeprefix("best_").removeprefix("dev_").removeprefix("test_")
    is_plain = metric.endswith("_loss") or NO_SHARES.fullmatch(name)
    return f"{value:.4f}" if is_plain else f"{100 * value:.2f}"


def short(value: object) -> str:
    """Write a sampled value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(" ", "")


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Shorten each dotted key to its last word, and as many words before it as tell it from the others."""
    short: dict[str, str] = {}
    for key in keys:
        parts = key.split(".")
        for length in range(1, len(parts) + 1):
            tail = ".".join(parts[-length:])
            if sum(other == tail or other.endswith(f".{tail}") for other in keys) == 1:
                break
        short[key] = tail
    return short


def settings(params: Mapping[str, Any], conditions: Mapping[str, Collection[str]], names: Mapping[str, str]) -> str:
    """Write what was drawn for a trial on one line; what depends on a value stands in brackets behind it.

    `spcl(temperature=.08 weight=1) head_lr=1e-3`: a key called kind shows its value alone.

    Args:
        params: dotted key -> value, in the order in which they are shown.
        conditions: dotted key -> keys that it depends on.
        names: dotted key -> short name; keys that are left out are not shown.
    """
    inside: dict[str, list[str]] = {key: [] for key in params}
    top: list[str] = []
    for key in params:
        owners = [owner for owner in conditions.get(key, ()) if owner in params and owner in names]
        (inside[owners[-1]] if owners else top).append(key)

    def written(key: str) -> str:
        value, parts = terse(params[key]), [written(part) for part in inside[key] if part in names]
        bare = key.rpartition(".")[2] == "kind" and isinstance(params[key], str) and params[key] != "none"
        text = value if bare else f"{names[key]}={value}"
        return f"{text}({' '.join(parts)})" if parts else text

    return " ".join(written(key) for key in top if key in names)


def one_line(text: str) -> Text:
    """Make a cell of a table that is cut at the end of its column, and never folded."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def run_name(number: int, params: Mapping[str, Any], config: TrialConfig | None) -> str:
    """Name a run so that a person can read it in a list: number, loss, the first three sampled values.

    Args: config: None when the draw was refused.
    """
    if config is None:
        return run_title(number, params, "refused")
    kind = config.loss.contrastive.kind
    return run_title(number, params, _supervised(config.model_dump(mode="json")) if kind == "none" else kind)


def recorded_name(number: int, params: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Name a run as `run_name` does. Args: config: as `config.json` has it; the bare draw when that was refused."""
    if "training" not in config:
        return run_title(number, params, "refused")
    kind = config["loss"]["contrastive"]["kind"]
    return run_title(number, params, _supervised(config) if kind == "none" else kind)


def _supervised(config: Mapping[str, Any]) -> str:
    """Name the loss that compares outputs with labels: ce, focal, mse, bce ..."""
    loss, task = config["loss"], config.get("data", {}).get("task", "class")
    if task == "class":
        return str(loss["classification"]["kind"])
    return "bce" if task == "multilabel" else str(loss.get("regression", {}).get("kind", "mse"))


def run_title(number: int, params: Mapping[str, Any], loss: str) -> str:
    """Join a trial's number, its loss and the first three sampled values: `00005 spcl t=.12 hl=9.1e-4`."""
    told = {key: value for key, value in params.items() if key not in _LOSS_KINDS}  # the loss is named already
    names = initials(list(told))
    shown = [f"{names[key]}={terse(value)}" for key, value in list(told.items())[:3]]
    return " ".join([trial_name(number), loss, *shown])


def terse(value: object) -> str:
    """Write a sampled value in two digits and as few characters as can be: .12, 9.1e-4."""
    if not isinstance(value, float):
        return short(value)
    small = 0 < abs(value) < 0.01
    text = f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-") if small else f"{value:.2g}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and not small else text


def initials(keys: Sequence[str]) -> dict[str, str]:
    """Shorten the last word of each dotted key to the initials of its parts; those that others share stay as they are.

    temperature -> t, head_lr -> hl, of `encoders.text.layers` and `loss.weight`: l and w.
    """
    whole = short_names(keys)
    brief = {key: "".join(part[:1] for part in key.rpartition(".")[2].split("_")) for key in keys}
    return {key: name if list(brief.values()).count(name) == 1 else whole[key] for key, name in brief.items()}
