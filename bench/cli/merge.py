"""``bench merge``."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import results_option
from bench.registry import UsageError


@click.command("merge")
@click.argument("folders", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--artifacts", is_flag=True, help="Copy checkpoints and codes too.")
@click.option("--dry-run", is_flag=True, help="Say what would be taken; write nothing.")
@results_option
def command(folders: tuple[Path, ...], artifacts: bool, dry_run: bool, results: str) -> int:
    """Take the rows of other stores (results folders of other machines) into this one.

    Every row is checked before it is taken: its schema, its spec's hash, its names, the bounds of its numbers. A run
    that both stores hold stays as it is here; where its numbers differ there, that is reported and the exit code is 1.

    Example: bench merge from_gpu/results from_laptop/results --artifacts
    """
    from bench.merge import Merger
    from bench.store import Store

    store = Store(Path(results))
    store.check_writable()
    for folder in folders:
        _check(folder, store.root)
    counts = dict.fromkeys(("new", "equal", "joined", "different", "refused"), 0)
    n_files = n_other_cost = n_left = 0
    for finding in Merger(store, artifacts=artifacts, dry_run=dry_run).merge(folders):
        counts[finding.outcome] += 1
        n_files += len(finding.copied)
        n_left += len(finding.left)
        n_other_cost += finding.other_cost
        for line in (finding.text, *finding.left):
            if line:
                click.echo(f"bench: {line}", err=True)
    if not sum(counts.values()):
        click.echo("bench: there are no rows to merge", err=True)
    click.echo(_summary(counts, n_files if artifacts else None, n_other_cost, dry_run))
    return 1 if counts["different"] or counts["refused"] or n_left else 0


def _check(folder: Path, results: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name a results folder, the one that holds rows/")
    if not (folder / "rows").is_dir():
        is_inside = folder.name == "rows" or "rows" in folder.parts
        hint = f"; did you mean {_above_rows(folder)}?" if is_inside else "; name a results folder"
        raise UsageError(f"{folder} holds no folder rows/{hint}")
    if results.exists() and folder.samefile(results):
        raise UsageError(f"{folder} is the store that --results {results} names; merge another one into it")


def _above_rows(folder: Path) -> Path:
    parts = folder.parts
    return Path(*parts[: parts.index("rows")])


def _summary(counts: dict[str, int], n_files: int | None, n_other_cost: int, dry_run: bool) -> str:
    kept = f" ({n_other_cost} with other cost or provenance, those here are kept)" if n_other_cost else ""
    parts = [f"{counts['new']} {'would be taken' if dry_run else 'taken'}", f"{counts['equal']} here already{kept}"]
    parts += [f"{counts['joined']} joined with further scores"] if counts["joined"] else []
    parts += [f"{counts['different']} different, not taken", f"{counts['refused']} refused"]
    parts += [f"{n_files} artifacts {'to copy' if dry_run else 'copied'}"] if n_files is not None else []
    return f"rows: {', '.join(parts)}"
