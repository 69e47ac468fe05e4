"""Studies of models that hear or see: what is refused, what is planned, and evaluation where there is no test split."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from study_helpers import SMALL, make_spec, write_space

from mer.config import HeadConfig, TrialConfig, nest, settings_of
from mer.errors import MerError
from mer.files import write_text
from mer.statistics import describe
from mer.study import runner
from mer.study.evaluate import exports as command
from mer.study.evaluate.report_on_dev import report_dev
from mer.study.evaluate.seeds import SeedResult, SeedStudy
from mer.study.folder.artifacts import predictions_csv
from mer.study.preflight import check_plan as check_plan_module
from mer.study.preflight.check_plan import check_plan, reachable_configs
from mer.study.preflight.dry_run import dry_run
from mer.study.preflight.feature_plan import ensure_plan
from mer.study.preflight.run_options import RunOptions
from mer.study.runner import run_study
from mer.study.space.load import load_spec
from mer.study.space.spec import StudySpec
from mer.training import Scores

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import clip, write_csv, write_meld

AUDIO, VIDEO = "audio: {backbone: melstats}", "video: {backbone: framestats}"
HEARD = SMALL.replace("trainable: text", "trainable: audio").replace("text: {backbone: minilm}", AUDIO)
SEEN = SMALL.replace("trainable: text", "trainable: video").replace("text: {backbone: minilm}", VIDEO)
ENCODERS = f"encoders: {{{AUDIO}}}"


def audio_spec(
    folder: Path, *changes: tuple[str, str], text: str = HEARD, overrides: tuple[str, ...] = ()
) -> StudySpec:
    return load_spec(write_space(folder, *changes, text=text), overrides)


def refused(folder: Path, *changes: tuple[str, str], text: str = HEARD) -> str:
    """Load a space, check its plan, and return the message, with the file's path as FILE."""
    with pytest.raises(MerError) as caught:
        check_plan(audio_spec(folder, *changes, text=text))
    return str(caught.value).replace(str(folder / "space.yaml"), "FILE")


# ---- what is refused


def test_any_setting_names_the_encoder_and_its_backbone_has_a_default(tmp_path: Path) -> None:
    for text, modality, backbone in ((HEARD, "audio", "melstats"), (SEEN, "video", "framestats")):
        spec = audio_spec(tmp_path, text=text.replace(f"backbone: {backbone}", "max_seconds: 5"))
        name, encoder = spec.trial_config({"optim.head_lr": 0.001, "head.hidden": 8}).encoders.only
        assert (name, encoder.backbone) == (modality, backbone)


def test_no_encoder(tmp_path: Path) -> None:
    assert refused(tmp_path, (f"  {ENCODERS}\n", "")) == (
        "FILE:7: fixed: trainable 'audio' has no encoder\n  next: add fixed.encoders.audio.backbone"
    )


def test_a_second_encoder(tmp_path: Path) -> None:
    said = refused(tmp_path, (ENCODERS, f"encoders: {{{AUDIO}, text: {{backbone: minilm}}}}"))
    assert said.startswith("FILE:7: ") and "audio" in said and "text" in said and said.count("FILE") == 1


def test_only_another_encoder(tmp_path: Path) -> None:
    said = refused(tmp_path, (ENCODERS, "encoders: {text: {backbone: minilm}}"))
    assert said.startswith("FILE:7: fixed: trainable 'audio' ") and "encoder" in said


@pytest.mark.parametrize(("kind", "named"), [("eacl", "eacl"), ("apcl, proto_init: label_text", "apcl")])
def test_losses_that_read_label_words(tmp_path: Path, kind: str, named: str) -> None:
    said = refused(tmp_path, ("{kind: spcl}", f"{{kind: {kind}}}"))
    assert re.fullmatch(
        rf"FILE:9: loss\.contrastive\.kind '{named}' reads the label words as text, which only a text (encoder|model) "
        r"can: choose another kind \(or proto_init: orthogonal\)",
        said,
    )
    check_plan(make_spec(tmp_path, ("{kind: spcl}", f"{{kind: {kind}}}")))


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (
            "{backbone: minilm}",
            "encoders.audio.backbone: 'minilm' does not read audio\n"
            "  allowed: 'melstats', 'egemaps', 'compare2016', a local folder, file:PATH, or a Hugging Face id",
        ),
        (
            "{backbone: framestats}",
            "encoders.audio.backbone: 'framestats' does not read audio\n"
            "  allowed: 'melstats', 'egemaps', 'compare2016', a local folder, file:PATH, or a Hugging Face id",
        ),
        (
            "{layers: [1]}",
            "encoders.audio.layers: [1] of a backbone with 1 hidden states\n"
            "  allowed: 'last', 'all', or integers from -1 to 0 (0 = embeddings, 0 = last layer)",
        ),
        (
            "{pooler: target}",
            "FILE:8: encoders.audio.pooler: got 'target'\n  allowed: one of 'auto', 'mean', 'first' or 'none'",
        ),
        ("{max_seconds: 0}", "FILE:8: encoders.audio.max_seconds: got 0\n  allowed: more than 0"),
        (
            "{frames: 3}",
            "FILE:8: fixed.encoders.audio.frames: unknown key. Did you mean 'encoders.video.frames'?\n"
            "  next: python -m mer.tune --keys lists every key with its meaning",
        ),
    ],
)
def test_encoder_settings_in_one_message(tmp_path: Path, encoder: str, expected: str) -> None:
    assert refused(tmp_path, (ENCODERS, f"encoders: {{audio: {encoder}}}")) == expected


# ---- what is planned


def searched(folder: Path, *lines: str, text: str = HEARD) -> StudySpec:
    return audio_spec(folder, ("params:", "\n  ".join(["params:", *lines])), text=text)


def test_every_audio_setting_that_can_be_reached_is_planned(tmp_path: Path) -> None:
    spec = searched(
        tmp_path,
        "encoders.audio.max_seconds: {choice: [5, 10]}",
        "encoders.audio.pooler: {choice: [mean, first]}",
        "encoders.audio.layers: {choice: [last, all]}",
    )
    configs = reachable_configs(spec)
    read = {(c.encoders.audio.max_seconds, c.encoders.audio.pooler, c.encoders.audio.layers) for c in configs}
    assert len(configs) == len(read) == 8, "one for every choice of layers too: each is checked"
    assert len({settings_of(config)["audio"] for config in configs}) == 4, "layers share their files"


def test_a_range_without_steps_has_no_end_of_files(tmp_path: Path) -> None:
    with pytest.raises(MerError, match="choice, int, or float with a step"):
        reachable_configs(searched(tmp_path, "encoders.audio.max_seconds: {float: [1, 20]}"))
    spec = searched(tmp_path, "encoders.video.frames: {int: [1, 256]}", text=SEEN)
    with pytest.raises(MerError, match="more than 200 different feature files"):
        reachable_configs(spec)
    stepped = searched(tmp_path, "encoders.audio.max_seconds: {float: [5, 20], step: 5}")
    assert {c.encoders.audio.max_seconds for c in reachable_configs(stepped)} == {5.0, 10.0, 15.0, 20.0}


def test_the_plan_makes_each_file_once(tmp_path: Path) -> None:
    root = write_meld(tmp_path / "corpus", {"train": 4, "dev": 2}, video=False)
    spec = audio_spec(
        tmp_path,
        ("params:", "params:\n  encoders.audio.layers: {choice: [last, all]}"),
        overrides=(f"data.root={root}",),
    )
    plan = ensure_plan(check_plan(spec), tmp_path / "cache", progress=False)
    assert len(plan.files) == 1 and plan.encoded == 6 and all(path.is_file() for path in plan.paths())
    again = ensure_plan(check_plan(spec), tmp_path / "cache", progress=False)
    assert again.encoded == 0 and again.names() == plan.names()
    chosen = plan.of(spec.trial_config({"optim.head_lr": 1e-3, "head.hidden": 8, "encoders.audio.layers": "all"}))
    assert set(chosen) == {"audio"} and set(chosen["audio"]) == {"train", "dev"}


def test_a_study_checks_its_plan_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_meld(tmp_path / "corpus", {"train": 4, "dev": 2}, video=False)
    spec, checked, plans = audio_spec(tmp_path, overrides=(f"data.root={root}",)), [], []

    def counted(spec: StudySpec) -> list[TrialConfig]:
        checked.append(spec.study)
        return reachable_configs(spec)

    monkeypatch.setattr(check_plan_module, "reachable_configs", counted)
    monkeypatch.setattr(runner, "_run", lambda spec, options, folder, plan, *rest: plans.append(plan) or {})
    run_study(spec, RunOptions(tmp_path / "studies", tmp_path / "cache"), Console(file=io.StringIO()))
    assert checked == [spec.study] and plans[0].encoded == 6


@pytest.mark.parametrize(("text", "width"), [(HEARD, 155), (SEEN, 417)])
def test_dry_run_of_sound_and_video(text: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "corpus"
    write_csv(root, "train", ["joy", "anger", "neutral"] * 20)
    write_csv(root, "dev", ["joy", "anger"])
    for path in (clip(root, "audio" if width == 155 else "video", split, 0) for split in ("train", "dev")):
        path.parent.mkdir(parents=True)
        path.touch()
    spec = audio_spec(tmp_path, overrides=(f"data.root={root}",), text=text)
    monkeypatch.chdir(tmp_path)
    before, out = sorted(tmp_path.rglob("*")), io.StringIO()
    dry_run(spec, RunOptions(tmp_path / "studies", tmp_path / "features"), Console(file=out, width=200))
    told = out.getvalue()
    assert "60 train and 2 dev utterances" in told and "60 of 62" in told and "clips are not there" in told
    assert "1 encoder settings" in told and "refused" not in told
    assert "packs:     a worker trains about " in told
    hidden, classes = 32, 3  # the point of the small study: norm and centres are no trained weights
    assert f"{hidden * (width + 1) + classes * (hidden + 1):,}" in told
    assert sorted(tmp_path.rglob("*")) == before


# ---- evaluation without a test split


def config_of(root: Path) -> TrialConfig:
    return TrialConfig.model_validate(nest({"encoders.audio": {}, "data.root": str(root)}))


@pytest.fixture
def evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`evaluate_exports` of one audio export on a corpus without a test split; training is a stand-in."""
    root = write_meld(tmp_path / "corpus", {"train": 4, "dev": 3}, video=False)
    export = SimpleNamespace(folder=tmp_path / "export", config=config_of(root), provenance={})
    trained: list[str] = []
    out = io.StringIO()

    def train(study: SeedStudy, seeds: Any, options: RunOptions, console: Console, workers: Any) -> Path:
        trained.append(study.name)
        return tmp_path / "studies" / study.study

    monkeypatch.setattr(command, "read_export", lambda folder: export)
    monkeypatch.setattr(command, "train_seeds", train)
    monkeypatch.setattr(command, "seed_results", lambda folder, study, seeds: results(seeds))
    monkeypatch.setattr(command, "evaluate_on_test", lambda *_: pytest.fail("test was read"))

    def run(seeds: tuple[int, ...] = (0, 1, 2), **options: Any) -> Any:
        given = RunOptions(tmp_path / "studies", tmp_path / "cache", command="python -m mer.evaluate x --dev-only")
        return command.evaluate_exports([export.folder], seeds, given, Console(file=out, width=200), **options)

    return SimpleNamespace(run=run, trained=trained, out=out, root=root, export=export, folder=tmp_path)


def results(seeds: Any) -> list[SeedResult]:
    rng = np.random.default_rng(0)
    names = ("dev_accuracy", "dev_weighted_f1", "dev_macro_f1", "dev_ece", "dev_loss")
    return [
        SeedResult(seed, number, 3 + number, {name: float(rng.uniform(0.3, 0.6)) for name in names}, None, None, Path())
        for number, seed in enumerate(seeds)
    ]


def test_no_test_split_is_refused_before_training(evaluation: Any) -> None:
    with pytest.raises(MerError) as caught:
        evaluation.run()
    assert str(caught.value) == (
        f"{evaluation.root}: there is no test split here\n"
        "  next: add it, or --dev-only: the seeds are trained and dev is reported, which chose the configuration"
    )
    assert evaluation.trained == []


def test_dev_only_trains_and_reports_dev(evaluation: Any) -> None:
    assert evaluation.run(dev_only=True) == []
    assert evaluation.trained == ["export"]
    study = SeedStudy("export", evaluation.export.config)
    path = evaluation.folder / "studies" / study.study / "dev_results.json"
    said, told = json.loads(path.read_text()), evaluation.out.getvalue()
    expected = describe([one.dev["dev_weighted_f1"] for one in results((0, 1, 2))])
    assert said["split"] == "dev" and said["dataset"] == "meld" and said["command"].endswith("--dev-only")
    assert [(one["seed"], one["trial"], one["epoch"]) for one in said["seeds"]] == [(0, 0, 3), (1, 1, 4), (2, 2, 5)]
    assert said["summary"]["dev_weighted_f1"]["mean"] == pytest.approx(expected.mean)
    assert said["summary"]["dev_weighted_f1"]["sd"] == pytest.approx(expected.sd)
    assert "test" not in {key for one in said["seeds"] for key in one}
    assert f"{100 * expected.mean:.2f}" in told and f"{100 * expected.sd:.2f}" in told and "n=3" in told
    assert "note: dev scores: dev chose the configuration and each seed's epoch" in told
    assert f"written: {path}" in told


def test_dev_only_against_another_compares_on_dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_meld(tmp_path / "corpus", {"train": 4, "dev": 3}, video=False)
    rng, names, out = np.random.default_rng(3), ("neutral", "joy", "anger"), io.StringIO()
    labels = rng.integers(0, 3, 60)
    ids = tuple(f"dev/dia{row // 6}_utt{row % 6}" for row in range(60))
    scores: dict[str, list[Scores]] = {"good": [], "bad": []}
    found: dict[str, list[SeedResult]] = {"good": [], "bad": []}
    configs = {}
    for title, strength in (("good", 3.0), ("bad", 0.5)):
        configs[title] = config_of(root).model_copy(update={"head": HeadConfig(hidden=int(10 * strength))})
        for seed in (0, 1, 2):
            logits = rng.normal(size=(60, 3)) + strength * np.eye(3)[labels]
            one, folder = Scores(logits.astype(np.float32), labels, names), tmp_path / f"{title}{seed}"
            write_text(folder / "artifacts/dev_predictions.csv", predictions_csv(one, ids))
            scores[title].append(one)
            found[title].append(SeedResult(seed, seed, 3, one.as_metrics("dev"), None, None, folder))
    study_of = {title: SeedStudy(title, config).study for title, config in configs.items()}
    monkeypatch.setattr(
        command, "read_export", lambda at: SimpleNamespace(folder=at, config=configs[at.name], provenance={})
    )
    monkeypatch.setattr(command, "train_seeds", lambda study, *_: tmp_path / "studies" / study.study)
    monkeypatch.setattr(
        command, "seed_results", lambda _, study, seeds: found["good" if study == study_of["good"] else "bad"]
    )
    options = RunOptions(tmp_path / "studies", tmp_path / "cache", command="python -m mer.evaluate good --dev-only")
    exports = [tmp_path / "good", tmp_path / "bad"]
    command.evaluate_exports(exports, (0, 1, 2), options, Console(file=out, width=200), dev_only=True)
    said = json.loads((tmp_path / "studies" / study_of["good"] / "dev_results.json").read_text())
    gap = np.mean([a.weighted_f1 - b.weighted_f1 for a, b in zip(scores["good"], scores["bad"], strict=True)])
    (told,) = said["comparisons"]
    assert told["against"] == "bad" and told["seeds"]["n"] == 3 and told["dialogues"]["n"] == 10
    assert told["seeds"]["difference"] == pytest.approx(gap) == pytest.approx(told["dialogues"]["difference"])
    assert f"on dev: good is above bad by {100 * gap:.2f} points" in out.getvalue()


def test_other_features_than_the_search_had_are_refused(evaluation: Any) -> None:
    evaluation.export.provenance["features"] = {"train": "train-other.safetensors"}
    with pytest.raises(MerError, match="train here are not what it was searched on"):
        evaluation.run(dev_only=True)
    assert evaluation.trained == []


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    out = io.StringIO()
    study = SeedStudy("one", config_of(tmp_path))
    report_dev(study, tmp_path / "e", results([5]), tmp_path, "python -m mer.evaluate e", Console(file=out, width=200))
    lines = {line.split("  ")[0].strip(): line for line in out.getvalue().splitlines()}
    assert set(lines["sample sd"].split()[2:]) == {"-"}
    assert set(lines["95 % over seeds (t)"].split()[5:]) == {"-"}
    assert json.loads((tmp_path / "dev_results.json").read_text())["summary"]["dev_accuracy"]["sd"] is None
