"""The small network of the VP score (Zhu, Xu and Tao, ECCV 2020): which transformation lies between two images?

After zhuxinqimac/VP-metric-pytorch, in its mode ``diff``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from bench.randomness import seeded_global_state
from metrics.variation_predictability import PairPredictions

_BATCH = 32
_LEARNING_RATE = 0.01
_TRAIN_SHARE = 0.1


@dataclass(frozen=True)
class VPSettings:
    """How much is trained.

    Attributes:
        n_pairs: decoded pairs, a tenth of them to train.
        side: images are reduced by whole factors until they are at most this high; 0 leaves them.
        n_epochs: through the training pairs.
        evaluate_every: epochs between predictions of the test pairs; the last epoch always has them.
    """

    n_pairs: int
    side: int
    n_epochs: int
    evaluate_every: int


QUICK = VPSettings(n_pairs=2_000, side=32, n_epochs=30, evaluate_every=15)
FULL = VPSettings(n_pairs=10_000, side=0, n_epochs=200, evaluate_every=1)


def pair_network(n_channels: int, n_classes: int) -> nn.Sequential:
    """Differences of images (n, channels, height, width) -> logits (n, n_classes)."""

    def block(n_in: int, n_out: int, size: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False)
        return [convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(n_channels, 64, 7, 2),
        *block(64, 64, 3, 1),
        nn.MaxPool2d(3, 2, 1),
        *block(64, 128, 3, 1),
        *block(128, 256, 3, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(256, n_classes),
    )


def smaller(images: Tensor, side: int) -> Tensor:
    """Images (n, channels, height, width), reduced by the least whole factor that makes them at most ``side`` high."""
    return images if not side or images.shape[-2] <= side else avg_pool2d(images, -(-images.shape[-2] // side))


def predictions(
    differences: Tensor, labels: Tensor, n_classes: int, settings: VPSettings, seed: int
) -> PairPredictions:
    """Train on a tenth of the pairs, and say what the others are.

    Args:
        differences: (n, channels, height, width): first image less last, both in [-1, 1].
        labels: (n,) int64.
        seed: of weights, split and batches.
    """
    device = differences.device
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    train, test = order.tensor_split([max(1, round(_TRAIN_SHARE * len(labels)))])
    found = []
    # not those of a caller who evaluates: tensors made there have no gradient
    with torch.inference_mode(False), torch.enable_grad():
        with seeded_global_state(seed):
            network = pair_network(differences.shape[1], n_classes).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
        x, y = differences.clone(memory_format=torch.channels_last), labels.to(device).clone()
        for epoch in range(1, settings.n_epochs + 1):
            network.train()
            for rows in train[torch.randperm(len(train), generator=generator)].split(_BATCH):
                if len(rows) > 1:  # batch normalisation needs two
                    optimizer.zero_grad(set_to_none=True)
                    cross_entropy(network(x[rows]), y[rows]).backward()
                    optimizer.step()
            if epoch % settings.evaluate_every == 0 or epoch == settings.n_epochs:
                found.append(_predicted(network, x[test]))
    return PairPredictions(np.stack(found), labels[test].cpu().numpy(), n_classes)


@torch.no_grad()
def _predicted(network: nn.Module, x: Tensor) -> np.ndarray:
    network.eval()
    return torch.cat([network(piece).argmax(1) for piece in x.split(256)]).cpu().numpy()
