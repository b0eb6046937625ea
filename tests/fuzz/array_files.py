"""npy, npz and csv files that hold codes, good and bad ones."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
from mutations import CODE, EVIL_NUMBERS, damage

RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(size, size=12) for size in (2, 3)], axis=1)
PROBS = np.eye(3)[FACTORS[:, 1]]
CODES = FACTORS @ RNG.normal(size=(2, 3)) + 0.1 * RNG.normal(size=(12, 3))


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def saved(save, *values, **named):
    out = io.BytesIO()
    save(out, *values, **named)
    return out.getvalue()


# npy

DESCRS = (
    "<f8", ">f8", "=f4", "|b1", "<i8", "<u8", "|u1", "<f2", "<f16", "<c16", "|O", "|S5", "<U5", "|V8", "<M8[ns]",
    "<m8", "", "f8,i4", "(2,)f8", "(1000000000,)f8", "S2147483647", "U999999999", "f99", "O8", "a5", "\\d",
    [("a", "<f8")], [["a", "<f8"]], [("a", "|O")], [("a", "<f8", (2, 2))], [(("t", "n"), "<f8")], [], [1],
    ("<f8", (3,)), ("<f8", {"a": 1}), None, 5, {"names": ["a"]}, "x" * 400,
)  # fmt: skip
SHAPES = (
    "(12, 3)", "(12,)", "()", "(0, 3)", "(12, 0)", "(3, 4, 3)", "(-1, 3)", "(12.0, 3)", "(True, 36)", "(10**9, 10)",
    "(1000000000, 10)", "(4611686018427387904, 4)", "(0, 4611686018427387904, 4)", "(9223372036854775808, 0)",
    "(18446744073709551616,)", "12", "[12, 3]", "None", "(12L, 3L)", "(1,)*99", f"({'1, ' * 70})", "{}", "(1j,)",
    f"{'(' * 150}1{')' * 150}", f"({'-' * 2000}1,)", CODE, "(12, 3)}#", "(1if 1else 2, 3)", "('12', 3)", "(0x0C, 3)",
    f"({'9' * 5000},)", "(268435457,)", "(300000000, 1)",
)  # fmt: skip
NPY_TOKENS = (
    *(repr(one).encode("latin1", "replace") for one in DESCRS), *(one.encode() for one in SHAPES[:20]), b"L", b"}",
    b"'", b"#", b"\\", CODE.encode(),
)  # fmt: skip
GOOD_NPY = [saved(np.save, CODES), saved(np.save, FACTORS), saved(np.save, CODES[:, 0])]


def header(rng):
    """Text of an npy header, more or less."""
    fields = {"descr": "'<f8'", "fortran_order": "False", "shape": "(12, 3)"}
    hostile = {
        "descr": lambda: repr(rng.choice(DESCRS)),
        "fortran_order": lambda: rng.choice(("True", "0", "None", "'x'")),
        "shape": lambda: rng.choice(SHAPES),
    }
    for key in rng.sample(sorted(hostile), rng.choice((0, 1, 1, 1, 1, 2, 3))):  # mostly one thing is wrong at a time
        fields[key] = hostile[key]()
    text = "{" + ", ".join(f"'{key}': {value}" for key, value in fields.items()) + ", }"
    if rng.random() < 0.1:
        extra = ("'extra': 1}", "'\\d': 1}", "", "\x00", "'shape': (1,)}", f"**{CODE}}}", "\n\n", "'" * 3, "\udc80")
        text = text[: rng.randint(0, len(text))] + rng.choice(extra)
    return text


def npy(rng):
    """Bytes of an npy file: good, of a strange kind, or with a header that lies."""
    kind = rng.choice(("good", "header", "header", "header", "length", "pickle", "damage"))
    if kind == "good":
        return saved(np.save, rng.choice([CODES, FACTORS, CODES[:, 0], CODES.astype("f2"), CODES > 0, FACTORS.T]))
    if kind == "pickle":
        return saved(np.save, np.array([Trap()] * 12, object), allow_pickle=True)
    if kind == "damage":
        return damage(rng, GOOD_NPY, NPY_TOKENS, head=140)
    version = rng.choice([(1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (9, 9), (0, 0)])
    raw = header(rng).encode("latin1", "replace") + b"\n"
    size = rng.choice(EVIL_NUMBERS) if kind == "length" else len(raw)
    length = struct.pack("<H", size % 65536) if version == (1, 0) else struct.pack("<I", size % 2**32)
    body = rng.choice([CODES.tobytes(), CODES.tobytes(), b"", b"\xff" * 288, pickle.dumps([Trap()] * 12)])
    return b"\x93NUMPY" + bytes(version) + length + raw + body


# npz

NAMES = (
    "codes", "factors", "codes_test", "factors_test", "latents", "factor_sizes", "grid_codes", "factor_names",
    "discrete", "n_train", "arr_0", "", "codes.npy", "../codes", "/codes", "x\ny", "\x1b[2J", "é", "a" * 600,
    "representations", "kl", "CODES", "probs_generated", "probs_real", "labels", "embeddings", "speakers",
)  # fmt: skip
BESIDE = [
    np.array([2, 3]), np.array([2**32, 2**32]), np.array([3, 12297829382473034411], np.uint64), np.array([0]),
    np.array([]), np.array(5), np.array(-1), np.array(2**63, np.uint64), np.array(True), np.array(8.0),
    np.array([[1]]), np.array(["a", "b"]), np.array([b"a", b"\xff"]), np.array(["x\ny", "\x1b[2J"]),
    np.array(["\ud800", "a"]), np.array(["a" * 2_000, "b"]), np.array([""] * 2), np.array(["a", "a"]),
    np.array([True, False]), np.array([1, 1, 1]), np.array([np.nan, np.inf]), CODES * 1e307, FACTORS * 2**61,
    CODES.astype(np.longdouble) * np.longdouble("1e4000"), np.full((12, 3), 1e300), np.zeros((12, 3)),
    np.zeros((6, 3)), np.ones((12, 1), bool), np.arange(12) * 2**58, PROBS, PROBS.astype("f2"), FACTORS[:, 0],
    PROBS / 3, -FACTORS[:, 0], np.eye(12)[:, :1],
]  # fmt: skip
GOOD_NPZ = [
    saved(np.savez, codes=CODES, factors=FACTORS),
    saved(np.savez_compressed, codes=CODES, factors=FACTORS),
    saved(np.savez, codes=CODES, factors=FACTORS, factor_names=np.array(["x", "y"]), discrete=[True, True], n_train=8),
    saved(np.savez_compressed, grid_codes=CODES[:6], factor_sizes=[2, 3]),
    saved(np.savez, probs_generated=PROBS, labels=FACTORS[:, 1], probs_real=PROBS),
    saved(np.savez, embeddings=CODES, speakers=FACTORS[:, 0]),
]
_FIELDS = {
    b"PK\x03\x04": (4, 6, 8, 14, 18, 22, 26, 28),
    b"PK\x01\x02": (4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 34, 36, 42),
    b"PK\x05\x06": (4, 6, 8, 10, 12, 16, 20),
}  # of a local header, a central entry and the end record: offsets of version, flags, method, sizes, lengths, places


def npz(rng):
    """Bytes of a zip file: members in any order and number, lies in its tables, damage."""
    if rng.random() < 0.3:
        return damage(rng, GOOD_NPZ, [*_FIELDS, b"PK\x06\x07", *NPY_TOKENS])
    members = [("codes", saved(np.save, CODES)), ("factors", saved(np.save, FACTORS))] if rng.random() < 0.8 else []
    for _ in range(rng.choice((0, 1, 1, 2))):
        content = rng.choice((npy(rng), saved(np.save, rng.choice(BESIDE)), rng.randbytes(rng.randint(0, 40))))
        members.insert(rng.randint(0, len(members)), (rng.choice(NAMES), content))
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # a duplicate name
        for name, content in members:
            ending = rng.choice((".npy",) * 9 + ("",))
            archive.writestr(zipfile.ZipInfo(name + ending), content, rng.choice((0, 0, 8, 8, 8, 12, 14)))
    content = bytearray(out.getvalue())
    for _ in range(rng.choice((0, 0, 1, 2))):
        _lie(rng, content)
    return bytes(content)


def _lie(rng, content):
    """Change one field of the zip file's tables."""
    mark = rng.choice(sorted(_FIELDS))
    starts = [i for i in range(len(content) - 3) if content[i : i + 4] == mark]
    if not starts:
        return
    place = rng.choice(starts) + rng.choice(_FIELDS[mark])
    number = rng.choice([*EVIL_NUMBERS, 9, 12, 14, 95, 99, 0x0800, 0x0041])
    packed = struct.pack("<Q", number % 2**64)[: rng.choice((2, 4))]
    content[place : place + len(packed)] = packed


# csv

CELLS = (
    "1", "0.5", "-2", "1e3", "nan", "inf", "-inf", "1e999", "", " ", "1_0", "²", "١", "0x1F", "1,5", '"1"', '"1', '""',
    '"a\nb"', "x", "1" * 400, "9" * 5000, "\x00", "\x1b[2J", "é", "True", "None", "=1+1", "1e308", "-1e308", CODE,
    "#", "# a", "9007199254740993", "1" * 140_000,
)  # fmt: skip
HEADS = (
    "", "codes_0", "codes_a", "latents_1", "factors_0", "factors_shape", "factors_", "codes", "factor", "Unnamed: 0",
    "id", "0", "1", "#", "x" * 600, "\x1b[2J", '"a\nb"',
)  # fmt: skip
GOOD_CSV = [
    b"codes_0,codes_1,factors_shape\n" + b"".join(f"{i / 7},{-i},{i % 3}\n".encode() for i in range(9)),
    b"1.5;2;3\n4;5;6\n7;8;9\n10;11;12\n",
    b"# a b c\n1 2 3\n4 5 6\n7 8 9\n",
    b",codes_0,factors_0\n0,1,2\n1,2,3\n2,3,3\n",
]
CSV_TOKENS = [
    *(cell[:500].encode() for cell in CELLS), b",", b";", b"\t", b"\n", b"\r", b'"', b",,", b'"\n"', b"\xff",
    b"\xef\xbb\xbf",
]  # fmt: skip


def csv(rng):
    """Bytes of a table with strange cells, marks and line ends."""
    if rng.random() < 0.4:
        return damage(rng, GOOD_CSV, CSV_TOKENS, most=4, head=64)
    width, mark = rng.randint(1, 5), rng.choice((",", ",", ";", "\t", " ", "|", ",,"))
    oddity = rng.choice((0, 0, 0.05, 0.3))
    lines = [
        [rng.choice(CELLS) if rng.random() < oddity else rng.choice(("1", "0.5", "2")) for _ in range(width)]
        for _ in range(rng.randint(0, 6))
    ]
    if rng.random() < 0.6:
        lines.insert(0, [rng.choice(HEADS[1:8] if oddity < 0.3 else HEADS) for _ in range(width)])
    if rng.random() < 0.1 and lines:
        lines[-1] = [cell[:20] for cell in lines[-1]] * rng.choice((0, 2, 2_000))
    end = rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\n\n", "\x0b", "\u2028"))
    text = end.join(mark.join(line) for line in lines) + rng.choice(("", end))
    return (rng.choice(("", "", "\ufeff", "\ufeff\ufeff")) + text).encode()
