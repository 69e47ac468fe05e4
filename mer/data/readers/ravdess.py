"""RAVDESS speech, as sound or as videos: acted sentences, not conversations; every utterance is a dialogue of its own.

A file name consists of seven codes, modality-channel-emotion-intensity-statement-repetition-actor; all labels come from
it. Two layouts are read: a `metadata.csv` that names the files, or the distribution's folders Actor_01 to Actor_24.
One performance is there up to three times: as sound (03), as video with sound (01) and as video without (02).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mer.config import DataConfig
from mer.data.readers.csv_dataset import folder_of, require_folder
from mer.data.readers.labels import RAVDESS_EMOTIONS
from mer.data.readers.relabelled import published_corpus
from mer.data.readers.split_files import SPLITS
from mer.data.tables import Row, parse_rows, raise_faults, read_rows
from mer.data.tables.times import length_s
from mer.data.types import Corpus, Dialogue, Unit, Utterance, dialogue_of
from mer.errors import MerError

# No speaker is in two splits. Some copies lack actors 21 to 24 and so have no test split.
ACTORS = {"train": range(1, 17), "dev": range(17, 21), "test": range(21, 25)}
STATEMENTS = ("Kids are talking by the door", "Dogs are sitting by the door")
INTENSITIES = ("normal", "strong")
INTENSITY = "intensity"  # the number that is predicted with data.task: regression: 1 normal, 2 strong
SOUNDS = (".wav", ".flac")
VIDEOS = (".mp4",)
METADATA = "metadata.csv"
OPTIONAL = ("actor", "gender", "emotion", "intensity", "statement", "text", "repetition", "duration_s")

# (name, allowed codes, the same in words), in the order of the file name
_CODES = (
    ("modality", ("01", "02", "03"), "01 (video with sound), 02 (video alone) or 03 (sound)"),
    ("channel", ("01",), "01 (speech)"),
    ("emotion", tuple(f"{n:02d}" for n in range(1, 9)), "01 to 08"),
    ("intensity", ("01", "02"), "01 or 02"),
    ("statement", ("01", "02"), "01 or 02"),
    ("repetition", ("01", "02"), "01 or 02"),
    ("actor", tuple(f"{n:02d}" for n in range(1, 25)), "01 to 24"),
)


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of a file name, as `metadata.csv` writes them."""

    emotion: str
    intensity: str
    statement: int
    repetition: int
    actor: int

    @property
    def text(self) -> str:
        return STATEMENTS[self.statement - 1]

    @property
    def gender(self) -> str:
        return "male" if self.actor % 2 else "female"

    @property
    def split(self) -> str:
        return next(split for split, actors in ACTORS.items() if self.actor in actors)


def read_codes(stem: str) -> Codes:
    """Read the codes of a file name without its suffix. Raises: ValueError saying which code is wrong."""
    parts = stem.split("-")
    if len(parts) != len(_CODES):
        raise ValueError(f"{stem!r} has {len(parts)} parts, not the seven of RAVDESS, as in 03-01-06-01-02-01-12")
    for part, (name, allowed, words) in zip(parts, _CODES, strict=True):
        if part not in allowed:
            raise ValueError(f"{stem!r}: the {name} code is {part!r}, allowed: {words}")
    emotion, intensity, statement, repetition, actor = map(int, parts[2:])
    return Codes(RAVDESS_EMOTIONS[emotion - 1], INTENSITIES[intensity - 1], statement, repetition, actor)


def actor_of(utterance_id: str) -> str:
    """ "dev/03-01-06-01-02-01-17_utt0" -> "Actor_17"."""
    return _actor(read_codes(dialogue_of(utterance_id).rpartition("/")[2]))


def _actor(codes: Codes) -> str:
    return f"Actor_{codes.actor:02d}"


ACTOR = Unit("actor", actor_of)


@dataclass(frozen=True, slots=True)
class Ravdess:
    """Reader of RAVDESS (see `mer.data.readers.csv_dataset.Reader`)."""

    name: str = "ravdess"

    @property
    def unit(self) -> Unit:
        """An actor speaks 60 of the clips, so clips are not independent though each is a dialogue of its own."""
        return ACTOR

    def knows(self, root: Path) -> bool:
        return _names_files(root / METADATA) if (root / METADATA).is_file() else bool(_clips(root))

    def present(self, data: DataConfig) -> tuple[str, ...]:
        """List the splits that have an utterance. Raises: MerError if names and metadata disagree."""
        root = folder_of(data)
        return tuple(self._all(root)) if (root / METADATA).is_file() or _clips(root) else ()

    def read(self, data: DataConfig, splits: Sequence[str]) -> Corpus:
        """Read these splits. Raises: MerError if one has no file, or if names and metadata disagree."""
        root = folder_of(data)
        require_folder(root, f"a folder with {METADATA}, or with the folders Actor_01 to Actor_24", _advice(root))
        found = self._all(root)
        for split in splits:
            if split not in found:
                actors = ACTORS[split]
                raise MerError(
                    root,
                    f"no utterance of the {split} split: its actors, {actors[0]} to {actors[-1]}, are not in this copy",
                    allowed=", ".join(found),
                    then=f"ask for the other splits only (--splits {','.join(found)}), or add the missing actors",
                )
        corpus = published_corpus(self.name, root, found, splits, {"emotion": RAVDESS_EMOTIONS}, data)
        if data.task == "regression":
            corpus = _of_intensity(corpus, data)
        return replace(corpus, links="inside") if (root / METADATA).is_file() else corpus  # the file names the paths

    def official(self, root: Path, split: str) -> bool | None:
        return None

    def _all(self, root: Path) -> dict[str, tuple[Dialogue, ...]]:
        """Read every split that has an utterance, in the usual order of splits."""
        utterances = _from_metadata(root / METADATA) if (root / METADATA).is_file() else _from_folders(root)
        dialogues = {
            split: tuple(Dialogue(f"{split}/{u.dialogue}", (u,)) for u in utterances if u.split == split)
            for split in SPLITS
        }
        return {split: found for split, found in dialogues.items() if found}


RAVDESS = Ravdess()


def _of_intensity(corpus: Corpus, data: DataConfig) -> Corpus:
    """Give every utterance the intensity that its name says, as a number. Raises: MerError for another target."""
    if wrong := next((name for name, _ in data.targets if name != INTENSITY), None):
        raise MerError("data.targets", f"RAVDESS says no {wrong!r} of its clips", allowed=INTENSITY)

    def of(utterance: Utterance) -> Utterance:
        strength = INTENSITIES.index(read_codes(utterance.dialogue).intensity) + 1
        return utterance.changed(targets=(float(strength),), **{data.label: ""})

    splits = {
        split: tuple(replace(one, utterances=tuple(map(of, one.utterances))) for one in dialogues)
        for split, dialogues in corpus.splits.items()
    }
    return replace(corpus, splits=splits, label_names={data.label: (INTENSITY,)}, kind="regression")


def _from_metadata(path: Path) -> list[Utterance]:
    first_line: dict[str, int] = {}

    def parse(row: Row) -> Utterance:
        audio = row.cells["file"].strip()
        stem = PurePosixPath(audio.replace("\\", "/")).stem
        codes = _agreed(row, stem)
        if stem in first_line:
            raise row.fault(f"{stem} is there twice", f"each file once; line {first_line[stem]} has it already")
        first_line[stem] = row.line
        return _utterance(codes, stem, audio, length_s(row.cells.get("duration_s", "")) or None)

    advice = "correct the file, or remove it if the folders Actor_01 ... are here: names alone say every label"
    utterances, faults = parse_rows(read_rows(path, ("file",), advice, optional=OPTIONAL), parse)
    raise_faults(path, faults, advice)
    return utterances


def _agreed(row: Row, stem: str) -> Codes:
    """Read the codes of a row's file. Raises: MerError if a cell disagrees with them."""
    try:
        codes = read_codes(stem)
    except ValueError as fault:
        raise row.fault(str(fault)) from None
    for column in OPTIONAL:
        cell = row.cells.get(column, "").strip()
        if column == "duration_s" or not cell:
            continue
        said = getattr(codes, column)
        same = (cell.isdecimal() and int(cell) == said) if isinstance(said, int) else cell.lower() == said.lower()
        if not same:
            raise row.fault(f"{column} is {cell!r}, the file name {stem} says {str(said)!r}", "both the same")
    return codes


def _from_folders(root: Path) -> list[Utterance]:
    files = _clips(root)
    if not files:
        raise MerError(
            root,
            f"neither {METADATA} nor a folder Actor_01 ... with 03-01-*.wav or 01-01-*.mp4 is here",
            allowed=f"a folder with {METADATA}, or with the folders Actor_01 to Actor_24",
            then=_advice(root),
        )
    performances: dict[str, dict[str, Path]] = {}  # codes without the modality -> modality -> file
    faults = []
    for file in files:
        try:
            read_codes(file.stem)
        except ValueError as fault:
            faults.append(MerError(file, str(fault)))
            continue
        modality, _, performance = file.stem.partition("-")
        forms = performances.setdefault(performance, {})
        if modality in forms:
            also = forms[modality].relative_to(root).as_posix()
            faults.append(MerError(file, f"{file.stem} is there twice: also {also}"))
        forms[modality] = file
    raise_faults(root, faults, "remove or rename these files")
    return [_performed(root, forms) for forms in performances.values()]


def _performed(root: Path, forms: Mapping[str, Path]) -> Utterance:
    """Make the utterance of a performance from the forms in which it is there, by their code of modality."""
    named = forms[max(forms)]  # by its sound where there is one, as in copies that have sounds alone
    sound, video = forms.get("03"), forms.get("01") or forms.get("02")
    audio, seen = (None if path is None else path.relative_to(root).as_posix() for path in (sound, video))
    return _utterance(read_codes(named.stem), named.stem, audio, None).changed(video=seen)


def _clips(root: Path) -> list[Path]:
    """List the distribution's files of speech, sorted: below `root`, or one folder further down."""
    for level in ("", "*/"):
        found = [
            path
            for path in root.glob(f"{level}Actor_*/0[123]-01-*")
            if path.suffix.lower() in (SOUNDS if path.name.startswith("03") else VIDEOS)
        ]
        if found:
            return sorted(found)
    return []


def _utterance(codes: Codes, stem: str, audio: str | None, length_s: float | None) -> Utterance:
    """Make the utterance. `audio` is unchecked: `clip_path` refuses a path that leaves the root."""
    return Utterance(
        split=codes.split,
        dialogue=stem,
        number=0,
        speaker=_actor(codes),
        text=codes.text,
        emotion=codes.emotion,
        sentiment=None,
        start_s=None if length_s is None else 0.0,
        end_s=length_s,
        audio=audio,
        video=audio if audio and audio.lower().endswith(VIDEOS) else None,
    )


def _names_files(path: Path) -> bool:
    """Tell whether a metadata.csv names files of RAVDESS: other datasets have a file of that name too."""
    try:
        first = read_rows(path, ("file",), "")[0]
        read_codes(PurePosixPath(first.cells["file"].strip().replace("\\", "/")).stem)
    except (MerError, ValueError):
        return False
    return True


def _advice(root: Path) -> str:
    return (
        f"unpack Audio_Speech_Actors_01-24 or the Video_Speech_Actor archives of RAVDESS (Livingstone, Russo 2018) in "
        f"{root}, or --set data.root=FOLDER"
    )
