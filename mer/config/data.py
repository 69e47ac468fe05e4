"""Where a trial's utterances come from, how their file is read, and the label that is predicted.

A corpus described in a YAML file of its own (`data.dataset: ./mycorpus.yaml`) has the same keys, without `data.`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from mer.config.base import Frozen, TargetKind, Task
from mer.config.folds import Folds
from mer.errors import brief, did_you_mean

DATASETS = (
    "csv", "meld", "emorynlp", "ravdess", "iemocap", "iemocap4", "cremad", "dailydialog", "m3ed", "mosi", "mosei",
    "sims", "simsv2", "mer2023",
)  # fmt: skip


class Sparse(Frozen):
    """A part whose keys at their defaults are left out of its dump, so that a configuration keeps its hash."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {name: value for name, value in dump(self).items() if getattr(self, name) != fields[name].default}


def _label(value: Any) -> str:
    """Read a label as text. YAML reads yes and no as true and false, whose words are lost."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"got {brief(value)}, not the name of a label: put it in quotes")
    return str(value).strip()


Label = Annotated[str, BeforeValidator(_label), Field(min_length=1, max_length=200)]


def _pairs(value: Any) -> Any:
    """Take {new: [old, ...]} or {new: old} as pairs, which a frozen configuration can hash."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"got {brief(value)}: write {{new: [old, ...]}}")
    return tuple((new, old if isinstance(old, list | tuple) else (old,)) for new, old in value.items())


Merged = Annotated[
    tuple[tuple[Label, tuple[Label, ...]], ...],
    BeforeValidator(_pairs),
    PlainSerializer(lambda pairs: {new: list(old) for new, old in pairs}),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}),
]


def _targets(value: Any) -> Any:
    """Take [name, ...] or {name: column} as pairs of a name and its column."""
    if isinstance(value, dict):
        return tuple(value.items())
    if not isinstance(value, list | tuple):
        raise ValueError(f"got {brief(value)}: write [valence, arousal], or {{valence: COLUMN}}")
    return tuple(one if isinstance(one, tuple) else (one, one) for one in value)


Targets = Annotated[
    tuple[tuple[Label, Label], ...],
    BeforeValidator(_targets),
    PlainSerializer(lambda pairs: [a for a, _ in pairs] if all(a == b for a, b in pairs) else dict(pairs)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": {"type": "string"}},
            ]
        }
    ),
]


def _levels(value: Any) -> Any:
    """Take {word: number} as pairs, which a frozen configuration can hash."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"got {brief(value)}: write {{normal: 1, strong: 2}}")
    for number in value.values():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError(f"got {brief(number)}, not a number: write {{normal: 1, strong: 2}}")
    return tuple(value.items())


Levels = Annotated[
    tuple[tuple[Label, float], ...],
    BeforeValidator(_levels),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "number"}}),
]


def _range(value: Any) -> Any:
    """Take two numbers, the smaller one first."""
    if value is None:
        return None
    numbers = list(value) if isinstance(value, list | tuple) else []
    if len(numbers) != 2 or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise ValueError(f"got {brief(value)}: write two numbers, [-3, 3]")
    if not numbers[0] < numbers[1]:
        raise ValueError(f"got {brief(value)}: the smaller number comes first, [-3, 3]")
    return value


Range = Annotated[
    tuple[float, float] | None,
    BeforeValidator(_range),
    WithJsonSchema({"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]


class Columns(Sparse):
    """Which column of the user's file says what. What is not named is guessed from usual names."""

    text: str | None = Field(None, description="what was said")
    label: str | None = Field(None, description="the label that data.label predicts")
    speaker: str | None = Field(None, description="who said it")
    dialogue: str | None = Field(
        None, description="dialogue of the utterance: a column, or several as in 's{Season}e{Episode}'"
    )
    turn: str | None = Field(None, description="place of the utterance in its dialogue; else the order of the file")
    split: str | None = Field(None, description="train, dev (valid) or test")
    start: str | None = Field(None, description="start in the recording: seconds, or 0:01:02.5")
    end: str | None = Field(None, description="end in the recording")
    audio: str | None = Field(None, description="path of its sound, from the data folder")
    video: str | None = Field(None, description="path of its video, from the data folder")
    id: str | None = Field(None, description="name of the utterance")
    session: str | None = Field(None, description="recording session, for folds by session; never guessed")


class SplitFiles(Sparse):
    """The file of each split, where names do not tell."""

    train: str | None = Field(None, description="file of train, from the data folder; {split} stands for its name")
    dev: str | None = Field(None, description="file of dev")
    test: str | None = Field(None, description="file of test")


class SplitRule(Frozen):
    """How splits are made that the data do not have. They are made once, written down, and kept."""

    dev: float = Field(0.1, ge=0.0, lt=1.0, description="share of the training rows that becomes dev")
    test: float = Field(0.1, ge=0.0, lt=1.0, description="share of the training rows that becomes test")
    by: Literal["speaker", "dialogue", "row"] | None = Field(
        None, description="what is never cut: default dialogue where the data have dialogues, else speaker, else row"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="another seed, other splits")
    file: str | None = Field(None, description="where the splits are written; default beside the data")

    @model_validator(mode="after")
    def _leaves_train(self) -> SplitRule:
        if self.dev + self.test >= 1.0:
            raise ValueError(f"data.split: dev {self.dev:g} and test {self.test:g} leave nothing for train")
        return self


_ADDED = (
    "name", "columns", "files", "encoding", "labels", "merge_labels", "split",
    "task", "targets", "range", "levels", "separator", "folds",
)  # fmt: skip
_OF_TASKS = {  # keys that mean something with some tasks only
    "labels": ("class", "multilabel"), "merge_labels": ("class", "multilabel"), "targets": ("regression", "multilabel"),
    "range": ("regression",), "levels": ("regression",), "separator": ("multilabel",),
}  # fmt: skip


class DataConfig(Frozen):
    """The utterances that a trial reads, and the label that it predicts."""

    dataset: str = Field(
        "meld",
        description="how the data are read: csv (any CSV, TSV or JSON lines), meld (also the sample corpus), another "
        "published corpus (docs/corpora.md), or a YAML file that describes one; a search space without it: whatever "
        "the folder looks like",
    )
    root: str = Field(
        "datasets/MELD",
        description="folder of the data, or of csv also one file; a relative path starts where the command is typed",
    )
    label: Task = Field(
        "emotion",
        description="label to predict: MELD has 7 emotions and 3 sentiments, MOSI, MOSEI and SIMS sentiments, other "
        "datasets emotions",
    )
    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$", description="name of a user's corpus in folders and on cards"
    )
    columns: Columns = Columns()
    files: SplitFiles = SplitFiles()
    encoding: str | None = Field(
        None, description="of a text file that is neither UTF-8, UTF-16 nor cp1252, e.g. gb18030, cp1251, shift_jis"
    )
    labels: tuple[Label, ...] = Field(
        (), description="class names in this order; other labels are context. Default: those of train by frequency"
    )
    merge_labels: Merged = Field((), description="one class of several labels: {happy: [joy, excited]}")
    split: SplitRule | None = Field(None, description="how to make splits that the data do not have")
    folds: Folds = Field(
        None,
        description="divide all rows anew: session | speaker (one fold for each), a number of folds, or {by, k, seed, "
        "search_folds, mixed_speakers}; a trial trains every fold, its score is their mean",
    )
    task: TargetKind = Field(
        "class",
        description="what is predicted of an utterance: class (one label) | regression (one number or several) | "
        "multilabel (any number of labels)",
    )
    targets: Targets = Field(
        (),
        description="columns of the numbers (regression), or of the labels, one column each (multilabel): [valence, "
        "arousal], or {valence: COLUMN}; default: the column of the label",
    )
    range: Range = Field(
        None,
        description="allowed numbers, ends included; the accuracies of MOSI need [-3, 3], those of CH-SIMS [-1, 1]",
    )
    levels: Levels = Field((), description="words that stand for numbers: {normal: 1, strong: 2}")
    separator: str | None = Field(
        None, min_length=1, max_length=10, description="what parts several labels of one cell; default: ; or | or ,"
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys that came later and are not used, so that older configurations keep their hashes."""
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if name not in _ADDED or getattr(self, name) != fields[name].default
        }

    @field_validator("dataset")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in DATASETS:
            return value
        allowed = f"{', '.join(DATASETS)}, or in a search space a YAML file that describes a corpus"
        raise ValueError(f"got {brief(value)}.{did_you_mean(value, DATASETS)} Allowed: {allowed}")

    @model_validator(mode="after")
    def _labels_once(self) -> DataConfig:
        """Refuse labels that are named twice, and one label."""
        folded = [label.casefold() for label in self.labels]
        if repeated := next((label for label in self.labels if folded.count(label.casefold()) > 1), None):
            raise ValueError(f"data.labels: {repeated!r} is there twice")
        if len(self.labels) == 1:
            raise ValueError(f"data.labels: {self.labels[0]!r} alone leaves nothing to tell apart")
        merged = [old.casefold() for _, olds in self.merge_labels for old in olds]
        if twice := next((old for old in merged if merged.count(old) > 1), None):
            raise ValueError(f"data.merge_labels: {twice!r} is merged twice")
        return self

    @model_validator(mode="after")
    def _one_way_of_dividing(self) -> DataConfig:
        if self.folds is not None and self.split is not None:
            raise ValueError("data.folds divides all rows: data.split has no place beside it, remove one of the two")
        return self

    @model_validator(mode="after")
    def _keys_of_the_task(self) -> DataConfig:
        """Refuse keys that mean nothing with the task, and targets that are named twice."""
        fields = type(self).model_fields
        for name, tasks in _OF_TASKS.items():
            if self.task not in tasks and getattr(self, name) != fields[name].default:
                raise ValueError(
                    f"data.{name} is of data.task {' and '.join(tasks)}, and data.task is {self.task}: remove it, or "
                    f"set data.task: {tasks[0]}"
                )
        for what, named in (("name", [a for a, _ in self.targets]), ("column", [b for _, b in self.targets])):
            if twice := next((one for one in named if named.count(one) > 1), None):
                raise ValueError(f"data.targets: the {what} {twice!r} is there twice")
        if self.task == "multilabel" and len(self.targets) == 1:
            raise ValueError(f"data.targets: {self.targets[0][0]!r} alone is not several labels: use data.task: class")
        if self.targets and self.labels:
            raise ValueError("data.targets and data.labels both name the labels: remove one of the two")
        if self.targets and self.merge_labels:
            raise ValueError("data.merge_labels merges labels of one column, and data.targets names several: remove it")
        for word, number in self.levels:
            if self.range is not None and not self.range[0] <= number <= self.range[1]:
                raise ValueError(f"data.levels: {word!r} is {number:g}, outside data.range {list(self.range)}")
        return self

    @property
    def corpus_name(self) -> str:
        """The name in folders of features and studies: that of a user's corpus, or its reader's."""
        return self.name or self.dataset
