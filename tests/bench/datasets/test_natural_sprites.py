"""Natural Sprites: its sources, the pool of pairs, the draws for scoring, and the arguments it refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from bench.datasets.base import DataStore
from bench.datasets.natural_sprites import CARD, GRID_SHAPES, SIZES, NaturalSpritesConfig, natural_sprites
from bench.datasets.sprite_renderer import SHAPES, render_sprites

KITTI = Path(os.environ.get("BENCH_DATA", "/nonexistent"), "natural_sprites_kitti", "downscale_keepaspect.csv")
FORMS = [
    pytest.param({"form": "discrete"}, id="discrete"),
    pytest.param({"form": "continuous"}, id="continuous"),
    pytest.param({"transitions": "lap"}, id="lap"),
    pytest.param({"transitions": "lap", "rate": -1}, id="lap of random rate"),
    pytest.param({"transitions": "uni"}, id="uni"),
]


def opened(folder, **parameters):
    """The data set with its source resolved, as the runner opens it."""
    config = NaturalSpritesConfig(**{"n_pairs": 300, **parameters})
    config = dataclasses.replace(config, source=CARD.source(config, folder).kind)
    return natural_sprites(config, DataStore(folder, folder / "cache", repr(config)))


def write_tracks(path, tracks):
    """An official file whose rows move by the given (y, x, area), in the first window."""
    length = max(len(track) for track in tracks)
    lines = ["id,cat_id," + ",".join(f"t_{i}" for i in range(length))]
    for i, track in enumerate(tracks):
        cells = [f'"[{entry}, None, None]"' for entry in track] + [""] * (length - len(track))
        lines.append(f"{i},1," + ",".join(cells))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


# Corners of the frame, so that bins are known: x, y in 0 … 64 (centres 1, 3, …), area 100 … 700 (150, 250, …, 650).
TRACKS = [
    [(0, 0, 100), (64, 64, 700)],
    [(10.2, 20.7, 260), (12.1, 20.9, 449)],
    [(31.9, 32.1, 655), (31.9, 32.1, 655)],
]


@pytest.fixture
def official(tmp_path):
    # Many copies, so that the 10 % filter on area takes none of the extremes away.
    write_tracks(tmp_path / "natural_sprites" / "downscale_keepaspect.csv", TRACKS * 10)
    return tmp_path


def test_an_official_file_is_binned_as_by_hand(official):
    data = opened(official)
    moving = {tuple(map(tuple, data.factors[rows][:, :3].tolist())) for rows in data.pairs}
    assert moving == {
        ((0, 0, 0), (31, 31, 5)),
        ((10, 5, 1), (10, 6, 3)),
        ((16, 15, 5), (16, 15, 5)),
    }


def test_grid_frames_are_drawn_at_the_bin_centres(official):
    data = opened(official)
    cells = np.array([[10, 5, 1, 3, 0], [31, 0, 5, 39, 3]])
    shape = [SHAPES.index(GRID_SHAPES[i]) for i in cells[:, 4]]
    scale = np.sqrt([250, 650]) / 64
    expected = render_sprites(np.array([21, 63]) / 64, np.array([11, 1]) / 64, scale, [27, 351], shape)
    np.testing.assert_array_equal(data.render(cells, np.random.default_rng(0))[:, 0], expected)


def test_continuous_factors_are_the_tracks_in_fractions(official):
    data = opened(official, form="continuous")
    starts = {(x / 64, y / 64, np.sqrt(area) / 64) for y, x, area in (track[0] for track in TRACKS)}
    drawn = data.labelled(200, np.random.default_rng(0))
    assert {tuple(row) for row in drawn.factors[:, 0, :3]} == starts
    assert set(drawn.factors[:, 0, 3]) == set(range(40))
    assert set(drawn.factors[:, 0, 4]) == set(range(4))


def test_source_is_official_where_the_file_is_and_generated_where_not(official, tmp_path):
    path = official / "natural_sprites" / "downscale_keepaspect.csv"
    found = CARD.source(NaturalSpritesConfig(), official)
    assert (found.kind, found.fingerprint) == ("official", hashlib.sha256(path.read_bytes()).hexdigest())
    assert CARD.source(NaturalSpritesConfig(source="generated"), official).kind == "generated"
    assert CARD.source(NaturalSpritesConfig(), tmp_path / "elsewhere").kind == "generated"
    user = CARD.source(NaturalSpritesConfig(tracks=str(path)), tmp_path / "elsewhere")
    assert (user.kind, user.fingerprint) == ("user", found.fingerprint)


def test_missing_files_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not in DATA_ROOT/natural_sprites. Run `bench data fetch natural_"):
        CARD.source(NaturalSpritesConfig(source="official"), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"natural_sprites: tracks=nowhere.csv is not a file"):
        CARD.source(NaturalSpritesConfig(tracks="nowhere.csv"), tmp_path)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"form": "discret"}, "form must be one of discrete, continuous, got 'discret'"),
        ({"transitions": "laplace"}, "transitions must be one of natural, lap, uni"),
        ({"source": "offical"}, "source must be one of"),
        ({"form": "continuous", "transitions": "lap"}, "transitions=lap needs form=discrete"),
        ({"rate": 2.0}, "rate=2 needs transitions=lap"),
        ({"transitions": "lap", "rate": 0.0}, "rate must be > 0, or -1"),
        ({"transitions": "lap", "rate": float("nan")}, "rate must be > 0, or -1"),
        ({"k": 2}, "k=2 needs transitions=uni"),
        ({"transitions": "uni", "k": 6}, "k must be 1 … 5"),
        ({"tracks": "a.csv", "source": "official"}, "tracks=a.csv is a user's file, but source=official"),
        ({"source": "user"}, "source=user needs tracks=FILE"),
        ({"n_pairs": 0}, "n_pairs must be at least 1, got 0"),
    ],
)
def test_arguments_that_do_not_apply_are_errors(parameters, message):
    with pytest.raises(ValueError, match=message):
        NaturalSpritesConfig(**parameters)


@pytest.mark.parametrize("parameters", FORMS)
def test_the_pool_is_the_same_whenever_it_is_built(tmp_path, parameters):
    first, again = opened(tmp_path / "a", **parameters), opened(tmp_path / "b", **parameters)
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.pairs, again.pairs)
    kept = opened(tmp_path / "a", **parameters)
    np.testing.assert_array_equal(first.frames, kept.frames)


@pytest.mark.parametrize("parameters", FORMS)
def test_frames_of_the_pool_show_their_factors(tmp_path, parameters):
    data = opened(tmp_path, **parameters)
    assert data.frames.shape[1:] == data.info.observation_shape
    rng = np.random.default_rng(0)
    drawn = data.labelled(20, rng, view="pairs")
    factors = drawn.factors.reshape(-1, 5)
    if data.info.has_grid:
        expected = data.render(factors, rng)[:, 0]
    else:
        expected = render_sprites(*factors.T[:3], 9 * factors[:, 3], factors[:, 4].astype(int))
    np.testing.assert_array_equal(drawn.x.reshape(-1, 64, 64), expected)


@pytest.mark.parametrize("form", ["discrete", "continuous"])
def test_only_position_and_scale_move_in_natural_pairs(tmp_path, form):
    data = opened(tmp_path, form=form)
    start, end = data.factors[data.pairs[:, 0]], data.factors[data.pairs[:, 1]]
    np.testing.assert_array_equal(start[:, 3:], end[:, 3:])
    assert (start[:, :3] != end[:, :3]).any(axis=0).all()


def test_generated_grid_spans_what_training_shows(tmp_path):
    data = opened(tmp_path, n_pairs=4_000)
    for column, size in enumerate(SIZES):
        assert set(data.factors[:, column]) == set(range(size))


@pytest.mark.parametrize("form", ["discrete", "continuous"])
def test_scoring_draws_depend_on_the_generator_alone(tmp_path, form):
    data = opened(tmp_path, form=form)
    next(data.batches("pairs", 4, np.random.default_rng(9)))
    first = data.labelled(50, np.random.default_rng(1))
    again = opened(tmp_path / "other", form=form, n_pairs=10).labelled(50, np.random.default_rng(1))
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.factors, again.factors)
    assert first.factors.dtype == (np.int64 if form == "discrete" else np.float64)


def test_lap_and_uni_move_as_they_are_defined(tmp_path):
    lap = opened(tmp_path, transitions="lap", n_pairs=4_000)
    start, end = lap.factors[lap.pairs[:, 0]], lap.factors[lap.pairs[:, 1]]
    np.testing.assert_array_equal(start[:, 4], end[:, 4])
    assert np.abs(end - start)[:, 0].mean() == pytest.approx(3.2, abs=0.4)  # between 2.99 (border) and 3.26 (middle)
    uni = opened(tmp_path, transitions="uni", k=2)
    changed = (uni.factors[uni.pairs[:, 0]] != uni.factors[uni.pairs[:, 1]]).sum(axis=1)
    np.testing.assert_array_equal(changed, 2)


def test_every_budget_and_form_is_described_without_opening():
    for form in ("discrete", "continuous"):
        info = CARD.describe(NaturalSpritesConfig(form=form))
        assert info.factors.names == ("x", "y", "scale", "angle", "shape")
        assert info.factors.sizes == ((32, 32, 6, 40, 4) if form == "discrete" else (0, 0, 0, 40, 4))
        assert info.has_grid == info.factors.is_discrete == (form == "discrete")
    for overrides in CARD.budgets.values():
        NaturalSpritesConfig(**overrides)


@pytest.mark.data
@pytest.mark.skipif(not KITTI.is_file(), reason="BENCH_DATA has no natural_sprites_kitti")
@pytest.mark.parametrize("form", ["discrete", "continuous"])
def test_real_motion_opens_as_a_user_file(tmp_path, form):
    data = opened(tmp_path, tracks=str(KITTI), form=form)
    assert "user tracks" in data.title
    assert data.spec("pairs").n_train == 300
    x = data.labelled(100, np.random.default_rng(0)).x
    assert x.max() == 255
    assert (x.reshape(100, -1).max(axis=1) > 0).all()
