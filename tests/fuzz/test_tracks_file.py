"""Track files: a csv whose cells look like Python, read by a grammar of numbers alone."""

from __future__ import annotations

import pytest
from guard import effort, outcome
from hypothesis import given
from mutations import CODE, damage, made

from bench.datasets.tracks import read_pairs

CELL = '"[(10.0, 20.5, 100), None, (1.5, 2.5, 7)]"'
GOOD = [
    f'id,cat_id,t_0,t_1,t_2\n7,1,{CELL},"[(11, 22, 110), (5, 6, 50), None]",\n8,3,,{CELL},{CELL}\n'.encode(),
    f"id,cat_id,t_0,t_1\r\n1,1,{CELL},{CELL}\r\n".encode(),
]
NUMBERS = (
    "1", "1.5", "-0.5", ".5", "5.", "64", "64.1", "4096", "4097", "1e1", "1e999", "-1", "nan", "inf", "1_0", "0x1",
    "١", "1" * 300, "1." + "0" * 300,
    "+1", "--1", "1e", "1e+", " 1 ", "\t1", "", CODE, "None", "True", "1,2", "(1)", "1j", "1L", "'1'", "9" * 900,
    "\x00", "é",
)  # fmt: skip
TOKENS = [
    b"[",
    b"]",
    b"(",
    b")",
    b",",
    b'"',
    b'""',
    b"None",
    b"nan",
    b"\n",
    b"\r",
    b"t_9",
    b"1" * 400,
    b"\x00",
    b"\xff",
    CODE.encode(),
    b"[(" * 60,
]


def cell(rng):
    if rng.random() < 0.3:
        return ""
    usual = rng.random() < 0.8
    entries = []
    for _ in range(3 if usual else rng.randint(2, 4)):
        numbers = [rng.choice(NUMBERS[:5] if usual else NUMBERS) for _ in range(3 if usual else rng.randint(2, 4))]
        entries.append(rng.choice(("None", f"({', '.join(numbers)})", f"({','.join(numbers)})")))
    text = f"[{rng.choice((', ', ',')).join(entries)}]"
    text += rng.choice(("",) * 30 + ("x", "]", " ", "]" * 40))
    return text if rng.random() < 0.02 else f'"{text}"'


def table(rng):
    """Bytes of a track file with strange cells and columns."""
    if rng.random() < 0.4:
        return damage(rng, GOOD, TOKENS, head=80)
    width = rng.randint(2, 4)
    head = ["id", "cat_id", *(f"t_{i}" for i in range(width))]
    if rng.random() < 0.1:
        head[rng.randint(0, width + 1)] = rng.choice(("", "t_9", "x" * 500, "\x1b[2J", '"a\nb"', "t_00"))
    rows = [",".join(["1", "2", *(cell(rng) for _ in range(width))]) for _ in range(rng.randint(0, 3))]
    return rng.choice(("\n", "\n", "\r\n", "\r")).join([",".join(head), *rows, ""]).encode()


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_bytes(GOOD[0])
    read_pairs(tmp_path / "good.csv")
    return tmp_path / "tracks.csv"


@effort(200)
@given(content=made(table))
def test_tracks(path, content):
    path.write_bytes(content)
    pairs = outcome("tracks", lambda: read_pairs(path), ValueError, folder=path.parent)
    if not isinstance(pairs, str):
        assert pairs.shape[1:] == (2, 3)
        assert ((pairs[..., :2] >= -0.5) & (pairs[..., :2] <= 64)).all()
        assert ((pairs[..., 2] >= 1) & (pairs[..., 2] <= 4096)).all()
