"""Studies that cannot begin: each case spoils one in a folder of its own, and says the words of its refusal."""

from __future__ import annotations

import io
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import text_backbones
from rich.console import Console
from safetensors.torch import load_file
from study_helpers import SMALL, open_ledger, write_space

from mer.errors import MerError
from mer.study.preflight.run_options import RunOptions
from mer.study.runner import run_study
from mer.study.space.load import load_spec

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import clip, voice, write_csv, write_sound

backbone = text_backbones.backbone
TEXT = "text: {backbone: minilm}"
HEARD = SMALL.replace("trainable: text", "trainable: audio").replace(TEXT, "audio: {backbone: melstats}")
SEEN = SMALL.replace("trainable: text", "trainable: video").replace(TEXT, "video: {backbone: framestats}")


class Place:
    """A folder with a small corpus, and a study that is typed in it."""

    def __init__(self, folder: Path, backbone: Callable[..., Path]) -> None:
        self.folder, self.backbone = folder, backbone
        self.corpus = folder / "corpus"
        for split, labels in (("train", ["joy", "anger", "neutral"] * 4), ("dev", ["joy", "anger", "neutral"])):
            write_csv(self.corpus, split, labels)
        self.options = RunOptions(folder / "studies", folder / "features", command="python -m mer.tune space.yaml")
        self.text, self.overrides = SMALL, [f"data.root={self.corpus}"]

    def files(self) -> list[Path]:
        """All but the cache of features, where a study remembers hashes of weights."""
        return [path for path in sorted(self.folder.rglob("*")) if self.options.cache not in (path, *path.parents)]

    def typed(self, run: Callable[..., Any]) -> str:
        """Run, and return what it refused; nothing may be left of it."""
        path = write_space(self.folder, text=self.text)
        before = self.files()
        with pytest.raises(MerError) as caught:
            run(load_spec(path, tuple(self.overrides)), self.options, Console(file=io.StringIO()))
        assert self.files() == before, "something was left behind"
        assert run is run_study or not self.options.cache.exists()
        return str(caught.value)


@pytest.fixture
def place(tmp_path: Path, backbone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, backbone)


def no_clip(place: Place) -> str:
    place.text = HEARD
    return "no audio clip of split 'train' is there: looked for audios/train/dia0_utt0.flac"


def no_clip_of_dev(place: Place) -> str:
    place.text = HEARD
    write_sound(clip(place.corpus, "audio", "train", 0), voice(0.3))
    return "no audio clip of split 'dev' is there"


def no_video(place: Place) -> str:
    place.text = SEEN
    return "no video clip of split 'train' is there"


def no_gpu(place: Place) -> str:
    place.overrides.append("resources.gpu=1")
    return "a trial asks for cpu 1 and gpu 1"


def too_many_cpus(place: Place) -> str:
    place.overrides.append("resources.cpu=512")
    return "a trial asks for cpu 512 and gpu 0"


def no_dev_split(place: Place) -> str:
    (place.corpus / "dev_sent_emo.csv").unlink()
    return "no dev_sent_emo.csv"


def root_is_a_file(place: Place) -> str:
    shutil.rmtree(place.corpus)
    place.corpus.write_text("not a folder")
    return "is no table of utterances"


def broken_table(place: Place) -> str:
    (place.corpus / "dev_sent_emo.csv").write_bytes(b"\x00\x01\x02")
    return "dev_sent_emo.csv"


def pickled_text(place: Place) -> str:
    shutil.copytree(place.backbone("bert"), place.folder / "bert")
    (place.folder / "bert/model.safetensors").rename(place.folder / "bert/pytorch_model.bin")
    place.overrides.append("encoders.text.backbone=./bert")
    return "no model.safetensors (pickled weights are there"


def half_a_checkpoint(place: Place) -> str:
    """A folder with all its files that does not load."""
    from safetensors.torch import save_file

    shutil.copytree(place.backbone("bert"), place.folder / "bert")
    weights = load_file(place.folder / "bert/model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, place.folder / "bert/model.safetensors", metadata={"format": "pt"})
    place.overrides.append("encoders.text.backbone=./bert")
    return "1 weights of BertModel are not in the checkpoint"


def no_tokenizer(place: Place) -> str:
    shutil.copytree(place.backbone("bert"), place.folder / "bert")
    for file in (place.folder / "bert").glob("*token*"):
        file.unlink()
    place.overrides.append("encoders.text.backbone=./bert")
    return "no tokenizer in this backbone"


def hub_id_offline(place: Place) -> str:
    place.overrides.append("encoders.text.backbone=nobody/nothing")
    return "HF_HUB_OFFLINE is set"


def class_that_dev_lacks(place: Place) -> str:
    place.overrides.append("objective.metric=dev_f1_disgust")
    return "'dev_f1_disgust': no such class"


def study_exists(place: Place) -> str:
    (place.folder / "studies/small").mkdir(parents=True)
    (place.folder / "studies/small/journal.log").touch()
    return "this study exists already\n  next: go on with it:  python -m mer.tune space.yaml --resume"


def folder_is_taken(place: Place) -> str:
    (place.folder / "studies/small").mkdir(parents=True)
    (place.folder / "studies/small/thesis.tex").touch()
    return "exists and is not a study"


def other_search(place: Place) -> str:
    path = write_space(place.folder, text=place.text)
    (place.folder / "studies").mkdir()
    open_ledger(place.folder / "studies/small", load_spec(path, tuple(place.overrides)))
    place.options = replace(place.options, resume=True)
    place.overrides.append("budget.epochs=7")
    return "epochs: was 6, now 7"


def own_data(place: Place, header: str, *rows: str) -> None:
    """Let the study read a CSV of its own that has no splits."""
    (place.folder / "own.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    place.overrides = ["data.root=own.csv", "data.split.dev=0.2"]


def no_texts(place: Place) -> str:
    own_data(place, "path,label", *(f"{n}.wav,{'ab'[n % 2]}" for n in range(20)))
    return "encoders.text: the dataset csv has no texts\n  allowed: encoders of what it has: audio"


def no_clips_in_a_table_of_texts(place: Place) -> str:
    own_data(place, "text,label", *(f"t{n},{'ab'[n % 2]}" for n in range(20)))
    place.text = HEARD
    return "encoders.audio: the dataset csv has no audio clips\n  allowed: encoders of what it has: text"


def clips_elsewhere(place: Place) -> str:
    own_data(place, "path,label", *(f"C:\\Users\\me\\{n}.wav,{'ab'[n % 2]}" for n in range(20)))
    place.text = HEARD
    return "  next: paths start at the folder of the data file, .: put the file beside the clips, or correct them"


def no_dialogues(place: Place) -> str:
    own_data(place, "text,label,path", *(f"t{n},{'ab'[n % 2]},{n}.wav" for n in range(20)))
    place.text = SMALL.replace("trainable: text", "trainable: fusion").replace("loss: {contrastive: {kind: spcl}}", "")
    place.text = place.text.replace(TEXT, f"{TEXT}, audio: {{backbone: melstats}}")
    place.overrides += ["fusion.kind=concat", "dialogue.kind=gru"]
    return "dialogue.kind: the dataset csv has no dialogues, every row stands alone: gru would have no other turn"


def split_that_leaves_one_class(place: Place) -> str:
    own_data(place, "text,label,speaker", "1,a,p", "2,b,q", "3,a,r", "4,a,s")
    return "data.split.by=row"


def splits_without_a_place(place: Place) -> str:
    own_data(place, "text,label", *(f"t{n},{'ab'[n % 2]}" for n in range(20)))
    place.overrides.append("data.split.file=own.csv/splits.json")
    return "own.csv/splits.json: the splits cannot be written here: own.csv is no folder"


def record_is_a_folder(place: Place) -> str:
    (place.folder / "studies/mlflow.db").mkdir(parents=True)
    return "studies/mlflow.db: is a folder, where MLflow's database would lie"


def record_of_a_newer_mlflow(place: Place) -> str:
    (place.folder / "studies").mkdir()
    with sqlite3.connect(place.folder / "studies/mlflow.db") as database:
        database.execute("create table alembic_version (version_num varchar)")
        database.execute("insert into alembic_version values ('ffffffffffff')")
    database.close()
    return "has the schema of a newer MLflow than this one"


def name_of_the_record(place: Place) -> str:
    place.overrides.append("study=mlflow.db")
    return "study: 'mlflow.db' is where MLflow's record lies"


REFUSED = [
    record_is_a_folder, record_of_a_newer_mlflow, name_of_the_record, no_texts, no_clips_in_a_table_of_texts,
    clips_elsewhere, no_dialogues, split_that_leaves_one_class, splits_without_a_place,
    no_clip, no_clip_of_dev, no_video, no_gpu, too_many_cpus, no_dev_split, root_is_a_file, broken_table, pickled_text,
    half_a_checkpoint, no_tokenizer, hub_id_offline, class_that_dev_lacks, study_exists, folder_is_taken, other_search,
]  # fmt: skip
