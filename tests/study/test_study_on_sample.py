"""`--sample`: every shipped search space on the generated corpus, small, and apart from studies of real data."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from study_helpers import SPACES, write_space
from tiers import slow_except

from mer.data.sample.corpus import modalities_of, write_sample
from mer.errors import MerError
from mer.study.preflight.check_study import check_study
from mer.study.preflight.dry_run import dry_run
from mer.study.preflight.machine import this_machine
from mer.study.preflight.run_options import RunOptions
from mer.study.space.load import load_spec
from mer.study.space.on_sample import put_on_sample, sample_name
from mer.study.space.spec import StudySpec
from mer.tune import tune

NUMBERS, CHAINS = ("ravdess_intensity",), ("distill", "dependency_finetuning")
SHIPPED = sorted(path.stem for path in SPACES.glob("*.yaml") if path.stem not in NUMBERS)
ALONE = [name for name in SHIPPED if name not in CHAINS]
NO_HUB = {"minilm", "melstats", "framestats", "exports/sample-spcl-meld-text"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small sample corpus, clips too."""
    folder = tmp_path_factory.mktemp("place")
    sizes = {"train": 8, "dev": 5, "test": 1}
    write_sample(folder / "datasets/sample", dialogues_per_split=sizes, modalities=("text", "audio", "video"))
    (folder / "search_spaces").symlink_to(SPACES)
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def on_sample(name: str, *overrides: str) -> StudySpec:
    return load_spec(SPACES / f"{name}.yaml", overrides, change=put_on_sample)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_space_loads_and_draws_on_the_sample_corpus(here, name):
    spec, plain = on_sample(name), load_spec(SPACES / f"{name}.yaml")
    assert spec.study == sample_name(plain.study) != plain.study
    assert (spec.data.root, spec.data.dataset) == ("datasets/sample", "meld")
    assert spec.budget.trials <= 12 and spec.resources.gpu == 0
    configs = [spec.trial_config(point) for point in spec.points]
    assert {encoder.backbone for one in configs for encoder in one.encoders.present.values()} <= NO_HUB
    assert configs or not plain.points, "the published settings are tried first, as ever"


@pytest.mark.parametrize("name", ALONE)
def test_nothing_is_refused_before_the_first_trial(here, name):
    check_study(on_sample(name), RunOptions(here / "studies", here / "features"), [this_machine()])


@pytest.mark.parametrize("name", slow_except(ALONE, "spcl", "meld_tav"))
def test_the_dry_run_goes_through(here, name, monkeypatch):
    monkeypatch.setattr("mer.study.preflight.dry_run._PATIENCE_S", 2.0)
    out = io.StringIO()
    dry_run(on_sample(name), RunOptions(here / "studies", here / "features"), Console(file=out, width=200))
    assert "refused" not in out.getvalue()


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_stays_on_the_sample_corpus(here, name):
    spec = on_sample(name)
    assert list(spec.depends_on) == ["exports/sample-spcl-meld-text"]
    with pytest.raises(MerError) as refused:
        check_study(spec, RunOptions(here / "studies", here / "features"), [this_machine()])
    assert refused.value.then == (
        "python -m mer.tune search_spaces/spcl.yaml --sample, then python -m mer.export studies/sample-spcl-meld-text "
        "--out exports/sample-spcl-meld-text"
    )


def test_large_encoders_and_gpus_are_replaced_and_the_rest_stays(here):
    plain, spec = load_spec(SPACES / "meld_tav_lora.yaml"), on_sample("meld_tav_lora")
    config = spec.trial_config(spec.points[0])
    assert config.encoders.text.mode == "lora" and config.encoders.audio.mode == "frozen"
    assert config.encoders.text.freeze_layers == 3 and "encoders.audio.lora.rank" not in spec.params
    assert (spec.budget.trials, spec.budget.epochs, spec.scheduler.grace_epochs) == (4, 2, 1)
    assert set(spec.params) == {key for key in plain.params if not key.startswith("encoders.audio.")}


def test_what_is_typed_counts_more(here):
    spec = load_spec(
        SPACES / "spcl.yaml", ["study=mine", "budget.epochs=3", "scheduler.grace_epochs=1"],
        {"budget.trials": 40}, put_on_sample,
    )  # fmt: skip
    assert (spec.study, spec.budget.trials, spec.budget.epochs) == ("mine", 40, 3)


def test_what_is_changed_is_said_in_one_line(here, capsys):
    tune(SPACES / "spcl.yaml", sample=True, dry_run=True, studies=here / "studies", cache=here / "features")
    first = capsys.readouterr().out.splitlines()[0]
    assert first == ("on the sample corpus: data.root=datasets/sample study=sample-spcl-meld-text budget.trials=12")


def test_numbers_are_refused(here):
    with pytest.raises(MerError) as refused:
        on_sample("ravdess_intensity")
    assert str(refused.value) == (
        f"--sample: {SPACES / 'ravdess_intensity.yaml'} predicts numbers or several labels (data.task: regression), "
        "the sample corpus has classes\n  allowed: a space of classes\n  next: leave it out, and name data: --set "
        "data.root=FOLDER"
    )


def test_other_data_beside_it_are_refused(here):
    with pytest.raises(MerError, match=r"--sample: is the sample corpus, and --set data.root=x names other data"):
        tune(SPACES / "spcl.yaml", overrides=["data.root=x"], sample=True)


def test_a_corpus_that_is_not_there_or_lacks_clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MerError) as refused:
        on_sample("spcl")
    make = "python -m mer.data sample datasets/sample"
    assert str(refused.value) == f"--sample: there is no sample corpus in datasets/sample\n  next: {make}"
    write_sample(tmp_path / "datasets/sample", dialogues_per_split={"train": 3, "dev": 1, "test": 1})
    assert modalities_of(tmp_path / "datasets/sample") == ("text",)
    with pytest.raises(MerError) as refused:
        on_sample("fusion")
    assert str(refused.value) == (
        "--sample: the sample corpus in datasets/sample has text; this space reads audio, video too\n"
        f"  next: {make}  (makes it again, with the same texts)"
    )


def test_data_that_are_not_there_lead_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MerError) as refused:
        tune(SPACES / "spcl.yaml", dry_run=True)
    assert refused.value.then.endswith(
        f"to try the space on generated data: `python -m mer.data sample datasets/sample`, then "
        f"`python -m mer.tune {SPACES / 'spcl.yaml'} --sample`"
    )
    with pytest.raises(MerError) as refused:
        tune(SPACES / "spcl.yaml", overrides=["data.root=nowhere"], dry_run=True)
    assert "--sample" not in refused.value.message


def test_a_broken_file_is_refused_as_without_it(here, tmp_path):
    path = write_space(tmp_path, text="study: [x]\nbudget: 3\nfixed: 4\nparams: []\npoints: {}\ndepends_on: 1\n")
    with pytest.raises(MerError) as with_it:
        load_spec(path, change=put_on_sample)
    assert "trainable" in str(with_it.value)
