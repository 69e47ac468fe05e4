"""Stock Ray Tune: function API, OptunaSearch, MLflowLoggerCallback: python -m benchmarks.peers.stock_ray TASK.

As in Ray's guides: the data go to the workers by `with_parameters`, a trial reports after each epoch, two trials run at
once. The task's configurations are `points_to_evaluate`, so that all contestants train the same ones.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

from benchmarks.peers.bare_loop import Data, epochs, read

SPACE = {
    "hidden": tune.choice([128, 256, 512]),
    "lr": tune.loguniform(1e-4, 3e-3),
    "weight_decay": tune.loguniform(1e-3, 0.3),
    "dropout": tune.uniform(0.0, 0.6),
    "temperature": tune.loguniform(0.03, 0.3),
    "weight": tune.loguniform(0.03, 3.0),
}


def train(config: dict[str, Any], data: Data, count: int) -> None:
    torch.set_num_threads(1)
    for row in epochs({**config, "seed": 0}, data, count):
        tune.report(row)


def main(path: str) -> None:
    task = json.loads(Path(path).read_text(encoding="utf-8"))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    points = [{name: value for name, value in config.items() if name != "seed"} for config in task["configs"]]
    metric, mode = "dev_weighted_f1", "max"
    tracking = MLflowLoggerCallback(
        tracking_uri=f"sqlite:///{task['folder']}/mlflow.db", experiment_name="spcl", save_artifact=False
    )
    trainable = tune.with_parameters(train, data=read(task), count=task["epochs"])
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=SPACE,
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(metric=metric, mode=mode, points_to_evaluate=points, seed=0),
            metric=metric,
            mode=mode,
            num_samples=len(points),
            max_concurrent_trials=2,
        ),
        run_config=tune.RunConfig(storage_path=f"{task['folder']}/ray", callbacks=[tracking], verbose=0),
    )
    results = tuner.fit()
    done = [result for result in results if result.error is None]
    best = max(result.metrics_dataframe[metric].max() for result in done)
    print(json.dumps({"trials": len(done), "best": float(best)}))
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
