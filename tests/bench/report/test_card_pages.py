"""Cards as Markdown, and the committed page of all methods."""

from pathlib import Path

import pytest

from bench import registry
from bench.cli.list import command
from bench.registry import UsageError
from bench.report.card_pages import facts_page, methods_page
from bench.sweeps import SWEEPS

PAGE = Path(__file__).parents[3] / "docs" / "methods.md"


def test_the_committed_page_of_methods_is_what_their_cards_say():
    own = {name: e.card for name, e in registry.methods().items() if e.target.__module__.startswith("methods.")}
    assert PAGE.read_text(encoding="utf-8") == methods_page(own, SWEEPS), (
        "made anew by: bench list methods --format md > docs/methods.md"
    )


def test_every_method_of_a_sweep_has_that_sweep():
    for name, sweep in SWEEPS.items():
        for method in sweep.methods:
            assert name in registry.method(method).card.grids, method
    assert not set(SWEEPS) & set(registry.methods())


def test_a_fact_cannot_break_its_table():
    page = facts_page("Facts", {"one": {"summary": "a | b <i>"}, "two": {"needs": ["x", "y"]}})
    assert page == (
        "# Facts\n\n| name | summary | needs |\n| --- | --- | --- |\n"
        "| `one` | a \\| b &lt;i&gt; |  |\n| `two` |  | x, y |\n"
    )


def test_two_forms_at_once_are_refused():
    with pytest.raises(UsageError, match="--json and --format md are two forms; give one"):
        command.main(["methods", "--json", "--format", "md"], standalone_mode=False)
