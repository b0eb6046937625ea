"""What methods that move latents along learned flows share: a VAE of first frames, and moves by given amounts.

A flow is one field, but for STA's double control, where its potential and its rotational part are two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from bench.api import DataSpec, MethodConfig
from methods.flow_networks import flow_vae
from methods.flow_objectives import Objective
from methods.image_vae import BernoulliVAE
from methods.parameters import check_at_least, check_one_of, check_training

OUT_OF_SEQUENCE = (
    "Codes are posterior means of single frames, though only first frames are encoded in training; later frames reach "
    "the decoder as moved latents alone."
)


@dataclass(frozen=True)
class FlowConfig(MethodConfig):
    """Parameters of every method that moves latents along flows.

    Attributes:
        width: D: latents, hidden units of the flows and channels of the images' network; even. 324 for MNIST, 226 for
            Shapes3D.
        objective: "released" (the authors' arithmetic) or "clean" (the mathematics it stands for).
        n_moves: T, moves of each sequence that are trained on, from the first; 0 is all.
        n_probes: directions of Hutchinson's Laplacian where the objective is clean; 0 is the exact one.
    """

    batch_size: int = 128
    width: int = 324
    objective: Objective = "released"
    n_moves: int = 0
    n_probes: int = 1

    def check(self, method: str) -> None:
        """Raise ValueError where a shared parameter is out of its range; ``method`` is named in the message."""
        check_training(method, self)
        check_at_least(method, self, 4, "width")
        check_at_least(method, self, 0, "n_moves", "n_probes")
        check_one_of(method, self, "objective", get_args(Objective))
        if self.width % 2:
            raise ValueError(f"{method}: parameter 'width' must be even (time is embedded in pairs), got {self.width}")


class FlowMethod(BernoulliVAE):
    """A VAE whose latents move along flows; a subclass says how fast, and adds the objective.

    Args:
        name: the method's, for messages.
        n_flows: 0 for one per transformation of the data.
        twice_differentiable: the objective holds derivatives of the decoder.
    """

    def __init__(
        self, name: str, config: FlowConfig, data: DataSpec, n_flows: int = 0, twice_differentiable: bool = False
    ) -> None:
        super().__init__()
        self.name = name
        self.n_flows = n_flows or len(data.transformations)
        if self.n_flows == 0 or data.n_frames < 2:
            raise ValueError(f"{name}: needs sequences with named transformations between their frames")
        self.n_fields = self.n_flows
        self.n_moves = config.n_moves or data.n_frames - 1
        if self.n_moves > data.n_frames - 1:
            raise ValueError(f"{name}: n_moves={self.n_moves}, but sequences have {data.n_frames - 1} moves")
        self.model = flow_vae(data.observation_shape, config.width, twice_differentiable=twice_differentiable)

    def velocities(self, z: Tensor, move: int) -> Tensor:
        """Velocity of each field, (n_fields, batch, n_latents), at z (batch, n_latents) and move 1, 2, …"""
        raise NotImplementedError

    def beside(self, z: Tensor) -> Tensor:
        """z (batch, n_latents) once for each flow, (n_flows, batch, n_latents)."""
        return z.expand(self.n_flows, *z.shape)

    def transform(self, x0: Tensor, amounts: Tensor) -> Tensor:
        """Observations x0 (batch, *observation), encoded to posterior means, moved and decoded.

        Returns:
            (batch, n_steps + 1, *observation) in [0, 1] for ``amounts`` (batch, n_steps, n_fields) of each flow; where
            several act at once their velocities add up.
        """
        mean, _ = self.model.posterior(x0)
        return self.decode(self.moved(mean, amounts).flatten(0, 1)).unflatten(0, (len(x0), -1))

    def moved(self, z: Tensor, amounts: Tensor) -> Tensor:
        """Latents (batch, n_steps + 1, n_latents) from z (batch, n_latents) on, without a gradient."""
        if amounts.shape[-1] != self.n_fields:
            raise ValueError(f"{self.name}: amounts of {self.n_fields} flows expected, got {tuple(amounts.shape)}")
        # velocities are derivatives, so they need a graph even where the caller asks for none
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(z.device.type, enabled=False):
            weights = amounts.detach().clone().permute(1, 2, 0)
            path = [z.detach().clone()]
            for move, weight in enumerate(weights, start=1):
                velocity = self.velocities(path[-1], move)
                path.append((path[-1] + (weight[..., None] * velocity).sum(0)).detach())
        return torch.stack(path, dim=1)


def times(z: Tensor, move: int) -> Tensor:
    """The time ``move`` for each row of z (n_flows, batch, n_latents): (n_flows, batch)."""
    return torch.full(z.shape[:-1], float(move), device=z.device)
