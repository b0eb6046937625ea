"""``bench score``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from bench.cli.completion import list_of, protocols
from bench.cli.options import results_option
from bench.registry import UsageError


@click.command("score")
@click.argument("codes", metavar="CODES", type=click.Path(path_type=Path))
@click.option("--factors", metavar="FILE", type=click.Path(path_type=Path), help="Factors, where CODES has none.")
@click.option(
    "--metrics", metavar="LIST", help="Metric ids; the default is the protocol's own set.",
    shell_complete=list_of("metrics"),
)  # fmt: skip
@click.option(
    "--protocol", default="quick", show_default=True, help="quick, locatello2019 or slowvae2021.",
    shell_complete=protocols,
)  # fmt: skip
@click.option("--discrete", metavar="NAMES", help="Factors written as floats that are classes: a,b or all.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: every number, or null with its reason.")
@click.option("--save", is_flag=True, help="Store the scores as a row; needs --dataset.")
@click.option("--name", metavar="NAME", help="With --save: what made the codes. [default: the file's name]")
@click.option("--dataset", metavar="NAME", help="With --save: what they are codes of.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="With --save: seed of the training. [default: 0]")
@results_option
@click.pass_context
def command(
    context: click.Context, codes: Path, factors: Path | None, metrics: str | None, protocol: str,
    discrete: str | None, as_json: bool, save: bool, results: str, **labels: Any,
) -> int:  # fmt: skip
    """Score codes that any program wrote: npz, npy, csv or HDF5, without training.

    CODES holds `codes` (rows by latents) and `factors` (rows by factors; integers are classes, floats measurements).
    The first two thirds of the rows are for fitting, the rest for testing, unless the keys are `codes_train`,
    `factors_train`, `codes_test` and `factors_test`. `grid_codes` (a row for each combination of factors, the last one
    fastest) with `factor_sizes` feeds interventions. In csv the columns begin with codes_ and factors_.

    In place of codes, npz and HDF5 may hold what a classifier says of generated sequences, `probs_generated` (rows by
    classes) with `labels` or `probs_real` (Acc, IS, H(y|x), H(y)), or `embeddings` with `speakers` (EER).

    \b
    Examples:
      bench score codes.npz
      bench score codes.csv --factors factors.csv --metrics mig,mcc[spearman] --json
      bench score pca.npz --save --dataset digits && bench table --datasets digits
    """
    for option, value in labels.items():
        if value is not None and not save:
            raise UsageError(f"--{option} labels a stored row; add --save")
    if save and labels["dataset"] is None:
        raise UsageError("--save needs --dataset NAME: what these are codes of")
    if not save and context.get_parameter_source("results") is not click.core.ParameterSource.DEFAULT:
        raise UsageError("--results names a store for --save; add --save")
    from bench.files.labelled import load
    from bench.messages import one_line
    from bench.representation import Scored, score_labelled
    from metrics.protocols import protocol_named
    from metrics.registry import UnknownMetric, resolve, split_ids
    from metrics.scoring import BadEvidence

    try:
        protocol_named(protocol)
        resolve(split_ids(metrics or ""))
        names = [name.strip() for name in discrete.split(",")] if discrete is not None else []
        labelled = load(codes, factors, names)
        if sys.stderr.isatty():
            _warn_of_time(labelled)
        scored: Scored = score_labelled(labelled, metrics, protocol, title=one_line(codes.name, 100))
    except (UnknownMetric, BadEvidence) as error:
        raise UsageError(str(error)) from None
    stored = _save(scored, Path(results), codes, labels) if save else None
    if as_json:
        click.echo(json.dumps(scored.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        from bench.report.scored import to_text

        click.echo(to_text(scored, min(shutil.get_terminal_size((100, 24)).columns, 110)))
    if stored is not None:
        store = "" if results == "results" else f" --results {results}"
        click.echo(f"bench: stored as {stored}; `bench table --datasets {labels['dataset']}{store}` shows it", err=True)
    return 0


def _warn_of_time(labelled: Any) -> None:
    from bench.files.labelled import MANY_VALUES

    click.echo("bench: scoring …", err=True)
    factors = labelled.arrays.get("factors")
    for i, name in enumerate(labelled.names if factors is not None else ()):
        n_values = len(set(factors[:, i].tolist()))
        if labelled.discrete[i] and n_values > MANY_VALUES:
            click.echo(f"bench: {name} has {n_values:,} classes, which takes long; measurements go as floats", err=True)


def _save(scored: Any, results: Path, codes: Path, labels: dict[str, Any]) -> Path:
    from bench.report.frame import slugify
    from bench.scored_row import save

    return save(scored, results, labels["name"] or slugify(codes.stem), labels["dataset"], labels["seed"] or 0)
