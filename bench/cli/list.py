"""``bench list``."""

from __future__ import annotations

import json
from typing import Any

import click

from bench import registry
from bench.registry import UsageError
from bench.sweeps import SWEEPS


@click.command("list")
@click.argument("kind", type=click.Choice(["methods", "datasets", "metrics"]))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: names with their facts.")
@click.option("--format", "form", type=click.Choice(["text", "md"]), help="md: a page of the cards. [default: text]")
def command(kind: str, as_json: bool, form: str | None) -> int:
    """List what can be selected, with one line each.

    \b
    Examples:
      bench list methods
      bench list methods --format md > docs/methods.md
    """
    if as_json and form:
        raise UsageError(f"--json and --format {form} are two forms; give one")
    if form == "md":
        click.echo(_page(kind), nl=False)
        return 0
    facts = {"methods": _methods, "datasets": _datasets, "metrics": _metrics}[kind]()
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return 0
    width = max(map(len, facts), default=0)
    for name, fact in facts.items():
        click.echo(f"{name:<{width}}  {fact['summary']}")
    return 0


def _page(kind: str) -> str:
    from bench.report.card_pages import facts_page, methods_page

    if kind == "methods":
        return methods_page({name: entry.card for name, entry in registry.methods().items()}, SWEEPS)
    return facts_page("Data sets", _datasets()) if kind == "datasets" else facts_page("Metrics", _metrics())


def _methods() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        name: {"summary": entry.card.summary, "family": entry.card.family, "view": entry.card.view,
               "paper": entry.card.paper}
        for name, entry in registry.methods().items()
    }  # fmt: skip
    for name, sweep in SWEEPS.items():
        found[name] = {"summary": sweep.summary, "methods": list(sweep.methods), "paper": sweep.paper}
    return found


def _datasets() -> dict[str, dict[str, Any]]:
    return {
        name: {"summary": entry.card.summary, "license": entry.card.license, "paper": entry.card.paper}
        for name, entry in registry.datasets().items()
    }


def _metrics() -> dict[str, dict[str, Any]]:
    from metrics.registry import metric, metric_ids

    found = {}
    for name in metric_ids():
        one = metric(name)
        found[name] = {"summary": one.card.summary, "needs": list(one.needs), "version": one.card.version,
                       "paper": one.card.paper, "reports": list(one.keys())}  # fmt: skip
    return found
