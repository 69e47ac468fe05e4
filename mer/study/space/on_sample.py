"""`--sample`: a search space as its file says it, but on the generated sample corpus and in less time.

What changes: the data; the names of the study and of the exports that it reads (`sample-...`), so that nothing of real
data is mixed up with it; encoders that need a model hub become those that need none; GPUs; the budget, where a study
would take long. What is typed with `--set` and `--trials` counts more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mer.config import DataConfig, flatten
from mer.data.sample.corpus import modalities_of
from mer.errors import MerError
from mer.study.space.overrides import override
from mer.study.space.spec import Budget
from mer.study.space.yaml_file import YamlFile
from mer.terminal.commands import command

OPTION = "--sample"
ROOT = Path("datasets/sample")
_PREFIX = "sample-"
_NO_HUB = {"text": "minilm", "audio": "melstats", "video": "framestats"}
_TUNED_LAYERS = 3  # of MiniLM's six are trained, where a larger encoder was to be tuned
_MOST_TRIALS, _MOST_TUNED_TRIALS, _MOST_TUNED_EPOCHS = 12, 4, 2


def put_on_sample(file: YamlFile) -> str:
    """Change a parsed search space. Returns: what was changed, in one line.

    Raises: MerError where there is no sample corpus, or it has nothing for this space.
    """
    fixed, params = flatten(_mapping(file.data.get("fixed"))), _mapping(file.data.get("params"))
    task = fixed.get("data.task", "class")
    if task != "class":
        found = f"{file.path} predicts numbers or several labels (data.task: {task}), the sample corpus has classes"
        then = "leave it out, and name data: --set data.root=FOLDER"
        raise MerError(OPTION, found, allowed="a space of classes", then=then)
    modalities = [name for name in _NO_HUB if _names(fixed, params, f"encoders.{name}")]
    _refuse_no_corpus(modalities)
    changes = _data(fixed)
    if isinstance(name := file.data.get("study"), str):
        changes["study"] = sample_name(name)
    changes |= _exports(file, fixed)
    for modality in modalities:
        changes |= _encoder(file, modality, {**fixed, **changes}, params)
    changes |= _machine(_mapping(file.data.get("resources")))
    changes |= _budget(file, changes)
    for key, value in changes.items():
        override(file, key, value, OPTION)
    return "on the sample corpus: " + " ".join(f"{key}={value}" for key, value in changes.items())


def sample_name(study: str) -> str:
    """Return what a study, or the export of one, is called on the sample corpus."""
    return study if study.startswith(_PREFIX) else f"{_PREFIX}{study}"


def words_to_try(space: Path) -> str:
    """Say how a search space whose data are not there is tried."""
    make, search = command("mer.data", "sample", ROOT), command("mer.tune", space, OPTION)
    return f"to try the space on generated data: `{make}`, then `{search}`"


def words_of_chain(export: Path, study: str) -> tuple[str, list[str]]:
    """Return the name of the study that makes an export, and the options with which it is searched."""
    return (sample_name(study), [OPTION]) if export.name.startswith(_PREFIX) else (study, [])


def _refuse_no_corpus(modalities: list[str]) -> None:
    there, make = modalities_of(ROOT), command("mer.data", "sample", ROOT)
    if not there:
        raise MerError(OPTION, f"there is no sample corpus in {ROOT}", then=make)
    if lacking := [name for name in modalities if name not in there]:
        found = f"the sample corpus in {ROOT} has {', '.join(there)}; this space reads {', '.join(lacking)} too"
        raise MerError(OPTION, found, then=f"{make}  (makes it again, with the same texts)")


def _data(fixed: Mapping[str, Any]) -> dict[str, Any]:
    usual = DataConfig()
    changes: dict[str, Any] = {"data.root": str(ROOT)}
    if fixed.get("data.dataset", usual.dataset) != usual.dataset:
        changes |= {"data.dataset": usual.dataset, "data.label": usual.label}
    return changes


def _exports(file: YamlFile, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the exports that the study reads, wherever it names them."""
    depends = file.data.get("depends_on")
    if not isinstance(depends, dict):
        return {}
    new = {folder: str(Path(folder).with_name(sample_name(Path(folder).name))) for folder in map(str, depends)}
    file.data["depends_on"] = {new[str(folder)]: space for folder, space in depends.items()}
    return {key: new[value] for key, value in fixed.items() if isinstance(value, str) and value in new}


def _encoder(file: YamlFile, modality: str, fixed: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Put an encoder that needs no hub in the place of one that does, without the settings that were made for that."""
    key = f"encoders.{modality}."
    named = params.get(f"{key}backbone", fixed.get(f"{key}backbone", _NO_HUB[modality]))
    if named == _NO_HUB[modality] or str(named).startswith("exports/"):
        return {}
    tuned = modality == "text" and fixed.get(f"{key}mode", "frozen") != "frozen"
    mine = ("backbone", "revision", "layers", "dtype", "freeze_layers", "max_seconds", "crops")
    _leave_out(file, [f"{key}{name}" for name in mine] if modality == "text" else [key])
    changes: dict[str, Any] = {f"{key}backbone": _NO_HUB[modality]}
    return changes | ({f"{key}freeze_layers": _TUNED_LAYERS} if tuned else {})


def _leave_out(file: YamlFile, prefixes: list[str]) -> None:
    """Remove keys from `fixed`, `params` and `points`. Args: prefixes: dotted keys, or what they begin with."""
    begins = tuple(prefixes)
    fixed = flatten(_mapping(file.data.get("fixed")))
    file.data["fixed"] = {key: value for key, value in fixed.items() if not key.startswith(begins)}
    points = file.data.get("points")
    for part in [_mapping(file.data.get("params")), *(points if isinstance(points, list) else [])]:
        if isinstance(part, dict):
            for key in [key for key in part if str(key).startswith(begins)]:
                del part[key]


def _machine(resources: Mapping[str, Any]) -> dict[str, Any]:
    return {"resources.gpu": 0, "resources.cpu": 1} if resources.get("gpu") else {}


def _budget(file: YamlFile, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Bound trials, and epochs where an encoder is tuned: these take minutes each."""
    fixed = {**flatten(_mapping(file.data.get("fixed"))), **changes}
    tuned = any(fixed.get(f"encoders.{name}.mode", "frozen") != "frozen" for name in _NO_HUB)
    budget, usual = _mapping(file.data.get("budget")), Budget()
    trials, epochs = budget.get("trials", usual.trials), budget.get("epochs", usual.epochs)
    most = _MOST_TUNED_TRIALS if tuned else _MOST_TRIALS
    smaller: dict[str, Any] = {"budget.trials": most} if isinstance(trials, int) and trials > most else {}
    if tuned and isinstance(epochs, int) and epochs > _MOST_TUNED_EPOCHS:
        smaller |= {"budget.epochs": _MOST_TUNED_EPOCHS, "scheduler.grace_epochs": 1}
    return smaller


def _names(fixed: Mapping[str, Any], params: Mapping[str, Any], prefix: str) -> bool:
    """Tell whether a space has a key below a prefix."""
    return any(str(key).startswith(f"{prefix}.") for key in (*fixed, *params))


def _mapping(value: Any) -> dict[str, Any]:
    """Return a mapping as it is; {} for anything else, which is refused elsewhere."""
    return value if isinstance(value, dict) else {}
