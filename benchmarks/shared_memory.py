"""Measure the memory of each further worker: PSS of real trial workers that map the same features.

    python -m benchmarks.shared_memory features/meld/text/minilm/train-....safetensors

Each worker is a Ray actor that maps the features as a trial does and gathers batches from every row. PSS divides a
shared page by the number of processes that map it; private memory is what would be there without sharing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import ray

from mer.config import TrialConfig
from mer.console import quiet_libraries
from trainables.shared_features import SharedFeatures


def memory_mib() -> dict[str, float]:
    """Read this process's proportional, private and shared-memory-file memory from the kernel, in MiB."""
    fields = dict(
        line.split(":") for line in Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    )
    return {name: int(fields[name].split()[0]) / 1024 for name in ("Pss", "Private_Dirty", "Pss_Shmem")}


@ray.remote
class Worker:
    """Imports all that a trial imports, then maps the features and reads each of them."""

    def __init__(self) -> None:
        import torch

        import trainables.cached  # noqa: F401 - the imports are part of the baseline

        torch.set_num_threads(1)

    def baseline(self) -> dict[str, float]:
        return memory_mib()

    def read_all(self, features: SharedFeatures, path: str) -> int:
        config = TrialConfig.model_validate({"encoders": {"text": {}}})
        self.data, _ = features.training_data(config, {"text": {"train": path, "dev": path}})
        layers = list(range(self.data.train.features_NLD.shape[1]))
        for start in range(0, len(self.data.train), 64):
            rows = np.arange(start, min(start + 64, len(self.data.train)))
            self.data.train.batch(rows, layers)
        assert not self.data.train.features_NLD.flags.writeable
        return self.data.train.features_NLD.nbytes

    def after(self) -> dict[str, float]:
        return memory_mib()


def main(path: Path) -> None:
    quiet_libraries()
    for count in (1, 2, 4):
        store = int(1.2 * path.stat().st_size) + 128 * 2**20
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=store)
        features = SharedFeatures.put([path])
        workers = [Worker.remote() for _ in range(count)]  # type: ignore[attr-defined]
        before = ray.get([worker.baseline.remote() for worker in workers])
        sizes = ray.get([worker.read_all.remote(features, str(path)) for worker in workers])
        after = ray.get([worker.after.remote() for worker in workers])
        size = sizes[0] / 2**20
        shmem = sum(a["Pss_Shmem"] - b["Pss_Shmem"] for a, b in zip(after, before, strict=True))
        private = [a["Private_Dirty"] - b["Private_Dirty"] for a, b in zip(after, before, strict=True)]
        growth = ", ".join(f"{value:.1f}" for value in private)
        print(
            f"{count} workers: features {size:.1f} MiB; mapped by all workers together (the driver maps them too) "
            f"{shmem:.1f} MiB; private growth per worker {growth} MiB",
            flush=True,
        )
        ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
