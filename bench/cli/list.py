"""``bench list``."""

from __future__ import annotations

import json
from typing import Any

import click

from bench import registry


@click.command("list")
@click.argument("kind", type=click.Choice(["methods", "datasets", "metrics"]))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: names with their facts.")
def command(kind: str, as_json: bool) -> int:
    """List what can be selected, with one line each.

    Example: bench list methods
    """
    facts = {"methods": _methods, "datasets": _datasets, "metrics": _metrics}[kind]()
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return 0
    width = max(map(len, facts), default=0)
    for name, fact in facts.items():
        click.echo(f"{name:<{width}}  {fact['summary']}")
    return 0


def _methods() -> dict[str, dict[str, Any]]:
    return {
        name: {"summary": entry.card.summary, "family": entry.card.family, "view": entry.card.view,
               "paper": entry.card.paper}
        for name, entry in registry.methods().items()
    }  # fmt: skip


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
