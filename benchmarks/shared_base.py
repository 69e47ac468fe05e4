"""Measure memory of workers that tune one backbone: with its weights in the object store, and with their own copies.

    python -m benchmarks.shared_base datasets/sample [--backbone minilm] [--workers 2 4] [--mode lora]

Each worker is a Ray actor that builds a trial as `trainables.cached` does. "loaded": it reads the backbone by itself;
transformers maps a file of float32 weights, so processes of one machine share it through the system's file cache.
"copied": as for a loader that converts the weights, for example from half precision. PSS divides a shared page by the
number of processes that map it. The figures are the memory of all workers beyond their imports.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray

from benchmarks.shared_memory import memory_mib
from mer.config import TrialConfig
from mer.console import quiet_libraries
from mer.features.disk_space import weights_bytes
from mer.study.cluster.connect import start_ray
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from trainables.shared_features import SharedFeatures

WAYS = ("shared", "loaded", "copied")


@ray.remote(num_cpus=0)
class Worker:
    """Imports all that a trial imports, then builds a trial."""

    def __init__(self) -> None:
        import peft  # noqa: F401 - the imports are part of the baseline
        import torch
        from transformers import AutoModel  # noqa: F401

        import trainables.cached  # noqa: F401

        torch.set_num_threads(1)

    def memory(self) -> dict[str, float]:
        return memory_mib()

    def build(self, features: SharedFeatures, config: TrialConfig, files: dict[str, Any], way: str) -> None:
        from mer.training import build_run

        data, layers = features.training_data(config, files)
        base = {
            "shared": data.base,
            "loaded": {},
            "copied": {"text": {n: np.array(array) for n, array in data.base["text"].items()}}
            if way == "copied"
            else {},
        }[way]
        self.run = build_run(config, replace(data, base=base), layers)


def main() -> None:
    quiet_libraries()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--mode", default="lora", choices=["lora", "full"])
    parser.add_argument("--cache", type=Path, default=Path("features"))
    given = parser.parse_args()
    text = {"backbone": given.backbone, "mode": given.mode}
    config = TrialConfig.model_validate(
        {"data": {"root": given.root}, "encoders": {"text": text}, "head": {"input_norm": "none"}}  # no pass for it
    )
    encoder = config.encoders.text
    assert encoder is not None
    files = {"text": {split: str(paths["text"]) for split, paths in ensure_config(config, SPLITS, given.cache).items()}}
    paths = [Path(path) for path in files["text"].values()]
    start_ray(None, sum(path.stat().st_size for path in paths) + weights_bytes(encoder))
    features = SharedFeatures.put(paths, [encoder])
    print(f"{given.backbone}, {given.mode}: {weights_bytes(encoder) / 2**20:.0f} MiB of weights")
    for count in given.workers:
        for way in WAYS:
            workers = [Worker.remote() for _ in range(count)]  # type: ignore[attr-defined]
            before = total(workers)
            ray.get([worker.build.remote(features, config, files, way) for worker in workers])
            print(f"{count} workers, {way}: {total(workers) - before:7.0f} MiB", flush=True)
            for worker in workers:
                ray.kill(worker)
    ray.shutdown()


def total(workers: list[Any]) -> float:
    return sum(found["Pss"] for found in ray.get([worker.memory.remote() for worker in workers]))


if __name__ == "__main__":
    main()
