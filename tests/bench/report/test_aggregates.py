"""Statistics over data sets: which methods and data sets they compare, their numbers, and what is refused."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_rows import row, seeds

from bench.report.aggregate_figures import draw_aggregates, draw_improvement
from bench.report.aggregates import notes, summarise, to_csv, to_markdown, to_text
from bench.report.blocks import blocks
from bench.report.frame import groups
from bench.report.statistics import bootstrap_interval, iqm

KEY = "mcc[spearman]"
GOLDEN = Path(__file__).parents[2] / "golden" / "stats"
DATASETS = ("natural_sprites", "dsprites", "shapes3d")


def found(*rows, **options):
    return blocks(groups([one for some in rows for one in some]), options.pop("key", KEY), **options)


def everywhere(method, values, datasets=DATASETS, **changes):
    return [one for dataset in datasets for one in seeds(method, values, dataset=dataset, **changes)]


def test_the_largest_complete_table_is_compared_and_the_rest_is_named():
    (block,) = found(
        everywhere("vae", [0.1, 0.2]),
        everywhere("slowvae", [0.3, 0.4]),
        everywhere("betavae", [0.3], datasets=DATASETS[:1]),
        everywhere("vae", [0.5], datasets=["kitti_masks"]),
        everywhere("pca", [0.2]),
        everywhere("ica", [0.2], datasets=DATASETS[:2]),
        everywhere("dsvae", [0.2], datasets=["timit", "sprites"]),
    )
    assert block.datasets == ("dsprites", "natural_sprites", "shapes3d")
    assert [*block.methods] == ["slowvae", "vae"]
    assert [*block.references] == ["pca"]
    assert block.absent == ("kitti_masks (1 of 2 methods)", "betavae (1 of 3 data sets)")
    np.testing.assert_allclose(block.means, [[0.35, 0.15]] * 3)


def test_a_method_is_a_name_with_its_parameters_and_named_alike_on_every_data_set():
    # on dsprites two settings of one method stand beside each other, which the other tables do not have
    (block,) = found(
        everywhere("vae", [0.1, 0.2]),
        everywhere("slowvae", [0.3, 0.4]),
        seeds("vae", [0.9], dataset="dsprites", n_steps=5),
    )
    assert [*block.methods] == ["slowvae", "vae"]
    assert block.methods["vae"][0].tolist() == [0.1, 0.2]
    assert block.absent == ("vae[n_steps=5] (1 of 3 data sets)",)


@pytest.mark.parametrize("name", ["source", "budget", "protocol"])
def test_what_tables_do_not_mix_is_not_averaged(name):
    two = found(
        *(everywhere(method, [0.1, 0.2], **{name: value}) for method in ("vae", "slowvae") for value in ("one", "two"))
    )
    assert [getattr(block, name) for block in two] == ["one", "two"]
    assert not found(
        *(everywhere(method, [0.1], DATASETS[i : i + 1], **{name: f"{i}"}) for i in (0, 1) for method in ("vae", "pcl"))
    )


def test_data_sets_of_one_label_are_told_apart():
    rows = (
        everywhere(method, [0.1], ["shelf"], fingerprint=f) for f in ("a" * 9, "b" * 9) for method in ("vae", "pcl")
    )
    assert found(*rows)[0].datasets == ("shelf #aaaaaa", "shelf #bbbbbb")


def test_numbers_in_closed_form():
    (block,) = found(
        everywhere("vae", [0.1, 0.2, 0.3], ["dsprites"]),
        everywhere("vae", [0.4, 0.5, 0.9], ["shapes3d"]),
        everywhere("pcl", [0.2, 0.3, 0.4], ["dsprites"]),
        everywhere("pcl", [0.5, 0.9, 1.0], ["shapes3d"]),
        everywhere("random_codes", [0.01, 0.01, 0.01], ["dsprites", "shapes3d"]),
    )
    summary = summarise(block)
    value = {name: {label: v.value for label, v in of.items()} for name, of in summary.aggregates.items()}
    assert value["IQM"] == pytest.approx({"vae": (0.2 + 0.3 + 0.4 + 0.5) / 4, "pcl": 2.1 / 4, "random_codes": 0.01})
    assert value["mean"] == pytest.approx({"vae": 0.4, "pcl": 0.55, "random_codes": 0.01})
    assert value["median"] == value["mean"]
    assert summary.methods == ("pcl", "vae")
    (pair,) = summary.pairs
    # of 9 pairs on each data set 6 are won and 2 tied
    assert (pair.first, pair.chance.value) == ("pcl", pytest.approx(7 / 9))
    expected = bootstrap_interval(iqm, block.methods["vae"], rng=np.random.default_rng(0))
    assert [summary.aggregates["IQM"]["vae"].low, summary.aggregates["IQM"]["vae"].high] == pytest.approx(expected)
    assert summary.aggregates["IQM"]["random_codes"].low is None  # its resamples are all alike


def test_golden_scores_of_rliable():
    expected = json.loads((GOLDEN / "expected.json").read_text())
    with np.load(GOLDEN / "stats_scores.npz") as arrays:
        scores = {"vae": arrays["alpha"].T, "pcl": arrays["beta"].T}
    (block,) = found(
        *(seeds(method, runs, dataset=f"set{i}") for method, tasks in scores.items() for i, runs in enumerate(tasks))
    )
    summary = summarise(block)
    for name, key in (("IQM", "iqm"), ("mean", "mean"), ("median", "median")):
        for label, golden in (("vae", "alpha"), ("pcl", "beta")):
            assert summary.aggregates[name][label].value == pytest.approx(expected[f"{key}({golden})"]["value"])
    (pair,) = summary.pairs
    golden = "alpha>beta" if pair.first == "vae" else "beta>alpha"
    assert pair.chance.value == pytest.approx(expected[f"probability_of_improvement({golden})"]["value"])


def test_what_has_no_common_scale_is_not_averaged_but_compared():
    key = "reconstruction[mse]"
    (block,) = found(everywhere("vae", [5.0, 6.0, 7.0], key=key), everywhere("pcl", [0.1, 0.2, 8.0], key=key), key=key)
    summary = summarise(block)
    assert summary.aggregates == {}
    assert "is not bounded by 0 and 1" in to_text(summary)
    (pair,) = summary.pairs
    assert (pair.first, pair.chance.value) == ("pcl", pytest.approx(2 / 3))  # lower is better
    assert draw_aggregates(summary, Path("never")) == []


def test_a_metric_without_a_card_is_not_compared():
    (block,) = found(everywhere("vae", [1.0], key="mine"), everywhere("pcl", [2.0], key="mine"), key="mine")
    assert summarise(block) is None


@pytest.mark.parametrize(("n_seeds", "is_decided"), [(3, True), (2, True), (1, False)])
def test_complete_separation_is_decided_by_the_permutation_test(n_seeds, is_decided):
    # three data sets: 2 / C(2n, n)^3 is 0.00025, 0.0093 and 0.25
    (block,) = found(everywhere("vae", [0.1, 0.2, 0.3][:n_seeds]), everywhere("pcl", [0.7, 0.8, 0.9][:n_seeds]))
    (pair,) = summarise(block).pairs
    assert (pair.chance.value, pair.chance.low, pair.is_decided) == (1.0, None, is_decided)


def test_few_seeds_have_no_interval_and_it_is_said():
    (block,) = found(everywhere("vae", [0.1, 0.6]), everywhere("pcl", [0.2, 0.3]))
    summary = summarise(block)
    assert {v.low for of in summary.aggregates.values() for v in of.values()} == {None}
    assert any("fewer than 3 seeds" in note for note in notes(summary))


def many(n):
    rng = np.random.default_rng(0)
    methods = [f"vae{i}" for i in range(n)] + ["oracle"]
    return summarise(found(*(everywhere(method, rng.uniform(0.2, 0.8, 3).tolist()) for method in methods))[0])


@pytest.mark.parametrize("n", [3, 7], ids=["lines", "matrix"])
def test_figures_and_files_hold_every_pair(n, tmp_path):
    summary = many(n)
    for draw in (draw_aggregates, draw_improvement):
        made = draw(summary, tmp_path / draw.__name__)
        assert {path.suffix for path in made} == {".png", ".svg", ".pdf"}
    lines = list(csv.DictReader(io.StringIO(to_csv(summary))))
    assert len(lines) == 3 * (n + 1) + n * (n - 1) // 2
    assert to_markdown(summary).count("\n| vae") == n + len(summary.pairs)
    text = to_text(summary)
    assert ("all 21 pairs are in the files" in text) == (n == 7)
    assert max(map(len, text.splitlines())) <= 110


def test_names_cannot_leave_their_cell():
    rows = [row(name, s, {KEY: 0.1 * s}, dataset=d) for name in ("=a|b", "<b>") for s in range(3) for d in DATASETS]
    summary = summarise(found(rows)[0])
    assert "<b>" not in to_markdown(summary)
    assert {line["method"][0] for line in csv.DictReader(io.StringIO(to_csv(summary)))} == {"'", "<"}
