"""An MLflow server that can be stopped and started at the same address."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import psutil

from benchmarks.kills.commands import Running, Starter, typed
from benchmarks.kills.ray_nodes import family, free_port

_UP_S = 90.0


class MlflowServer:
    """`mlflow server` on 127.0.0.1. Attributes: uri: for MLFLOW_TRACKING_URI; database, files: where it keeps them."""

    def __init__(self, folder: Path, starter: Starter = typed) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.database, self.files = folder, folder / "server.db", folder / "files"
        self.port, self._starter = free_port(), starter
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: Running | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["server", "--backend-store-uri", f"sqlite:///{self.database}", "--artifacts-destination"]
        words += [str(self.files), "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # as `mer.ui` has it: four processes fewer
        self._process = self._starter("mlflow", words, cwd=self.folder, environment=environment, own_group=True)
        deadline = time.monotonic() + _UP_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the MLflow server did not start:\n{self._process.output()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it and all that it has started."""
        if self._process is not None:
            for member in family(self._process.pid):
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        with suppress(OSError), urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False
