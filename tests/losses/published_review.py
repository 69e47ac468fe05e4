"""Knowledge review as its authors' code computes it (dvlab-research/ReviewKD, CIFAR-100/model/reviewkd.py, 6607308).

A port for maps of h x 1: their 2-D layers and pooling, with 1 in the place of the second side. The names are theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ABF(nn.Module):
    def __init__(self, in_channel: int, mid_channel: int, out_channel: int, fuse: bool) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(in_channel, mid_channel, 1, bias=False), nn.BatchNorm2d(mid_channel))
        self.conv2 = nn.Sequential(
            nn.Conv2d(mid_channel, out_channel, 3, padding=1, bias=False), nn.BatchNorm2d(out_channel)
        )
        self.att_conv = nn.Sequential(nn.Conv2d(2 * mid_channel, 2, 1), nn.Sigmoid()) if fuse else None

    def forward(self, x: Tensor, y: Tensor | None, shape: int) -> tuple[Tensor, Tensor]:
        x = self.conv1(x)
        if self.att_conv is not None:
            y = F.interpolate(y, (shape, 1), mode="nearest")
            z = self.att_conv(torch.cat([x, y], dim=1))
            x = x * z[:, :1] + y * z[:, 1:]
        return self.conv2(x), x


class ReviewKD(nn.Module):
    def __init__(self, in_channels: list[int], out_channels: list[int], shapes: list[int]) -> None:
        super().__init__()
        mid, last = min(512, in_channels[-1]), len(in_channels) - 1
        self.abfs = nn.ModuleList(
            ABF(wide, mid, out, fuse=i < last)
            for i, (wide, out) in enumerate(zip(in_channels, out_channels, strict=True))
        )
        self.shapes = shapes

    def forward(self, student_features: list[Tensor]) -> list[Tensor]:
        """Features from the first stage to the last; the review goes from the last to the first."""
        results: list[Tensor] = []
        res_features: Tensor | None = None
        for features, abf, shape in list(zip(student_features, self.abfs, self.shapes, strict=True))[::-1]:
            out_features, res_features = abf(features, res_features, shape)
            results.insert(0, out_features)
        return results


def hcl(fstudent: list[Tensor], fteacher: list[Tensor]) -> Tensor:
    loss_all = torch.zeros((), dtype=fstudent[0].dtype)
    for fs, ft in zip(fstudent, fteacher, strict=True):
        loss, cnt, tot = F.mse_loss(fs, ft), 1.0, 1.0
        for size in (4, 2, 1):
            if size >= fs.shape[2]:
                continue
            cnt /= 2.0
            loss = loss + cnt * F.mse_loss(F.adaptive_avg_pool2d(fs, (size, 1)), F.adaptive_avg_pool2d(ft, (size, 1)))
            tot += cnt
        loss_all = loss_all + loss / tot
    return loss_all
