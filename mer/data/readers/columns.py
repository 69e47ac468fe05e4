"""Which column of a user's file says what: as named in `data.columns`, else guessed from usual names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mer.config import Columns
from mer.data.media.paths import VIDEO
from mer.data.readers.split_files import split_of
from mer.data.tables import Row, Table
from mer.errors import MerError, did_you_mean

# Usual names, the surest first, without case, spaces and marks: Utterance_ID is "utteranceid".
_USUAL: dict[str, tuple[str, ...]] = {
    "text": (
        "text", "utterance", "sentence", "transcript", "transcription", "transcribedtext", "content", "message",
        "comment", "tweet", "phrase", "words", "statement",
        "文本", "句子", "内容", "话语", "texte", "satz", "texto", "текст",
    ),
    "label": (
        "label", "emotion", "class", "category", "target", "emotions", "labels", "emotionlabel", "labelname",
        "annotation", "gold", "goldlabel", "标签", "情感", "情绪", "类别", "emotionen", "gefühl", "émotion", "emoción",
        "эмоция", "feeling", "mood", "sentiment", "polarity",
    ),
    "speaker": (
        "speaker", "speakerid", "speakername", "spk", "spkid", "actor", "actorid", "character", "person", "subject",
        "participant", "role", "user", "说话人", "sprecher", "locuteur",
    ),
    "dialogue": (
        "dialogueid", "dialogid", "dialogue", "dialog", "conversationid", "conversation", "convid", "conv", "sessionid",
        "session", "sceneid", "scene", "threadid", "thread", "对话",
    ),
    "turn": ("turn", "turnid", "turnnumber", "turnno", "utteranceid", "utteranceno", "utterancenumber", "uttid",
             "position", "order"),
    "split": ("split", "set", "mode", "subset", "partition", "fold", "usage"),
    "start": ("start", "starttime", "starts", "begin", "begintime", "onset", "startsec", "startseconds"),
    "end": ("end", "endtime", "ends", "stop", "stoptime", "offset", "endsec", "endseconds"),
    "audio": (
        "audio", "wav", "audiopath", "audiofile", "wavpath", "wavfile", "path", "file", "filename", "filepath", "sound",
        "clip", "clippath", "音频",
    ),
    "video": ("video", "videopath", "videofile", "mp4", "视频"),
    "id": ("id", "utteranceid", "uttid", "uid", "segmentid", "segment", "sampleid", "clipid", "name", "key"),
    "session": (),
}  # fmt: skip
_SENTIMENTS = ("sentiment", "polarity")  # a column of its own beside one of emotions
_PART = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Roles:
    """What each column says.

    Args:
        named: role -> column, or a text with columns in braces: "s{Season}e{Episode}".
        guessed: the roles that nobody named.
        beside: role -> further columns that might have been meant.
    """

    named: Mapping[str, str]
    guessed: tuple[str, ...]
    beside: Mapping[str, tuple[str, ...]]

    def __contains__(self, role: object) -> bool:
        return role in self.named

    def cell(self, row: Row, role: str) -> str:
        """Return the cell of a role, "" where no column has it."""
        said = self.named.get(role)
        if said is None:
            return ""
        return fill(said, row) if _PART.search(said) else row.text(said)

    def column(self, role: str) -> str:
        """Name the column of a role, for messages."""
        return self.named.get(role, role)

    @property
    def words(self) -> str:
        """Say which column was taken for what: "text from sentence, label from 情感 (also there: class)"."""
        parts = []
        for role, column in self.named.items():
            also = f" (also there: {', '.join(self.beside[role])})" if self.beside.get(role) else ""
            parts.append(f"{role} from {column}{also}")
        return ", ".join(parts)


def fill(template: str, row: Row) -> str:
    """Put cells into a text with columns in braces; a format as in {Season:02d} is of a whole number."""

    def put(match: re.Match[str]) -> str:
        column, _, form = match.group(1).partition(":")
        return format(row.integer(column), form) if form else row.text(column).strip()

    return _PART.sub(put, template)


def find_roles(table: Table, columns: Columns, task: str, targets: Sequence[str] = (), *, guess: bool = True) -> Roles:
    """Find the column of each role.

    Args:
        task: what is predicted; a column `sentiment` beside one of emotions is another task's.
        targets: columns of `data.targets`, which stand for the label.
        guess: take columns of usual names for the roles that are not named.
    Raises: MerError for a named column that the file does not have.
    """
    for target in targets:
        _require(table, "data.targets", target)
    named: dict[str, str] = {}
    for role, said in columns.model_dump().items():
        _require(table, f"data.columns.{role}", said)
        named[role] = said
    beside: dict[str, tuple[str, ...]] = {}
    taken = {part for said in named.values() for part in columns_in(said)} | set(targets)
    by_name: dict[str, str] = {}
    for column in table.columns:
        by_name.setdefault(folded(column), column)
    for role, usual in _USUAL.items() if guess else ():
        if role in named or (role == "label" and targets):
            continue
        if role == "turn" and "dialogue" not in named:
            continue
        if role == "label" and task == "sentiment":
            usual = (*_SENTIMENTS, *usual)
        found = [by_name[name] for name in dict.fromkeys(usual) if name in by_name and by_name[name] not in taken]
        if role == "label" and len(found) > 1:
            found = [column for column in found if (folded(column) in _SENTIMENTS) == (folded(found[0]) in _SENTIMENTS)]
        if role == "split":  # a column `set`, `mode` or `fold` may say something else
            found = [column for column in found if any(split_of(row.cells[column]) for row in table.rows)]
        if found:
            named[role], beside[role] = found[0], tuple(found[1:])
            taken.add(found[0])
    if "video" not in named and "audio" in named and _holds_videos(table, named["audio"]):
        named["video"] = named["audio"]
    guessed = tuple(role for role in named if role not in columns.model_dump())
    return Roles({role: named[role] for role in _USUAL if role in named}, guessed, beside)


def other_task_column(table: Table, roles: Roles) -> str | None:
    """Return the column of the task that is not predicted: sentiments beside emotions, or the other way round."""
    own = roles.named.get("label", "")
    is_sentiment = folded(own) in _SENTIMENTS
    wanted = [name for name in _USUAL["label"] if name not in _SENTIMENTS] if is_sentiment else _SENTIMENTS
    by_name = {folded(column): column for column in reversed(table.columns)}
    return next((by_name[name] for name in wanted if name in by_name and by_name[name] != own), None)


def folded(name: str) -> str:
    """Reduce a name to letters and digits, without case: " Utterance_ID" -> "utteranceid"."""
    return "".join(c for c in unicodedata.normalize("NFC", name).casefold() if c.isalnum())


def columns_in(said: str) -> Sequence[str]:
    """List the columns that a role stands for: one, or those in braces."""
    return [part.partition(":")[0] for part in _PART.findall(said)] or [said]


def _require(table: Table, key: str, said: str) -> None:
    for column in columns_in(said):
        if column not in table.columns:
            raise MerError(
                key,
                f"{table.path} has no column {column!r}.{did_you_mean(column, table.columns)}",
                allowed=", ".join(table.columns),
            )


def _holds_videos(table: Table, column: str) -> bool:
    """Tell whether a column of paths names videos: then the sound is in them."""
    cells = (fill(column, row) if _PART.search(column) else row.cells[column] for row in table.rows)
    first = next((cell for cell in cells if cell.strip()), "")
    return first.strip().lower().endswith(VIDEO)
