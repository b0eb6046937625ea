"""The training loop: what it minimises, what it stores, and that stopping anywhere changes nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench import checkpoint
from bench.api import DataSpec, Method, MethodConfig
from bench.datasets.containers import Draw
from bench.registry import method as registered
from bench.running.adam import Adam
from bench.running.grid import resolve_precision
from bench.running.training import Diverged, Interrupted, Schedule, Trainer, make_optimizers

SHAPE = (1, 64, 64)


def slowvae_trainer(path, n_steps=9, device="cpu"):
    """SlowVAE on the default fast path: channels_last, fused Adam, bfloat16 where the machine has it."""
    entry = registered("slowvae")
    config = entry.config(n_steps=n_steps, batch_size=4)
    torch.manual_seed(0)
    method = entry.target(config, DataSpec(SHAPE, 2, 100)).to(device, memory_format=torch.channels_last)

    def batches(rng):
        while True:
            index = rng.integers(100, size=4)
            frames = np.random.default_rng(int(index[0])).integers(256, size=(4, 2, *SHAPE), dtype=np.uint8)
            yield Draw(torch.from_numpy(frames).to(device).float() / 255, torch.from_numpy(index).to(device))

    generator = torch.Generator(device).manual_seed(1)
    precision = resolve_precision("auto", device)
    return Trainer(method, config, batches, np.random.default_rng(2), generator, precision, path)


def final_state(trainer):
    return checkpoint.module_tensors(trainer.method) | checkpoint.optimizer_tensors(trainer.optimizers)


@pytest.mark.parametrize("stop_at", [1, 4, 8])
def test_a_run_stopped_and_resumed_ends_bit_equal(tmp_path, stop_at):
    whole = slowvae_trainer(tmp_path / "whole.safetensors")
    whole.run(Schedule(log_every=3))

    first = slowvae_trainer(tmp_path / "parts.safetensors")
    with pytest.raises(Interrupted):
        first.run(Schedule(log_every=3), should_stop=lambda: first.done.step == stop_at)
    second = slowvae_trainer(tmp_path / "parts.safetensors")
    assert second.restore()
    assert second.done.step == stop_at
    second.run(Schedule(log_every=3))

    expected, found = final_state(whole), final_state(second)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
        assert tensor.stride() == found[name].stride(), name
    assert second.done.curve == whole.done.curve
    assert torch.equal(second.generator.get_state(), whole.generator.get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_run_on_cuda_resumes_from_its_checkpoint(tmp_path):
    first = slowvae_trainer(tmp_path / "c.safetensors", device="cuda:0")
    with pytest.raises(Interrupted):
        first.run(Schedule(log_every=3), should_stop=lambda: first.done.step == 4)
    second = slowvae_trainer(tmp_path / "c.safetensors", device="cuda:0")
    assert second.restore()
    second.run(Schedule(log_every=3))
    assert second.done.step == 9
    assert all(tensor.isfinite().all() for tensor in final_state(second).values())


def test_score_and_logging_do_not_disturb_training(tmp_path):
    plain = slowvae_trainer(tmp_path / "a.safetensors")
    plain.run(Schedule(log_every=9))
    busy = slowvae_trainer(tmp_path / "b.safetensors")

    def score():
        busy.method.eval()
        with torch.inference_mode():
            return {"mean": float(busy.method.encode(torch.rand(2, 1, *SHAPE)).mean())}

    busy.run(Schedule(log_every=1, checkpoint_seconds=0.0, score_every=4), score=score)
    assert [entry["step"] for entry in busy.done.scores] == [4, 8]
    for name, tensor in final_state(plain).items():
        assert torch.equal(tensor, final_state(busy)[name]), name


def test_processor_time_of_steps_adds_up_over_resumptions_or_is_not_known(tmp_path):
    path = tmp_path / "a.safetensors"
    first = slowvae_trainer(path)
    with pytest.raises(Interrupted):
        first.run(Schedule(log_every=3), should_stop=lambda: first.done.step == 4)
    second = slowvae_trainer(path)
    second.restore()
    assert second.done.processor_seconds == first.done.processor_seconds > 0
    assert second.run(Schedule(log_every=3)).processor_seconds > first.done.processor_seconds

    tensors, facts = checkpoint.load(path)
    del facts["training"]["processor_seconds"]  # as written before it was measured
    facts["training"]["step"] = 4
    checkpoint.save(path, tensors, facts)
    third = slowvae_trainer(path)
    third.restore()
    assert third.run(Schedule(log_every=3)).processor_seconds is None


class WithDropout(Method):
    """Draws its masks from torch's global generator, as layers do."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 1)

    def losses(self, batch, generator, player="model"):
        return {"loss": (nn.functional.dropout(self.map(batch.x), 0.5) ** 2).mean()}


def dropout_trainer(path, method):
    def batches(rng):
        while True:
            yield Draw(torch.from_numpy(rng.random((8, 4), dtype=np.float32)), torch.zeros(8, dtype=torch.int64))

    torch.manual_seed(0), np.random.seed(0), random.seed(0)  # noqa: NPY002
    rng, generator = np.random.default_rng(0), torch.Generator()
    return Trainer(method(), QuadraticConfig(), batches, rng, generator, "float32", path)


class WithOtherNoise(WithDropout):
    """Draws from numpy's and Python's global generators, normal draws that come in pairs among them."""

    def losses(self, batch, generator, player="model"):
        noise = np.random.randn() + random.gauss(0, 1)  # noqa: NPY002
        return {"loss": ((self.map(batch.x) + noise) ** 2).mean()}


@pytest.mark.parametrize("method", [WithDropout, WithOtherNoise])
def test_draws_from_global_generators_resume_bit_equal_too(tmp_path, method):
    whole = dropout_trainer(tmp_path / "whole.safetensors", method)
    whole.run(Schedule(log_every=5))
    first = dropout_trainer(tmp_path / "parts.safetensors", method)
    with pytest.raises(Interrupted):
        first.run(Schedule(log_every=5), should_stop=lambda: first.done.step == 4)
    second = dropout_trainer(tmp_path / "parts.safetensors", method)
    second.restore()
    second.run(Schedule(log_every=5))
    assert torch.equal(whole.method.map.weight, second.method.map.weight)


@dataclass(frozen=True)
class QuadraticConfig(MethodConfig):
    n_steps: int = 10
    learning_rate: float = 0.1


class Quadratic(Method):
    """One weight w, loss (w - mean of x)²: its path under Adam is known."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def losses(self, batch, generator, player="model"):
        loss = (self.w - batch.x.mean()) ** 2
        return {"loss": loss if batch.step < 7 or not self.breaks else loss * float("inf")}

    breaks = False


def quadratic_trainer(path, method=None):
    def batches(rng):
        while True:
            yield Draw(torch.full((2, 1), 1.0), torch.zeros(2, dtype=torch.int64))

    return Trainer(
        method or Quadratic(), QuadraticConfig(), batches, np.random.default_rng(0), torch.Generator(), "float32", path
    )


def test_curves_are_means_over_the_steps_since_the_last_point(tmp_path):
    fine = quadratic_trainer(tmp_path / "a.safetensors")
    fine.run(Schedule(log_every=1))
    coarse = quadratic_trainer(tmp_path / "b.safetensors")
    coarse.run(Schedule(log_every=4))
    losses = fine.done.curve["loss"]
    assert fine.done.curve["step"] == list(range(1, 11))
    assert coarse.done.curve["step"] == [4, 8, 10]
    expected = [np.mean(losses[:4]), np.mean(losses[4:8]), np.mean(losses[8:])]
    assert coarse.done.curve["loss"] == pytest.approx(expected, rel=1e-6)
    assert losses[0] == 1.0
    # Adam's first step is the learning rate, whatever the gradient's size
    assert losses[1] == pytest.approx((1 - 0.1) ** 2, rel=1e-6)


def test_a_loss_that_is_not_finite_ends_the_run_by_name(tmp_path):
    trainer = quadratic_trainer(tmp_path / "a.safetensors")
    trainer.method.breaks = True
    with pytest.raises(Diverged, match=r"loss became inf within 2 steps of step 8"):
        trainer.run(Schedule(log_every=2))


class Forgetful(Quadratic):
    def losses(self, batch, generator, player="model"):
        loss = super().losses(batch, generator)["loss"]
        return {"loss": loss, "kl": loss} if batch.step >= 2 else {"loss": loss}


def test_terms_that_come_and_go_are_refused(tmp_path):
    trainer = quadratic_trainer(tmp_path / "a.safetensors", Forgetful())
    with pytest.raises(ValueError, match=r"terms \['kl', 'loss'\] after \['loss'\]"):
        trainer.run(Schedule(log_every=1))


class TwoPlayers(Method):
    """Each player's loss depends on both weights; only its own may move."""

    players = ("generator", "critic")

    def __init__(self):
        super().__init__()
        self.generator, self.critic = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.calls = []

    def losses(self, batch, generator, player="model"):
        self.calls.append((player, float(self.generator.weight), float(self.critic.weight)))
        product = self.generator.weight.sum() * self.critic.weight.sum()
        return {"loss": product if player == "generator" else product * 0 + self.critic.weight.sum()}


def test_players_move_in_order_and_only_their_own_parameters(tmp_path):
    method = TwoPlayers()

    def batches(rng):
        while True:
            yield Draw(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64))

    config = QuadraticConfig(n_steps=1)
    trainer = Trainer(
        method, config, batches, np.random.default_rng(0), torch.Generator(), "float32", tmp_path / "a.safetensors"
    )
    trainer.run(Schedule(log_every=1))
    (first, g0, c0), (second, g1, c1) = method.calls
    assert (first, second) == ("generator", "critic")
    assert abs(g1 - g0) == pytest.approx(0.1, rel=1e-4)
    assert c1 == c0
    assert set(trainer.done.curve) == {"step", "generator/loss", "critic/loss"}


def adam_after(steps, optimizer):
    """Weights and state after some steps on a network with 4-D weights, the optimiser made anew in the middle."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 2)).to(memory_format=torch.channels_last)
    adam = optimizer(network.parameters(), lr=1e-2, fused=True)
    for step in range(steps):
        if step == steps // 2:
            state = adam.state_dict()
            adam = optimizer(network.parameters(), lr=1e-2, fused=True)
            adam.load_state_dict(state)
        adam.zero_grad(set_to_none=True)
        network(torch.randn(4, 1, 8, 8)).pow(2).sum().backward()
        adam.step()
    state = adam.state_dict()["state"]
    return [*network.parameters(), *(state[i][key] for i in state for key in sorted(state[i]))]


def test_adam_is_torchs_adam_to_the_bit():
    ours, theirs = adam_after(6, Adam), adam_after(6, torch.optim.Adam)
    assert len(ours) == len(theirs) == 16
    for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.equal(one, other), i


class InPlace(Quadratic):
    def losses(self, batch, generator, player="model"):
        batch.x.mul_(0.5)
        return super().losses(batch, generator)


def test_a_batch_changed_in_place_is_noticed(tmp_path):
    told = []
    quadratic_trainer(tmp_path / "a.safetensors").run(Schedule(log_every=5), notice=told.append)
    assert not told
    quadratic_trainer(tmp_path / "b.safetensors", InPlace()).run(Schedule(log_every=5), notice=told.append)
    assert set(told) == {"changed its batch in place"}


class OwnCritic(TwoPlayers):
    def optimizers(self):
        return {"critic": torch.optim.SGD(self.critic.parameters(), lr=0.5)}


def test_an_optimiser_of_its_own_does_not_change_the_order_of_players():
    optimizers = make_optimizers(OwnCritic(), QuadraticConfig())
    assert list(optimizers) == ["generator", "critic"]
    assert isinstance(optimizers["critic"], torch.optim.SGD)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "a flipped bit", "other network"])
def test_a_damaged_checkpoint_is_named_not_loaded(tmp_path, damage):
    path = tmp_path / "c.safetensors"
    trainer = quadratic_trainer(path)
    trainer.run(Schedule(log_every=5))
    content = path.read_bytes()
    if damage == "other network":
        checkpoint.save(path, {"model/v": torch.zeros(3)}, {"rng": {}, "training": {}})
    else:
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        path.write_bytes({"cut": content[:-10], "empty": b"", "text": b"no", "a flipped bit": flipped}[damage])
    with pytest.raises(checkpoint.CorruptCheckpoint):
        quadratic_trainer(path).restore()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(
            lambda t, f: t.update({"global/numpy": t["global/numpy"] + 10**6}), "no state", id="a place beyond"
        ),
        pytest.param(
            lambda t, f: t.update({"sums/loss": torch.ones(2)}), "no sum of a term", id="a sum of two numbers"
        ),
        pytest.param(
            lambda t, f: t.update({"optimizer/model/0/exp_avg": torch.ones(99)}),
            "is not as its parameter",
            id="moments",
        ),
        pytest.param(lambda t, f: t.update({"optimizer/model/7/step": torch.ones(())}), "there are", id="a parameter"),
        pytest.param(lambda t, f: f["training"].update(step=10**9), "steps done of", id="more steps than there are"),
        pytest.param(lambda t, f: f["training"].update(step=-1), "steps done of", id="fewer than none"),
        pytest.param(lambda t, f: f["training"].update(seconds="7"), "no numbers", id="time that is text"),
        pytest.param(lambda t, f: f["training"]["curve"]["step"].append(1), "differ in length", id="a longer column"),
        pytest.param(lambda t, f: f["rng"].update(state=[10**40]), "c.safetensors", id="a generator's state"),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_training_is_named_not_loaded(tmp_path, change, what):
    path = tmp_path / "c.safetensors"
    quadratic_trainer(path).run(Schedule(log_every=5))
    tensors, facts = checkpoint.load(path)
    change(tensors, facts)
    checkpoint.save(path, tensors, facts)
    with pytest.raises(checkpoint.CorruptCheckpoint, match=what) as refused:
        quadratic_trainer(path).restore()
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from bench.running import training
from bench.running.grid import Request, build
from bench.opening import Folders
from bench.running.standing import Options
from bench.running.worker import perform

kill_at, results = int(sys.argv[1]), Path(sys.argv[2])
step = training.Trainer.step

def deadly(self, draw):
    step(self, draw)
    if self.done.step == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

training.Trainer.step = deadly
folders = Folders.from_environment(results)
request = Request("slowvae[n_steps=12,batch_size=4]", "natural_sprites[n_pairs=64]", (0,), "smoke", metrics=("mcc",))
grid = build(request, folders, "cpu")
print(perform(grid.runs[0], Options(folders, metrics=("mcc",), checkpoint_seconds=0.0 if kill_at % 2 else 0.3)))
assert "torch._dynamo" not in sys.modules, "torch's compiler was imported, which takes seconds"
"""


def run_killed_at(step: int, results: Path) -> int:
    command = [sys.executable, "-c", KILLED_RUN, str(step), str(results)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, timeout=200, check=False).returncode


def test_a_run_killed_and_resumed_scores_bit_equal(tmp_path):
    from bench.store import Store

    assert run_killed_at(-1, tmp_path / "left alone") == 0
    kill_at = int(np.random.default_rng().integers(1, 11))  # any step must do
    assert run_killed_at(kill_at, tmp_path / "killed") == -signal.SIGKILL
    assert list(Store(tmp_path / "killed").rows()) == []
    assert run_killed_at(-1, tmp_path / "killed") == 0

    (expected,), (found,) = Store(tmp_path / "left alone").rows(), Store(tmp_path / "killed").rows()
    assert found["metrics"] == expected["metrics"], f"killed at step {kill_at}"
    assert found["training"] == expected["training"]
    name = f"artifacts/{found['hash']}/checkpoint.safetensors"
    tensors = [checkpoint.load(tmp_path / folder / name)[0] for folder in ("left alone", "killed")]
    for key, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][key]), key
