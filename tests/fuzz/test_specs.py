"""What people type: selections, parameters of every registered thing, seeds, metric ids."""

from __future__ import annotations

import pytest
from guard import effort, outcome
from hypothesis import given
from mutations import TEXTS, made, some_text

from bench import registry, selection
from bench.registry import UsageError
from metrics import registry as metric_registry
from metrics.registry import UnknownMetric

PIECES = (
    "betavae", "slowvae", "natural_sprites", "pca", "toy", "[", "]", "[[", ",", ",,", "=", "==", "beta", "n_latents",
    "n_steps", "form", "rate", "k",
    "network", "grid", "study", "1", "4.5", "-1", "1e999", "nan", "0x10", "1_000", "9" * 30, "9" * 5000, "discrete",
    "lap", " ", "\t", "\n", "é",
    "\udcff", "tracks", "/etc/passwd", "..", "source", "official", "user", "true", "None", "()", "[beta=1,2,3]",
    "[n_steps=0]", "x" * 400,
)  # fmt: skip
PARAMETERS = ("beta", "n_latents", "rate", "n_steps", "form", "k", "x", "learning_rate", "source", "n_pairs")


def typed(rng):
    """A selection as people type it, or as they do not."""
    kind = rng.randrange(4)
    if kind == 0:
        return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 12)))
    if kind == 1:
        return "".join(rng.choice("ab[]=,. 1-") for _ in range(rng.randint(0, 30)))
    items = []
    for _ in range(rng.randint(1, 3)):
        values = ",".join(
            rng.choice(("1", "2", "0", "-3", "x", "1e30", "9" * 30, "0.5")) for _ in range(rng.randint(1, 4))
        )
        items.append(f"{rng.choice(PIECES[:5])}[{rng.choice(PARAMETERS)}={values}]")
    return ",".join(items)


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    metric_registry.cards()
    for name, entry in {**registry.methods(), **registry.datasets()}.items():
        selection.resolve_config(entry.config, {}, selection.Selected(name, {}, name), "--methods")


@effort(100)
@given(text=made(typed))
def test_selections(tmp_path, text):
    def resolve():
        for selected in selection.parse(text, "--methods"):
            entry = {**registry.methods(), **registry.datasets()}.get(selected.name)
            if entry is not None:
                selection.resolve_config(entry.config, {}, selected, "--methods")

    outcome("specs: selections", resolve, UsageError, folder=tmp_path)


def value(rng):
    return rng.choice(
        (
            rng.choice(PIECES),
            rng.choice(TEXTS),
            str(rng.randint(-(2**70), 2**70)),
            str(rng.gauss(0, 1e9)),
            some_text(rng),
        )
    )


def parameters(rng):
    """A registered name with text for some of its parameters."""
    entries = {**registry.methods(), **registry.datasets()}
    name = rng.choice(sorted(entries))
    keys = [*entries[name].config.__dataclass_fields__, "x"]
    return name, {rng.choice(keys): value(rng) for _ in range(rng.randint(1, 3))}


@effort(100)
@given(chosen=made(parameters))
def test_parameters(tmp_path, chosen):
    name, params = chosen
    config = {**registry.methods(), **registry.datasets()}[name].config
    selected = selection.Selected(name, params, "typed")
    outcome(
        "specs: parameters", lambda: selection.resolve_config(config, {}, selected, "--methods"), UsageError,
        folder=tmp_path,
    )  # fmt: skip


SEEDS = ("1", "3", "7", ",", ",", ",,", "-", "0", " ", "9" * 20, "9" * 5000, "1e3", "٣", "_", "x", "\x00", "2000")


def seeds(rng):
    return some_text(rng) if rng.random() < 0.2 else "".join(rng.choice(SEEDS) for _ in range(rng.randint(0, 6)))


@effort(100)
@given(text=made(seeds))
def test_seeds(tmp_path, text):
    found = outcome("specs: seeds", lambda: selection.parse_seeds(text), UsageError, folder=tmp_path)
    if not isinstance(found, str):
        assert all(0 <= seed < 2**63 for seed in found)
        assert len(set(found)) == len(found) > 0


IDS = (
    "mcc",
    "mcc[spearman]",
    "mig",
    "[",
    "]",
    ",",
    "hist20",
    "dci",
    "@",
    "/",
    "spearman",
    "pearson",
    "MCE",
    "x",
    " ",
    "é",
    "\x1b",
    "sap",
    "[linearsvc]",
    "a" * 500,
)


@effort(100)
@given(text=made(lambda rng: "".join(rng.choice(IDS) for _ in range(rng.randint(0, 8)))))
def test_metric_ids(tmp_path, text):
    outcome(
        "specs: metrics", lambda: metric_registry.resolve(metric_registry.split_ids(text)), UnknownMetric,
        folder=tmp_path, typed=True,
    )  # fmt: skip
    outcome("specs: metric keys", lambda: metric_registry.output_of(text), UnknownMetric, folder=tmp_path, typed=True)
