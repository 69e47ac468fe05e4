"""Refuse a teacher that cannot teach these students, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.checkpoints.export_folder import Export, read_export
from mer.config import ContextConfig, DataConfig, TrialConfig
from mer.data import open_corpus
from mer.errors import MerError
from mer.model_outputs import own_features
from mer.teacher_stages import stage_numbers

_WHERE = "distill.teacher"


def check_teacher(config: TrialConfig, opened: Export | None = None) -> Export:
    """Compare labels and context of the teacher with those of its students; return the teacher.

    Args: opened: the teacher, where it has been read before; every byte of it is checked when it is read.
    Raises: MerError when the students cannot learn from it.
    """
    assert config.distill is not None and config.distill.teacher is not None
    teacher = opened or read_export(config.distill.teacher)
    classes = tuple(open_corpus(config.data, ("train",)).label_names.get(config.data.label, ()))
    if teacher.kind != config.data.task:
        raise MerError(
            _WHERE,
            f"{teacher.folder} has data.task {teacher.kind}, its students {config.data.task}",
            allowed=f"a teacher with data.task {config.data.task}",
            then="train and export a teacher of that task, or change data.task",
        )
    if teacher.task != config.data.label or teacher.class_names != classes:
        raise MerError(
            _WHERE,
            f"{teacher.folder} predicts {teacher.task}: {', '.join(teacher.class_names)}",
            allowed=f"a teacher of the students' labels, {config.data.label}: {', '.join(classes)}",
            then="train and export a teacher on this dataset and label, or change data.label",
        )
    if config.review_stages:
        stage_numbers(teacher, config.review_stages)
    if not config.distill.other_context:
        _refuse_other_context(config, teacher)
    return teacher


def _refuse_other_context(config: TrialConfig, teacher: Export) -> None:
    """Refuse a teacher that reads other turns than its text student, or later turns than its students may see."""
    theirs, own = teacher.config.encoders.text, config.encoders.text
    offline = _is_offline(teacher.config) and not _is_offline(config)
    if own is not None and theirs is not None and own.context != theirs.context:
        found = f"{teacher.folder} reads {_turns(theirs.context)}, the text student {_turns(own.context)}"
        allowed = "the same context: set encoders.text.context to the teacher's"
    elif offline or (own is None and theirs is not None and theirs.context.future and not _is_offline(config)):
        turns = "later turns (dialogue.setting)" if theirs is None or offline else _turns(theirs.context)
        found = f"{teacher.folder} reads {turns}: it is offline, and its students are online"
        allowed = "a teacher without later turns"
    else:
        return
    raise MerError(_WHERE, found, allowed=allowed, then="if that is what you want: distill.other_context: true")


def _is_offline(config: TrialConfig) -> bool:
    return getattr(config.dialogue, "setting", "online") == "offline"


def _turns(context: ContextConfig) -> str:
    return f"{context.past} earlier and {context.future} later turns in {context.max_tokens} tokens"


def refuse_other_data(teacher: Export, data: DataConfig, splits: Sequence[str], cache: Path) -> None:
    """Refuse a teacher that was trained on other utterances: dev may have been among them.

    The names of feature files are content hashes, so comparing names is enough. Raises: MerError.
    """
    for split in splits:
        then = str(teacher.provenance.get("features", {}).get(split, "")).split(" + ")
        now = [path.name for path in own_features(teacher, data, split, cache=cache).values()]
        if other := [name for name in now if name not in then]:
            raise MerError(
                _WHERE,
                f"{teacher.folder} was trained on other utterances than those in {data.root}, or its backbone "
                f"has changed ({split}: {', '.join(then)} then, {', '.join(other)} now)",
                allowed="a teacher that was searched on this train and dev split",
                then="name its data with --set data.root=..., or train and export a teacher on these",
            )
