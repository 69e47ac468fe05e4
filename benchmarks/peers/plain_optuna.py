"""Plain Optuna: TPE in two processes on one SQLite file, MLflow by hand: python -m benchmarks.peers.plain_optuna TASK.

As in Optuna's tutorial on parallel processes: each loads the study from the storage and optimises half of the trials.
The task's configurations are enqueued, so that all contestants train the same ones.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import mlflow
import optuna
import torch

from benchmarks.peers.bare_loop import Data, epochs, read

STUDY = "spcl"


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "hidden": trial.suggest_categorical("hidden", [128, 256, 512]),
        "lr": trial.suggest_float("lr", 1e-4, 3e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "temperature": trial.suggest_float("temperature", 0.03, 0.3, log=True),
        "weight": trial.suggest_float("weight", 0.03, 3.0, log=True),
    }


def objective(trial: optuna.Trial, data: Data, count: int) -> float:
    config = suggest(trial)
    best = 0.0
    with mlflow.start_run(run_name=f"trial {trial.number}"):
        mlflow.log_params(config)
        for row in epochs({**config, "seed": 0}, data, count):
            mlflow.log_metrics(row, step=int(row["epoch"]))
            best = max(best, row["dev_weighted_f1"])
        mlflow.log_metric("best_dev_weighted_f1", best)
    return best


def work(task: dict[str, Any], seed: int, trials: int) -> None:
    """One process: its share of the trials."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(f"sqlite:///{task['folder']}/mlflow.db")
    mlflow.set_experiment(STUDY)
    storage = f"sqlite:///{task['folder']}/optuna.db"
    study = optuna.load_study(study_name=STUDY, storage=storage, sampler=optuna.samplers.TPESampler(seed=seed))
    data = read(task)
    study.optimize(lambda trial: objective(trial, data, task["epochs"]), n_trials=trials)


def main(path: str) -> None:
    task = json.loads(Path(path).read_text(encoding="utf-8"))
    mlflow.set_tracking_uri(f"sqlite:///{task['folder']}/mlflow.db")
    mlflow.create_experiment(STUDY, artifact_location=f"{task['folder']}/artifacts")
    study = optuna.create_study(study_name=STUDY, storage=f"sqlite:///{task['folder']}/optuna.db", direction="maximize")
    for config in task["configs"]:
        study.enqueue_trial({name: value for name, value in config.items() if name != "seed"})
    half = len(task["configs"]) // 2
    shares = (half, len(task["configs"]) - half)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(task, seed, share)) for seed, share in enumerate(shares)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done = [t for t in study.get_trials(deepcopy=False) if t.state == optuna.trial.TrialState.COMPLETE]
    print(json.dumps({"trials": len(done), "best": study.best_value}))


if __name__ == "__main__":
    main(sys.argv[1])
