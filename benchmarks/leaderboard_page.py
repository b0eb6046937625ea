"""What the leaderboard page of 10,000 rows costs to build and to sort: 10 data sets × 50 methods × 20 seeds.

Processor seconds beside their limits. Sorting needs a Chromium, and is left out where there is none.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.report.leaderboard import write
from benchmarks.browser import CHROMIUM, Browser

N_DATASETS, N_METHODS, N_SEEDS = 10, 50, 20
METRICS = ("mcc[spearman]", "factorvae_score[pool]", "mig[hist20]", "dci[gbt]/disentanglement", "reconstruction[mse]")
BUILD_LIMIT, SORT_LIMIT = 2.0, 1.0  # seconds
REPEATS = 5
SORT = """[...document.querySelectorAll('section.table')].forEach((section) =>
  section.querySelectorAll('thead button')[{column}].click())"""
FILTER = """(() => { const input = document.getElementById('method'); input.value = '{text}';
  input.dispatchEvent(new Event('input', { bubbles: true })); })()"""


def rows() -> Iterator[dict[str, Any]]:
    """Rows as runs leave them, of made-up methods and scores."""
    rng = np.random.default_rng(0)
    for d in range(N_DATASETS):
        for m in range(N_METHODS):
            level = rng.uniform(0.1, 0.9)
            for seed in range(N_SEEDS):
                spec = {
                    "method": f"method{m:02}", "method_params": {"n_latents": 10, "n_steps": 900},
                    "dataset": f"dataset{d}", "dataset_params": {"n_train": 50_000}, "source": "generated",
                    "fingerprint": "", "view": "images", "budget": "quick", "seed": seed, "protocol": "quick",
                    "precision": "bfloat16", "threads": 1, "score_every": 0, "schema": 1,
                }  # fmt: skip
                scores = {key: float(np.clip(rng.normal(level, 0.05), 0, 1)) for key in METRICS}
                yield {
                    "schema": 1, "suite": "0.1.0", "hash": f"{(d * N_METHODS + m) * N_SEEDS + seed:016x}", "spec": spec,
                    "status": "done", "reason": None, "details": {},
                    "metrics": {key: {"value": value, "reason": None, "version": 1} for key, value in scores.items()},
                    "training": {"n_steps": 900, "n_parameters": 500_000, "curve": {}, "scores": []},
                    "cost": {"seconds": {"training": 60.0 + seed, "total": 75.0}, "frames_per_second": 1234.5,
                             "peak_memory_mb": 800.0 + m, "device": "cpu"},
                    "provenance": {"versions": {"torch": "2.13.0"}, "hardware": {}},
                }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    made = list(rows())
    with tempfile.TemporaryDirectory() as folder:
        write(made[:100], Path(folder))  # imports are not part of it
        built = [_cost_of_building(made, Path(folder)) for _ in range(3)]
        page = Path(folder) / "index.html"
        size = page.stat().st_size / 1e6
        sys.stdout.write(
            f"page of {len(made):,} rows, {size:.1f} MB: built with Markdown and CSV in {median(built):.2f} processor "
            f"seconds (limit {BUILD_LIMIT:g})\n"
        )
        if CHROMIUM is None:
            sys.stdout.write("no Chromium here, so sorting was not measured\n")
            return 0
        with Browser() as browser:
            browser.open(page, 1280, 900)
            opened = browser.seconds()
            browser.evaluate(SORT.format(column=3))
            browser.drawn()
            sorts = [_cost(browser, SORT.format(column=2 + i % len(METRICS))) for i in range(REPEATS)]
            filters = [_cost(browser, FILTER.replace("{text}", text)) for text in ("method1", "")]
    sys.stdout.write(
        f"in Chromium, processor seconds of the page's thread: opened in {opened:.2f}, {N_DATASETS} tables sorted in "
        f"{median(sorts):.2f} (limit {SORT_LIMIT:g}), filtered in {max(filters):.2f}\n"
    )
    return 0


def _cost_of_building(made: list[dict[str, Any]], folder: Path) -> float:
    started = time.process_time()
    write(made, folder)
    return time.process_time() - started


def _cost(browser: Browser, script: str) -> float:
    started = browser.seconds()
    browser.evaluate(script)
    browser.drawn()
    return browser.seconds() - started


if __name__ == "__main__":
    sys.exit(main())
