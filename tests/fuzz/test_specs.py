"""What people type: selections, parameters of every registered thing, seeds, metric ids."""

from __future__ import annotations

import pytest
from guard import effort, outcome
from hypothesis import given
from hypothesis import strategies as st
from mutations import TEXTS

from bench import registry, selection
from bench.registry import UsageError
from metrics import registry as metric_registry
from metrics.registry import UnknownMetric

PIECES = (
    "betavae", "slowvae", "natural_sprites", "pca", "toy", "[", "]", "[[", ",", ",,", "=", "==", "beta", "n_latents", "n_steps", "form", "rate", "k",
    "network", "grid", "study", "1", "4.5", "-1", "1e999", "nan", "0x10", "1_000", "9" * 30, "9" * 5000, "discrete", "lap", " ", "\t", "\n", "é",
    "\udcff", "tracks", "/etc/passwd", "..", "source", "official", "user", "true", "None", "()", "[beta=1,2,3]", "[n_steps=0]", "x" * 400,
)  # fmt: skip
TYPED = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.text(st.sampled_from("ab[]=,. 1-"), max_size=30),
    st.lists(st.tuples(st.sampled_from(["betavae", "slowvae", "pca"]), st.sampled_from(["beta", "n_latents", "rate", "x"]), st.lists(st.sampled_from(["1", "2", "0", "-3", "x", "1e30", "9" * 30]), min_size=1, max_size=4)), min_size=1, max_size=3).map(lambda items: ",".join(f"{n}[{k}={','.join(v)}]" for n, k, v in items)),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    metric_registry.cards()
    for name, entry in {**registry.methods(), **registry.datasets()}.items():
        selection.resolve_config(entry.config, {}, selection.Selected(name, {}, name), "--methods")


@effort(300)
@given(text=TYPED)
def test_selections(tmp_path, text):
    def resolve():
        for selected in selection.parse(text, "--methods"):
            entry = {**registry.methods(), **registry.datasets()}.get(selected.name)
            if entry is not None:
                selection.resolve_config(entry.config, {}, selected, "--methods")

    outcome("specs", resolve, UsageError, folder=tmp_path)


VALUES = st.one_of(
    st.sampled_from(PIECES), st.sampled_from(TEXTS), st.integers(-(2**70), 2**70).map(str), st.floats().map(str), st.text(max_size=8)
)


@effort(300)
@given(data=st.data())
def test_parameters(tmp_path, data):
    entries = {**registry.methods(), **registry.datasets()}
    name = data.draw(st.sampled_from(sorted(entries)))
    keys = sorted(entries[name].config.__dataclass_fields__)
    params = data.draw(st.dictionaries(st.sampled_from([*keys, "x"]), VALUES, min_size=1, max_size=3))
    selected = selection.Selected(name, params, "typed")
    outcome(
        "specs, parameters", lambda: selection.resolve_config(entries[name].config, {}, selected, "--methods"),
        UsageError, folder=tmp_path,
    )  # fmt: skip


@effort(200)
@given(text=st.one_of(st.lists(st.sampled_from(["1", "3", "7", ",", ",,", "-", "0", " ", "9" * 20, "9" * 5000, "1e3", "٣", "_", "x", "\x00", "2000"]), max_size=6).map("".join), st.text(max_size=8)))  # fmt: skip
def test_seeds(tmp_path, text):
    found = outcome("specs, seeds", lambda: selection.parse_seeds(text), UsageError, folder=tmp_path)
    if not isinstance(found, str):
        assert all(0 <= seed < 2**63 for seed in found)
        assert len(set(found)) == len(found) > 0


IDS = ("mcc", "mcc[spearman]", "mig", "[", "]", ",", "hist20", "dci", "@", "/", "spearman", "pearson", "MCE", "x", " ", "é", "\x1b", "sap", "[linearsvc]", "a" * 500)


@effort(200)
@given(text=st.lists(st.sampled_from(IDS), max_size=8).map("".join))
def test_metric_ids(tmp_path, text):
    outcome(
        "specs, metrics", lambda: metric_registry.resolve(metric_registry.split_ids(text)), UnknownMetric,
        folder=tmp_path, typed=True,
    )  # fmt: skip
    outcome("specs, keys", lambda: metric_registry.output_of(text), UnknownMetric, folder=tmp_path, typed=True)
