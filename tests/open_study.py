"""A study whose trials are trained in the test's own process, on disk as a driver and its workers leave it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from mer.checkpoints import save_tensors
from mer.checkpoints.export_folder import Export
from mer.files import write_json, write_text
from mer.study.export.choose import ExportOptions
from mer.study.export.write import Exported, export_study
from mer.study.folder.artifacts import write_artifacts
from mer.study.folder.read_study import read_record
from mer.study.paths import ARTIFACTS, CODE_DIFF, ENVIRONMENT, SPACE, SUMMARY, trial_folder
from mer.study.preflight.check_plan import check_plan
from mer.study.preflight.feature_plan import FeaturePlan, ensure_plan
from mer.study.search.ledger import Ledger
from mer.study.space.load import load_spec
from mer.study.space.spec import StudySpec
from mer.training import TrainingRun, build_run
from trainables.shared_table import as_training_data, read_table
from trainables.trial_files import best_file


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


@dataclass(frozen=True)
class OpenStudy:
    """Begun, with its features extracted."""

    spec: StudySpec
    plan: FeaturePlan
    folder: Path
    cache: Path
    ledger: Ledger

    def next_run(self) -> TrainingRun:
        """The next trial, untrained."""
        assignment = self.ledger.next_assignment()
        assert assignment is not None
        config = self.spec.trial_config(assignment.params)
        files = self.plan.of(config)
        train, dev = ({m: read_table(Path(of[split])) for m, of in files.items()} for split in ("train", "dev"))
        return build_run(config, *as_training_data(config, train, dev))

    def train_next(self, number: int = 0) -> TrainingRun:
        """The next trial, whose number is known, trained and ended."""
        run = self.next_run()
        while not run.finished:
            run.train_epoch()
        self.end(number, run)
        return run

    def end(self, number: int, run: TrainingRun, outcome: Any = "finished") -> None:
        write_trial(self.folder, number, run)
        self.ledger.end(number, outcome, best=run.member.best.row)

    def train_and_export(self, count: int) -> tuple[list[TrainingRun], list[Export]]:
        """The next `count` trials: trained, set back to the weights of their best epoch, and exported beside the study.

        Their numbers must be 0 to count - 1.
        """
        runs = [self.train_next(number) for number in range(count)]
        for run in runs:
            run.load_weights({name: w for name, w in run.member.best.tensors.items() if name != "dev_logits"})
        place = self.folder.parents[1]
        return runs, [self.export(place / f"export{number}", number).export for number in range(count)]

    def export(self, out: Path, trial: int = 0, **options: Any) -> Exported:
        chosen = ExportOptions(out=out, cache=self.cache, trial=trial, **options)
        return export_study(read_record(self.folder), chosen, quiet())[0]


def begin_study(space: str, place: Path, cache: Path | None = None, **words: object) -> OpenStudy:
    """Begin a study and extract its features, on one thread.

    Args:
        space: YAML.
        place: gets the file, studies/, and features/ where no other `cache` is given.
        words: put in the place of capital words of `space`, as in CORPUS=tmp_path / "corpus".
    """
    torch.set_num_threads(1)
    for word, meant in words.items():
        assert word in space
        space = space.replace(word, str(meant))
    (place / "space.yaml").write_text(space)
    spec = load_spec(place / "space.yaml")
    kept = cache or place / "features"
    plan = ensure_plan(check_plan(spec), kept, progress=False)
    folder = place / "studies" / spec.study
    folder.mkdir(parents=True)
    ledger = Ledger(folder, spec)
    ledger.check_features(folder, plan.names())
    write_json(folder / SPACE, spec.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    write_text(folder / CODE_DIFF, "\n")
    write_json(folder / SUMMARY, {"environment": {"git_sha": "abc", "command": "tune"}})
    return OpenStudy(spec, plan, folder, kept, ledger)


def write_trial(folder: Path, number: int, run: TrainingRun) -> None:
    """Write a trial's files as its worker and the tracker do."""
    trial = trial_folder(folder, number)
    for name, best in run.member.bests.items():
        card: dict[str, Any] = {"number": number, "epoch": best.row["epoch"], "row": best.row}
        card |= {"config": best.config.model_dump(mode="json"), "class_names": list(run.data.class_names)}
        save_tensors(trial / best_file(name), best.tensors, card)
    dev, config = run.data.dev, run.config.model_dump(mode="json")
    write_artifacts(trial, config=config, rows=run.history, ids=dev.ids, labels_N=dev.labels_N, data=run.config.data)
    write_json(trial / ARTIFACTS / ENVIRONMENT, {"git_sha": f"sha-{number}", "command": "tune", "seed": 0})
