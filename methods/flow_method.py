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
from methods.flow_potentials import PotentialFlow, Potentials
from methods.image_vae import BernoulliVAE
from methods.objectives import bernoulli_nll
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
    n_probes: int = 0

    def check(self, method: str) -> None:
        """Raise ValueError where a shared parameter is out of its range; ``method`` is named in the message."""
        check_training(method, self)
        check_at_least(method, self, 4, "width")
        check_at_least(method, self, 0, "n_moves", "n_probes")
        check_one_of(method, self, "objective", get_args(Objective))
        if self.width % 2:
            raise ValueError(f"{method}: parameter 'width' must be even (time is embedded in pairs), got {self.width}")


class FlowMethod(BernoulliVAE):
    """A VAE whose latents move along potentials' gradients; a subclass may add further fields, and says what is learnt.

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
        self.potentials = Potentials(self.n_flows, config.width)

    def velocities(self, z: Tensor, move: int) -> Tensor:
        """Velocity of each field, (n_fields, batch, n_latents), at z (batch, n_latents) and move 1, 2, …"""
        at = self.beside(z)
        return self.potentials.flow(at, times(at, move)).field

    def path_nll(self, path: Tensor, x: Tensor, n_decoded: int, generator: torch.Generator) -> Tensor:
        """-log p(x_0, …, x_T | z_0, …, z_T) of shape (), mean over sequences, or its estimate from some frames.

        Args:
            path: latents (batch, n_moves + 1, n_latents); x: frames (batch, n_moves + 1, *observation).
            n_decoded: frames of each sequence, drawn without replacement; 0 is all.
        """
        n_frames = x.shape[1]
        if 0 < n_decoded < n_frames:
            order = torch.rand(x.shape[:2], generator=generator, device=x.device).argsort(1)[:, :n_decoded]
            rows = torch.arange(len(x), device=x.device)[:, None]
            path, x = path[rows, order], x[rows, order]
        return n_frames * bernoulli_nll(self.model.logits(path.flatten(0, 1)), x.flatten(0, 1))

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
        with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
            return self.path(z, amounts.permute(1, 2, 0)).transpose(0, 1)

    def path(self, z: Tensor, weights: Tensor, first: int = 1) -> Tensor:
        """z_0, …, z_T, (n_moves + 1, batch, n_latents), of z_0 = z (batch, n_latents) at times ``first``, first + 1, …

        Args:
            weights: how much each field acts in each move, (n_moves, n_fields, batch).
        """
        path = [z]
        for move, weight in enumerate(weights, start=first):
            path.append(path[-1] + (weight[..., None] * self.velocities(path[-1], move)).sum(0))
        return torch.stack(path)

    def every_move(self, values: Tensor) -> Tensor:
        """Of values (n_flows, n_moves · batch, …) those of each move: (n_moves, n_flows, batch, …)."""
        return values.unflatten(1, (self.n_moves, -1)).transpose(0, 1)

    def flows(self, starts: Tensor, first: int = 1) -> PotentialFlow:
        """Derivatives of all potentials where moves start, z (n_moves, batch, n_latents), all moves side by side.

        Rows are those of the first move, then those of the next; ``every_move`` tells them apart.
        """
        at = self.beside(starts.flatten(0, 1))
        t = torch.arange(first, first + len(starts), device=at.device).repeat_interleave(starts.shape[1])
        return self.potentials.flow(at, t.to(at.dtype).expand(self.n_flows, -1))


def times(z: Tensor, move: int) -> Tensor:
    """The time ``move`` that all rows of z (n_flows, batch, n_latents) share: (n_flows, 1)."""
    return torch.full((len(z), 1), float(move), device=z.device)
