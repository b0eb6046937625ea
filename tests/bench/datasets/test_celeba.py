"""CelebA: the crop, the attributes, the splits, and files that are not what they should be."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from opened_dataset import opened
from PIL import Image

from bench.datasets import celeba as module
from bench.datasets.celeba import ATTRIBUTES, FILES, CelebAConfig, find_source, image_name, read_labels

N = 7
PARTITION = [0, 0, 0, 0, 1, 2, 2]
RNG = np.random.default_rng(0)
VALUES = np.where(RNG.random((N, 40)) < 0.5, -1, 1)


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(module, "N_IMAGES", N)
    monkeypatch.setattr(module, "_CHUNK", 3)


def jpeg(pixels, form="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def face(number):
    """Red tells the number; 20 white rows above and below, which the square crop leaves out."""
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[..., 0] = 30 * number
    pixels[:20] = pixels[198:] = 255
    return pixels


def attribute_lines():
    rows = [f"{image_name(i + 1)} " + " ".join(f"{v:2d}" for v in values) for i, values in enumerate(VALUES)]
    return [str(N), " ".join(ATTRIBUTES), *rows]


def partition_lines():
    return [f"{image_name(i + 1)} {split}" for i, split in enumerate(PARTITION)]


def write(root, faces=None, attributes=None, partition=None):
    folder = root / "celeba"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / FILES[0].name, "w") as archive:
        for i in range(N):
            content = (faces or {}).get(i, jpeg(face(i + 1), quality=95))
            if content is not None:
                archive.writestr(f"img_align_celeba/{image_name(i + 1)}", content)
    for file, lines in zip(FILES[1:], (attributes or attribute_lines(), partition or partition_lines()), strict=True):
        (folder / file.name).write_text("\n".join(lines) + "\n")
    return folder


def drawn(data, split):
    """Frames and factors of a split, by the number that the red channel tells."""
    rows = data.labelled(60, np.random.default_rng(0), split=split)
    numbers = np.round(rows.x[:, 0, 0, 32, 32] / 30).astype(int)
    return {n: (x, f) for n, x, f in zip(numbers.tolist(), rows.x[:, 0], rows.factors[:, 0], strict=True)}


def test_splits_and_attributes_are_those_of_the_files(tmp_path):
    write(tmp_path)
    data = opened("celeba", tmp_path)
    assert data.splits == ("train", "validation", "test")
    for number, split in enumerate(data.splits):
        found = drawn(data, split)
        assert sorted(found) == [i + 1 for i in range(N) if PARTITION[i] == number]
        for i, (_, factors) in found.items():
            np.testing.assert_array_equal(factors, (VALUES[i - 1] + 1) // 2)


def test_the_square_crop_leaves_out_twenty_rows_above_and_below(tmp_path):
    write(tmp_path)
    cropped, _ = drawn(opened("celeba", tmp_path), "train")[2]
    assert cropped[1].max() < 12  # JPEG blurs the edge by a few grey levels
    whole, _ = drawn(opened("celeba", tmp_path, crop="none"), "train")[2]
    assert (whole[1, :5] > 240).all()
    assert (whole[1, -5:] > 240).all()
    assert (whole[1, 8:-8] < 12).all()


def test_frames_are_the_bilinear_reduction_of_the_middle_square(tmp_path):
    pixels = np.kron(RNG.integers(256, size=(28, 23, 3)), np.ones((8, 8, 1)))[:218, :178].astype(np.uint8)
    content = jpeg(pixels, quality=95)
    write(tmp_path, faces={0: content, 1: content, 2: content, 3: content})
    frame = opened("celeba", tmp_path, size=32).labelled(1, RNG).x[0, 0]
    square = np.asarray(Image.open(io.BytesIO(content)))[20:198].astype(float)
    scale = 178 / 32
    distance = (np.arange(178) + 0.5 - (np.arange(32)[:, None] + 0.5) * scale) / scale
    weights = np.clip(1 - np.abs(distance), 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    expected = np.einsum("ih,jw,hwc->cij", weights, weights, square)
    np.testing.assert_allclose(frame, expected, atol=1.01)


def test_missing_files_are_named_with_the_way_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"celeba: img_align_celeba.zip is not in .*obtained by hand"):
        find_source(CelebAConfig(), tmp_path)
    (write(tmp_path) / FILES[2].name).unlink()
    with pytest.raises(FileNotFoundError, match=r"list_eval_partition.txt is not in DATA_ROOT/celeba"):
        find_source(CelebAConfig(), tmp_path)
    assert all("drive.google.com" in file.by_hand for file in FILES)


def large():
    """A PNG in disguise, and a JPEG whose header claims 65,000 pixels a side."""
    content = bytearray(jpeg(face(1)))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\xfd\xe8\xfd\xe8"
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, r"000003.jpg: is not in the archive", id="missing"),
        pytest.param(b"", r"000003.jpg: no photograph", id="empty"),
        pytest.param(b"<html>quota exceeded</html>", r"000003.jpg: no photograph", id="a page"),
        pytest.param(jpeg(face(1))[:900], r"000003.jpg: no photograph .*truncated", id="truncated"),
        pytest.param(jpeg(face(1), "PNG"), r"000003.jpg: no photograph", id="PNG"),
        pytest.param(jpeg(face(1)[:178]), r"is 178 × 178, wanted 178 × 218", id="other size"),
        pytest.param(large(), r"no photograph .*4225000000 pixels", id="claims gigabytes"),
        pytest.param(jpeg(face(1)) + bytes(1 << 20), r"is larger than 1,048,576 bytes", id="long"),
    ],
)
def test_pictures_that_are_not_what_they_should_be_are_refused(tmp_path, content, message):
    write(tmp_path, faces={2: content})
    with pytest.raises(ValueError, match=message) as error:
        opened("celeba", tmp_path)
    assert str(error.value).startswith("celeba/img_align_celeba.zip: img_align_celeba/")
    assert "\n" not in str(error.value)


def changed(lines, place, text):
    return [*lines[:place], text, *lines[place + 1 :]]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (changed(attribute_lines(), 0, "8"), "wanted 7 in its first line .* found '8' and 40 names"),
        (changed(attribute_lines(), 1, "Smiling Young"), "found '7' and 2 names"),
        (attribute_lines()[:-2], "ends after 5 of 7 images"),
        ([*attribute_lines(), "000008.jpg 1"], "image 8: wanted no more lines, found '000008.jpg 1'"),
        (changed(attribute_lines(), 4, "000004.jpg 1"), "image 3: wanted 000003.jpg and 40 of 1, -1, found '000004"),
        (changed(attribute_lines(), 4, "000003.jpg" + 40 * " 2"), "image 3: wanted 000003.jpg and 40 of 1, -1"),
        (changed(attribute_lines(), 4, "000003.jpg" + 39 * " 1"), "image 3: wanted 000003.jpg and 40 of 1, -1"),
        (["\x00\xff" * 4000], "wanted 7 in its first line"),
    ],
)
def test_attribute_files_of_another_layout_are_refused(tmp_path, attributes, message):
    with pytest.raises(ValueError, match=message) as error:
        read_labels(write(tmp_path, attributes=attributes))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        (changed(partition_lines(), 2, "000003.jpg 3"), "image 3: wanted 000003.jpg and 1 of 0, 1, 2"),
        (partition_lines()[:2], "ends after 2 of 7 images"),
        ([f"{image_name(i + 1)} 2" for i in range(N)], "names no image of the training set"),
    ],
)
def test_partition_files_of_another_layout_are_refused(tmp_path, partition, message):
    with pytest.raises(ValueError, match=message):
        read_labels(write(tmp_path, partition=partition))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"crop": "circle"}, "crop must be one of square, none"), ({"size": 28}, "size must be one of 32, 64, got 28")],
)
def test_arguments_that_do_not_apply_are_errors(parameters, message):
    with pytest.raises(ValueError, match=f"celeba: {message}"):
        CelebAConfig(**parameters)
