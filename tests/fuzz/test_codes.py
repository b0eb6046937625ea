"""Codes files of every form: npz, npy, csv and HDF5, good ones changed and bad ones built."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from guard import Broken, check_line, effort, is_plain_numbers, outcome
from hypothesis import given
from hypothesis import strategies as st
from mutations import CODE, EVIL_NUMBERS, TEXTS, damaged

from bench import codes_file, labelled
from bench.registry import UsageError

RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(size, size=12) for size in (2, 3)], axis=1)
CODES = FACTORS @ RNG.normal(size=(2, 3)) + 0.1 * RNG.normal(size=(12, 3))


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def read(reader, path):
    """Read and check the file as ``bench score`` does, and look at all that came out."""
    found = outcome(reader, lambda: codes_file.read(path), UsageError, folder=path.parent)
    if isinstance(found, str):
        return found
    if not all(is_plain_numbers(array) for array in found.arrays.values()):
        raise Broken(f"{reader}: {[array.dtype for array in found.arrays.values()]}")
    for text in (*found.notes, *(found.factor_names or ())):
        outcome(f"{reader}, texts", lambda text=text: check_line(text or "-"), UsageError, folder=path.parent)
    assert found.n_train is None or type(found.n_train) is int
    return outcome(f"{reader}, checked", lambda: labelled.load(path), UsageError, folder=path.parent)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (GOOD_NPY[0], GOOD_NPZ[0], GOOD_CSV[0], GOOD_HDF5[0]):  # imports what is imported late
        (tmp_path / "good").write_bytes(content)
        codes_file.read(tmp_path / "good")
    return tmp_path / "given.dat"


# npy ------------------------------------------------------------------------------------------------------------------

DESCRS = (
    "<f8", ">f8", "=f4", "|b1", "<i8", "<u8", "|u1", "<f2", "<f16", "<c16", "|O", "|S5", "<U5", "|V8", "<M8[ns]", "<m8", "", "f8,i4",
    "(2,)f8", "(1000000000,)f8", "S2147483647", "U999999999", "f99", "O8", "a5", "\\d", [("a", "<f8")], [["a", "<f8"]], [("a", "|O")],
    [("a", "<f8", (2, 2))], [(("t", "n"), "<f8")], [], [1], ("<f8", (3,)), ("<f8", {"a": 1}), None, 5, {"names": ["a"]}, "x" * 400,
)  # fmt: skip
SHAPES = (
    "(12, 3)", "(12,)", "()", "(0, 3)", "(12, 0)", "(3, 4, 3)", "(-1, 3)", "(12.0, 3)", "(True, 36)", "(10**9, 10)", "(1000000000, 10)",
    "(4611686018427387904, 4)", "(0, 4611686018427387904, 4)", "(9223372036854775808, 0)", "(18446744073709551616,)", "12", "[12, 3]",
    "None", "(12L, 3L)", "(1,)*99", "(" + "1, " * 70 + ")", "(" * 150 + "1" + ")" * 150, "(" + "-" * 2000 + "1,)", "(1j,)", "{}",
    CODE, "(12, 3)}#", "(1if 1else 2, 3)", "('12', 3)", "(0x0C, 3)", "(" + "9" * 5000 + ",)", "(268435457,)", "(300000000, 1)",
)  # fmt: skip


@st.composite
def headers(draw):
    """Text of an npy header, more or less."""
    fields = {
        "descr": repr(draw(st.sampled_from(DESCRS))),
        "fortran_order": draw(st.sampled_from(["False", "True", "0", "None", "'x'"])),
        "shape": draw(st.sampled_from(SHAPES)),
    }
    if draw(st.integers(0, 3)):  # mostly one thing is wrong at a time
        kept = draw(st.sampled_from(["descr", "shape"]))
        good = {"descr": "'<f8'", "fortran_order": "False", "shape": "(12, 3)"}
        fields = {key: fields[key] if key == kept else text for key, text in good.items()}
    text = "{" + ", ".join(f"'{key}': {value}" for key, value in fields.items()) + ", }"
    if draw(st.integers(0, 9)) == 0:
        extra = ["'extra': 1}", "'\\d': 1}", "", "\x00", "'shape': (1,)}", f"**{CODE}}}", "\n\n", "'" * 3, "\udc80"]
        text = text[: draw(st.integers(0, len(text)))] + draw(st.sampled_from(extra))
    return text


def npy(header, body, version=(1, 0), claimed=None):
    raw = header.encode("latin1", "replace") + b"\n"
    size = len(raw) if claimed is None else claimed
    length = struct.pack("<H", size % 65536) if version == (1, 0) else struct.pack("<I", size % 2**32)
    return b"\x93NUMPY" + bytes(version) + length + raw + body


@st.composite
def arrays(draw):
    """Bytes of an npy file: good, of a strange kind, or with a header that lies."""
    kind = draw(st.sampled_from(["good", "header", "header", "header", "length", "pickle"]))
    if kind == "good":
        return saved(
            np.save, draw(st.sampled_from([CODES, FACTORS, CODES[:, 0], CODES.astype("f2"), CODES > 0, FACTORS.T]))
        )
    if kind == "pickle":
        return saved(np.save, np.array([Trap()] * 12, object), allow_pickle=True)
    body = draw(st.sampled_from([CODES.tobytes(), b"", b"\xff" * 288, pickle.dumps([Trap()] * 12)]))
    version = draw(st.sampled_from([(1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (9, 9), (0, 0)]))
    claimed = draw(st.sampled_from(EVIL_NUMBERS)) if kind == "length" else None
    return npy(draw(headers()), body, version, claimed)


def saved(save, *values, **named):
    out = io.BytesIO()
    save(out, *values, **named)
    return out.getvalue()


NPY_TOKENS = [
    *(repr(one).encode("latin1", "replace") for one in DESCRS), *(one.encode() for one in SHAPES[:20]), b"L", b"}", b"'", b"#", b"\\",
    CODE.encode(),
]  # fmt: skip
GOOD_NPY = [saved(np.save, CODES), saved(np.save, FACTORS), saved(np.save, CODES[:, 0])]


@effort(250)
@given(content=st.one_of(arrays(), damaged(GOOD_NPY, NPY_TOKENS, head=140)))
def test_npy(path, content):
    path.write_bytes(content)
    read("codes npy", path)


# npz ------------------------------------------------------------------------------------------------------------------

NAMES = (
    "codes", "factors", "codes_test", "factors_test", "latents", "factor_sizes", "grid_codes", "factor_names", "discrete", "n_train",
    "arr_0", "", "codes.npy", "../codes", "/codes", "x\ny", "\x1b[2J", "é", "a" * 600, "representations", "kl", "CODES",
)  # fmt: skip


@st.composite
def archives(draw):
    """Bytes of a zip file: members in any order and number, and then lies in its tables."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # a duplicate name
        is_usual = draw(st.integers(0, 3)) > 0
        given = [("codes", CODES), ("factors", FACTORS)] if is_usual else []
        members = [(name, saved(np.save, array)) for name, array in given]
        extra = st.tuples(st.sampled_from(NAMES), st.one_of(arrays(), special_arrays(), st.binary(max_size=40)))
        members += draw(st.lists(extra, max_size=1 if is_usual else 3))
        for name, content in members:
            how = draw(st.sampled_from([0, 0, 8, 8, 12, 14]))
            archive.writestr(zipfile.ZipInfo(f"{name}{draw(st.sampled_from(['.npy'] * 9 + ['']))}"), content, how)
    content = bytearray(out.getvalue())
    for _ in range(draw(st.integers(0, 2))):
        _lie(draw, content)
    return bytes(content)


@st.composite
def special_arrays(draw):
    """What stands beside the codes: sizes, names, flags, counts."""
    values = draw(
        st.sampled_from(
            [
                np.array([2, 3]), np.array([2**32, 2**32]), np.array([3, 12297829382473034411], np.uint64), np.array([0]), np.array([]),
                np.array(5), np.array(-1), np.array(2**63, np.uint64), np.array(True), np.array(8.0), np.array([[1]]),
                np.array(["a", "b"]), np.array([b"a", b"\xff"]), np.array(["x\ny", "\x1b[2J"]), np.array(["\ud800", "a"]),
                np.array(["a" * 2_000, "b"]), np.array([""] * 2), np.array(["a", "a"]), np.array([True, False]), np.array([1, 1, 1]),
                np.array([np.nan, np.inf]), CODES.astype(np.longdouble) * np.longdouble("1e4000"), CODES * 1e308, FACTORS * 2**61,
                np.full((12, 3), 1e300), np.zeros((12, 3)), np.zeros((6, 3)), np.ones((12, 1), bool), np.arange(12) * 2**58,
            ]
        )
    )  # fmt: skip
    return saved(np.save, values)


def _lie(draw, content):
    """Change one field of a local header, a central entry or the end record."""
    mark, offsets = draw(
        st.sampled_from(
            [
                (b"PK\x03\x04", (4, 6, 8, 14, 18, 22, 26, 28)),
                (b"PK\x01\x02", (4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 34, 36, 42)),
                (b"PK\x05\x06", (4, 6, 8, 10, 12, 16, 20)),
            ]
        )
    )
    starts = [i for i in range(len(content) - 3) if content[i : i + 4] == mark]
    if not starts:
        return
    place = draw(st.sampled_from(starts)) + draw(st.sampled_from(offsets))
    number, width = (
        draw(st.sampled_from([*EVIL_NUMBERS, 9, 12, 14, 95, 99, 0x0800, 0x0041])),
        draw(st.sampled_from([2, 4])),
    )
    packed = struct.pack("<Q", number % 2**64)[:width]
    content[place : place + len(packed)] = packed


GOOD_NPZ = [
    saved(np.savez, codes=CODES, factors=FACTORS), saved(np.savez_compressed, codes=CODES, factors=FACTORS),
    saved(np.savez, codes=CODES, factors=FACTORS, factor_names=np.array(["shape", "size"]), discrete=[True, True], n_train=8),
    saved(np.savez_compressed, grid_codes=CODES[:6], factor_sizes=[2, 3]),
]  # fmt: skip


@effort(250)
@given(content=st.one_of(archives(), damaged(GOOD_NPZ, [b"PK\x03\x04", b"PK\x01\x02", b"PK\x06\x07", *NPY_TOKENS])))
def test_npz(path, content):
    path.write_bytes(content)
    read("codes npz", path)


# csv ------------------------------------------------------------------------------------------------------------------

CELLS = (
    "1", "0.5", "-2", "1e3", "nan", "inf", "-inf", "1e999", "", " ", "1_0", "²", "١", "0x1F", "1,5", '"1"', '"1', '""', '"a\nb"', "x",
    "1" * 400, "9" * 5000, "\x00", "\x1b[2J", "é", "True", "None", "=1+1", "1e308", "-1e308", CODE, "#", "# a", "9007199254740993", "1" * 140_000,
)  # fmt: skip
HEADS = ("", "codes_0", "codes_a", "latents_1", "factors_0", "factors_shape", "factors_", "codes", "factor", "Unnamed: 0", "id", "0", "1", "#", "x" * 600, "\x1b[2J", '"a\nb"')  # fmt: skip


@st.composite
def tables(draw):
    """Text of a table with strange cells, marks and line ends."""
    width, mark = draw(st.integers(1, 5)), draw(st.sampled_from([",", ",", ";", "\t", " ", "|", ",,"]))
    cell = st.one_of(st.sampled_from(["1", "0.5", "2"]), st.sampled_from(["1", "0.5", "2"]), st.sampled_from(CELLS))
    lines = draw(st.lists(st.lists(cell, min_size=width, max_size=width), max_size=6))
    if draw(st.booleans()):
        lines.insert(0, draw(st.lists(st.sampled_from(HEADS), min_size=width, max_size=width)))
    if draw(st.integers(0, 4)) == 0 and lines:
        lines[-1] = [cell[:20] for cell in lines[-1]] * draw(st.sampled_from([0, 2, 2_000]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\x0b", "\u2028"]))
    text = end.join(mark.join(line) for line in lines) + draw(st.sampled_from(["", end]))
    return draw(st.sampled_from(["", "", "\ufeff", "\ufeff\ufeff"])) + text


GOOD_CSV = [
    b"codes_0,codes_1,factors_shape\n" + b"".join(f"{i / 7},{-i},{i % 3}\n".encode() for i in range(9)),
    b"1.5;2;3\n4;5;6\n7;8;9\n10;11;12\n", b"# a b c\n1 2 3\n4 5 6\n7 8 9\n", b",codes_0,factors_0\n0,1,2\n1,2,3\n2,3,3\n",
]  # fmt: skip
CSV_TOKENS = [
    *(cell[:500].encode() for cell in CELLS),
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b'"',
    b",,",
    b'"\n"',
    b"\xff",
    b"\xef\xbb\xbf",
]


@effort(250)
@given(content=st.one_of(tables().map(str.encode), damaged(GOOD_CSV, CSV_TOKENS, most=4, head=64)))
def test_csv(path, content):
    path.write_bytes(content)
    read("codes csv", path)


# HDF5 -----------------------------------------------------------------------------------------------------------------


def _links(file, name):
    return [
        h5py.SoftLink("/factors"),
        h5py.SoftLink("/nowhere"),
        h5py.ExternalLink("other.h5", "/x"),
        h5py.SoftLink("/" + name),
    ]


VALUES = (
    CODES, FACTORS, CODES[:, 0], CODES.astype("f2"), CODES.astype(np.longdouble), CODES.astype("c16"), CODES > 0, np.float64(1), 3, "text",
    b"\xff", np.array([b"a", b"\xff"]), CODES[:0], np.array([(1, 2.0)], "i4,f8"), CODES.astype(">f4"), FACTORS.astype("u1"), [8], -1, 1e300,
    np.arange(12) * 2**58, CODES * np.nan, np.array([[b"\x00"]]), np.array([1, 2], "M8[s]").view("i8"),
)  # fmt: skip
FILTERS = (
    {"compression": "gzip"}, {"compression": "lzf"}, {"compression": "gzip", "shuffle": True, "fletcher32": True}, {"scaleoffset": 3},
    {"fletcher32": True}, {"compression": "gzip", "maxshape": (None, None), "chunks": (4096, 512)}, {"chunks": (5, 2)}, {"fillvalue": 1.5},
{"track_times": True, "compact": True}, {"szip": True},
)  # fmt: skip


def put(file, name, kind, value, options):
    """One thing called ``name``; what h5py refuses to write is left out."""
    if kind == "value":
        file[name] = value
    elif kind == "filtered":
        options = dict(options)
        if options.pop("compact", False):
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.COMPACT)
            h5py.h5d.create(
                file.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((12, 3)), plist
            ).write(h5py.h5s.ALL, h5py.h5s.ALL, CODES)
        elif options.pop("szip", False):
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((4, 3))
            plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # a plugin's number
            h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((12, 3)), plist)
        else:
            file.create_dataset(name, data=CODES, **options)
    elif kind == "claims":
        file.create_dataset(name, value, "f8", **options)
    elif kind == "empty":
        file[name] = h5py.Empty("f8")
    elif kind == "texts":
        file.create_dataset(name, data=value, dtype=h5py.string_dtype())
    elif kind == "lists":
        file.create_dataset(name, (2,), h5py.vlen_dtype("f8"))[0] = [1.0, 2.0]
    elif kind == "references":
        file.create_dataset(name, (2,), h5py.ref_dtype)[0] = file.ref
    elif kind == "enum":
        file.create_dataset(name, (12, 3), h5py.enum_dtype({"A": 0, "B": 1}, "i"))[...] = 1
    elif kind == "type":
        file[name] = np.dtype("f8")
    elif kind == "group":
        file.create_group(f"{name}/inside")
    elif kind == "link":
        file[name] = value
    elif kind == "outside":
        file.create_dataset(name, (12, 3), "f8", external=[(value, 0, 288)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout((12, 3), "f8")
        layout[:] = h5py.VirtualSource(value, "codes", (12, 3))
        file.create_virtual_dataset(name, layout)


THINGS = st.one_of(
    st.tuples(st.just("value"), st.sampled_from(VALUES), st.none()),
    st.tuples(st.just("filtered"), st.none(), st.sampled_from(FILTERS)),
    st.tuples(
        st.just("claims"), st.sampled_from([(10**9, 10), (2**40,), (12, 3), (2**62, 2, 0), (100_000_000, 2), ()]),
        st.sampled_from([{}, {"chunks": True}, {"compression": "gzip"}]),
    ),
    st.tuples(st.sampled_from(["empty", "lists", "references", "enum", "type", "group"]), st.none(), st.none()),
    st.tuples(st.just("texts"), st.sampled_from([["a", "b"], ["\x1b[2J", "x\ny"], ["é" * 300] * 2, [b"\xff", b""], "one", [["a"]]]), st.none()),
    st.tuples(st.just("link"), st.sampled_from([h5py.SoftLink("/factors"), h5py.SoftLink("/nowhere"), h5py.SoftLink("codes"), h5py.ExternalLink("other.h5", "/x"), h5py.ExternalLink("/dev/zero", "/x")]), st.none()),
    st.tuples(st.sampled_from(["outside", "virtual"]), st.sampled_from(["/etc/passwd", "other.raw", ".", "/dev/zero"]), st.none()),
)  # fmt: skip
ATTRIBUTES = (
    3,
    -1,
    2**63,
    "8",
    8.5,
    [8],
    np.arange(3),
    h5py.Empty("i8"),
    True,
    np.array("x", object),
    b"\xff",
    "\x1b[2J",
)
H5_NAMES = tuple(name for name in NAMES if name and "/" not in name and "\x00" not in name) + ("\udcff",)


def hdf5(members, attribute, libver):
    out = io.BytesIO()
    with h5py.File(out, "w", libver=libver) as file:
        for name, (kind, value, options) in members:
            try:
                put(file, name, kind, value, options or {})
            except (ValueError, TypeError, OSError, KeyError, NotImplementedError, RuntimeError):
                continue  # h5py will not write this
        if attribute is not None:
            file.attrs["n_train"] = attribute
    return out.getvalue()


USUAL = [("codes", ("value", CODES, None)), ("factors", ("value", FACTORS, None))]


@st.composite
def hierarchies(draw):
    """Bytes of an HDF5 file with any kind of thing under names that are read."""
    members = list(USUAL) if draw(st.booleans()) else []
    names = st.sampled_from(H5_NAMES)
    members = [*draw(st.lists(st.tuples(names, THINGS), max_size=3)), *members]
    attribute = draw(st.one_of(st.none(), st.sampled_from(ATTRIBUTES)))
    return hdf5(members, attribute, draw(st.sampled_from(["earliest", "latest"])))


GZIP = ("filtered", None, FILTERS[2])
GOOD_HDF5 = [
    hdf5(USUAL, None, "earliest"), hdf5(USUAL, 8, "latest"), hdf5([("codes", GZIP), USUAL[1]], 8, "earliest"),
    hdf5([*USUAL, ("factor_names", ("texts", ["shape", "size"], None))], None, "latest"),
    hdf5([("codes", ("filtered", None, FILTERS[1])), USUAL[1]], None, "latest"),
]  # fmt: skip


@effort(250)
@given(content=st.one_of(hierarchies(), damaged(GOOD_HDF5, [b"TREE", b"SNOD", b"HEAP", b"OHDR", b"FRHP"], head=1024)))
def test_hdf5(path, content):
    path.write_bytes(content)
    read("codes HDF5", path)


@effort(100)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass")), st.sampled_from(TEXTS).map(lambda t: t.encode("utf-8", "surrogatepass"))))  # fmt: skip
def test_anything_else(path, content):
    path.write_bytes(content)
    read("codes, any bytes", path)
