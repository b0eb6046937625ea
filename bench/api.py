"""What a method sees of the suite: the batch, the data description, its own card, and the class it extends.

A method file imports this module and ``bench.registry``, nothing else of the suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

View = Literal["images", "pairs", "sequences", "transformations"]


@dataclass(frozen=True)
class Batch:
    """One training batch, on the run's device.

    Attributes:
        x: observations (batch, time, *observation), float32, images in [0, 1] and audio features as the data set
            scales them; an image has time 1, a pair time 2.
        index: rows of the training set, int64 (batch,).
        step: optimiser steps done before this batch, 0 … n_steps - 1.
        n_steps: length of the whole training; schedules read ``step / n_steps``.
        transformation: how much of each transformation acted at each step, (batch, time - 1, n_transformations)
            float32, only for methods whose card says ``supervised``.
        extras: the further arrays that the method named in ``Method.extras``, one row per item.
    """

    x: Tensor
    index: Tensor
    step: int
    n_steps: int
    transformation: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSpec:
    """What a method may know of the data before it sees any.

    Attributes:
        observation_shape: (channels, height, width), or (features,) for audio frames.
        n_frames: time steps of one training item: 1 for images, 2 for pairs.
        n_train: number of training items.
        n_sequences: number of distinct sequences, where items are cut from longer ones.
        extras: arrays that a batch can bring beside ``x``: name -> shape of one item's.
        transformations: names of what can act between two frames, for the view ``transformations``.
    """

    observation_shape: tuple[int, ...]
    n_frames: int
    n_train: int
    n_sequences: int = 0
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    transformations: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodConfig:
    """Parameters every method has; published values are the defaults of each method's own config.

    ``batch_size`` counts items of the method's view (pairs for the view ``pairs``). Budgets override any field.
    """

    n_steps: int = 300_000
    batch_size: int = 64
    learning_rate: float = 1e-4


@dataclass(frozen=True)
class MethodCard:
    """The metadata of a method.

    Attributes:
        title: the name as papers print it.
        paper: citation.
        summary: one sentence: what the method does.
        family: "static", "temporal", "sequential", "transformation" or "reference".
        view: how the data is offered to it.
        budgets: overrides of the config for "smoke", "quick", "standard" and "paper".
        verified: what our implementation was checked against, in words.
        source: paper equation or table, and the authors' file where we follow it.
        supervised: receives the transformation's name during training.
        batch_dependent: codes of one observation depend on the others encoded with it.
        reads_factors: scored from the ground truth itself (the oracle alone).
        notes: differences from the paper, traps, and what the codes are.
        grids: named sweeps, ``NAME[grid=study]`` on the command line: the parameters of each of their points.
    """

    title: str
    paper: str
    summary: str
    family: Literal["static", "temporal", "sequential", "transformation", "reference"]
    view: View
    budgets: Mapping[str, Mapping[str, Any]]
    verified: str
    source: str
    supervised: bool = False
    batch_dependent: bool = False
    reads_factors: bool = False
    notes: str = ""
    grids: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)


class Method(nn.Module):
    """A trainable representation: built from (config, data spec), trained by the suite's one loop.

    A subclass offers ``losses`` (trained by gradient) or ``fit`` (trained at once), and any of the capabilities that
    the suite looks for by name:

    - ``encode(x) -> (batch, time, n_latents)``: posterior means, float32; the suite calls it in eval mode, without
      gradients and without autocast;
    - ``decode(codes) -> (n, *observation)`` in [0, 1] from codes (n, n_latents);
    - ``log_weights(x, n_samples, generator) -> (n, n_samples)``: log p(x, z) - log q(z|x) in nats of frames x
      (n, *observation), for the evidence lower bound and its importance-weighted form; methods of the view
      ``sequences`` are given whole sequences x (n, time, *observation);
    - ``latent_kl(x) -> (n, n_latents)``: KL of each latent's posterior to its prior, in nats, of such x;
    - ``gaussian_posterior(x) -> (mean, log_var)``, each (n, n_latents), of q(z|x) of frames x (n, *observation), where
      the prior is N(0, I) and ``decode`` gives pixel means: for likelihoods under other decoder distributions;
    - ``fit(x, generator)``: for what is not trained by gradient; x (n, *observation) float32, ``fit_rows`` rows;
    - ``encode_factors(factors, generator)``: only where the card says ``reads_factors``;
    - ``parts(x) -> {name: codes}``: the pieces of the code that mean different things, each scored by itself as
      ``metric@name``: (batch, n) for what holds for the whole item ("static", "utterance"), (batch, time, n) for what
      each frame has ("dynamic", "capsules"), (batch, time - 1, n) for what happens between frames ("speeds"); capsules
      stand one after the other, ``n_capsules`` of them, and a step of a transformation rolls each by one place;
    - ``generate(static, dynamic) -> (batch, time, *observation)`` in [0, 1] from static codes (batch, n_static) and
      dynamic ones (batch, time, n_dynamic), as ``parts`` or ``sample_prior`` gives them;
    - ``sample_prior(n, n_frames, generator) -> {"static": (n, n_static), "dynamic": (n, n_frames, n_dynamic)}``: what
      the authors decode when they sample;
    - ``transform(x0, amounts) -> (batch, n_steps + 1, *observation)`` in [0, 1]: observations x0 (batch, *observation)
      moved on by ``amounts`` (batch, n_steps, n_transformations), the untouched reconstruction first;
    - ``infer_amounts(x) -> (batch, time - 1, n_amounts)``: how much of what acted between the frames of x, as the
      method's own ``transform`` takes it.

    Attributes:
        part_names: what ``parts`` gives, where a method offers it; names of ``metrics.registry.PARTS``.
        n_flows: of a method with ``transform``, how many moves of its own it has; as many as the data has
            transformations where it is not said.
        knows_names: whether ``transform`` takes amounts by the names of the data's transformations; what the card says
            of ``supervised`` where it is not said. The suite matches flows to names otherwise.
        extras: names of ``DataSpec.extras`` that each batch must bring; set by a subclass or by its ``__init__``, which
            raises ValueError where the data cannot bring what it needs.
    """

    card: ClassVar[MethodCard]
    players: ClassVar[tuple[str, ...]] = ("model",)
    part_names: ClassVar[tuple[str, ...]] = ("static", "dynamic")
    fit_rows: ClassVar[int] = 5_000
    extras: tuple[str, ...] = ()

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """Scalar float32 terms; ``"loss"`` is minimised over that player's parameters only.

        Called once per step for each of ``players`` in order. Draws come from ``generator`` (on the batch's device).
        """
        raise TypeError(f"{type(self).__name__} is not trained by gradient")

    def player_parameters(self, player: str) -> list[nn.Parameter]:
        """Parameters that ``player`` owns: all of them for one player, else those of the submodule of that name."""
        if len(self.players) == 1:
            owner: nn.Module = self
        else:
            owner = getattr(self, player)
        return [parameter for parameter in owner.parameters() if parameter.requires_grad]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """An optimiser per player, for methods that need another than Adam with the config's learning rate."""
        return {}

    def learning_rate_factor(self, step: int, n_steps: int) -> float:
        """What every learning rate is multiplied by at this step, for methods with a schedule; 1 without one."""
        return 1.0
