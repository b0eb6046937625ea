"""``make perf``: every measurement behind a speed claim, each against its alternative in the same run."""

from __future__ import annotations

import sys

from benchmarks import data_memory, leaderboard_page, metrics_cost, startup, throughput


def main() -> int:
    for name, module in (
        ("training", throughput),
        ("metrics", metrics_cost),
        ("start-up", startup),
        ("data", data_memory),
        ("leaderboard", leaderboard_page),
    ):
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        module.main([])
    return 0


if __name__ == "__main__":
    sys.exit(main())
