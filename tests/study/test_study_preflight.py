"""A dry run keeps its word: what a study refuses before its first trial, its dry run refuses in the same words."""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import audio_backbones
import pytest
import text_backbones
import torch
import video_backbones
from rich.console import Console
from safetensors.torch import load_file
from study_helpers import SMALL, open_ledger, write_space

from mer.config import AudioEncoderConfig, EncoderConfig, TextEncoderConfig, VideoEncoderConfig
from mer.data.registry import load_corpus
from mer.errors import MerError
from mer.features.rehearse import rehearse, rehearse_one
from mer.study.folder.lock import study_lock
from mer.study.preflight import machine
from mer.study.preflight.dry_run import dry_run
from mer.study.preflight.machine import Machine, most_trials, this_machine
from mer.study.preflight.run_options import RunOptions
from mer.study.runner import run_study
from mer.study.space.load import load_spec
from mer.study.space.spec import Resources

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import clip, voice, write_csv, write_meld, write_sound

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


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_the_dry_run_refuses_what_the_study_refuses(place: Place, case: Callable[[Place], str]) -> None:
    words = case(place)
    rehearsed = place.typed(dry_run)
    assert words in rehearsed, rehearsed
    assert rehearsed == place.typed(run_study)


def test_a_dry_run_leaves_no_splits_and_says_which_settings_have_nothing_to_read(place: Place) -> None:
    own_data(place, "text,label", *(f"t{n},{'ab'[n % 2]}" for n in range(20)))
    place.overrides.append("encoders.text.context.past=2")
    path, out = write_space(place.folder, text=place.text), io.StringIO()
    before = place.files()
    dry_run(load_spec(path, tuple(place.overrides)), place.options, Console(file=out, width=300))
    assert place.files() == before
    assert "data: splits by row: train 14, dev 4, test 2 rows, to be kept in own.splits.json" in out.getvalue()
    assert "no dialogues: a text encoder finds no other turns" in out.getvalue()
    assert "--set encoders.text.context.past=0 saves time" in out.getvalue()


def test_a_tracking_server_that_is_not_there_is_named_by_both(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    words = place.typed(dry_run)
    assert words.startswith("MLFLOW_TRACKING_URI: nobody answers at http://127.0.0.1:9: Connection refused")
    assert words == place.typed(run_study)


def test_a_live_driver_is_named_by_both(place: Place) -> None:
    with study_lock(place.options.studies, "small"):
        words = place.typed(dry_run)
        assert "a live driver works on this study: pid " in words and words == place.typed(run_study)
    assert not place.options.studies.exists()


def test_a_study_that_cannot_begin_keeps_the_studies_of_others(tmp_path: Path) -> None:
    (tmp_path / "studies/other").mkdir(parents=True)
    with study_lock(tmp_path / "studies", "small"):
        pass
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["other"]


# ---- what the machine has


@pytest.fixture
def cpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Machine]:
    """A machine of 16 processors, with limits."""
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)

    def count(own: str = "", files: dict[str, str] | None = None, slurm: str = "", affinity: int = 16) -> Machine:
        (tmp_path / "own").write_text(own)
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        if slurm:
            monkeypatch.setenv("SLURM_CPUS_PER_TASK", slurm)
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(affinity)))
        return this_machine()

    return count


V1 = "cpu/a/cpu.cfs"
QUOTA = "the CPU quota of its control group"


@pytest.mark.parametrize(
    ("given", "count", "limit"),
    [
        ({}, 16, ""),
        ({"affinity": 3}, 3, "the CPU affinity of this process"),
        ({"slurm": "4"}, 4, "SLURM_CPUS_PER_TASK"),
        ({"slurm": "4(x2)"}, 16, ""),
        ({"slurm": "8", "affinity": 2}, 2, "the CPU affinity of this process"),
        ({"own": "0::/job/a\n", "files": {"job/a/cpu.max": "max 100000", "job/cpu.max": "250000 100000"}}, 2, QUOTA),
        ({"own": "0::/\n", "files": {"cpu.max": "50000 100000"}}, 1, QUOTA),
        ({"own": "3:cpu:/a\n0::/\n", "files": {f"{V1}_quota_us": "600000", f"{V1}_period_us": "100000"}}, 6, QUOTA),
        ({"own": "3:cpu:/a\n", "files": {f"{V1}_quota_us": "-1", f"{V1}_period_us": "100000"}}, 16, ""),
    ],
)  # fmt: skip
def test_cpus_are_those_that_the_process_may_use(cpus: Any, given: dict[str, Any], count: int, limit: str) -> None:
    assert (cpus(**given).cpus, cpus(**given).limit) == (count, limit)


def test_what_fits_and_what_to_type_where_nothing_does() -> None:
    have = [Machine(3, 1, "SLURM_CPUS_PER_TASK")]
    assert most_trials(Resources(), have) == 3 and most_trials(Resources(gpu=0.5), have) == 2
    assert most_trials(Resources(workers=2), have) == 2 and most_trials(Resources(workers=9), have) == 3
    with pytest.raises(MerError) as caught:
        most_trials(Resources(cpu=4, gpu=2), have)
    assert "at most cpu 3 (SLURM_CPUS_PER_TASK) and gpu 1 here" in caught.value.allowed
    words = shlex.split(caught.value.then.split(", or ")[0])
    typed = {
        key.removeprefix("resources."): float(value) for key, _, value in (word.partition("=") for word in words[1::2])
    }
    assert most_trials(Resources(**typed), have) == 1


def test_a_trial_runs_on_one_node() -> None:
    """What two nodes have left is no room for a trial."""
    have = [Machine(3, 0), Machine(3, 1), Machine(0, 0)]
    assert most_trials(Resources(cpu=2), have) == 2 and most_trials(Resources(cpu=0.5), have) == 12
    assert most_trials(Resources(gpu=0.5), have) == 2 and most_trials(Resources(cpu=2, workers=1), have) == 1
    with pytest.raises(MerError) as caught:
        most_trials(Resources(cpu=4, gpu=1), have)
    assert caught.value.allowed == "at most cpu 3 and gpu 1 here, on one node"
    assert str(caught.value.then).startswith("--set resources.cpu=3, or")


def test_a_cluster_whose_workers_are_still_to_come_is_no_refusal() -> None:
    """KubeRay's head has no CPU: alone it waits, beside others it does not count."""
    head = Machine(0, 0)
    assert most_trials(Resources(cpu=2), [head]) == 1 and most_trials(Resources(workers=3), [head]) == 3
    assert most_trials(Resources(cpu=2), [head, Machine(4, 0)]) == 2
    with pytest.raises(MerError, match="at most cpu 1"):
        most_trials(Resources(cpu=2), [head, Machine(1, 0)])


# ---- advice works as typed


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def save(kind: str, folder: Path, backbone: Callable[..., Path]) -> EncoderConfig:
    name = str(folder)
    if kind in text_backbones.TOKENIZER_OF:
        shutil.copytree(backbone(kind), folder)
        return TextEncoderConfig(backbone=name)
    if kind in ("timesformer", "videomae", "clip"):
        video_backbones.save_backbone(kind, folder)
        return VideoEncoderConfig(backbone=name)
    audio_backbones.save_backbone(kind, folder)
    return AudioEncoderConfig(backbone=name)


@contextlib.contextmanager
def no_words() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


@pytest.mark.parametrize("name", ["my model", "it's"])
@pytest.mark.parametrize("kind", ["roberta", "wav2vec2_group", "whisper", "videomae"])
def test_the_advice_for_pickled_weights_works_as_typed(
    kind: str, name: str, tmp_path: Path, backbone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    encoder = save(kind, tmp_path / name, backbone)
    pickled(tmp_path / name)
    write_meld(tmp_path / "corpus", {"dev": 2})
    corpus = load_corpus("meld", tmp_path / "corpus", splits=("dev",))
    with pytest.raises(MerError) as caught:
        rehearse(encoder, corpus, ("dev",))
    typed, then = caught.value.then.split(": ", 1)[1].split("\n")
    python, option, code = shlex.split(typed)
    assert (python, option) == ("python", "-c")
    with no_words():
        exec(code, {})
    assert then.split()[:2] == ["then", "add:"]
    _, setting = shlex.split(then.split(": ")[1])
    key, _, value = setting.partition("=")
    assert key == f"encoders.{encoder.modality}.backbone"
    converted = encoder.model_copy(update={"backbone": value})
    rehearse(converted, corpus, ("dev",))
    rehearse_one(converted, corpus, "dev")


def test_a_folder_with_nothing_pickled_is_not_told_to_convert(tmp_path: Path) -> None:
    audio_backbones.save_backbone("wav2vec2_group", tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()
    with pytest.raises(MerError) as caught:
        rehearse(AudioEncoderConfig(backbone=str(tmp_path / "model")), None, ())  # type: ignore[arg-type]
    assert caught.value.found == "no model.safetensors" and caught.value.then == "fetch the backbone again, whole"


def test_a_dry_run_says_what_is_not_read(place: Place) -> None:
    table = place.corpus / "train_sent_emo.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("Line", "我今天很开心"), encoding="utf-8")
    out = io.StringIO()
    path = write_space(place.folder, text=place.text)
    dry_run(load_spec(path, tuple(place.overrides)), place.options, Console(file=out, width=300))
    assert "of tokens are unknown: backbone 'minilm' does not read Chinese; use " in out.getvalue()
