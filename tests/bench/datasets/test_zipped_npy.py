"""Arrays of an .npz file as a stream: the same values, and one line for every kind of wrong file."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from bench.datasets.zipped_npy import NpzMember

IMAGES = np.random.default_rng(0).integers(256, size=(6, 4, 2, 5), dtype=np.uint8)


def write(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def member(path, name, content, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, content)
    return path


def header(shape, descr="|u1", fortran=False):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": fortran, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize(("item_ndim", "n_items", "item_shape"), [(2, 24, (2, 5)), (3, 6, (4, 2, 5))])
def test_pieces_joined_are_the_array(tmp_path, item_ndim, n_items, item_shape):
    with NpzMember(write(tmp_path / "a.npz", x=IMAGES), "x", item_ndim) as array:
        assert (array.n_items, array.item_shape, array.dtype) == (n_items, item_shape, np.uint8)
        pieces = [array.read(1), array.read(0), array.read(n_items - 1)]
    np.testing.assert_array_equal(np.concatenate(pieces), IMAGES.reshape(n_items, *item_shape))


def test_floats_and_stored_members_are_read_too(tmp_path):
    values = np.linspace(0, 1, 6).reshape(3, 2)
    np.savez(tmp_path / "a.npz", values=values)
    with NpzMember(tmp_path / "a.npz", "values", 1) as array:
        np.testing.assert_array_equal(array.read(3), values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(header((6, 10)) + bytes(59), "claims .* bytes for shape", id="a byte too few"),
        pytest.param(header((6, 10)) + bytes(61), "claims .* bytes for shape", id="a byte too many"),
        pytest.param(header((10**12, 64)) + bytes(64), r"claims 64,000,000,000,128 bytes", id="claims terabytes"),
        pytest.param(header((-1, 10)), r"claims the shape \(-1, 10\)", id="negative size"),
        pytest.param(header((2, 3), "|O") + bytes(6), "pickled, which is not loaded", id="objects"),
        pytest.param(header((2, 3), fortran=True) + bytes(6), "Fortran order", id="column by column"),
        pytest.param(header((6,)) + bytes(6), "one item alone has 1 axes", id="too few axes"),
        pytest.param(b"\x93NUMPY\x09\x00" + bytes(80), "no valid array header", id="unknown version"),
        pytest.param(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(80), "no valid array header", id="huge header"),
        pytest.param(b"\x93NUMPY\x01\x00\x10\x00{'descr': exit()}", "no valid array header", id="code in the header"),
        pytest.param(b"<html>quota exceeded</html>", "no valid array header", id="a page"),
        pytest.param(b"", "no valid array header", id="nothing"),
    ],
)
def test_a_member_that_is_not_what_it_claims_is_refused(tmp_path, content, message):
    path = member(tmp_path / "a.npz", "x.npy", content)
    with pytest.raises(ValueError, match=message) as error:
        NpzMember(path, "x", 1)
    assert f"{tmp_path.name}/a.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_member_is_named_beside_those_that_are_there(tmp_path):
    with pytest.raises(ValueError, match="has no array 'images', only labels, x"):
        NpzMember(write(tmp_path / "a.npz", x=IMAGES, labels=IMAGES), "images", 3)


def test_what_is_no_zip_or_a_part_of_one_is_refused(tmp_path):
    whole = write(tmp_path / "a.npz", x=IMAGES).read_bytes()
    for content in (b"", b"<!DOCTYPE html>", whole[: len(whole) // 2]):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(ValueError, match="is not a zip file, or is cut short"):
            NpzMember(tmp_path / "b.npz", "x", 3)


def test_damage_shows_at_the_latest_with_the_last_item(tmp_path):
    path = write(tmp_path / "a.npz", x=np.random.default_rng(0).integers(256, size=(6, 50_000), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with NpzMember(path, "x", 1) as array, pytest.raises(ValueError, match="'x' is damaged"):
        array.read(6)


def test_an_encrypted_member_is_refused(tmp_path):
    path = write(tmp_path / "a.npz", x=IMAGES)
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(signature) + place] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"'x' is damaged .*encrypted"):
        NpzMember(path, "x", 3)


def test_no_more_is_read_than_there_is(tmp_path):
    with NpzMember(write(tmp_path / "a.npz", x=IMAGES), "x", 3) as array:
        array.read(4)
        with pytest.raises(ValueError, match="asked for 3 items of 'x', 2 are left"):
            array.read(3)


def test_a_bomb_costs_no_more_than_the_items_asked_for(tmp_path):
    # The directory is made to claim what the header claims: both lie, the content is a megabyte of zeros.
    content = header((10**9, 1000)) + bytes(1 << 20)
    path = member(tmp_path / "a.npz", "x.npy", content)
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    claimed = len(header((10**9, 1000))) + 10**12
    extra = struct.pack("<HHQ", 1, 8, claimed)  # zip64: the size proper stands in an extra field
    raw[entry + 24 : entry + 28] = b"\xff" * 4
    name_length = int.from_bytes(raw[entry + 28 : entry + 30], "little")
    raw[entry + 30 : entry + 32] = struct.pack("<H", len(extra))
    raw[entry + 46 + name_length : entry + 46 + name_length] = extra
    end = raw.index(b"PK\x05\x06")
    size = int.from_bytes(raw[end + 12 : end + 16], "little") + len(extra)
    raw[end + 12 : end + 16] = struct.pack("<I", size)
    path.write_bytes(raw)
    tracemalloc.start()
    with NpzMember(path, "x", 1) as array:
        assert array.n_items == 10**9
        array.read(1000)
        with pytest.raises(ValueError, match="'x' is damaged"):
            array.read(100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
