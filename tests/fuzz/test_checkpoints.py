"""Checkpoints: bytes changed, and well-formed ones whose facts or tensors are not ours; what is restored trains on."""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from guard import effort, outcome
from hypothesis import given
from hypothesis import strategies as st
from mutations import altered, damaged, hostile_values
from safetensors.torch import save

from bench import checkpoint
from bench.api import Method, MethodConfig
from bench.datasets.containers import Draw
from bench.training import Diverged, Schedule, Trainer

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


@dataclass(frozen=True)
class Stop:
    """Asks to stop after some steps."""

    at: int

    def __call__(self):
        return False


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
        outcome("checkpoints, resumed", lambda: go_on(made), Diverged, folder=path.parent, writes=True)
    outcome("checkpoints, step", lambda: checkpoint.steps_done(path), (), folder=path.parent)
    return found


def go_on(made):
    with torch.random.fork_rng():
        made.run(Schedule(log_every=2, checkpoint_seconds=1e9))


@effort(250)
@given(data=st.data())
def test_changed_bytes(path, good, data):
    content = data.draw(damaged([good[0]], [b"F32", b"F64", b"[0,4]", b"__metadata__", b"I8"], head=1500))
    path.write_bytes(content)
    found = resume(path)
    if content == good[0]:
        assert found is True


STRIDES = ([10**12, 1], [1, 10**9], [0, 0], [-1, 1], [1], [], None, "x", {"a": 1}, [1.0, 1], [True, 1], [2**70, 1], [3, 1], [1, 2], [1, 3])


@st.composite
def forged(draw, tensors, facts):
    """Bytes of a well-formed file without a digest: facts, strides or tensors changed."""
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    facts = copy.deepcopy(facts)
    strides = {name: list(tensor.stride()) for name, tensor in tensors.items()}
    name = draw(st.sampled_from(sorted(tensors)))
    what = draw(st.sampled_from(["facts", "facts", "training", "rng", "stride", "strides", "shape", "dtype", "values", "gone", "new", "text"]))
    if what == "facts":
        facts = draw(altered(facts))
    elif what in ("training", "rng"):
        facts[what] = draw(altered(facts[what]))
    elif what == "stride":
        strides[name] = draw(st.one_of(st.sampled_from(STRIDES), hostile_values()))
    elif what == "strides":
        strides = draw(altered(strides))
    elif what == "shape":
        tensors[name] = torch.zeros(draw(st.sampled_from([(), (1,), (7,), (0,), (3, 2), (2, 3, 1), (5000,)])), dtype=tensors[name].dtype)
    elif what == "dtype":
        kind = draw(st.sampled_from([torch.float64, torch.int64, torch.bool, torch.uint8, torch.bfloat16, torch.complex64]))
        tensors[name] = tensors[name].to(kind)
    elif what == "values":
        fill = draw(st.sampled_from([0, 1, 255, float("nan"), float("inf"), 1e30, -1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = np.full(tensors[name].shape, 0.0) + fill
            tensors[name] = torch.tensor(np.nan_to_num(values, nan=0, posinf=9) if not tensors[name].is_floating_point() else values).clamp(-1e38, 1e38 if tensors[name].is_floating_point() else 255).to(tensors[name].dtype)
    elif what == "gone":
        del tensors[name]
    elif what == "new":
        new = draw(st.sampled_from(["optimizer/model/9/exp_avg", "optimizer/model/-1/step", "optimizer/model/0/x", "optimizer/model/0/a/b", "optimizer//", "model/other", "sums/x", "sums/", "global/cpu", "other", "optimizer/model/٣/step"]))
        tensors[new] = draw(st.sampled_from([torch.ones(2), torch.ones(()), torch.zeros(3, dtype=torch.uint8)]))
    strides = {key: strides.get(key, list(tensors[key].stride())) for key in tensors} if isinstance(strides, dict) and what not in ("strides", "stride") else strides
    texts = {"facts": json.dumps(facts), "strides": json.dumps(strides)}
    if what == "text":
        key = draw(st.sampled_from(["facts", "strides"]))
        texts[key] = draw(st.sampled_from(["", "null", "[" * 5000, "9" * 5000, "{}", "[]", '"x"', "NaN", texts[key][:-3], '{"training": {"step": Infinity}}']))
    return save(tensors, metadata=texts)


@effort(250)
@given(data=st.data())
def test_forged_content(path, good, data):
    path.write_bytes(data.draw(forged(good[1], good[2])))
    resume(path)


def test_an_unchanged_checkpoint_resumes(path, good):
    path.write_bytes(good[0])
    assert resume(path) is True
    assert replace(CONFIG) == CONFIG
