"""What bfloat16 autocast does to scores: paired differences over seeds, from the rows of stores.

bench run --methods slowvae --datasets natural_sprites --seeds 10 --metrics mcc --precision float32 --results DIR
bench run --methods slowvae --datasets natural_sprites --seeds 10 --metrics mcc --precision bfloat16 --results DIR
bench run --methods slowvae --datasets natural_sprites --seeds 10 --metrics mcc --precision float32 --threads 2 …
python -m benchmarks.precision DIR

The third is the control: the same arithmetic, summed in another order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report.statistics import paired_difference
from bench.store import Store

BASE = "float32"


def differences(folder: Path, metric: str) -> list[str]:
    """One line per method and way of computing: its mean difference to float32 on one thread, over paired seeds.

    Student-t intervals of 95 %, and the speeds of the two.
    """
    scores: dict[str, dict[str, dict[int, float]]] = {}
    speeds: dict[str, dict[str, list[float]]] = {}
    for row in Store(folder).rows():
        spec, entry = row["spec"], row["metrics"].get(metric)
        if row["status"] == "done" and entry and entry["value"] is not None:
            way = spec["precision"] + (f", {spec['threads']} threads" if spec["threads"] > 1 else "")
            scores.setdefault(spec["method"], {}).setdefault(way, {})[spec["seed"]] = entry["value"]
            speeds.setdefault(spec["method"], {}).setdefault(way, []).append(row["cost"]["frames_per_second"])
    lines = []
    for method, by_way in scores.items():
        for way in sorted(set(by_way) - {BASE}) if BASE in by_way else ():
            found = paired_difference(by_way[way], by_way[BASE])
            interval = "no interval" if found.low is None else f"95 % interval [{found.low:+.4f}, {found.high:+.4f}]"
            this, base = (sum(v) / len(v) for v in (speeds[method][way], speeds[method][BASE]))
            lines.append(
                f"{method}: {metric} {way} - {BASE} = {found.mean:+.4f}, {interval}, n = {found.n} paired seeds; "
                f"{this:.0f} and {base:.0f} frames/s a worker"
            )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--metric", default="mcc[spearman]")
    asked = parser.parse_args(arguments)
    lines = differences(asked.results, asked.metric)
    if not lines:
        sys.stderr.write(f"{asked.results}: no method has rows of float32 and of another way with {asked.metric}\n")
        return 2
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
