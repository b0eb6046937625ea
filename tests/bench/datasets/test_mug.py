"""MUG: folders of the official layout, clips and splits; and what the drawn faces keep to."""

import numpy as np
import pytest
from opened_dataset import opened
from PIL import Image

from bench import registry
from bench.datasets.face_renderer import (
    EXPRESSIONS,
    N_PEOPLE,
    OFFSETS,
    TARGETS,
    Clips,
    draw_clips,
    people,
    render,
)
from bench.datasets.mug import clip_frames, find_recordings, read_face, split_sequences


def record(folder, name, n_frames, shade=lambda t: t, size=(64, 64), first=0):
    """JPEG frames that are flat in grey, brighter from frame to frame."""
    place = folder / "mug" / name
    place.mkdir(parents=True)
    for t in range(n_frames):
        Image.new("RGB", size, 3 * (shade(t),)).save(place / f"img_{first + t}.jpg", quality=95)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mug")
    for subject in range(2):
        for label in range(6):
            record(folder, f"train/{label}/user{subject:03d}_take000", 16, lambda t, s=subject: 60 + 10 * s + t)
    record(folder, "test/2/user001_take001", 60, lambda t: 2 * t)
    record(folder, "test/5/user001_take001", 14)  # too short
    record(folder, "val/0/user000_take004", 40, lambda t: 100 + t, size=(50, 60), first=95)
    (folder / "mug/train/0/notes.txt").write_text("not a picture")
    return folder


@pytest.fixture(scope="module")
def photographs(folder):
    return opened("mug", folder)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return opened("mug", tmp_path_factory.mktemp("no mug"), n_sequences=52)


def test_folders_give_expression_identity_and_split(photographs):
    assert {name: len(photographs.every(name).x) for name in photographs.splits} == {"train": 12, "val": 1, "test": 1}
    train = photographs.every("train")
    assert sorted(map(tuple, train.factors[:, 0])) == [(e, s) for e in range(6) for s in range(2)]
    assert (train.factors == train.factors[:, :1]).all()
    assert photographs.every("test").factors[0, 0].tolist() == [2, 1]
    for x, (_, subject) in zip(train.x, train.factors[:, 0], strict=True):
        assert x[0].mean() == pytest.approx(60.5 + 10 * subject, abs=1.6)  # one of the first two frames
    assert photographs.info.identity == "identity"
    assert "recordings" in photographs.title


def test_a_long_recording_gives_every_second_frame_in_the_order_of_their_numbers(photographs):
    test, val = photographs.every("test").x[0], photographs.every("val").x[0]
    np.testing.assert_allclose(np.diff(test.mean(axis=(1, 2, 3))), 4, atol=1.5)
    # frames 95 … 134: 100 comes after 99
    np.testing.assert_allclose(np.diff(val.mean(axis=(1, 2, 3))), 2, atol=1.5)


@pytest.mark.parametrize(("n_frames", "stride", "last_start"), [(15, 1, 0), (30, 1, 15), (31, 2, 1), (160, 2, 130)])
def test_clips_follow_the_published_rule(n_frames, stride, last_start):
    clips = np.array([clip_frames(n_frames, seed) for seed in range(300)])
    assert (np.diff(clips, axis=1) == stride).all()
    assert clips.min() == 0
    assert clips.max() < n_frames
    assert set(clips[:, 0]) <= {*range(last_start + 1)}
    assert len(set(clips[:, 0])) > 0.8 * (last_start + 1)


def test_without_folders_of_splits_a_quarter_is_the_test_set_and_a_tenth_of_the_rest_val():
    splits = split_sequences(3_429 * [""])
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 2_315, "val": 257, "test": 857}
    assert sorted(np.concatenate(list(splits.values()))) == [*range(3_429)]
    assert len(split_sequences(["train", "train", "test"])["train"]) == 2


def test_a_photograph_loses_what_makes_it_longer_than_wide(tmp_path):
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 32:96] = 200  # the middle square
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=100)
    face = read_face(tmp_path / "a.jpg", "a")
    assert face.shape == (64, 64, 3)
    assert face[:, 2:-2].min() > 190


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: record(f, "train/0/somebody", 15), "mug/train/0/somebody: names no subject"),
        (lambda f: record(f, "extra/0/a_take1", 15), "mug/extra/0/a_take1: 'extra' is no split"),
        (lambda f: record(f, "0/a_take1", 14), "has no training sequence of at least 15 frames"),
        (lambda f: [record(f, f"1/u{i}_take1", 1) or record(f, f"2/u{i}_take1", 15, size=(1, 1)) for i in range(53)],
         "name 53 subjects, MUG has 52"),
    ],
)  # fmt: skip
def test_folders_of_another_layout_are_refused_in_one_line(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        find_recordings(tmp_path / "mug")
    assert "\n" not in str(error.value)


def test_what_is_no_photograph_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"mug/a.jpg: no photograph"):
        read_face(tmp_path / "a.jpg", "mug/a.jpg")


def test_the_recordings_are_asked_for_where_they_are_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be obtained by hand: `bench data fetch mug` says how"):
        opened("mug", tmp_path, source="official")


def still(person, expression, amount):
    """One frame of a face, without noise to speak of: the mean of many."""
    n = 16
    clips = Clips(np.full(n, person), np.full(n, expression), np.full((n, 1), amount), np.zeros((n, 1, 2)), np.ones((n, 1)))  # noqa: E501  # fmt: skip
    return render(clips, np.random.default_rng(0)).mean(axis=(0, 1))


def test_pairs_of_expressions_share_two_of_six_offsets():
    assert len(OFFSETS) == 6
    for a, b in (("fear", "surprise"), ("anger", "disgust")):
        same = TARGETS[EXPRESSIONS.index(a)] == TARGETS[EXPRESSIONS.index(b)]
        assert same.sum() == 2
        assert same[[0, 2]].all()


def test_people_are_fixed_and_differ_and_at_rest_overlap_with_expressions():
    everyone = people()
    assert len(everyone.skin) == N_PEOPLE
    np.testing.assert_array_equal(people(5).mouth_curve, everyone.mouth_curve[:5])
    assert np.ptp(everyone.mouth_curve) > 3  # as much as the corners of most expressions move
    assert (everyone.gain >= 0.75).all()
    assert (everyone.gain <= 1.25).all()
    assert len({tuple(row) for row in everyone.skin.round(4)}) == N_PEOPLE


@pytest.mark.parametrize("expression", range(6))
def test_an_expression_changes_brows_eyes_or_mouth_and_nothing_else(expression):
    change = np.abs(still(3, expression, 1.0) - still(3, expression, 0.0)).max(axis=0)
    rows, columns = np.nonzero(change > 12)
    assert len(rows) > 10
    assert rows.min() >= 18  # below the hair
    assert columns.min() >= 14
    assert columns.max() <= 49
    np.testing.assert_allclose(still(3, expression, 0.0), still(3, 0, 0.0), atol=1e-9)


def test_clips_are_drawn_by_number_and_rise_and_fall_within_their_peak():
    few, many = draw_clips(range(5), 15, 2), draw_clips(range(400), 15, 2)
    np.testing.assert_array_equal(few.amount, many.amount[:5])
    assert (many.amount >= 0).all()
    assert (many.amount <= 1).all()
    assert many.amount.max(axis=1).max() > 0.9
    assert np.bincount(many.expression, minlength=6).min() > 40
    np.testing.assert_array_equal(many.person, np.arange(400) % 52)


def test_noise_and_sway_are_small_and_as_stated():
    clips = Clips(np.zeros(1, int), np.zeros(1, int), np.zeros((1, 200)), np.zeros((1, 200, 2)), np.ones((1, 200)))
    flat = render(clips, np.random.default_rng(0))[0, :, :, :4, :4] / 255
    assert flat.std(axis=0).mean() == pytest.approx(0.02, rel=0.05)
    sway = draw_clips(range(300), 15, 2).sway
    assert np.abs(sway).max() < 8
    assert np.ptp(sway, axis=1).mean() > 0.5


def test_drawn_sequences_say_how_far_the_expression_has_gone(drawn):
    clips = draw_clips(range(52), 15, 2)
    assert drawn.info.factors.names == ("expression", "identity", "intensity")
    assert drawn.info.factors.dynamic == (True, False, True)
    np.testing.assert_array_equal(drawn.factors[..., 2], np.minimum(5 * clips.amount, 4).astype(int))
    np.testing.assert_array_equal(drawn.factors[:, 3, 0], clips.expression)
    np.testing.assert_array_equal(drawn.factors[:, 9, 1], clips.person)
    batch = next(drawn.batches("sequences", 4, np.random.default_rng(0), extras=("flow_cells",)))
    assert batch.extras["flow_cells"].shape == (4, 15, 2, 9)


def test_impossible_parameters_are_named():
    with pytest.raises(ValueError, match="mug: n_sequences must be at least 52, got 51"):
        registry.dataset("mug").config(n_sequences=51)
