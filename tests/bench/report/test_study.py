import numpy as np
import pytest
from synthetic_rows import row, seeds

from bench.report.blocks import blocks
from bench.report.frame import groups
from bench.report.study import agreement, selections, variance_shares
from bench.report.study_figures import draw_agreement, draw_profiles, draw_ranks, draw_selection, draw_variance

KEY = "mcc[spearman]"


def group(*rows):
    (found,) = groups([r for each in rows for r in each])
    return found


def test_variance_shares_in_closed_form():
    # two methods with means 0 and 4, two cells each 1 off its method, two seeds each 0.5 off its cell
    rows = [
        seeds(method, [base + step - 0.5, base + step + 0.5], n_steps=100 + step)
        for method, base in (("vae", 0.0), ("slowvae", 4.0))
        for step in (-1, 1)
    ]
    shares = variance_shares(group(*rows).cells, KEY)
    total = 4 + 1 + 0.25
    assert shares.methods == pytest.approx(4 / total)
    assert shares.parameters == pytest.approx(1 / total)
    assert shares.seeds == pytest.approx(0.25 / total)
    assert shares.n == 8


def test_shares_add_up_to_one_with_unequal_numbers_of_seeds():
    shares = variance_shares(
        group(seeds("vae", [0.1, 0.4, 0.2]), seeds("vae", [0.9], n_steps=7), seeds("slowvae", [0.6, 0.3])).cells, KEY
    )
    assert shares.methods + shares.parameters + shares.seeds == pytest.approx(1)
    assert min(shares.methods, shares.parameters, shares.seeds) >= 0


def test_reference_points_have_no_share_and_equal_scores_have_none():
    assert variance_shares(group(seeds("vae", [0.5, 0.5]), seeds("pca", [0.1, 0.9])).cells, KEY) is None


def both(values, other, **changes):
    pairs = zip(values, other, strict=True)
    return [row("vae", i, {KEY: x, "reconstruction[mse]": y}, **changes) for i, (x, y) in enumerate(pairs)]


def test_metrics_agree_by_direction():
    x = np.linspace(0.1, 0.9, 9)
    found = agreement(group(both(x, 1 / x)), [KEY, "reconstruction[mse]"], {KEY: True, "reconstruction[mse]": False})
    assert found.n == 9
    np.testing.assert_allclose(found.correlation, 1.0)
    opposite = agreement(group(both(x, x)), [KEY, "reconstruction[mse]"], {KEY: True, "reconstruction[mse]": False})
    assert opposite.correlation[0, 1] == pytest.approx(-1)


def test_too_few_rows_agree_on_nothing():
    x = np.linspace(0.1, 0.9, 7)
    assert agreement(group(both(x, x)), [KEY, "reconstruction[mse]"], {}) is None


def test_selection_shows_the_chosen_the_best_and_the_mean():
    rows = [
        [row("vae", s, {KEY: score, "reconstruction[mse]": error}, n_steps=n) for s in range(3)]
        for n, score, error in ((1, 0.3, 0.1), (2, 0.6, 0.2), (3, 0.5, 0.3))
    ]
    (found,) = selections(
        group(*rows).cells, KEY, "reconstruction[mse]", higher_is_better=True, criterion_is_higher=False
    )
    assert (found.chosen, found.best, found.n_cells) == (pytest.approx(0.3), pytest.approx(0.6), 3)
    assert found.mean == pytest.approx(1.4 / 3)


def study_rows():
    rng = np.random.default_rng(0)
    found = []
    for dataset in ("natural_sprites", "dsprites", "shapes3d"):
        for i, method in enumerate(("vae", "slowvae", "betavae")):
            for n in (100, 200):
                found.append(
                    [
                        row(method, s, {KEY: 0.2 * i + 0.1 * rng.random(), "reconstruction[mse]": rng.random() / n},
                            dataset=dataset, n_steps=n)
                        for s in range(3)
                    ]
                )  # fmt: skip
    return groups([r for each in found for r in each])


@pytest.mark.parametrize(
    "draw",
    [
        lambda found, path: draw_agreement(found[0], [KEY, "reconstruction[mse]"], path),
        lambda found, path: draw_variance(found[0], [KEY, "reconstruction[mse]"], path),
        lambda found, path: draw_selection(found[0], KEY, ["reconstruction[mse]"], path),
        lambda found, path: [made for block in blocks(found, KEY) for made in draw_ranks(block, path)],
        lambda found, path: [made for block in blocks(found, KEY) for made in draw_profiles(block, path)],
    ],
    ids=["agreement", "variance", "selection", "ranks", "profiles"],
)
def test_figures_are_drawn_from_enough_rows_and_not_from_too_few(draw, tmp_path):
    made = draw(study_rows(), tmp_path / "figure")
    assert {path.suffix for path in made} == {".png", ".svg", ".pdf"}
    assert all(path.stat().st_size > 1_000 for path in made)
    assert draw(groups(seeds("vae", [0.5])), tmp_path / "none") == []
