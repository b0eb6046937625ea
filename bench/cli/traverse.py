"""``bench traverse``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import data_root_option, results_option
from bench.registry import UsageError


@click.command("traverse")
@click.argument("run", metavar="HASH")
@click.option("--output", "-o", metavar="FILE", help="[default: RESULTS/figures/traversal-HASH.png]")
@click.option(
    "--base", type=click.IntRange(0), default=0, show_default=True, help="Which evaluation row to start from."
)
@click.option("--steps", type=click.IntRange(2, 15), default=7, show_default=True, help="Values per latent.")
@results_option
@data_root_option
def command(run: str, output: str | None, base: int, steps: int, results: str, data_root: str | None) -> int:
    """Draw what each latent of a trained run does: one row of decoded frames per latent.

    HASH is a row's, or its beginning; `bench table --rows` lists them. The run's checkpoint must be in this store.

    Example: bench traverse 3f9a
    """
    from bench.evidence import decode, encode, evaluation_rows
    from bench.opening import Folders, data_store, open_dataset, spec_dataset
    from bench.report.traverse import draw_traversal, ranges_of
    from bench.spec import RunSpec
    from bench.store import Store
    from metrics.protocols import protocol_named

    if output is not None and Path(output).suffix != ".png":
        raise UsageError(f"--output {output}: a traversal is drawn as .png")
    folders = Folders.from_environment(results, data_root)
    store = Store(folders.results)
    row = store.find(run)
    spec = RunSpec.from_dict(row["spec"])
    config, source = spec_dataset(spec)
    try:
        data = open_dataset(spec.dataset, config, source, folders)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    method, device = _trained(spec, store, data.spec(spec.view))
    cache = data_store(spec.dataset, config, source, folders)
    frames, _ = evaluation_rows(data, spec.dataset_id, cache, protocol_named(spec.protocol))
    if base >= len(frames):
        raise UsageError(f"--base {base}: there are {len(frames)} evaluation rows, 0 … {len(frames) - 1}")
    codes = encode(method, frames[:1_000], device)
    start = encode(method, frames[base : base + 1], device)
    path = Path(output) if output else folders.results / "figures" / f"traversal-{row['hash']}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = draw_traversal(
        lambda z: decode(method, z, device), start, ranges_of(codes, 0.01, 0.99), path,
        n_values=steps, latent_factors=_assigned(row), title=f"{spec.label} ({row['hash'][:8]})",
    )  # fmt: skip
    click.echo(str(made))
    return 0


def _trained(spec: Any, store: Any, data_spec: Any) -> tuple[Any, Any]:
    """The method of a run with its trained weights, on the CPU."""
    import torch

    from bench import checkpoint
    from bench.opening import spec_method

    cls, config = spec_method(spec)
    if not (hasattr(cls, "encode") and hasattr(cls, "decode")):
        raise UsageError(f"{spec.method} cannot be traversed: it does not decode codes")
    path = store.artifacts(spec.hash) / "checkpoint.safetensors"
    method = cls(config, data_spec)
    try:
        found = checkpoint.load(path)
        if found is not None:
            checkpoint.load_module(method, found[0])
    except checkpoint.CorruptCheckpoint as error:
        raise UsageError(str(error)) from None
    if found is None:
        raise UsageError(f"{path} is not there; checkpoints stay on the machine that trained, so run it here first")
    return method, torch.device("cpu")


def _assigned(row: dict[str, Any]) -> dict[int, str]:
    """Latent → name of the factor that the MCC assignment gives it."""
    details = row["details"].get("mcc[spearman]", {})
    pairs = zip(details.get("assignment", []), details.get("factors", []), strict=False)
    return {latent: name for latent, name in pairs if latent is not None}
