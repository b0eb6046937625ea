"""Transition statistics: fits against known laws, files in three layouts, the published values, and real tracks."""

from __future__ import annotations

import csv
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats
from scipy.special import gammaln

from bench import increments
from bench.cli.naturalstats import command
from bench.natural_statistics import (
    PAIRS,
    QUANTITIES,
    SCIPY,
    Statistics,
    analyse,
    fit_gennorm,
    log_likelihood,
    published,
)
from bench.opening import Folders
from bench.registry import UsageError
from bench.report import natural_statistics as report

DATA = Path(os.environ.get("BENCH_DATA", "/nonexistent"))
BOXES = DATA / "kitti_tracks" / "kitti_tracking_labels.npz"
TRACKS = DATA / "natural_sprites_kitti" / "downscale_keepaspect.csv"

PLAIN = [pytest.param(law, id=f"shape {law[0]}") for law in ((0.455, 1.0, 1.01), (0.7, 0.0, 0.2), (2.0, 5.0, 1.0))]


@pytest.mark.parametrize("law", PLAIN)
def test_the_fit_finds_the_law_that_values_were_drawn_from(law):
    values = stats.gennorm(*law).rvs(20_000, random_state=1)
    shape, loc, scale, note = fit_gennorm(values)
    assert shape == pytest.approx(law[0], rel=0.03)
    assert loc == pytest.approx(law[1], abs=0.05 * law[2])
    assert scale == pytest.approx(law[2], rel=0.08)
    assert note == ""


@pytest.mark.parametrize("law", PLAIN)
def test_the_fit_is_at_least_as_likely_as_the_law_itself_and_as_another_fit(law):
    values = stats.gennorm(*law).rvs(5_000, random_state=2)
    shape, loc, scale, _ = fit_gennorm(values)
    found = stats.gennorm(shape, loc, scale).logpdf(values).sum()
    assert found > stats.gennorm(*law).logpdf(values).sum()
    assert found > stats.gennorm(*stats.gennorm.fit(values)).logpdf(values).sum() - 0.5


@pytest.mark.parametrize("unit", [1.0, 3.0], ids=["one pixel", "three pixels"])
def test_rounding_to_whole_pixels_does_not_move_the_fit(unit):
    law = (0.455, 1.0, 1.01 * unit)
    values = np.round(stats.gennorm(*law).rvs(40_000, random_state=3))
    shape, loc, scale, _ = fit_gennorm(values)
    assert shape == pytest.approx(law[0], abs=0.015)
    assert loc == pytest.approx(1.0, abs=0.1 * unit)
    assert scale == pytest.approx(law[2], rel=0.1)


def test_the_likelihood_of_rounded_values_is_the_mass_of_their_intervals():
    law = {"shape": 0.6, "loc": 0.3, "scale": 2.0}
    values = np.array([-4.0, 0.0, 0.0, 1.0, 30.0])
    frozen = stats.gennorm(0.6, 0.3, 2.0)
    mass = frozen.cdf(values[:4] + 0.5) - frozen.cdf(values[:4] - 0.5)
    expected = np.log(mass).sum() + frozen.logpdf(30.0)  # so far out the density is the mass
    assert log_likelihood("gennorm", values, law) == pytest.approx(expected, abs=1e-9)


def test_a_law_with_a_peak_of_equal_values_is_told():
    values = np.concatenate([np.zeros(300), stats.norm.rvs(size=700, random_state=0)])
    assert "30% of the steps are exactly 0" in fit_gennorm(values)[3]


def correlated(n=4_000, rho=0.6):
    """Steps (n, 3): area and x normal with correlation rho, y Laplace and independent of both."""
    rng = np.random.default_rng(0)
    area, noise = rng.standard_normal((2, n))
    return np.stack([7 * area, rho * area + np.sqrt(1 - rho**2) * noise, rng.laplace(0.5, 2.0, n)], axis=1)


@pytest.fixture(scope="module")
def analysed() -> Statistics:
    return analyse(correlated(), np.random.default_rng(0))


def test_kurtosis_is_the_biased_excess(analysed):
    y = correlated()[:, 2]
    expected = ((y - y.mean()) ** 4).mean() / ((y - y.mean()) ** 2).mean() ** 2 - 3
    assert analysed.quantities["y"].kurtosis == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(3, abs=1.0)  # of a Laplace law


def test_normal_and_laplace_fits_have_their_closed_form(analysed):
    for i, name in enumerate(QUANTITIES):
        values, laws = correlated()[:, i], analysed.quantities[name].laws
        n, mean, sd = len(values), values.mean(), values.std(ddof=0)
        assert laws["norm"].parameters == pytest.approx({"loc": mean, "sd": sd})
        assert laws["norm"].loglik == pytest.approx(-n / 2 * np.log(2 * np.pi * np.e * sd**2))
        median = np.median(values)
        away = np.abs(values - median).mean()
        assert laws["laplace"].parameters == pytest.approx({"loc": median, "scale": away})
        assert laws["laplace"].loglik == pytest.approx(-n * np.log(2 * np.e * away))
    assert analysed.quantities["y"].laws["gennorm"].parameters["shape"] == pytest.approx(1, abs=0.06)
    assert analysed.quantities["x"].laws["gennorm"].parameters["shape"] == pytest.approx(2, abs=0.15)


def test_a_law_that_fits_is_not_rejected_and_one_that_does_not_is(analysed):
    laws = analysed.quantities["y"].laws
    assert laws["laplace"].ks_p > 0.1
    assert laws["norm"].ks_p < 1e-9
    fitted = stats.norm(laws["norm"].parameters["loc"], laws["norm"].parameters["sd"])
    ordered = np.sort(correlated()[:, 2])
    steps = np.arange(len(ordered) + 1) / len(ordered)
    away = max((steps[1:] - fitted.cdf(ordered)).max(), (fitted.cdf(ordered) - steps[:-1]).max())
    assert laws["norm"].ks_distance == pytest.approx(away, rel=1e-9)


def test_the_authors_fit_is_scipys_with_its_sum_of_log_densities(analysed):
    values, law = correlated()[:, 2], analysed.quantities["y"].laws[SCIPY]
    expected = stats.gennorm.fit(values)
    assert tuple(law.parameters.values()) == pytest.approx(expected)
    assert law.loglik == pytest.approx(stats.gennorm.logpdf(values, *expected).sum())


def test_correlation_and_mutual_information_of_normal_steps_have_their_closed_form(analysed):
    assert analysed.pearson["area", "x"][0] == pytest.approx(np.corrcoef(correlated().T)[0, 1])
    assert analysed.mutual_information["area", "x"] == pytest.approx(-np.log(1 - 0.6**2) / 2, abs=0.03)
    assert analysed.mutual_information["area", "y"] == pytest.approx(0, abs=0.03)
    assert analysed.pearson["x", "y"][1] > 0.01
    assert analysed.n_mutual == 4_000


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (np.zeros((19, 3)), r"n >= 20, got \(19, 3\)"),
        (np.zeros((30, 2)), r"got \(30, 2\)"),
        (np.full((30, 3), np.nan), "must be finite, got nan"),
        (np.arange(90.0).reshape(30, 3) * [1, 1, 0], "every step of y is 0"),
    ],
)
def test_steps_without_statistics_are_refused(steps, message):
    with pytest.raises(ValueError, match=message):
        analyse(steps, np.random.default_rng(0))


@pytest.mark.parametrize(("dataset", "n"), [("KITTI", 82_506), ("YouTube", 234_652)])
def test_published_fits_are_maxima_in_their_scale_but_one(dataset, n):
    """At the best scale the mean log density is log(a / 2c) - log Γ(1/a) - 1/a: a check of what was copied."""
    values = published(dataset)
    assert values["", "", "n_pairs"] == n
    assert len(values) == 34
    for quantity in QUANTITIES:
        shape, scale = (values[quantity, "gennorm", name] for name in ("shape", "scale"))
        expected = np.log(shape / 2 / scale) - gammaln(1 / shape) - 1 / shape
        away = values[quantity, "gennorm", "loglik_sum"] / n - expected
        if (dataset, quantity) == ("KITTI", "area"):
            assert away == pytest.approx(-0.107, abs=0.01)  # whole pixels: their optimiser stopped before a maximum
        else:
            assert abs(away) < 0.025  # log-likelihoods are rounded to three digits
        assert shape < 1
    assert published("nobody") == {}


def tracks_csv(path):
    path.write_text(
        "id,cat_id,t_0,t_1,t_2\n"
        '1,4,"[(10, 20, 100), None, (5, 6, 50)]","[(11, 22.5, 90), None, (5, 7, 52)]",\n'
        '2,9,,"[None, (5, 6, 50), None]","[None, (5.5, 6.25, 61), None]"\n'
    )
    return path


def test_steps_of_a_track_file_are_those_of_its_pairs(tmp_path):
    found = increments.of_file(tracks_csv(tmp_path / "mine.csv"))
    assert (found.name, found.source, found.published) == ("mine", "user", "")
    np.testing.assert_allclose(found.steps, [[-10, 2.5, 1], [2, 1, 0], [11, 0.25, 0.5]])
    assert found.categories.tolist() == ["cat_id 4", "cat_id 4", "cat_id 9"]


def box_arrays(**changes):
    """Two tracks: one with a gap, in shuffled order."""
    arrays = {
        "seq": np.array([0, 0, 0, 0, 1], np.int16),
        "track": np.array([3, 3, 2, 3, 3], np.int16),
        "frame": np.array([1, 0, 2, 3, 4], np.int16),
        "bbox": np.array([[0, 0, 750, 375], [0, 0, 375, 375], [0, 0, 9, 9], [0, 0, 5, 5], [1, 1, 2, 2]], np.float32),
        "type": np.array([1, 1, 0, 1, 1], np.int8),
        "type_names": np.array(["Car", "Tram"]),
    }
    return {key: value for key, value in {**arrays, **changes}.items() if value is not None}


def test_steps_of_boxes_are_scaled_to_64_rows(tmp_path):
    np.savez(tmp_path / "boxes.npz", **box_arrays())
    found = increments.of_file(tmp_path / "boxes.npz")
    np.testing.assert_allclose(found.steps, [[64 * 64, 32, 0]], rtol=1e-6)
    assert found.categories.tolist() == ["Tram"]
    np.savez(tmp_path / "boxes.npz", **box_arrays(type_names=None))
    assert increments.of_file(tmp_path / "boxes.npz").categories is None


def test_steps_of_a_masks_file_stay_within_its_sequences(tmp_path):
    masks = np.zeros((2, 3, 64, 64), bool)
    for i, t in np.ndindex(2, 3):
        masks[i, t, 10 : 20 + t, 5 + 2 * t : 15 + 2 * t] = True
    latents = [np.array([[(29 + t) / 2, 9.5 + 2 * t, 10 * (10 + t)] for t in range(3)], np.float32)] * 2
    content = {"pedestrians": list(masks), "pedestrians_latents": latents}
    (tmp_path / "masks.pickle").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.warns(UserWarning, match="4 consecutive pairs"):
        found = increments.of_file(tmp_path / "masks.pickle")
    np.testing.assert_allclose(found.steps, [[10, 2, 0.5]] * 4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": None}, "has no array 'bbox', only frame, seq"),
        ({"bbox": np.zeros((5, 3))}, r"bbox must be \(n, 4\) finite numbers, got \(5, 3\)"),
        ({"bbox": np.full((5, 4), np.inf)}, "bbox must be"),
        ({"bbox": np.array([{}] * 5, object)}, "'bbox' is pickled"),
        ({"seq": np.zeros(4, int)}, r"seq must be \(5,\) whole numbers"),
        ({"frame": np.zeros(5)}, r"frame must be \(5,\) whole numbers"),
        ({"type": np.full(5, 2)}, "type has values 2 … 2, there are 2 type_names"),
        ({"type_names": np.arange(2)}, "type must be an index per box into type_names"),
    ],
)
def test_wrong_boxes_are_named(tmp_path, changes, message):
    np.savez(tmp_path / "boxes.npz", **box_arrays(**changes))
    with pytest.raises(ValueError, match=message):
        increments.of_file(tmp_path / "boxes.npz")


def test_generated_tracks_are_analysed_unfiltered(tmp_path):
    from bench import registry

    entry = registry.dataset("natural_sprites")
    found = increments.of_dataset("natural_sprites", entry.config(), Folders(tmp_path, tmp_path / "c", tmp_path))
    assert (found.source, found.published, found.steps.shape) == ("generated", "YouTube", (234_652, 3))
    assert np.abs(found.steps[:, 0]).max() > 500  # the area filter would take these away
    with pytest.raises(UsageError, match="'dsprites' holds no tracks; kitti_masks and natural_sprites do"):
        increments.of_dataset("dsprites", None, Folders(tmp_path, tmp_path, tmp_path))


def motion(**parts):
    of = {"name": "mine", "source": "user", "note": "a|b", "statistics": None, "steps": correlated()} | parts
    return report.Motion(**of)


def test_text_shows_ours_beside_published(analysed):
    text = report.to_text([motion(statistics=analysed, published="KITTI")])
    lines = {line.split("  ")[0].strip(): line.split() for line in text.splitlines()}
    kurtosis = [f"{analysed.quantities[q].kurtosis:.2f}" for q in QUANTITIES]
    assert lines["excess kurtosis"][2:] == [kurtosis[0], "68.92", kurtosis[1], "38.50", kurtosis[2], "65.39"]
    assert "mine (user): 4,000 pairs of consecutive frames" in text
    assert "published: KITTI, 82,506 pairs" in text
    shapes = [line.split()[1::2] for line in text.splitlines() if line.strip().startswith("shape")]
    theirs = [line.split()[2::2] for line in text.splitlines() if line.strip().startswith("shape")]
    assert len(shapes) == 2
    assert theirs == [["0.455", "0.587", "0.694"], ["—", "—", "—"]]
    assert "published" not in report.to_text([motion(statistics=analysed)])


def test_markdown_is_one_table_whose_rows_are_of_one_width(analysed):
    table = [line for line in report.to_markdown([motion(statistics=analysed)]).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {5}
    assert r"a\|b" in report.to_markdown([motion(statistics=analysed)])


def test_csv_holds_every_number_in_full(analysed):
    rows = list(csv.DictReader(io.StringIO(report.to_csv([motion(statistics=analysed, published="YouTube")]))))
    found = {(row["quantity"], row["law"], row["statistic"]): row for row in rows}
    for name, quantity in analysed.quantities.items():
        assert float(found[name, "gennorm", "shape"]["value"]) == quantity.laws["gennorm"].parameters["shape"]
        assert float(found[name, "laplace", "loglik_sum"]["value"]) == quantity.laws["laplace"].loglik
    assert float(found["x", SCIPY, "shape"]["published"]) == 0.515
    assert float(found["x", "", "kurtosis_excess"]["published"]) == 39.98
    assert found["area", "norm", "sd"]["unit"] == "px"
    assert {"-".join(pair) for pair in PAIRS} <= {row["quantity"] for row in rows}
    assert len(rows) == len(found)


def test_the_figure_names_units_and_the_number_of_pairs(analysed, monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(report, "save", lambda figure, stem, formats: kept.append(figure) or [])
    report.draw(motion(statistics=analysed), tmp_path / "x")
    (figure,) = kept
    figure.draw_without_rendering()
    assert "4,000 pairs" in figure.get_suptitle()
    assert [axes.get_xlabel() for axes in figure.axes[3:]] == [f"Δ{q} per frame (px)" for q in QUANTITIES]
    assert {axes.get_yscale() for axes in figure.axes[:3]} == {"linear"}
    assert {axes.get_yscale() for axes in figure.axes[3:]} == {"log"}
    area = figure.axes[3].patches[0].get_data()
    assert (area.values * np.diff(area.edges)).sum() == pytest.approx(1)


def test_whole_numbers_fall_into_bins_that_hold_equally_many():
    values = np.arange(-300.0, 301.0)
    counts, _ = np.histogram(values, report._edges(values, -300, 300))
    assert set(counts[:-1]) == {6}


def called(*arguments):
    result = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


def moving_csv(path, n=60):
    """A track file of one object that moves for n frames."""
    rng = np.random.default_rng(0)
    walk = zip(*rng.uniform(10, 50, (2, n)), rng.integers(30, 90, n), strict=True)
    cells = [f'"[({y:.4f}, {x:.4f}, {area}), None, None]"' for y, x, area in walk]
    path.write_text("id,cat_id," + ",".join(f"t_{i}" for i in range(n)) + "\n1,2," + ",".join(cells) + "\n")
    return path


def test_the_command_writes_numbers_and_figures_of_a_users_file(tmp_path):
    path = moving_csv(tmp_path / "walk.csv")
    out = called(path, "--figures", tmp_path / "pictures")
    assert "walk (user): 59 pairs of consecutive frames" in out
    endings = sorted(file.suffix for file in (tmp_path / "pictures").glob("naturalstats-walk-user.*"))
    assert endings == [".pdf", ".png", ".svg"]
    called(path, "--by-category", "--format", "csv", "-o", tmp_path / "n.csv")
    rows = list(csv.DictReader((tmp_path / "n.csv").open()))
    assert list(rows[0]) == list(report.COLUMNS)
    assert [row["category"] for row in rows] == [""] * (len(rows) // 2) + ["cat_id 2"] * (len(rows) // 2)


def test_categories_stand_in_one_table_after_the_whole(analysed):
    motions = [motion(statistics=analysed), motion(statistics=analysed, category="cat_id 2")]
    text = report.to_text(motions)
    assert text.count("pairs of consecutive frames") == 1
    shape = analysed.quantities["area"].laws["gennorm"].parameters["shape"]
    last = text.splitlines()[-1].split()
    assert last[:5] == ["cat_id", "2", "4,000", f"{analysed.quantities['area'].kurtosis:.2f}", f"{shape:.3f}"]


def test_the_command_analyses_generated_masks(tmp_path):
    called("kitti_masks[n_sequences=8]", "--format", "csv", "-o", tmp_path / "n.csv", "--data-root", tmp_path)
    rows = list(csv.DictReader((tmp_path / "n.csv").open()))
    assert {(row["data"], row["source"]) for row in rows} == {("kitti_masks", "generated")}
    assert {row["published"] for row in rows if row["statistic"] == "kurtosis_excess"} == {"68.92", "38.5", "65.39"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk.txt"], "the ending says which layout a file has"),
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["kiti_masks"], "Did you mean 'kitti_masks'"),
        (["dsprites"], "'dsprites' holds no tracks"),
        (["--budget", "huge"], "--budget is one of"),
        (["-o", "no/such/folder/x"], "there is no folder"),
        (["kitti_masks[n_sequences=1]", "--by-category"], "none of these data say what their objects are"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(arguments, message):
    with pytest.raises(UsageError, match=message) as refused:
        called(*arguments)
    assert "\n" not in str(refused.value)


# The README beside the real tracks: n, then excess kurtosis, sd, and shape, loc, scale of scipy's fit, for x, y, area.
README = {
    "Pedestrian": (9506, (18.9, 1.859, (0.904, 0.012, 1.046)), (107.5, 0.240, (0.722, 0.040, 0.075)),
                   (66.0, 54.4, (0.360, 0.735, 0.619))),
    "Car": (21296, (10.4, 2.342, (0.259, 0, 0.0028)), (26.9, 0.412, (0.483, 0.024, 0.031)),
            (30.9, 83.8, (0.241, 0, 0.0125))),
    "Cyclist": (1573, (12.2, 2.497, (0.261, 0, 0.0033)), (13.5, 0.332, (0.203, 0, 0)), (81.9, 82.8, (0.145, 0.005, 0))),
    "": (37446, (11.5, 2.303, (0.338, 0, 0.029)), (62.9, 0.379, (0.517, 0.024, 0.037)),
         (200.2, 97.6, (0.210, 0, 0.0035))),
    "tracks": (38674, (14.0, 2.047, (0.411, None, None)), (25.1, 0.396, (0.496, None, None)),
               (147.8, 97.8, (0.318, None, None))),
}  # fmt: skip


@pytest.mark.data
@pytest.mark.skipif(not (BOXES.is_file() and TRACKS.is_file()), reason="BENCH_DATA has no real tracks")
@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind or "all") for kind in README])
def test_figures_of_the_real_tracks_are_reproduced(kind):
    """Counts, kurtosis and deviation to their digits; shapes within 0.05, or else ours is the likelier law.

    Many steps of cars and cyclists are equal, where general optimisers stop in different places: see ``fit_gennorm``.
    """
    found = increments.of_file(TRACKS if kind == "tracks" else BOXES)
    rows = np.ones(len(found.steps), bool) if kind in ("", "tracks") else found.categories == kind
    statistics = analyse(found.steps[rows], np.random.default_rng(0))
    n, *quantities = README[kind]
    assert statistics.n == n
    for name, (kurtosis, sd, law) in zip(("x", "y", "area"), quantities, strict=True):
        quantity, values = statistics.quantities[name], found.steps[rows][:, QUANTITIES.index(name)]
        assert quantity.kurtosis == pytest.approx(kurtosis, abs=0.06)
        assert quantity.laws["norm"].parameters["sd"] == pytest.approx(sd, rel=0.002)
        shapes = [quantity.laws[key].parameters["shape"] for key in (SCIPY, "gennorm")]
        if min(abs(shape - law[0]) for shape in shapes) > 0.05:
            theirs = log_likelihood("gennorm", values, dict(zip(("shape", "loc", "scale"), law, strict=True)))
            assert quantity.laws["gennorm"].loglik > theirs + 50
