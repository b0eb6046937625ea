"""What is predicted of runs that no stored row speaks for."""

from __future__ import annotations

import dataclasses

from bench.running import estimate
from bench.spec import RunSpec
from bench.store import Store

SPEC = RunSpec(
    "vae", {"n_steps": 100, "batch_size": 8}, "dsprites", {}, "generated", "", "images", "quick", 0, "quick",
    "float32", 1,
)  # fmt: skip


def test_a_run_whose_steps_could_not_be_timed_is_named_and_counts_as_its_scoring(tmp_path, monkeypatch):
    other = dataclasses.replace(SPEC, method="tvae")
    monkeypatch.setattr(estimate, "_measured", lambda *_: [0.5, None])
    expected, basis = estimate.expected_seconds([SPEC, other], Store(tmp_path), "cpu")
    assert expected == {SPEC.hash: 70.0, other.hash: 20.0}
    assert basis.endswith("timing a step failed or took too long: tvae on dsprites")
