"""What bfloat16 autocast does to scores: paired differences over seeds, from the rows of a store.

bench run --methods slowvae --datasets natural_sprites --seeds 5 --metrics mcc --precision float32 --results DIR
bench run --methods slowvae --datasets natural_sprites --seeds 5 --metrics mcc --precision bfloat16 --results DIR
python -m benchmarks.precision DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report.statistics import paired_difference
from bench.store import Store


def differences(folder: Path, metric: str) -> list[str]:
    """One line per method: mean of bfloat16 - float32 over paired seeds with its 95 % t-interval, and the speed."""
    scores: dict[str, dict[str, dict[int, float]]] = {}
    speeds: dict[str, dict[str, list[float]]] = {}
    for row in Store(folder).rows():
        spec, entry = row["spec"], row["metrics"].get(metric)
        if row["status"] == "done" and entry and entry["value"] is not None:
            scores.setdefault(spec["method"], {}).setdefault(spec["precision"], {})[spec["seed"]] = entry["value"]
            speeds.setdefault(spec["method"], {}).setdefault(spec["precision"], []).append(
                row["cost"]["frames_per_second"]
            )
    lines = []
    for method, by_precision in scores.items():
        if set(by_precision) != {"float32", "bfloat16"}:
            continue
        found = paired_difference(by_precision["bfloat16"], by_precision["float32"])
        interval = "no interval" if found.low is None else f"95 % interval [{found.low:+.4f}, {found.high:+.4f}]"
        fast, slow = (sum(v) / len(v) for v in (speeds[method]["bfloat16"], speeds[method]["float32"]))
        lines.append(
            f"{method}: {metric} bfloat16 - float32 = {found.mean:+.4f}, {interval}, n = {found.n} paired seeds; "
            f"{fast:.0f} and {slow:.0f} frames/s a worker"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--metric", default="mcc[spearman]")
    asked = parser.parse_args(arguments)
    lines = differences(asked.results, asked.metric)
    if not lines:
        sys.stderr.write(f"{asked.results}: no method has rows of both precisions with {asked.metric}\n")
        return 2
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
