"""Labels of single modalities (Self-MM) equal the published procedure, row by row and number by number."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mer.losses.unimodal import FUSED, Seen, Signed, UnimodalLabels, signed

ROWS, BATCH, EPOCHS = 14, 5, 4
WIDTHS = {FUSED: 4, "text": 3, "audio": 2}
NAN = math.nan


class Literal:
    """The authors' trainer in plain numbers: labels and vectors in dicts, every centre computed anew.

    As theirs, but that a row without a number or a modality has no part in that one.
    """

    def __init__(self, truth: list[list[float]], bound: list[float], are_numbers: bool) -> None:
        self.truth, self.bound, self.are_numbers = truth, bound, are_numbers
        self.labels = {m: [list(row) for row in truth] for m in WIDTHS if m != FUSED}
        self.vectors: dict[str, dict[int, list[float]]] = {name: {} for name in WIDTHS}

    def loss(self, modality: str, rows: list[int], said: list[list[float]], there: list[bool]) -> float:
        terms = []
        for row, z, is_there in zip(rows, said, there, strict=True):
            for t, truth in enumerate(self.truth[row]):
                if not is_there or math.isnan(truth):
                    continue
                y = self.labels[modality][row][t]
                if self.are_numbers:
                    error = abs(z[t] - y)
                else:
                    p = 1 / (1 + math.exp(-z[t]))
                    error = -(1 + y) / 2 * math.log(p) - (1 - y) / 2 * math.log(1 - p)
                terms.append(math.tanh(abs(y - truth)) * error)
        return sum(terms) / max(1, len(terms))

    def nearness(self, name: str, vector: list[float], t: int, labels: list[list[float]]) -> float | None:
        groups: dict[bool, list[list[float]]] = {True: [], False: []}
        for row, own in self.vectors[name].items():
            if not math.isnan(self.truth[row][t]):
                groups[labels[row][t] >= 0].append(own)
        if not groups[True] or not groups[False]:
            return None
        near, far = (
            math.dist(vector, [sum(column) / len(column) for column in zip(*groups[sign], strict=True)])
            for sign in (True, False)
        )
        return (far - near) / (near + 1e-8)

    def move(self, rows: list[int], seen: dict[str, tuple[list[list[float]], list[bool]]], epoch: int) -> None:
        moved = []
        if epoch > 1:
            for modality, labels in self.labels.items():
                for place, row in enumerate(rows):
                    for t, truth in enumerate(self.truth[row]):
                        if math.isnan(truth) or not seen[modality][1][place]:
                            continue
                        whole = self.nearness(FUSED, seen[FUSED][0][place], t, self.truth)
                        own = self.nearness(modality, seen[modality][0][place], t, labels)
                        if whole is None or own is None:
                            continue
                        new = 0.5 * own / (whole + 1e-8) * truth + 0.5 * (truth + own - whole)
                        new = max(-self.bound[t], min(self.bound[t], new))
                        new = (epoch - 1) / (epoch + 1) * labels[row][t] + 2 / (epoch + 1) * new
                        moved.append((labels, row, t, new))
        for labels, row, t, new in moved:  # after all: centres are those before the step
            labels[row][t] = new
        for name, (vectors, there) in seen.items():
            self.vectors[name] |= {row: v for row, v, is_there in zip(rows, vectors, there, strict=True) if is_there}


def truths(kind: str) -> Signed:
    random = torch.Generator().manual_seed(3)
    if kind == "classes":
        labels = torch.randint(0, 3, (ROWS,), generator=random)
        labels[4] = -1
        return signed(labels, "class", 3)
    if kind == "labels":
        labels = torch.randint(0, 2, (ROWS, 2), generator=random).float()
        labels[2, 1] = NAN
        return signed(labels, "multilabel", 2)
    numbers = torch.randn(ROWS, 2, generator=random) * torch.tensor([1.2, 20.0]) + torch.tensor([0.2, 150.0])
    numbers[5], numbers[7, 0] = NAN, NAN
    return signed(numbers, "regression", 2)


@pytest.mark.parametrize("kind", ["numbers", "classes", "labels"])
def test_labels_and_losses_are_those_of_the_published_procedure(kind: str) -> None:
    truth = truths(kind)
    truth = truth._replace(y_NT=truth.y_NT.double(), bound_T=truth.bound_T.double())
    fast = UnimodalLabels(truth, WIDTHS)
    slow = Literal(truth.y_NT.tolist(), truth.bound_T.tolist(), truth.are_numbers)
    random = torch.Generator().manual_seed(8)
    some_loss = False
    for epoch in range(1, EPOCHS + 1):
        for rows_B in torch.randperm(ROWS, generator=random).split(BATCH):
            seen: dict[str, Seen] = {}
            for name, width in WIDTHS.items():
                there_B = torch.rand(len(rows_B), generator=random) > (0.0 if name == FUSED else 0.3)
                sides = truth.y_NT[rows_B][:, :1].nan_to_num().sign()
                seen[name] = Seen(torch.randn(len(rows_B), width, generator=random).double() + 0.5 * sides, there_B)
            for modality in ("text", "audio"):
                said_BT = torch.randn(len(rows_B), truth.y_NT.shape[1], generator=random).double()
                loss, moved = fast.loss(modality, rows_B, said_BT, seen[modality].there_B)
                told = slow.loss(modality, rows_B.tolist(), said_BT.tolist(), seen[modality].there_B.tolist())
                assert loss.item() == pytest.approx(told, rel=1e-9, abs=1e-12)
                assert (loss > 0) == (moved > 0)
                some_loss |= bool(loss > 0)
            fast.move(rows_B, seen, epoch)
            slow.move(rows_B.tolist(), {n: (v.tolist(), there.tolist()) for n, (v, there) in seen.items()}, epoch)
        for modality in ("text", "audio"):
            said_NT = ~truth.y_NT.isnan()
            made = torch.tensor(slow.labels[modality], dtype=torch.float64)
            torch.testing.assert_close(fast.labels[modality][said_NT], made[said_NT], rtol=1e-8, atol=1e-9)
            if epoch == 1:
                assert torch.equal(fast.labels[modality][said_NT], truth.y_NT[said_NT]), "they rest in the first epoch"
    assert some_loss


def test_the_gradient_is_that_of_the_weighted_error() -> None:
    labels = UnimodalLabels(truths("numbers"), WIDTHS)
    labels.labels["text"] += torch.linspace(-1, 1, ROWS).unsqueeze(1)
    rows_B = torch.tensor([0, 1, 5, 7, 9])
    said_BT = torch.randn(5, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    there_B = torch.tensor([True, True, True, True, False])
    labels.loss("text", rows_B, said_BT, there_B)[0].backward()
    expected, count = torch.zeros(5, 2), 0
    for place, row in enumerate(rows_B.tolist()):
        for t in range(2):
            if labels.said_NT[row, t] and there_B[place]:
                y, truth = labels.labels["text"][row, t], labels.truth_NT[row, t]
                expected[place, t] = (y - truth).abs().tanh() * torch.sign(said_BT[place, t].detach() - y)
                count += 1
    torch.testing.assert_close(said_BT.grad, expected / count)
    assert count == 5  # 2 + 2 + 0 + 1 + 0


def test_numbers_are_counted_from_zero_where_they_lie_on_both_sides_of_it() -> None:
    y_NT = torch.tensor([[-3.0, 100.0], [1.0, 120.0], [NAN, 110.0], [2.0, NAN]])
    truth = signed(y_NT, "regression", 2)
    sd = torch.tensor([-3.0, 1.0, 2.0]).std(correction=0)
    torch.testing.assert_close(truth.y_NT[[0, 1, 3], 0], torch.tensor([-3.0, 1.0, 2.0]) / sd)
    torch.testing.assert_close(truth.y_NT[:3, 1].sum(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(truth.bound_T, torch.stack([3.0 / sd, truth.y_NT[1, 1]]))
    assert truth.are_numbers and truth.y_NT[2, 0].isnan() and truth.y_NT[3, 1].isnan()
    same = signed(torch.full((3, 1), 5.0), "regression", 1)
    assert same.y_NT.tolist() == [[0.0]] * 3 and same.bound_T.tolist() == [0.0]


def test_classes_and_labels_are_one_and_minus_one() -> None:
    classes = signed(torch.tensor([1, -1, 0]), "class", 2)
    assert classes.y_NT[0].tolist() == [-1.0, 1.0] and classes.y_NT[1].isnan().all() and not classes.are_numbers
    labels = signed(torch.tensor([[1.0, NAN], [0.0, 1.0]]), "multilabel", 2)
    assert labels.y_NT[1].tolist() == [-1.0, 1.0] and labels.y_NT[0, 1].isnan() and labels.bound_T.tolist() == [1, 1]


def test_a_number_without_rows_on_one_side_rests() -> None:
    truth = Signed(torch.tensor([[1.0], [2.0], [0.5]]), torch.tensor([2.0]), True)
    labels = UnimodalLabels(truth, WIDTHS)
    every_B, rows_B = torch.ones(3, dtype=torch.bool), torch.arange(3)
    seen = {name: Seen(torch.eye(3, width), every_B) for name, width in WIDTHS.items()}
    for epoch in (1, 2, 3):
        labels.move(rows_B, seen, epoch)
    assert all(torch.equal(own, truth.y_NT) for own in labels.labels.values())


def test_what_is_kept_comes_back() -> None:
    one, other = (UnimodalLabels(truths("classes"), WIDTHS) for _ in range(2))
    random = torch.Generator().manual_seed(0)
    seen: Any = {n: Seen(torch.randn(ROWS, w, generator=random), torch.arange(ROWS) > 1) for n, w in WIDTHS.items()}
    for epoch in (1, 2):
        one.move(torch.arange(ROWS), seen, epoch)
    kept: dict[str, Tensor] = {name: tensor.clone() for name, tensor in one.tensors().items()}
    other.load(kept)
    assert kept.keys() == {f"{k}_{n}" for k in ("vector", "seen") for n in WIDTHS} | {"label_text", "label_audio"}
    assert all(torch.equal(kept[name], tensor) for name, tensor in other.tensors().items())
