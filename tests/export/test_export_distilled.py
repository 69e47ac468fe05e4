"""A teacher's outputs on disk, students of it exported together and alone, and an export in an encoder's place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_helpers import CENTER, HEAD, Made
from open_study import begin_study, quiet

import mer
from mer.checkpoints.export_folder import Export
from mer.config import DataConfig, TrialConfig
from mer.data import load_corpus
from mer.data.sample.corpus import write_sample
from mer.errors import MerError
from mer.features import load_features
from mer.files import write_json
from mer.model_outputs import ensure_outputs
from mer.study.export.choose import ExportOptions
from mer.study.export.write import export_study
from mer.study.folder.read_study import read_record
from mer.study.preflight.check_plan import check_plan
from mer.study.preflight.feature_plan import ensure_config, ensure_plan, ensure_teacher
from mer.study.space.load import load_spec
from mer.training import build_run
from trainables.shared_table import as_training_data, read_table

TEXT = "text: {backbone: minilm, layers: [2, -1], pooler: target, speaker: name, context: {past: 2}}"
SPACE = f"""study: taught
trainable: distill
budget: {{trials: 1, epochs: 3}}
scheduler: {{kind: none}}
depends_on: [TEACHER]
fixed:
  data: {{root: CORPUS}}
  encoders:
    {TEXT}
    audio: {{backbone: melstats}}
  head: {{hidden: 12}}
  fusion: {{kind: concat, width: 16}}
  distill: {{teacher: TEACHER, warmup_steps: 2, mode: parallel}}
params:
  optim.head_lr: {{float: [1e-3, 2e-3]}}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study's dialogues again, with voices."""
    place = tmp_path_factory.mktemp("voices") / "corpus"
    write_sample(place, dialogues_per_split={"train": 8, "dev": 5}, modalities=("text", "audio"))
    return place


def train(space: str, place: Path, cache: Path, **words: object) -> Path:
    """A study of one trial, as driver and worker leave it."""
    study = begin_study(space, place, cache, **words)
    study.train_next()
    return study.folder


@pytest.fixture(scope="module")
def taught(exported: Export, corpus: Path, small_study: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("taught")
    return train(SPACE, place, small_study.cache, TEACHER=exported.folder, CORPUS=corpus)


def export(folder: Path, out: Path, cache: Path, **options: Any) -> Any:
    return export_study(read_record(folder), ExportOptions(out=out, cache=cache, **options), quiet())[0]


# ---- what a teacher says


def test_outputs_are_the_scores_of_the_trial_and_are_made_once(exported: Export, small_study: Made):
    data = DataConfig(root=str(small_study.corpus))
    done = ensure_outputs(str(exported.folder), data, ("train", "dev"), cache=small_study.cache, progress=False)
    dev = load_features(done.paths["dev"])
    assert dev.logits is not None and dev.logits.dtype == dev.features.dtype == np.float32
    stored = small_study.runs[HEAD].member.best.logits_NC
    np.testing.assert_allclose(dev.logits, stored, rtol=1e-5, atol=1e-5)
    weight, bias = (exported.tensors()[f"model.classifier.{name}"].numpy() for name in ("weight", "bias"))
    np.testing.assert_allclose(dev.features[:, 0] @ weight.T + bias, dev.logits, rtol=1e-4, atol=1e-4)
    assert dev.ids == small_study.runs[HEAD].data.dev.ids and dev.present.all()
    again = ensure_outputs(str(exported.folder), data, ("train", "dev"), cache=small_study.cache, progress=False)
    assert again.encoded == 0 and again.paths == done.paths


def test_another_model_has_other_outputs(exported: Export, small_study: Made, tmp_path: Path):
    data = DataConfig(root=str(small_study.corpus))
    other = small_study.export(tmp_path / "other", trial=CENTER).export
    paths = [
        ensure_outputs(str(e.folder), data, ("dev",), cache=small_study.cache, progress=False).paths["dev"]
        for e in (exported, other)
    ]
    assert paths[0].name != paths[1].name


def test_no_teacher_speaks_of_test(exported: Export, small_study: Made, tmp_path: Path):
    write_sample(tmp_path / "corpus", dialogues_per_split={"train": 8, "dev": 5, "test": 2})
    config = TrialConfig.model_validate(
        {
            "data": {"root": str(tmp_path / "corpus")},
            "encoders": small_study.runs[HEAD].config.encoders.model_dump(),
            "distill": {"teacher": str(exported.folder)},
        }
    )
    paths = ensure_config(config, ("train", "dev", "test"), small_study.cache)
    assert set(paths["train"]) == set(paths["dev"]) == {"text", "teacher"} and set(paths["test"]) == {"text"}
    with pytest.raises(AssertionError):
        ensure_teacher(config, ("test",), small_study.cache)


# ---- students


def test_students_export_together_and_alone_and_predict(taught: Path, corpus: Path, small_study: Made, tmp_path: Path):
    whole = export(taught, tmp_path / "whole", small_study.cache)
    assert whole.largest_difference <= 1e-5
    assert whole.export.provenance["teacher"]["name"].endswith("model")
    assert "knowledge distillation from" in (tmp_path / "whole/README.md").read_text()
    alone = export(taught, tmp_path / "audio", small_study.cache, student="audio")
    assert alone.largest_difference <= 1e-5 and list(alone.export.inputs) == ["audio"]
    clips = sorted((corpus / "audios/dev").glob("*.flac"))[:3]
    heard = mer.load(tmp_path / "audio").predict_clips(clips)
    assert [p.label in alone.export.class_names for p in heard] == [True] * 3
    model = mer.load(tmp_path / "whole")
    dialogues = load_corpus("meld", corpus, splits=("dev",)).dialogues("dev")[:1]
    silent = [mer.data.media.MediaFault("left out")] * len(dialogues[0].utterances)
    assert all(not p.fault for p in model.predict_utterances(dialogues, {"audio": silent}))


def test_a_student_alone_repeats_what_it_was_in_the_merged_run(taught: Path, small_study: Made, tmp_path: Path):
    config = export(taught, tmp_path / "audio", small_study.cache, student="audio").export.config
    paths = ensure_config(config, ("train", "dev"), small_study.cache)
    tables = {split: {m: read_table(path) for m, path in files.items()} for split, files in paths.items()}
    run = build_run(config, *as_training_data(config, tables["train"], tables["dev"]))
    while not run.finished:
        run.train_epoch()
    exported = mer.load(tmp_path / "audio").export.tensors()
    for name, tensor in run.member.bests[""].tensors.items():
        if name.startswith("model."):
            assert exported[name].numpy().tobytes() == tensor.numpy().tobytes(), name


@pytest.mark.parametrize(
    ("student", "changes", "said"),
    [("video", {}, "has no such student"), ("audio", {"mode: parallel": "mode: joint"}, "learn from the fusion too")],
)
def test_students_that_cannot_be_exported(
    exported: Export, corpus: Path, small_study: Made, tmp_path: Path, student: str, changes: dict[str, str], said: str
):
    space = SPACE.replace("TEACHER", str(exported.folder)).replace("CORPUS", str(corpus))
    for old, new in changes.items():
        space = space.replace(old, new)
    folder = train(space, tmp_path, small_study.cache)
    with pytest.raises(MerError, match=said):
        export(folder, tmp_path / "out", small_study.cache, student=student)
    assert not (tmp_path / "out").exists()


# ---- an export in an encoder's place

CHAIN = """study: chain
trainable: fusion
budget: {trials: 1, epochs: 2}
scheduler: {kind: none}
depends_on: {TEACHER: search_spaces/spcl.yaml}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: TEACHER}, audio: {backbone: melstats}}
  head: {hidden: 0}
  fusion: {kind: concat, width: 16}
params:
  optim.head_lr: {float: [1e-3, 2e-3]}
"""


@pytest.mark.slow
def test_a_chain_reads_the_first_models_h_and_predicts_through_both(
    exported: Export, corpus: Path, small_study: Made, tmp_path: Path
):
    space = CHAIN.replace("TEACHER", str(exported.folder)).replace("CORPUS", str(corpus))
    folder = train(space, tmp_path, small_study.cache)
    done = export(folder, tmp_path / "chain", small_study.cache)
    assert done.export.inputs["text"]["width"] == 24 and done.largest_difference <= 1e-5
    model = mer.load(tmp_path / "chain")
    dialogues = load_corpus("meld", corpus, splits=("dev",)).dialogues("dev")
    live = model.encoders["text"].encode(dialogues)
    data = DataConfig(root=str(corpus))
    cached = ensure_outputs(str(exported.folder), data, ("dev",), cache=small_study.cache, progress=False)
    np.testing.assert_allclose(live.features_NLD, load_features(cached.paths["dev"]).features, atol=1e-3)
    with pytest.raises(MerError, match="another export"):
        text_alone = space.replace("trainable: fusion", "trainable: text").replace(", audio: {backbone: melstats}", "")
        text_alone = text_alone.replace("  fusion: {kind: concat, width: 16}\n", "").replace("chain", "alone")
        (tmp_path / "b").mkdir()
        export(train(text_alone, tmp_path / "b", small_study.cache), tmp_path / "c", small_study.cache, bundle=True)


def test_an_export_that_has_changed_is_not_taken_for_the_one_it_was(
    exported: Export, corpus: Path, small_study: Made, tmp_path: Path
):
    inner = small_study.export(tmp_path / "inner", trial=HEAD).export
    space = CHAIN.replace("TEACHER", str(inner.folder)).replace("CORPUS", str(corpus))
    export(train(space, tmp_path, small_study.cache), tmp_path / "chain", small_study.cache)
    small_study.export(tmp_path / "inner", trial=CENTER, force=True)
    with pytest.raises(MerError, match="was trained on another model at this place"):
        mer.load(tmp_path / "chain")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("audio: {backbone: melstats}", "audio: {backbone: TEACHER}", "encoders.audio.backbone: .* reads text"),
        ("text: {backbone: TEACHER}", "text: {backbone: TEACHER, speaker: upper}", "speaker cannot be set beside it"),
        ("depends_on: {TEACHER", "depends_on: {exports/none", "there is no export in exports/none"),
    ],
)
def test_chains_that_are_refused(
    exported: Export, corpus: Path, small_study: Made, tmp_path: Path, old: str, new: str, said: str
):
    space = CHAIN.replace(old, new).replace("TEACHER", str(exported.folder)).replace("CORPUS", str(corpus))
    with pytest.raises(MerError, match=said) as caught:
        train(space, tmp_path, small_study.cache)
    if "depends_on" in old:
        assert "python -m mer.tune search_spaces/spcl.yaml, then python -m mer.export studies/spcl-meld-text" in str(
            caught.value
        )


# ---- teachers that cannot teach


def teaching(exported: Export, corpus: Path, **changes: Any) -> TrialConfig:
    tree: dict[str, Any] = {
        "data": {"root": str(corpus)},
        "encoders": {"audio": {"backbone": "melstats"}},
        "distill": {"teacher": str(exported.folder)},
    }
    return TrialConfig.model_validate(tree | changes)


def test_a_teacher_of_other_labels(exported: Export, corpus: Path, small_study: Made):
    config = teaching(exported, corpus, data={"root": str(corpus), "label": "sentiment"})
    with pytest.raises(MerError) as caught:
        ensure_teacher(config, ("train", "dev"), small_study.cache)
    assert str(caught.value).splitlines() == [
        f"distill.teacher: {exported.folder} predicts emotion: {', '.join(exported.class_names)}",
        "  allowed: a teacher of the students' labels, sentiment: neutral, positive, negative",
        "  next: train and export a teacher on this dataset and label, or change data.label",
    ]


def test_a_teacher_of_another_context(exported: Export, corpus: Path, small_study: Made):
    encoders = {"text": {"backbone": "minilm", "context": {"past": 4}}}
    config = teaching(exported, corpus, encoders=encoders)
    with pytest.raises(
        MerError, match="reads 2 earlier and 0 later turns in 256 tokens, the text student 4 earlier and"
    ):
        ensure_teacher(config, ("train", "dev"), small_study.cache)
    allowed = teaching(
        exported, corpus, encoders=encoders, distill={"teacher": str(exported.folder), "other_context": True}
    )
    assert set(ensure_teacher(allowed, ("dev",), small_study.cache, progress=False).paths) == {"dev"}


@pytest.mark.parametrize("by", ["text", "dialogue"])
def test_a_teacher_that_sees_the_future(exported: Export, corpus: Path, monkeypatch: pytest.MonkeyPatch, by: str):
    from mer.study.preflight import teacher as module

    tree: dict[str, Any] = {"encoders": exported.config.encoders.model_dump()}
    if by == "text":
        tree["encoders"]["text"]["context"]["future"] = 2
    else:
        tree["encoders"] |= {"audio": {}}
        tree |= {"fusion": {"kind": "concat"}, "dialogue": {"kind": "gru", "setting": "offline"}}
    offline = replace(exported, config=TrialConfig.model_validate(tree))
    monkeypatch.setattr(module, "read_export", lambda folder: offline)
    with pytest.raises(MerError, match=r"later turns.*: it is offline, and its students are online"):
        module.check_teacher(teaching(exported, corpus))


def test_a_plan_opens_its_teacher_once(
    exported: Export, corpus: Path, small_study: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every byte of an export is hashed when it is opened: once for all students and for the extraction."""
    from mer.study.preflight import teacher as module

    opened: list[Any] = []
    monkeypatch.setattr(module, "read_export", lambda folder: opened.append(folder) or exported)
    fixed = f"{{data: {{root: {corpus}}}, encoders: {{audio: {{}}}}, distill: {{teacher: {exported.folder}}}}}"
    space = f"study: taught\ntrainable: distill\nfixed: {fixed}\n"
    (tmp_path / "space.yaml").write_text(space + "params: {encoders.audio.max_seconds: {choice: [2.0, 4.0]}}\n")
    checked = check_plan(load_spec(tmp_path / "space.yaml"))
    assert len(checked.configs) == 2
    ensure_plan(checked, small_study.cache, progress=False)
    assert opened == [str(exported.folder)]


def test_a_teacher_of_other_utterances(exported: Export, small_study: Made, tmp_path: Path):
    write_sample(tmp_path / "corpus", dialogues_per_split={"train": 8, "dev": 4}, modalities=("text",))
    with pytest.raises(MerError, match=r"was trained on other utterances than those in .*dev: dev-"):
        ensure_teacher(teaching(exported, tmp_path / "corpus"), ("train", "dev"), small_study.cache, progress=False)


def test_a_teacher_that_is_not_there(corpus: Path, small_study: Made):
    config = TrialConfig.model_validate(
        {"data": {"root": str(corpus)}, "encoders": {"audio": {}}, "distill": {"teacher": "exports/none"}}
    )
    with pytest.raises(MerError, match="exports/none: no such folder"):
        ensure_teacher(config, ("train",), small_study.cache)


def test_adapters_are_part_of_what_was_trained(tmp_path: Path):
    """Equal heads on different adapters are different models: caches and chains go by this hash."""
    from mer.checkpoints.export_folder import trained_sha256

    def manifest(name: str, **hashes: str) -> str:
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "MANIFEST.json", {"format": 1, "sha256": {"model.safetensors": "a", **hashes}})
        return trained_sha256(tmp_path / name)

    plain = manifest("plain", **{"README.md": "b", "backbone/model.safetensors": "c"})
    one, other = (manifest(sha, **{"adapter/adapter_model.safetensors": sha}) for sha in ("d", "e"))
    assert plain == "a" and len({plain, one, other}) == 3
