"""The examples of the documentation run as they stand, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.api import Batch, DataSpec
from bench.opening import Folders, open_dataset, resolve_source
from metrics import registry as metric_registry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def adding(monkeypatch):
    """Names that the examples of docs/adding.md define; registered for the length of the test."""
    monkeypatch.setattr(registry, "_METHODS", dict(registry.methods()))
    registry.datasets()
    monkeypatch.setattr(registry, "_DATASETS", dict(registry._DATASETS))  # without a user's own
    metric_registry.cards()
    monkeypatch.setattr(metric_registry, "_REGISTERED", dict(metric_registry._REGISTERED))
    names: dict = {"__name__": "example"}
    for block in python_blocks(ROOT / "docs" / "adding.md"):
        # not inheriting: this file's own future import would turn the annotations into text
        exec(compile(block, "docs/adding.md", "exec", dont_inherit=True), names)
    return names


def test_the_method_example_trains(adding):
    entry = registry.method("linear_ae")
    torch.manual_seed(0)
    method = entry.target(entry.config(n_latents=3), DataSpec((1, 8, 8), 1, 10))
    x = torch.rand(4, 1, 1, 8, 8)
    loss = method.losses(Batch(x, torch.arange(4), 0, 10), torch.Generator())["loss"]
    assert 0.5 * 64 < float(loss.detach()) < 1.2 * 64  # about log 2 nats a pixel before training
    assert method.encode(x).shape == (4, 1, 3)
    assert method.decode(method.encode(x)[:, 0]).shape == (4, 1, 8, 8)


@pytest.mark.parametrize("shape", [(3, 8, 8), (20,)], ids=["images", "features"])
def test_the_sequence_example_swaps_what_stays_and_what_moves(adding, shape):
    entry = registry.method("static_dynamic_ae")
    torch.manual_seed(0)
    method = entry.target(entry.config(n_static=4, n_dynamic=3), DataSpec(shape, 5, 10))
    x = torch.rand(2, 5, *shape)
    static, dynamic = method.parts(x).values()
    codes = method.encode(x)
    assert torch.equal(codes, torch.cat([static[:, None].expand(-1, 5, -1), dynamic], dim=-1))
    torch.testing.assert_close(method.generate(static, dynamic).flatten(0, 1), method.decode(codes.flatten(0, 1)))
    swapped = method.generate(static.flip(0), dynamic)
    torch.testing.assert_close(swapped[0, 2], method.decode(torch.cat([static[1], dynamic[0, 2]])[None])[0])
    before = float(method.losses(Batch(x, torch.arange(2), 0, 10), torch.Generator())["loss"].detach())
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        loss = method.losses(Batch(x, torch.arange(2), 0, 10), torch.Generator())["loss"]
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.8 * before


def test_the_data_set_example_draws_what_its_factors_say(adding, tmp_path):
    folders = Folders(tmp_path, tmp_path, tmp_path)
    config, source = resolve_source("squares", registry.dataset("squares").config(transitions="uni", k=1), folders)
    data = open_dataset("squares", config, source, folders)
    frame = data.render(np.array([[2, 3, 5]]), np.random.default_rng(0))[0, 0]
    assert np.argwhere(frame).min(0).tolist() == [12, 20]
    assert frame.sum() == 16 * 255
    pair = data.labelled(20, np.random.default_rng(0), view="pairs")
    assert (np.diff(pair.factors, axis=1) != 0).sum(-1).tolist() == [[1]] * 20


def test_the_metric_example_scores(adding):
    codes = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    assert metric_registry.metric("active_latents").function(codes) == {"active_latents": 0.5}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
