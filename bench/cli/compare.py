"""``bench compare``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from bench.cli.completion import list_of
from bench.cli.options import filters, metric_keys, results_option, stored_rows
from bench.registry import UsageError

USUAL = ("mcc[spearman]", "dci[gbt]/disentanglement")


@click.command("compare")
@click.argument("first", metavar="METHODS", shell_complete=list_of("methods"))
@click.option("--with", "second", metavar="METHODS", required=True, help="What to compare them with.")
@click.option(
    "--metrics", metavar="KEYS", default=",".join(USUAL), show_default=True, help="Which scores.",
    shell_complete=list_of("keys"),
)  # fmt: skip
@click.option("--each", is_flag=True, help="Compare each of METHODS by itself instead of their mean.")
@click.option("--format", "form", type=click.Choice(["text", "md"]), default="text", show_default=True)
@results_option
@filters
def command(
    first: str, second: str, metrics: str, each: bool, form: str, results: str,
    methods: str | None, datasets: str | None, budget: str | None,
) -> int:  # fmt: skip
    """Compare stored rows of two sets of methods: the difference paired by seed, its 95 % interval, and a verdict.

    Methods are written as for `bench run`; parameters that are not named have the value that the budget gives them. A
    side of several methods is their mean at each seed. "better" and "worse" follow the metric's direction, and need an
    interval (Student's t over at least three seeds) that excludes 0.

    \b
    Examples:
      bench compare slowvae --with betavae
      bench compare slowvae,adagvae --with vae,betavae --datasets dsprites,shapes3d
      bench compare betavae[beta=16] --with betavae[beta=1] --metrics reconstruction[mse]
    """
    from bench.cli.results import defaults_of
    from bench.report.contrasts import contrast
    from bench.report.frame import groups
    from metrics.registry import output_of

    if methods is not None:
        raise UsageError("--methods is not for this command: write the methods themselves, `bench compare A --with B`")
    rows = stored_rows(results, None, datasets, budget)
    keys = metric_keys(metrics, rows)
    found = []
    for group in groups(rows, defaults_of):
        other = _sides(second, group.budget, "--with", each=False)[0]
        for side in _sides(first, group.budget, "METHODS", each):
            for key in keys:
                one = contrast(group, side, other, key, output_of(key).higher_is_better)
                if one is not None:
                    found.append((side.text, one))
    if not found:
        raise UsageError(f"no table has scores of both '{first}' and '{second}'; `bench table` shows what there is")
    sys.stdout.write(_text(found, second, form))
    return 0


def _sides(text: str, budget: str, option: str, each: bool) -> list[Any]:
    """One side of all methods that the text selects, or one for each of them."""
    import dataclasses

    from bench import selection
    from bench.report.contrasts import Side
    from bench.running.grid import resolved_methods

    texts = [one.text for one in selection.parse(text, option)] if each else [text]
    found = []
    for one in dict.fromkeys(texts):
        methods = resolved_methods(one, budget, option)
        found.append(Side(one, tuple((name, dataclasses.asdict(config)) for name, config in methods)))
    return found


def _text(found: Sequence[tuple[str, Any]], second: str, form: str) -> str:
    titles = (
        "data",
        "metric",
        "methods",
        "mean",
        "other",
        "difference",
        "95 % interval",
        "seeds",
        "verdict",
        "not run",
    )
    lines = [_cells(text, one) for text, one in found]
    if form == "md":
        head = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
        return "\n".join(head + ["| " + " | ".join(line) + " |" for line in lines]) + "\n"
    widths = [max(map(len, column)) for column in zip(titles, *lines, strict=True)]
    padded = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in (titles, *lines)]
    return f"compared with {second}\n\n" + "\n".join(padded) + "\n"


def _cells(text: str, one: Any) -> tuple[str, ...]:
    difference = one.difference
    interval = "–" if difference.low is None else f"[{difference.low:+.3g}, {difference.high:+.3g}]"
    return (
        one.table, one.metric, text, f"{one.first:.3g}", f"{one.second:.3g}", f"{difference.mean:+.3g}", interval,
        str(difference.n), one.verdict, ", ".join(one.absent),
    )  # fmt: skip
