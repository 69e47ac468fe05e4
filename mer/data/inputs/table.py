"""A file of utterances for prediction, read as a user's corpus is: with labels or without, texts or clips alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from mer.config import Columns, DataConfig
from mer.data.inputs.typed import SPLIT, Inputs
from mer.data.readers.class_names import label_reader
from mer.data.readers.columns import Roles, columns_in, find_roles
from mer.data.readers.meld import meld_clips
from mer.data.readers.row_cells import clip_name, dialogue_name, row_names, speaker_name
from mer.data.readers.split_files import SPLITS
from mer.data.readers.targets import lenient_reader
from mer.data.tables import Row, Table, parse_rows, raise_faults, read_table, refuse_other_kind
from mer.data.tables.row import whole_number
from mer.data.types import Dialogue, Utterance
from mer.errors import MerError

_FIX = "correct the file"
_WANTED = {
    "text": "a column text (utterance, sentence, transcript)",
    "audio": "a column of paths (audio, wav, path, file_name)",
    "video": "a column of paths (video, path, file_name)",
}
_SCENES = ("Season", "Episode", "Scene_ID")  # EmoryNLP: scenes are numbered anew in each episode
_SCENE = "s{Season:02d}e{Episode:02d}sc{Scene_ID:02d}"


def from_table(
    path: Path,
    data: DataConfig,
    *,
    class_names: Sequence[str],
    reads: Sequence[str],
    speaker: str,
    named: Columns | None = None,
) -> Inputs:
    """Read a file of utterances; one without a dialogue is a dialogue of its own.

    A label that is none of the model's classes, or is blank, costs its score alone. Clips of a file named like MELD's
    (dev_sent_emo.csv) are looked for in MELD's folders beside it (audios/dev/).

    Args:
        data: how the model's own data were read: its columns count where the file has them.
        reads: the modalities that the model reads from texts and clips themselves.
        speaker: who speaks where the file does not say.
        named: columns that the user names; they must be there.
    Raises: MerError or Faults, naming file and line.
    """
    refuse_other_kind(path)
    table = read_table(path, _FIX, encoding=data.encoding)
    if not table.rows:
        raise MerError(path, "no utterance in it: there is nothing to classify", then=_FIX)
    roles = find_roles(table, _columns(table, data, named or Columns()), data.label)
    folder = next((split for split in SPLITS if path.name == f"{split}_sent_emo.csv"), None)
    _refuse_other_columns(table, roles, reads, by_place=folder is not None or "id" in roles)
    utterances, faults = parse_rows(table.rows, _parser(table, roles, speaker, folder))
    raise_faults(path, faults, _FIX)
    labels, said = _labels(table, roles, data, class_names) if data.task == "class" else ([""] * len(utterances), ())
    if data.task != "class":
        targets = lenient_reader(table, roles, data, class_names)
        utterances = [u.changed(targets=targets(row)) for u, row in zip(utterances, table.rows, strict=True)]
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for place, utterance in enumerate(utterances):
        groups[utterance.dialogue].append(place)
    ordered = {name: sorted(rows, key=lambda row: utterances[row].number) for name, rows in groups.items()}
    places = tuple(place for rows in ordered.values() for place in rows)
    unusual = f"; {', '.join(table.unusual)}" if table.unusual else ""
    return Inputs(
        tuple(Dialogue(f"{SPLIT}/{name}", tuple(utterances[row] for row in rows)) for name, rows in ordered.items()),
        places,
        tuple(labels[place] for place in places) if any(labels) else (),
        (f"{path.name}: {roles.words}{unusual}", *said),
        "inside" if folder is None or "audio" in roles or "video" in roles else "anywhere",
    )


def _columns(table: Table, data: DataConfig, named: Columns) -> Columns:
    """Put together what the user names, what the model's own data named, and the dialogues of EmoryNLP's file."""
    known = {role: said for role, said in data.columns.model_dump().items() if _is_there(table, said)}
    if set(_SCENES) <= set(table.columns):
        known.setdefault("dialogue", _SCENE)
    return Columns(**{**known, **named.model_dump()})


def _is_there(table: Table, said: str) -> bool:
    return all(column in table.columns for column in columns_in(said))


def _refuse_other_columns(table: Table, roles: Roles, reads: Sequence[str], *, by_place: bool) -> None:
    """Refuse a file that has nothing of what the model reads.

    Args:
        reads: nothing for a model of features that others extracted, which are found by the names of utterances.
        by_place: clips may be found without paths.
    """
    if not reads:
        return
    there = {role for role in ("text", "audio", "video") if role in roles}
    there |= {"audio"} if "video" in there else set()
    there |= {"audio", "video"} if by_place else set()
    if there & set(reads):
        return
    raise MerError(
        f"{table.path}:1",
        f"no column for a model that reads {', '.join(reads)}; the header has {', '.join(table.columns)}",
        allowed="; ".join(_WANTED[modality] for modality in reads),
        then=f"name it: --set data.columns.{reads[0]}=COLUMN",
    )


def _parser(table: Table, roles: Roles, speaker: str, folder: str | None) -> Callable[[Row], Utterance]:
    """Make the function that reads a row. Args: folder: split whose clips lie beside the file, as MELD's do."""
    numbered = "turn" in roles and all(whole_number(roles.cell(row, "turn")) is not None for row in table.rows)
    named = row_names(table, roles)
    counted: Counter[str] = Counter()
    lines: dict[tuple[str, int], int] = {}

    def parse(row: Row) -> Utterance:
        said = roles.cell(row, "dialogue").strip()
        dialogue = (
            (dialogue_name(row, roles) if table.path.suffix.lower() in (".csv", ".tsv") else said) if said else ""
        )
        dialogue = dialogue or named(row)
        number = whole_number(roles.cell(row, "turn")) if numbered else counted[dialogue]
        assert number is not None
        counted[dialogue] += 1
        if (dialogue, number) in lines:
            found = f"dialogue {dialogue} utterance {number} is there twice"
            raise row.fault(found, f"each utterance once; line {lines[dialogue, number]} has it already")
        lines[dialogue, number] = row.line
        audio, video = (clip_name(roles.cell(row, role), table.path.parent) for role in ("audio", "video"))
        if folder is not None and audio is None and video is None:
            audio, video = meld_clips(folder, dialogue, number)
        if "audio" not in roles and "video" not in roles and "id" in roles:
            audio = video = named(row)  # a clip of that name, with any ending, beside the file
        return Utterance(
            split=SPLIT,
            dialogue=dialogue,
            number=number,
            speaker=speaker_name(row, roles) or speaker,
            text=roles.cell(row, "text"),
            emotion="",
            sentiment=None,
            start_s=None,
            end_s=None,
            audio=audio,
            video=video,
            name=named(row) if "id" in roles else "",
        )

    return parse


def _labels(
    table: Table, roles: Roles, data: DataConfig, class_names: Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the class of each row, "" where it has none that the model knows, and a line on those."""
    cells = [roles.cell(row, "label") for row in table.rows]
    read = label_reader([], data, class_names)
    labels = [name if (name := read(cell)) in class_names else "" for cell in cells]
    foreign = Counter(cell.strip() for cell, label in zip(cells, labels, strict=True) if cell.strip() and not label)
    if not foreign:
        return labels, ()
    first = ", ".join(repr(label) for label, _ in foreign.most_common(3)) + (" ..." if len(foreign) > 3 else "")
    rows = "1 row has a label" if foreign.total() == 1 else f"{foreign.total()} rows have labels"
    return labels, (f"{rows} that the model does not know ({first}): not scored",)
