"""Checkpoints: bytes changed, and well-formed ones whose facts or tensors are not ours; what is restored trains on."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from guard import effort, outcome
from hypothesis import given
from mutations import alter, damage, made
from safetensors.torch import save

from bench import checkpoint
from bench.api import Method, MethodConfig
from bench.datasets.containers import Draw
from bench.running.training import Diverged, Schedule, Trainer

CONFIG = MethodConfig(n_steps=6, batch_size=2, learning_rate=0.1)
DRAW = Draw(torch.ones(2, 1, 3), torch.zeros(2, dtype=torch.int64))


class Line(Method):
    """A straight line, with a little noise."""

    def __init__(self):
        super().__init__()
        self.map = torch.nn.Linear(3, 2)

    def losses(self, batch, generator, player="model"):
        y = self.map(batch.x) + 0.01 * torch.randn(2, 1, 2, generator=generator)
        return {"loss": (y - 1).square().mean(), "size": self.map.weight.square().sum()}


def trainer(path):
    torch.manual_seed(0)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    return Trainer(Line(), CONFIG, lambda rng: iter(lambda: DRAW, None), rng, generator, "float32", path)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A checkpoint half way: its bytes, tensors and facts."""
    path = tmp_path_factory.mktemp("good") / "checkpoint.safetensors"
    made = trainer(path)
    for _ in range(3):
        made.step(DRAW)
        made.done.step += 1
    made.done.curve = {"step": [1, 2], "loss": [2.0, 1.0], "size": [1.0, 1.0]}
    made.save()
    tensors, facts = checkpoint.load(path)
    return path.read_bytes(), tensors, facts


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "checkpoint.safetensors"


def resume(path):
    """Restore into a fresh training and go on to its end."""
    made = trainer(path)

    def restored():
        with torch.random.fork_rng():
            return made.restore()

    found = outcome("checkpoints", restored, checkpoint.CorruptCheckpoint, folder=path.parent)
    if found is True:
        outcome("checkpoints: resumed", lambda: go_on(made), Diverged, folder=path.parent, writes=True)
    outcome("checkpoints: step", lambda: checkpoint.steps_done(path), (), folder=path.parent)
    return found


def go_on(made):
    with torch.random.fork_rng():
        made.run(Schedule(log_every=2, checkpoint_seconds=1e9))


@effort(120)
@given(rng=made(lambda rng: rng))
def test_changed_bytes(path, good, rng):
    content = damage(rng, [good[0]], [b"F32", b"F64", b"[0,4]", b"__metadata__", b"I8"], head=1500)
    path.write_bytes(content)
    found = resume(path)
    if content == good[0]:
        assert found is True


STRIDES = (
    [10**12, 1], [1, 10**9], [0, 0], [-1, 1], [1], [], None, "x", {"a": 1}, [1.0, 1], [True, 1], [2**70, 1], [3, 1],
    [1, 2], [1, 3],
)  # fmt: skip
SHAPES = ((), (1,), (7,), (0,), (3, 2), (2, 3, 1), (5000,))
DTYPES = (torch.float64, torch.int64, torch.bool, torch.uint8, torch.bfloat16, torch.complex64)
NEW = (
    "optimizer/model/9/exp_avg", "optimizer/model/-1/step", "optimizer/model/0/x", "optimizer/model/0/a/b",
    "optimizer//", "model/other", "sums/x", "sums/", "sums/loss", "global/cpu", "other", "optimizer/model/٣/step",
)  # fmt: skip
TEXTS = (
    "", "null", "[" * 5000, "9" * 5000, "{}", "[]", '"x"', "NaN", '{"training": {"step": Infinity}}',
    '{"training": {"step": -1}}',
)  # fmt: skip


def forge(rng, tensors, facts):
    """Bytes of a well-formed file without a digest: facts, strides or one tensor changed."""
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    facts, name = copy.deepcopy(facts), rng.choice(sorted(tensors))
    kept = tensors[name]
    what = rng.choice(
        ("facts", "training", "training", "rng", "stride", "shape", "dtype", "values", "gone", "new", "text")
    )
    if what == "facts":
        facts = alter(rng, facts)
    elif what in ("training", "rng"):
        facts[what] = alter(rng, facts[what])
    elif what == "shape":
        tensors[name] = torch.zeros(rng.choice(SHAPES), dtype=kept.dtype)
    elif what == "dtype":
        tensors[name] = kept.to(rng.choice(DTYPES))
    elif what == "values":
        odd = (0, 1, -1, 1e30, float("nan"), float("inf")) if kept.is_floating_point() else (0, 1, 200)
        tensors[name] = torch.full_like(kept, rng.choice(odd))
    elif what == "gone":
        del tensors[name]
    elif what == "new":
        tensors[rng.choice(NEW)] = rng.choice((torch.ones(2), torch.ones(()), torch.zeros(3, dtype=torch.uint8)))
    strides = {key: list(tensor.stride()) for key, tensor in tensors.items()}
    if what == "stride":
        strides = rng.choice((strides | {name: rng.choice(STRIDES)}, alter(rng, strides)))
    texts = {"facts": json.dumps(facts), "strides": json.dumps(strides)}
    if what == "text":
        key = rng.choice(sorted(texts))
        texts[key] = rng.choice((*TEXTS, texts[key][:-3]))
    return save(tensors, metadata=texts)


@effort(120)
@given(rng=made(lambda rng: rng))
def test_forged_content(path, good, rng):
    path.write_bytes(forge(rng, good[1], good[2]))
    resume(path)


def test_an_unchanged_checkpoint_resumes(path, good):
    path.write_bytes(good[0])
    assert resume(path) is True
