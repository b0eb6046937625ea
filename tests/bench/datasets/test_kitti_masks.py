"""KITTI Masks: the official pickle and hostile ones, pairs and their gaps, draws for scoring, and generated walkers."""

from __future__ import annotations

import collections
import dataclasses
import os
import pickle
import struct
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import stats

from bench.datasets import walkers
from bench.datasets.array_pickle import load_arrays
from bench.datasets.base import DataStore
from bench.datasets.kitti_masks import CARD, KittiMasksConfig, kitti_masks, read_tracks
from bench.datasets.walkers import KITTI_AREA, KITTI_X, KITTI_Y, cut_tracks, generate_masks, measure

LENGTHS = (2, 5, 9)


def some_masks(n, rng):
    """Masks (n, 64, 64) of one blob each."""
    masks = np.zeros((n, 64, 64), bool)
    for mask in masks:
        row, column = rng.integers(0, 50, size=2)
        mask[row : row + 7, column : column + rng.integers(5, 14)] = True
    return masks


def centres(masks):
    """Row, column, area by the long way, float32 as the authors' script writes it."""
    rows = [[*np.argwhere(mask).mean(0), mask.sum()] for mask in masks]
    return np.array(rows, np.float32)


def content(lengths=LENGTHS):
    rng = np.random.default_rng(0)
    sequences = [some_masks(n, rng) for n in lengths]
    return {"pedestrians": sequences, "pedestrians_latents": [centres(masks) for masks in sequences]}


def as_numpy_1(data):
    """The bytes that numpy before 2 writes: its functions had another home, whose name has one letter less."""
    for module in (b"multiarray", b"numeric"):
        name = b"numpy._core." + module
        data = data.replace(
            bytes([len(name)]) + name, bytes([len(name) - 1]) + b"numpy.core." + module
        )  # protocol 4, 5
        data = data.replace(b"c" + name + b"\n", b"cnumpy.core." + module + b"\n")
    return data


def written(folder, value, protocol=3):
    data = value if isinstance(value, bytes) else as_numpy_1(pickle.dumps(value, protocol=protocol))
    path = folder / "kitti_masks" / "kitti_peds_v2.pickle"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def opened(folder, **parameters):
    config = KittiMasksConfig(**{"n_sequences": 12, **parameters})
    config = dataclasses.replace(config, source=CARD.source(config, folder).kind)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "kitti_masks|.*consecutive pairs")
        return kitti_masks(config, DataStore(folder, folder / "cache", repr(config)))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("numpy_1", [True, False])
def test_arrays_come_back_as_pickled(tmp_path, protocol, numpy_1):
    rng = np.random.default_rng(1)
    values = {"a": [rng.random((3, 4)), rng.integers(9, size=5)], "b": [], "f": np.asfortranarray(rng.random((2, 3)))}
    data = pickle.dumps(values, protocol=protocol)
    (tmp_path / "x").write_bytes(as_numpy_1(data) if numpy_1 else data)
    assert (b"_core" in (tmp_path / "x").read_bytes()) is not numpy_1
    read = load_arrays(tmp_path / "x")
    assert list(read) == ["a", "b", "f"]
    assert read["b"] == []
    for found, expected in zip([*read["a"], read["f"]], [*values["a"], values["f"]], strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_an_official_file_gives_its_masks_factors_and_tracks(tmp_path):
    written(tmp_path, content())
    data = opened(tmp_path)
    assert data.spec("pairs").n_train == sum(LENGTHS) - len(LENGTHS)
    assert data.spec("images").n_train == sum(LENGTHS)
    assert data.spec("pairs").n_sequences == len(LENGTHS)
    masks = np.concatenate(content()["pedestrians"])
    np.testing.assert_array_equal(data.masks(np.arange(len(masks)))[:, 0], 255 * masks.astype(np.uint8))
    np.testing.assert_array_equal(data.factors, np.concatenate(content()["pedestrians_latents"]))
    assert "official" in data.title


def test_a_file_of_another_number_of_pairs_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match=r"holds 13 consecutive pairs, the published file 82,506"):
        read_tracks(written(tmp_path, content()))


class Call:
    """Pickles to a call of any function."""

    def __init__(self, function, *arguments):
        self.how = (function, arguments)

    def __reduce__(self):
        return self.how


def claiming(shape, data=b"\x01" * 8):
    """A pickle of an array that says it has ``shape`` and brings ``data``."""
    state = (1, shape, np.dtype(bool), False, data)

    class Liar:
        def __reduce__(self):
            return np.zeros(0, bool).__reduce__()[0], (np.ndarray, (0,), b"b"), state

    return as_numpy_1(pickle.dumps({"pedestrians": [Liar()]}, protocol=3))


def endless():
    value = []
    value.append(value)
    return value


def repeated():
    """A lot of frames from a file of a few: one array, mentioned 10,000 times."""
    masks = some_masks(50, np.random.default_rng(0))
    return {"pedestrians": [masks] * 10_000, "pedestrians_latents": [centres(masks)] * 10_000}


def laughs():
    value = [np.zeros(1)]
    for _ in range(7):
        value = [value] * 1_000
    return value


HOSTILE = {
    "a command": (Call(os.system, "touch pwned"), r"refused, the pickle asks for '?posix.system"),
    "an expression": (Call(eval, "1"), r"asks for '?builtins.eval"),
    "numpy's own loader": (Call(np.load, "/etc/passwd"), r"asks for '?numpy.load"),
    "an array of objects": ([np.array([Call(print)], object)], "asks for|not one of plain numbers"),
    "an empty array of a size": (
        as_numpy_1(pickle.dumps(Call(np.zeros(0).__reduce__()[0], np.ndarray, (2**40,), b"b"), protocol=3)),
        r"an array starts with shape \(1099511627776,\), where numpy writes \(0,\)",
    ),
    "a shape of terabytes": (claiming((2**20, 64, 64)), r"claims shape .*4,294,967,296 bytes, and brings 8"),
    "a negative shape": (claiming((-1, 64, 64)), r"shape \(-1, 64, 64\) is not written as numpy does"),
    "a shape beyond integers": (claiming((2**70, 1)), "is not written as numpy does"),
    "bytes that claim 8 GB": (b"\x80\x04\x8e" + struct.pack("<Q", 8 << 30) + b"xx.", "not a complete pickle"),
    "a memo of 2 000 million": (b"\x80\x02]r\xff\xff\xff\x7f.", "wanted a dict"),
    "an ordered dict": (collections.OrderedDict(a=1), "asks for '?collections.OrderedDict"),
    "a list in itself": (endless(), "nests lists deeper than 8"),
    "a list of lists of lists": (laughs(), "wanted a dict"),
    "masks mentioned again and again": (repeated(), r"claims 500,000 masks, more than its [\d,]+ bytes can hold"),
    "an instruction of another kind": (b"\x80\x02c__main__\nX\n)\x81.", "asks for .__main__.X"),
    "an empty stack": (b"\x80\x02a.", "takes a value where none is"),
    "a web page": (b"<!DOCTYPE html><html></html>", "not a complete pickle|refused"),
    "nothing": (b"", "empty file"),
    "a cut file": (pickle.dumps(content(), protocol=4)[:-5000], "is the file complete"),
}


@pytest.mark.parametrize(("value", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_in_one_line_without_running_them(tmp_path, monkeypatch, value, message):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, value)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as refused:
            read_tracks(path)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")
    assert not (tmp_path / "pwned").exists()


def changed(**parts):
    return {**content(), **parts}


def latents_with(value, column):
    latents = content()["pedestrians_latents"]
    latents[1][3, column] = value
    return latents


WRONG = {
    "another key": ({"cars": [], "pedestrians_latents": []}, "wanted a dict with the lists pedestrians and pedestri"),
    "a list": ([np.zeros(3)], "wanted a dict"),
    "no sequences": (changed(pedestrians=[], pedestrians_latents=[]), "0 sequences of masks"),
    "latents missing": (changed(pedestrians_latents=content()["pedestrians_latents"][:2]), "3 sequences .* 2 of lat"),
    "grey masks": (changed(pedestrians=[np.zeros((2, 64, 64), np.uint8)] * 3), r"sequence 0: wanted masks .* uint8"),
    "masks of another size": (changed(pedestrians=[np.ones((2, 32, 32), bool)] * 3), r"got \(2, 32, 32\) bool"),
    "text for masks": (changed(pedestrians=["a", "b", "c"]), "got str"),
    "one frame": (content(lengths=(3, 1)), "sequence 1: has 1 frame, a pair needs two"),
    "a frame too few": (
        changed(pedestrians_latents=[v[:-1] for v in content()["pedestrians_latents"]]),
        r"sequence 0: wanted latents \(2, 3\) float32, got \(1, 3\) float32",
    ),
    "another area": (changed(pedestrians_latents=latents_with(1, 2)), r"sequence 1, frame 3: area is 1, the mask has"),
    "another centre": (changed(pedestrians_latents=latents_with(0, 0)), r"sequence 1, frame 3: row is 0, the mask"),
    "no number": (changed(pedestrians_latents=latents_with(np.nan, 1)), r"sequence 1, frame 3: column is nan"),
    "an empty mask": (
        {"pedestrians": [np.zeros((2, 64, 64), bool)], "pedestrians_latents": [np.zeros((2, 3), np.float32)]},
        "sequence 0, frame 0: the mask is empty",
    ),
}


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
def test_wrong_content_is_named_with_its_place(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        read_tracks(written(tmp_path, value))


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    written(folder, content())
    return folder


def track_of(rows):
    """Track of each frame, and its last frame."""
    last = np.cumsum(LENGTHS) - 1
    track = np.searchsorted(last, rows)
    return track, last[track]


@pytest.mark.parametrize("max_delta_t", [1, 5])
def test_gaps_are_uniform_and_cut_at_the_end_of_a_track(official, max_delta_t):
    data = opened(official, max_delta_t=max_delta_t)
    index, rows = data._pairs(40_000, np.random.default_rng(0))
    first, second = rows.T
    np.testing.assert_array_equal(track_of(first)[0], track_of(second)[0])
    expected = np.zeros((sum(LENGTHS), max_delta_t + 1))
    starts = np.flatnonzero(np.arange(sum(LENGTHS)) < track_of(np.arange(sum(LENGTHS)))[1])
    for start in starts:
        for gap in range(1, max_delta_t + 1):
            expected[start, min(gap, track_of(start)[1] - start)] += 40_000 / len(starts) / max_delta_t
    found = np.zeros_like(expected)
    np.add.at(found, (first, second - first), 1)
    np.testing.assert_array_equal(found[expected == 0], 0)
    kept = expected > 0
    assert stats.chisquare(found[kept], expected[kept]).pvalue > 0.001
    np.testing.assert_array_equal(starts[index], first)


@pytest.mark.parametrize("n", [1, 7])
def test_images_are_the_frames_of_the_same_pairs(official, n):
    data = opened(official)
    pairs = next(data.batches("pairs", n, np.random.default_rng(4)))
    images = next(data.batches("images", 2 * n, np.random.default_rng(4)))
    np.testing.assert_array_equal(pairs.x.flatten(0, 1), images.x[:, 0])
    assert pairs.x.shape == (n, 2, 1, 64, 64)
    odd = next(data.batches("images", 2 * n - 1, np.random.default_rng(4)))
    np.testing.assert_array_equal(odd.x, images.x[:-1])
    np.testing.assert_array_equal(255 * images.x[:, 0].numpy(), data.masks(images.index.numpy()))


def test_pairs_are_drawn_anew_and_from_the_generator_alone(official):
    data = opened(official)
    batches = data.batches("pairs", 8, np.random.default_rng(0))
    drawn = [next(batches) for _ in range(3)]
    again = opened(official).batches("pairs", 8, np.random.default_rng(0))
    for one in drawn:
        np.testing.assert_array_equal(one.x, next(again).x)
    assert (drawn[0].x != drawn[1].x).any()
    assert set(drawn[0].x.unique().tolist()) == {0.0, 1.0}


def test_scoring_draws_first_frames_without_repeats_in_a_block(tmp_path):
    written(tmp_path, content(lengths=(9, 9, 9)))
    data = opened(tmp_path)
    drawn = data.labelled(100, np.random.default_rng(0))
    assert drawn.x.shape == (100, 1, 1, 64, 64)
    rows = [int(np.flatnonzero((data.factors == f).all(axis=1))[0]) for f in drawn.factors[:, 0]]
    np.testing.assert_array_equal(drawn.x[:, 0], data.masks(np.array(rows)))
    assert not {8, 17, 26} & set(rows)
    for start in range(0, 100, 16):
        block = rows[start : start + 16]
        assert len(set(block)) == len(block)
    assert set(rows) == set(range(27)) - {8, 17, 26}


def test_few_pairs_can_be_scored_too(official):
    assert opened(official).labelled(50, np.random.default_rng(0)).factors.shape == (50, 1, 3)


def test_labelled_pairs_lie_within_a_track(official):
    drawn = opened(official, max_delta_t=1).labelled(30, np.random.default_rng(0), view="pairs")
    frames = drawn.x.reshape(60, 64, 64) > 0
    np.testing.assert_allclose(measure(frames), drawn.factors.reshape(60, 3), atol=1e-4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"source": "offical"}, "kitti_masks: source must be one of auto, official, generated, got 'offical'"),
        ({"max_delta_t": 0}, "kitti_masks: max_delta_t must be at least 1 frame, got 0"),
        ({"n_sequences": 0}, "kitti_masks: n_sequences must be at least 1, got 0"),
    ],
)
def test_arguments_that_do_not_apply_are_errors(parameters, message):
    with pytest.raises(ValueError, match=message):
        KittiMasksConfig(**parameters)


def test_source_is_official_where_the_file_is_and_generated_where_not(official, tmp_path):
    assert CARD.source(KittiMasksConfig(), official).kind == "official"
    assert CARD.source(KittiMasksConfig(source="generated"), official).kind == "generated"
    found = CARD.source(KittiMasksConfig(), tmp_path)
    assert found.kind == "generated"
    assert "not KITTI's masks" in found.note
    with pytest.raises(FileNotFoundError, match=r"kitti_peds_v2.pickle is not in DATA_ROOT/kitti_masks. Run `bench d"):
        CARD.source(KittiMasksConfig(source="official"), tmp_path)
    assert KittiMasksConfig().max_delta_t == 5
    for overrides in CARD.budgets.values():
        KittiMasksConfig(**overrides)


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        pytest.param([40, 40, 40], [(0, 3)], id="whole"),
        pytest.param([40, 40], [(0, 2)], id="two frames at the end stay"),
        pytest.param([40], [], id="one frame is no track"),
        pytest.param([40, 40, 29, 40], [], id="two frames before a break go"),
        pytest.param([40, 40, 30, 29, 40, 40], [(0, 3), (4, 6)], id="three before a break stay"),
        pytest.param([0, 40, 40, 0], [], id="a break at the end counts as one"),
    ],
)
def test_tracks_are_cut_as_the_authors_cut_them(areas, expected):
    masks = np.zeros((len(areas), 64, 64), bool)
    for mask, area in zip(masks, areas, strict=True):
        mask.reshape(-1)[:area] = True
    found = cut_tracks(masks)
    assert [len(track) for track in found] == [end - start for start, end in expected]
    for track, (start, end) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(track, masks[start:end])


@pytest.fixture(scope="module")
def walked():
    return generate_masks(40, np.random.default_rng(0))


def test_generated_masks_keep_the_rules_of_tracks(walked):
    masks, lengths = walked
    assert masks.dtype == bool
    assert masks.shape == (lengths.sum(), 64, 64)
    assert len(lengths) == 40
    assert lengths.min() >= 2
    assert masks.sum(axis=(1, 2)).min() >= 30
    again = generate_masks(40, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(masks, again)


def test_a_figure_lies_where_its_path_says():
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(15):
        path, _ = walkers._walk(rng)
        path[:, :2] = 32 + 0.3 * (path[:, :2] - path[:, :2].mean(0))  # wholly in the window
        path[:, 2] = np.clip(path[:, 2], 30, 300)
        masks = walkers._render(walkers._Body.draw(rng).poses(len(path), rng), path, np.sqrt(path[:, 2] / 0.21))
        np.testing.assert_array_equal(masks.sum(axis=(1, 2)), path[:, 2])
        errors.append(measure(masks)[:, [1, 0]] - path[:, :2])
    assert np.median(np.hypot(*np.concatenate(errors).T)) < 0.03


def test_steps_of_figures_follow_the_published_laws():
    rng = np.random.default_rng(6)
    steps = np.concatenate([np.diff(walkers._walk(rng)[0], axis=0) for _ in range(400)])
    # A path ends where it leaves its range, so a few of the largest steps are missing; x persists: fewer draws.
    for values, law, most in ((steps[:, 0], KITTI_X, 0.03), (steps[:, 1], KITTI_Y, 0.015)):
        assert stats.kstest(values, stats.gennorm(*law).cdf).statistic < most
    between = np.arange(-200, 200) + 0.5  # areas are whole
    found = np.searchsorted(np.sort(steps[:, 2]), between) / len(steps)
    assert np.abs(found - stats.gennorm(*KITTI_AREA).cdf(between)).max() < 0.015
    sideways = np.concatenate([walkers._sideways(60, rng)[0] for _ in range(100)]).reshape(100, 60)
    assert stats.spearmanr(sideways[:, :-1].ravel(), sideways[:, 1:].ravel()).statistic == pytest.approx(0.79, abs=0.03)


def test_the_cache_serves_the_second_opening(tmp_path):
    first = opened(tmp_path, n_sequences=4)
    again = opened(tmp_path, n_sequences=4)
    np.testing.assert_array_equal(first.packed, again.packed)
    np.testing.assert_allclose(first.factors, measure(first.masks(np.arange(len(first.packed)))[:, 0] > 0))
