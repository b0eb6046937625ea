"""A hundred SIGKILLs: whatever they hit, the grid comes to the same rows as one that nothing disturbed."""

from __future__ import annotations

import os
from collections import Counter
from time import monotonic

import pytest
from grids import grids

N_KILLS = int(os.environ.get("BENCH_KILLS", "100"))
SEED = int(os.environ.get("BENCH_KILLS_SEED", "1"))


@pytest.mark.slow
def test_no_row_is_lost_halved_doubled_or_changed_by_kills(outside, tmp_path, figure):
    started, kills, calls, wrong, n_grids = monotonic(), [], 0, [], 0
    for kills_of_grid, n_calls, flaws in grids(N_KILLS, SEED, tmp_path, outside):
        n_grids += 1
        kills += kills_of_grid
        calls += n_calls
        wrong += [f"grid {n_grids}: {flaw}" for flaw in flaws]
    figure(f"{len(kills)} SIGKILLs over {n_grids} grids, {calls} calls, {monotonic() - started:.0f} s, seed {SEED}")
    for victim, phases in sorted(_by_victim(kills).items()):
        figure(f"  {victim}: " + ", ".join(f"{phase} {n}" for phase, n in phases.most_common()))
    figure(f"  flaws: {len(wrong)}")
    assert not wrong, "\n".join(wrong)
    assert len(kills) == N_KILLS


def _by_victim(kills):
    found: dict[str, Counter[str]] = {}
    for kill in kills:
        found.setdefault(kill.victim, Counter())[kill.phase] += 1
    return found
