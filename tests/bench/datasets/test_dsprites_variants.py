"""Color-, Noisy- and Scream-dSprites against their definitions, pixel by pixel."""

from __future__ import annotations

import dataclasses
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.api import Method
from bench.datasets.base import DataStore
from bench.datasets.dsprites import ARCHIVE
from bench.datasets.dsprites_renderer import render_dsprites
from bench.datasets.dsprites_variants import (
    ColorConfig,
    NoisyConfig,
    ScreamConfig,
    color,
    noisy,
    on_picture,
    read_picture,
    stand_in_picture,
)
from bench.evidence.gathering import available
from bench.registry import dataset
from metrics import scoring

PAINTING = Path(os.environ.get("BENCH_DATA", "/nonexistent"), "scream", "scream_215x274.png")
VARIANTS = {"dsprites_color": ColorConfig, "dsprites_noisy": NoisyConfig, "dsprites_scream": ScreamConfig}
CELLS = np.random.default_rng(5).integers((3, 6, 40, 32, 32), size=(40, 5))


def opened(name, folder, **parameters):
    """The data set with its source resolved, as the runner opens it."""
    entry = dataset(name)
    config = entry.config(**parameters)
    config = dataclasses.replace(config, source=entry.card.source(config, folder).kind)
    return entry.target(config, DataStore(folder, folder / "cache", repr(config)))


def test_color_is_one_light_colour_per_image_on_black():
    sprites = render_dsprites(CELLS)
    frames = color(sprites, np.random.default_rng(0))
    colours = frames.max(axis=(2, 3))
    np.testing.assert_array_equal(frames, sprites[:, None] * colours[:, :, None, None])
    many = color(np.ones((4_000, 1, 1), np.uint8), np.random.default_rng(1)).reshape(-1, 3) / 255
    assert 0.5 <= many.min() <= 0.502 < 0.998 <= many.max()
    np.testing.assert_allclose(many.mean(0), 0.75, atol=0.01)
    np.testing.assert_allclose(np.cov(many.T), np.eye(3) / 48, atol=0.002)  # U(0.5, 1): variance 1/48, independent


def test_noise_is_uniform_and_the_sprite_is_white():
    sprites = render_dsprites(CELLS)
    frames = noisy(sprites, np.random.default_rng(0))
    is_sprite = np.broadcast_to(sprites[:, None] == 1, frames.shape)
    assert (frames[is_sprite] == 255).all()
    counts = np.bincount(frames[~is_sprite], minlength=256)
    expected = counts.sum() / 256
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)
    channels = noisy(np.zeros((20, 64, 64), np.uint8), np.random.default_rng(1)).swapaxes(0, 1).reshape(3, -1)
    assert np.abs(np.corrcoef(channels) - np.eye(3)).max() < 0.02


def test_scream_is_its_definition_in_floats():
    """The authors' loop over images, on floats in [0, 1], with the same draws."""
    picture = np.random.default_rng(3).integers(256, size=(3, 90, 80), dtype=np.uint8)
    sprites = render_dsprites(CELLS)
    frames = on_picture(sprites, picture, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    corners, tints = rng.integers([90 - 64, 80 - 64], size=(40, 2)), rng.uniform(0, 255, size=(40, 3)) / 255
    for frame, sprite, (row, column), tint in zip(frames, sprites, corners, tints, strict=True):
        background = (picture[:, row : row + 64, column : column + 64] / 255 + tint[:, None, None]) / 2
        expected = np.where(sprite == 1, 1 - background, background)
        np.testing.assert_allclose(frame / 255, expected, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_access_is_drawn_anew_from_the_callers_generator(tmp_path, name):
    data = opened(name, tmp_path)
    rng = np.random.default_rng(0)
    first, second = data.render(CELLS, rng), data.render(CELLS, rng)
    assert first.shape == (40, 3, 64, 64)
    assert first.dtype == np.uint8
    assert (first != second).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(data.render(CELLS, np.random.default_rng(0)), first)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_frames_of_a_pair_have_surroundings_of_their_own(tmp_path, name):
    data = opened(name, tmp_path, transitions="locatello", k=1)
    drawn = data.labelled(400, np.random.default_rng(0), view="pairs")
    same = (drawn.factors[:, 0] == drawn.factors[:, 1]).all(axis=1)
    assert same.sum() > 20
    assert (drawn.x[same, 0] != drawn.x[same, 1]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_interventions_apply_in_their_pooled_form_alone(name):
    info = dataset(name).card.describe(VARIANTS[name]())
    assert info.render_is_random

    class Encoder(Method):
        card = None

        def encode(self, x):
            return x

    Encoder.card = type("Card", (), {"reads_factors": False})
    wanted = ["betavae_score", "betavae_score[pool]", "factorvae_score", "factorvae_score[pool]", "mig"]
    ids, refused = scoring.applicable(available(Encoder, info), info.factors.is_discrete, wanted)
    assert ids == ["betavae_score[pool]", "factorvae_score[pool]", "mig[hist20]"]
    assert refused["betavae_score"].endswith("betavae_score[pool] works on labelled rows")


# The picture


def write_picture(path, rows, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(256, size=(rows, columns, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_a_picture_that_fits_is_read_as_it_is(tmp_path):
    path = write_picture(tmp_path / "a.png", 274, 215)
    pixels = np.random.default_rng(0).integers(256, size=(274, 215, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_picture(path, "a").transpose(1, 2, 0), pixels)


@pytest.mark.parametrize(
    ("rows", "columns", "shape"),
    [
        pytest.param(548, 430, (3, 274, 215), id="portrait"),
        pytest.param(400, 1400, (3, 100, 350), id="landscape"),
    ],
)
def test_a_larger_picture_is_reduced_to_fit(tmp_path, rows, columns, shape):
    assert read_picture(write_picture(tmp_path / "a.jpg", rows, columns), "a").shape == shape


def png_that_claims(columns, rows):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("error")  # Pillow's own warning of a bomb would be a second line
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is no JPEG or PNG picture", id="empty"),
        pytest.param(b"<!DOCTYPE html><html>", "is no JPEG or PNG picture", id="a page"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n", "is no JPEG or PNG picture", id="a program"),
        pytest.param(png_that_claims(200, 200), "is no JPEG or PNG picture, or is damaged", id="cut short"),
        pytest.param(png_that_claims(10_000, 11_000), "110000000 pixels", id="a large claim"),
        pytest.param(png_that_claims(90_000, 90_000), "8100000000 pixels", id="a larger claim"),
    ],
)
def test_a_wrong_picture_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "dsprites_scream" / "The_Scream.jpg"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_picture(path, "dsprites_scream/The_Scream.jpg")
    assert str(caught.value).startswith("dsprites_scream/The_Scream.jpg: ")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_picture_without_a_crop_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"a: is 200 × 64 pixels after reduction to 350 × 274, wanted more than 64 × 64"
    ):
        read_picture(write_picture(tmp_path / "a.png", 64, 200), "a")


def test_the_stand_in_has_the_colours_of_the_painting():
    picture = stand_in_picture()
    assert picture.shape == (3, 274, 215)
    values = picture.reshape(3, -1) / 255
    np.testing.assert_allclose(values.mean(1), [0.444, 0.330, 0.213], atol=0.01)
    np.testing.assert_allclose(values.std(1), [0.273, 0.151, 0.114], atol=0.03)
    np.testing.assert_array_equal(picture, stand_in_picture())


@pytest.mark.data
@pytest.mark.skipif(not PAINTING.is_file(), reason="BENCH_DATA has no scream")
def test_the_stand_in_is_as_smooth_as_the_painting():
    def correlations(picture):
        grey = picture.mean(0) - picture.mean()
        return [(grey[d:] * grey[:-d]).mean() / grey.var() for d in (1, 4, 16)]

    painting = read_picture(PAINTING, "painting")
    assert painting.shape == (3, 274, 215)
    np.testing.assert_allclose(correlations(stand_in_picture()), correlations(painting), atol=0.15)


# Sources


def test_scream_is_official_only_where_archive_and_painting_are_both_there(tmp_path):
    card = dataset("dsprites_scream").card
    archive = tmp_path / "dsprites" / ARCHIVE.name
    archive.parent.mkdir()
    archive.write_bytes(b"archive")
    alone = card.source(ScreamConfig(), tmp_path)
    assert alone.kind == "generated"
    assert "in place of the painting" in alone.note
    with pytest.raises(
        FileNotFoundError, match=r"The_Scream.jpg is not in DATA_ROOT/dsprites_scream. Run `bench data fe"
    ):
        card.source(ScreamConfig(source="official"), tmp_path)
    write_picture(tmp_path / "dsprites_scream" / "The_Scream.jpg", 100, 100)
    both = card.source(ScreamConfig(), tmp_path)
    assert both.kind == "official"
    assert both.fingerprint != dataset("dsprites_color").card.source(ColorConfig(), tmp_path).fingerprint
    archive.unlink()
    with pytest.raises(FileNotFoundError, match=r"is not in DATA_ROOT/dsprites. Run `bench data fetch dsprites`"):
        card.source(ScreamConfig(source="official"), tmp_path)


def test_a_users_picture_is_behind_the_sprites(tmp_path):
    Image.fromarray(np.full((100, 100, 3), 200, np.uint8)).save(tmp_path / "grey.png")
    data = opened("dsprites_scream", tmp_path, picture=str(tmp_path / "grey.png"))
    frames = data.render(CELLS, np.random.default_rng(0))
    background = frames[:, :, 0, 0]
    assert 100 <= background.min() <= background.max() <= 228  # (200 + tint) / 2
    assert "on grey.png" in data.title
    source = dataset("dsprites_scream").card.source(ScreamConfig(picture=str(tmp_path / "grey.png")), tmp_path)
    assert (source.kind, len(source.fingerprint)) == ("user", 64)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"picture": "a.png", "source": "official"}, "picture=a.png is a user's file, but source=official"),
        ({"source": "user"}, "dsprites_scream: source=user needs picture=FILE"),
        ({"frames": "cached"}, "dsprites_scream: frames must be one of"),
    ],
)
def test_arguments_that_do_not_apply_are_errors(parameters, message):
    with pytest.raises(ValueError, match=message):
        ScreamConfig(**parameters)


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dsprites_scream: picture=nowhere.png is not a file"):
        dataset("dsprites_scream").card.source(ScreamConfig(picture="nowhere.png"), tmp_path)
