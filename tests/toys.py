"""What tests of the outside package ``toybench`` share."""

from __future__ import annotations

import json
from pathlib import Path

TOYS = ("--datasets", "toy_squares", "--budget", "smoke", "--no-figures", "--metrics", "mcc[spearman],mig,toy_largest")
HOSTILE = (
    "toy_prints", "toy_seeds", "toy_dtype", "toy_threads", "toy_settings", "toy_opens", "toy_memory", "toy_mutates",
    "toy_leaves", "toy_unprintable", "toy_killed_once",
)  # fmt: skip


def rows_of(folder: Path) -> dict[tuple[str, int], dict]:
    """Stored rows by (method, seed)."""
    rows = [json.loads(path.read_text()) for path in sorted((folder / "rows").glob("*/*/*.json"))]
    return {(row["spec"]["method"], row["spec"]["seed"]): row for row in rows}
