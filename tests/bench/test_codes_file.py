"""Files that are damaged, hostile or wrong: one line each, naming the file; nothing in them is run or followed."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cli import main
from bench.files import codes_file
from bench.registry import UsageError

RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(size, size=600) for size in (3, 6, 4)], axis=1)
CODES = FACTORS @ RNG.normal(size=(3, 5)) + 0.1 * RNG.normal(size=(600, 5))


def npz(path, *unnamed, compressed=False, **arrays):
    with path.open("wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, *unnamed, **arrays)


def header(shape, descr="<f8"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue()


def zipped(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


def h5(path, **members):
    with h5py.File(path, "w") as file:
        for name, value in members.items():
            file[name] = value


def external(path):
    CODES.tofile(path.with_suffix(".raw"))
    with h5py.File(path, "w") as file:
        file.create_dataset("codes", CODES.shape, "f8", external=[(str(path.with_suffix(".raw")), 0, CODES.nbytes)])
        file["factors"] = FACTORS


def virtual(path):
    h5(path.with_suffix(".source"), codes=CODES)
    layout = h5py.VirtualLayout(CODES.shape, "f8")
    layout[:] = h5py.VirtualSource(str(path.with_suffix(".source")), "codes", CODES.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("codes", layout)
        file["factors"] = FACTORS


def never_written(path, shape):
    with h5py.File(path, "w") as file:
        file.create_dataset("codes", shape, "f8", chunks=True)
        file["factors"] = FACTORS


def with_nan(row, column):
    codes = CODES.copy()
    codes[row, column] = np.nan
    return codes


BAD = {
    "no such file": (lambda p: None, "no such file"),
    "a folder": (lambda p: p.mkdir(), "name a file"),
    "empty": (lambda p: p.touch(), "is empty"),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps(Trap())), "looks like a pickle"),
    "pickled factors": (
        lambda p: npz(p, codes=CODES, factors=np.array([Trap()] * 600, object)), "Python objects"
    ),
    "no keys of ours": (lambda p: npz(p, CODES, FACTORS), "holds arr_0, arr_1; wanted codes and factors"),
    "no factors": (lambda p: npz(p, codes=CODES), "--factors FILE"),
    "lengths": (lambda p: npz(p, codes=CODES, factors=FACTORS[1:]), r"\(600, factors\), got \(599, 3\)"),
    "NaN among the rows for testing": (
        lambda p: npz(p, codes=with_nan(555, 3), factors=FACTORS), "codes: nan at row 555, column 3"
    ),
    "sequences": (
        lambda p: npz(p, codes=CODES.reshape(60, 10, 5), factors=FACTORS), r"reshape\(-1, 5\)"
    ),
    "names of classes": (
        lambda p: npz(p, codes=CODES, factors=FACTORS.astype(str)), "wanted real numbers"
    ),
    "two names of one array": (lambda p: npz(p, codes=CODES, latents=CODES), "codes and latents"),
    "train without test": (
        lambda p: npz(p, codes_train=CODES, factors_train=FACTORS), "none for testing"
    ),
    "judged without labels": (lambda p: npz(p, probs_generated=np.eye(3)), "wanted labels, or probs_real"),
    "judged beside codes": (
        lambda p: npz(p, probs_generated=np.eye(3), labels=[0, 1, 2], codes=CODES), "codes: .* scored by itself"
    ),
    "logits": (
        lambda p: npz(p, probs_generated=[[2.0, -1.0]], labels=[0]), "at row 0, column 0; apply a softmax"
    ),
    "label out of range": (
        lambda p: h5(p, probs_generated=np.eye(2), labels=[0, 2]), "labels: wanted class indices 0 … 1, got 2 in row 1"
    ),
    "vectors without speakers": (lambda p: h5(p, embeddings=CODES), "wanted speakers beside them"),
    "constant factors": (lambda p: npz(p, codes=CODES, factors=FACTORS * 0), "one value only"),
    "representations": (
        lambda p: npz(p, representations=CODES, kl=CODES), "UDR is not there yet"
    ),
    "npz cut short": (
        lambda p: (npz(p, codes=CODES, factors=FACTORS), p.write_bytes(p.read_bytes()[:9000])), "cut short"
    ),
    "npy that claims 80 GB": (lambda p: p.write_bytes(header((10**9, 10))), "claims 80,000,000,000 bytes"),
    "npz that claims 80 GB": (lambda p: zipped(p, codes=header((10**9, 10))), "claims 80,000,000,000 bytes"),
    "npz that claims more than it has": (lambda p: zipped(p, codes=header((600, 5))), "the file holds 0 of it"),
    "negative shape": (lambda p: zipped(p, codes=header((-1, 5))), "claims shape"),
    "a product that wraps around": (lambda p: zipped(p, codes=header((2**62, 4))), "bytes in shape"),
    "a zip of something else": (lambda p: zipfile.ZipFile(p, "w").writestr("data.pkl", b"x"), "without arrays"),
    "HDF5 cut short": (
        lambda p: (h5(p, codes=CODES, factors=FACTORS), p.write_bytes(p.read_bytes()[:5000])), "cut short"
    ),
    "HDF5 that claims 80 GB": (lambda p: never_written(p, (10**9, 10)), "claims 80,000,000,000 bytes"),
    "HDF5 never written": (lambda p: never_written(p, (600, 10)), "nothing was ever written"),
    "HDF5 link": (lambda p: h5(p, codes=h5py.ExternalLink("other.h5", "/codes"), factors=FACTORS), "is a link"),
    "HDF5 soft link": (lambda p: h5(p, codes=h5py.SoftLink("/factors"), factors=FACTORS), "is a link"),
    "HDF5 external file": (external, "in another file"),
    "HDF5 virtual": (virtual, "in another file"),
    "HDF5 text": (lambda p: h5(p, codes=["a", "b"], factors=FACTORS), "Python objects"),
    "HDF5 group": (lambda p: h5(p, **{"codes/a": CODES, "factors": FACTORS}), "is a group"),
    "csv word": (lambda p: p.write_text("codes_0,factors_shape\n1,2\n1,square\n"), "line 3, column 'factors_shape'"),
    "csv empty cell": (lambda p: p.write_text("codes_0,factors_0\n1,2\n,2\n"), "line 3, column 'codes_0' is empty"),
    "csv inf": (lambda p: p.write_text("codes_0,factors_0\n1,2\ninf,2\n"), "line 3, column 'codes_0' is inf"),
    "csv line of another length": (lambda p: p.write_text("1,2\n1\n"), "line 2 has 1 cells, line 1 has 2"),
    "csv header alone": (lambda p: p.write_text("codes_0,factors_0\n"), "no rows"),
    "csv huge cell": (lambda p: p.write_text("a,b\n" + "1" * 10**6 + ",2\n"), "field larger than field limit"),
    "csv unclosed quote": (lambda p: p.write_text('a,b\n"1,2\n' * 9), "row 2 is not CSV"),
    "csv without roles": (lambda p: p.write_text("a,b\n1,2\n"), "codes_ and factors_"),
    "UTF-16": (lambda p: p.write_text("a,b\n1,2\n", encoding="utf-16"), "none of npz"),
    "not UTF-8": (lambda p: p.write_bytes(b"\xe9,1\n"), "none of npz"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gets_one_line_with_its_name(case, capsys, tmp_path, monkeypatch):
    write, hint = BAD[case]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "given.dat"
    write(path)
    with pytest.raises(SystemExit) as ended:
        main(["score", str(path), "--metrics", "mcc[spearman]"])
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert "given.dat" in err
    assert re.search(hint, err), err
    assert not Path("unpickled").exists()


def good(form):
    """Bytes of a good file."""
    out = io.BytesIO()
    if form == "npy":
        np.save(out, CODES)
    elif form == "csv":
        np.savetxt(out, np.hstack([FACTORS, CODES]), delimiter=",", header="a,b,c,codes_0,1,2,3,4", comments="")
    else:
        (np.savez_compressed if form == "compressed" else np.savez)(out, codes=CODES, factors=FACTORS)
    return out.getvalue()


GOOD = {form: good(form) for form in ("npz", "compressed", "npy", "csv")}


def outcome(path):
    """What came of reading: the arrays, or the message."""
    try:
        return codes_file.read(path).arrays
    except UsageError as error:
        return str(error)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_or_refused_in_one_line(data, tmp_path):
    content = bytearray(GOOD[data.draw(st.sampled_from(sorted(GOOD)))])
    size = len(content)
    places = st.one_of(st.integers(0, 200), st.integers(size - 400, size - 1), st.integers(0, size - 1))
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        content[place] = byte
    path = tmp_path / "given.dat"
    path.write_bytes(content[: data.draw(st.one_of(st.just(size), st.integers(0, size)))])
    found = outcome(path)
    if isinstance(found, str):
        assert "\n" not in found
        assert "given.dat" in found
    else:
        assert {array.dtype.kind for array in found.values()} <= set("fiub")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("0123456789.,;-eE\n\" \tab#'nif\x00é"), max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text, tmp_path):
    path = tmp_path / "given.dat"
    path.write_text(text, encoding="utf-8", newline="")
    found = outcome(path)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert all(np.isfinite(array).all() for array in found.values())


def test_a_heap_of_texts_without_end_is_refused_and_not_walked(tmp_path):
    path = tmp_path / "endless.h5"
    h5(path, codes=CODES, factors=FACTORS, factor_names=["hue", "GCOL"])
    assert codes_file.read(path).factor_names == ("hue", "GCOL")
    content = path.read_bytes()
    rest = content.index(b"GCOL\x01") + 16 + 2 * 24  # after two texts: the object of free space, with number 0
    assert content[rest : rest + 2] == b"\0\0"
    path.write_bytes(content[: rest + 8] + bytes(8) + content[rest + 16 :])  # libhdf5 would step by 0 bytes for ever
    with pytest.raises(UsageError, match=r"endless.h5: factor_names is damaged: the heap of its texts has no end"):
        codes_file.read(path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_text_that_claims_gigabytes_is_refused_unread(tmp_path, libver):
    path = tmp_path / "long.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["codes"], file["factors"], file["factor_names"] = CODES, FACTORS, ["hue", "angle"]
        place = file["factor_names"].id.get_offset()
    assert codes_file.read(path).factor_names == ("hue", "angle")
    content = path.read_bytes()
    path.write_bytes(content[:place] + (3 << 30).to_bytes(4, "little") + content[place + 4 :])
    with pytest.raises(UsageError, match=r"factor_names: text 0 claims 3,221,225,472 bytes; at most 4,000 are read"):
        codes_file.read(path)


def test_texts_in_chunks_are_refused_in_words(tmp_path):
    path = tmp_path / "chunks.h5"
    with h5py.File(path, "w") as file:
        file["codes"], file["factors"] = CODES, FACTORS
        file.create_dataset("factor_names", data=["hue", "angle"], chunks=(1,), dtype=h5py.string_dtype())
    with pytest.raises(UsageError, match=r"factor_names: store the texts in one piece, neither in chunks nor packed"):
        codes_file.read(path)
