"""The one training loop: batches in, optimiser steps, curves and checkpoints out.

Knows no method, no data set and no file name; it resumes from a checkpoint bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bench import checkpoint, row_shape
from bench.api import Batch, Method, MethodConfig
from bench.messages import one_line
from bench.randomness import check_global_states, global_states, set_global_states
from bench.running.adam import Adam


class Interrupted(Exception):
    """The run was asked to stop; its checkpoint is on disk."""


class Diverged(Exception):
    """The loss became infinite or NaN; the message says which term and when."""


class Draws(Protocol):
    """What the loop reads of a container's batch."""

    @property
    def x(self) -> Tensor: ...
    @property
    def index(self) -> Tensor: ...
    @property
    def transformation(self) -> Tensor | None: ...
    @property
    def extras(self) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True)
class Schedule:
    """How often the loop does what is not training.

    Attributes:
        log_every: steps between points of the curves (each the mean over the steps since the last).
        checkpoint_seconds: wall time between checkpoints.
        score_every: steps between calls of ``score``, 0 for never.
    """

    log_every: int
    checkpoint_seconds: float = 20.0
    score_every: int = 0


@dataclass
class Training:
    """What training left behind.

    Attributes:
        curve: "step" and one list per loss term, equally long.
        scores: {"step", "metrics"} for each scoring during training.
        seconds, waiting: wall time of the steps and, within it, of waiting for data; summed over resumptions.
        processor_seconds: time that processors worked on the steps, in this process; None where a part of the training
            did not measure it.
    """

    step: int = 0
    curve: dict[str, list[float]] = field(default_factory=lambda: {"step": []})
    scores: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    waiting: float = 0.0
    processor_seconds: float | None = 0.0


def _nobody(text: str) -> None:
    """Hears what is noticed where no one listens."""


def _training_of(facts: Any, n_steps: int) -> Training:
    """What a checkpoint says of its training.

    Raises:
        ValueError: another number of steps than this training has, or what no row could hold.
    """
    wrong = row_shape.unstorable(facts) or next(row_shape.in_curves(facts), "")
    if wrong:
        raise ValueError(wrong)
    done = Training(**({"processor_seconds": None} | facts))
    if not row_shape.is_count(done.step, 0) or done.step > n_steps:
        raise ValueError(f"{row_shape.shown(done.step)} steps done of {n_steps}")
    if "step" not in done.curve or not all(
        row_shape.is_number(v) and v >= 0 for v in (done.seconds, done.waiting, done.processor_seconds or 0.0)
    ):
        raise ValueError("its curve or its times are no numbers")
    return done


def make_optimizers(method: Method, config: MethodConfig) -> dict[str, torch.optim.Optimizer]:
    """The method's own optimisers, and Adam (fused) for every player it declares none for; in the players' order."""
    own = method.optimizers()
    strangers = sorted(set(own) - set(method.players))
    if strangers:
        raise ValueError(f"optimizers() names '{strangers[0]}', which is none of players: {', '.join(method.players)}")
    optimizers: dict[str, torch.optim.Optimizer] = {}
    for player in method.players:
        if player in own:
            optimizers[player] = own[player]
        else:
            parameters = method.player_parameters(player)
            optimizers[player] = Adam(parameters, lr=config.learning_rate, fused=True)
    return optimizers


class Trainer:
    """A method, its optimisers and its random streams, advanced step by step.

    Args:
        batches: rng -> endless iterator of draws; each draw depends on the generator's state alone.
        rng: the data order; generator: the method's own noise, on the method's device.
        precision: "bfloat16" runs ``losses`` under autocast.
        path: the checkpoint file.
    """

    def __init__(
        self,
        method: Method,
        config: MethodConfig,
        batches: Callable[[np.random.Generator], Iterator[Draws]],
        rng: np.random.Generator,
        generator: torch.Generator,
        precision: str,
        path: Path,
    ) -> None:
        self.method, self.config, self.batches = method, config, batches
        self.rng, self.generator, self.precision, self.path = rng, generator, precision, path
        self.optimizers = make_optimizers(method, config) if config.n_steps else {}
        self.rates = {player: [g["lr"] for g in one.param_groups] for player, one in self.optimizers.items()}
        self.done = Training()
        self.sums: dict[str, Tensor] = {}
        self.global_states: dict[str, Tensor] = {}  # found in a checkpoint
        self.notice: Callable[[str], None] = _nobody

    def restore(self) -> bool:
        """Continue from the checkpoint if there is one; raises ``checkpoint.CorruptCheckpoint``."""
        found = checkpoint.load(self.path)
        if found is None:
            return False
        tensors, facts = found
        try:
            checkpoint.load_module(self.method, tensors)
            checkpoint.load_optimizers(self.optimizers, tensors)
            self.generator.set_state(tensors["generator"])
            self.rng.bit_generator.state = facts["rng"]
            self.done = _training_of(facts["training"], self.config.n_steps)
            self.global_states = {name: t for name, t in tensors.items() if name.startswith("global/")}
            check_global_states(self.global_states)
            self.sums = self._sums_of(tensors)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
            raise checkpoint.CorruptCheckpoint(f"{self.path}: {one_line(error, 300)}") from None
        return True

    def _sums_of(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sums of the terms since the last point of the curve."""
        sums = {name[5:]: total for name, total in tensors.items() if name.startswith("sums/")}
        terms = set(self.done.curve) - {"step"}
        for name, total in sums.items():
            if total.numel() != 1 or not total.is_floating_point() or (terms and name not in terms):
                raise ValueError(f"'{one_line(name)}' is no sum of a term under way")
        return {name: total.to(self.generator.device) for name, total in sums.items()}

    def save(self) -> None:
        """Write the checkpoint; everything that the next step depends on is in it."""
        tensors = checkpoint.module_tensors(self.method) | checkpoint.optimizer_tensors(self.optimizers)
        tensors |= {"generator": self.generator.get_state()}
        tensors |= global_states(self.generator.device)
        tensors |= {f"sums/{name}": tensor for name, tensor in self.sums.items()}
        checkpoint.save(self.path, tensors, {"rng": self.rng.bit_generator.state, "training": vars(self.done)})

    def run(
        self,
        schedule: Schedule,
        *,
        score: Callable[[], dict[str, float | None]] | None = None,
        report: Callable[[int], None] = lambda step: None,
        should_stop: Callable[[], bool] = lambda: False,
        notice: Callable[[str], None] = _nobody,
    ) -> Training:
        """Train to ``config.n_steps``.

        Args:
            notice: told of what a method should not do.

        Raises:
            Interrupted: ``should_stop`` said so; a checkpoint was written.
            Diverged: a loss term is not finite.
        """
        done, n_steps = self.done, self.config.n_steps
        set_global_states(self.global_states, self.generator.device)
        self.notice = notice
        draws = self.batches(self.rng)
        self.method.train()
        last_save = started = time.perf_counter()
        worked = time.process_time()
        while done.step < n_steps:
            before = time.perf_counter()
            draw = next(draws)
            done.waiting += time.perf_counter() - before
            self.step(draw)
            done.step += 1
            if done.step % schedule.log_every == 0 or done.step == n_steps:
                self._log(schedule.log_every)
                report(done.step)
            now = time.perf_counter()
            done.seconds, started = done.seconds + now - started, now
            spent = time.process_time()
            if done.processor_seconds is not None:
                done.processor_seconds += spent - worked
            worked = spent
            if score and schedule.score_every and done.step % schedule.score_every == 0:
                done.scores.append({"step": done.step, "metrics": score()})
                self.method.train()
                started, worked = time.perf_counter(), time.process_time()
            if should_stop():
                self.save()
                raise Interrupted
            if done.step == n_steps or now - last_save >= schedule.checkpoint_seconds:
                self.save()
                last_save = started = time.perf_counter()
                worked = time.process_time()
        return done

    def step(self, draw: Draws) -> None:
        """One batch: each player in turn, backward with respect to its own parameters, then its optimiser step."""
        batch = Batch(draw.x, draw.index, self.done.step, self.config.n_steps, draw.transformation, draw.extras)
        version = draw.x._version
        for player, optimizer in self.optimizers.items():
            with torch.autocast(draw.x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                terms = self.method.losses(batch, self.generator, player)
            optimizer.zero_grad(set_to_none=True)
            # inputs: no gradient reaches another player's parameters
            terms["loss"].backward(inputs=[p for group in optimizer.param_groups for p in group["params"]])
            factor = self.method.learning_rate_factor(batch.step, batch.n_steps)
            for group, rate in zip(optimizer.param_groups, self.rates[player], strict=True):
                group["lr"] = rate * factor
            optimizer.step()
            prefix = "" if len(self.optimizers) == 1 else f"{player}/"
            for name, term in terms.items():
                key = prefix + name
                self.sums[key] = self.sums[key] + term.detach() if key in self.sums else term.detach().clone()
        if draw.x._version != version:
            self.notice("changed its batch in place")

    def _log(self, log_every: int) -> None:
        """Means of the terms since the last point; the only place where the loop waits for the device."""
        curve, step = self.done.curve, self.done.step
        since = (step - 1) % log_every + 1
        values = {name: float(total) / since for name, total in self.sums.items()}
        self.sums = {}
        wrong = [name for name, value in values.items() if not np.isfinite(value)]
        if wrong:
            steps = "at" if since == 1 else f"within {since} steps of"
            raise Diverged(f"{', '.join(wrong)} became {values[wrong[0]]} {steps} step {step}")
        known = set(curve) - {"step"}
        if known and known != set(values):
            raise ValueError(
                f"losses gave the terms {sorted(values)} after {sorted(known)}; give the same at every step"
            )
        curve["step"].append(step)
        for name, value in values.items():
            curve.setdefault(name, []).append(value)
