"""A plain PyTorch loop over the configurations of a task, in two processes: python -m benchmarks.peers.bare_loop TASK.

Cross-entropy and SPCL (Song et al. 2022) with a FIFO pool of 512 representations and a support of 64 per class, a head
of two layers, AdamW (fused), warm-up and cosine, clipping, weighted F1 on dev by scikit-learn after each epoch.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from sklearn.metrics import f1_score
from torch import Tensor, nn

BATCH, POOL, SUPPORT = 64, 512, 64
Data = tuple[Tensor, Tensor, Tensor, Tensor]  # features (N, D) and labels (N,) of train, then of dev


def read(task: dict[str, Any]) -> Data:
    """Features, standardised by the training split, and labels."""
    (x, y), (dev_x, dev_y) = (
        (tensors["features"][:, -1].float(), tensors["labels.emotion"])
        for tensors in map(load_file, (task["train"], task["dev"]))
    )
    mean, sd = x.mean(0), x.std(0).clamp(min=1e-3)
    return (x - mean) / sd, y, (dev_x - mean) / sd, dev_y


def epochs(config: dict[str, Any], data: Data, count: int) -> Iterator[dict[str, float]]:
    """Train one configuration; yield the metrics of each epoch."""
    x, y, dev_x, dev_y = data
    width, classes = config["hidden"], int(y.max()) + 1
    torch.manual_seed(config["seed"])
    body = nn.Sequential(
        nn.Dropout(0.2),
        nn.Linear(x.shape[1], width), nn.GELU(), nn.Dropout(config["dropout"]),
        nn.Linear(width, width), nn.GELU(),
    )  # fmt: skip
    classifier = nn.Sequential(nn.Dropout(config["dropout"]), nn.Linear(width, classes))
    model = nn.ModuleList([body, classifier])
    optimizer = torch.optim.AdamW(model.parameters(), config["lr"], weight_decay=config["weight_decay"], fused=True)
    steps = count * math.ceil(len(x) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate, steps=steps, warm_up=int(0.06 * steps)))
    pool, pushed = torch.zeros(classes, POOL, width), [0] * classes
    for epoch in range(count):
        model.train()
        losses = []
        for rows in torch.randperm(len(x)).split(BATCH):
            h = body(x[rows])
            loss = F.cross_entropy(classifier(h), y[rows])
            loss = loss + config["weight"] * spcl(h, y[rows], prototypes(pool, pushed), config["temperature"])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            for c in y[rows].unique().tolist():
                new = h.detach()[y[rows] == c]
                pool[c, (torch.arange(len(new)) + pushed[c]) % POOL] = new
                pushed[c] += len(new)
        model.eval()
        with torch.no_grad():
            predicted = classifier(body(dev_x)).argmax(1)
        f1 = f1_score(dev_y, predicted, average="weighted")
        yield {"epoch": epoch + 1, "train_loss": sum(losses) / len(losses), "dev_weighted_f1": float(f1)}


def rate(step: int, steps: int, warm_up: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then cosine."""
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def prototypes(pool: Tensor, pushed: list[int]) -> Tensor:
    """Mean of up to 64 random members of each class's pool."""
    chosen = [torch.randperm(min(n, POOL))[:SUPPORT] if n else torch.zeros(1, dtype=torch.long) for n in pushed]
    return torch.stack([pool[c, some].mean(0) for c, some in enumerate(chosen)])


def spcl(h: Tensor, y: Tensor, centers: Tensor, temperature: float) -> Tensor:
    """Contrast each row with the batch and the prototypes: -log of the positives' share."""
    points, labels = torch.cat([h, centers]), torch.cat([y, torch.arange(len(centers))])
    scores = (1 + F.normalize(h, dim=1) @ F.normalize(points, dim=1).T) / 2 / temperature
    scores = scores.masked_fill(torch.eye(*scores.shape, dtype=torch.bool), -torch.inf)
    positive = scores.masked_fill(y[:, None] != labels[None], -torch.inf)
    return (scores.logsumexp(1) - positive.logsumexp(1)).mean()


def best_of(config: dict[str, Any], data: Data, count: int) -> float:
    return max(row["dev_weighted_f1"] for row in epochs(config, data, count))


_shared: dict[str, Any] = {}  # what each process of the pool reads once


def _begin(task: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    _shared.update(data=read(task), count=task["epochs"])


def _train(config: dict[str, Any]) -> float:
    return best_of(config, _shared["data"], _shared["count"])


def main(path: str) -> None:
    task = json.loads(Path(path).read_text(encoding="utf-8"))
    with ProcessPoolExecutor(2, initializer=_begin, initargs=(task,)) as pool:
        scores = list(pool.map(_train, task["configs"]))
    print(json.dumps({"trials": len(scores), "best": max(scores)}))


if __name__ == "__main__":
    main(sys.argv[1])
