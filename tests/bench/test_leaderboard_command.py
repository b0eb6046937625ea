"""``bench leaderboard``: pictures of the gallery are kept small and shown by later pages."""

import base64
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from bench.report.gallery import keep, kept, path_of
from bench.report.strips import as_address

RUN = "pca/smiley/0"
PICTURE = r"data:image/png;base64,[\w+/=]+"


@pytest.fixture(scope="module")
def stored(train):
    return train("pca,random_codes", "smiley", "mcc")


def test_pictures_are_drawn_once_and_kept_for_pages_without_the_checkpoint(typed, stored, tmp_path):
    code, out, err = typed("leaderboard", "--gallery", "--results", stored.root, "--output", tmp_path)
    assert (code, err) == (0, "")
    assert out.split("\n")[0] == str(tmp_path / "index.html")
    (picture,) = (tmp_path / "gallery").iterdir()  # random codes do not decode
    assert picture == path_of(tmp_path / "gallery", stored.find(RUN)["hash"], "traversal")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert len(re.findall(PICTURE, page)) == 1
    assert re.search(rf'"caption":"seed 0, run {picture.name[:8]}; rows: latent \d', page)

    shutil.copytree(stored.root / "rows", tmp_path / "rows_only" / "rows")
    arguments = ["leaderboard", "--results", tmp_path / "rows_only", "--output", tmp_path]
    assert typed(*arguments)[0] == 0
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == page
    code, _, err = typed(*arguments, "--gallery")
    assert (code, err.count("\n")) == (0, 0)
    assert "nothing new" in err
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == page


def large():
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "png")
    return out.getvalue()


@pytest.mark.parametrize(
    "content", [b"no picture", b"\x89PNG\r\n\x1a\n", b"x" * 300_000, large()], ids=["text", "head", "long", "bomb"]
)
def test_what_is_no_picture_of_a_gallery_is_named(typed, stored, tmp_path, content):
    path = path_of(tmp_path / "gallery", stored.find(RUN)["hash"], "traversal")
    path.parent.mkdir()
    path.write_bytes(content)
    code, _, err = typed("leaderboard", "--results", stored.root, "--output", tmp_path)
    assert (code, err.count("\n")) == (2, 0)
    assert str(path) in err
    assert "remove it" in err


def test_a_kept_picture_is_small_and_says_what_it_shows(tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(384, 460, 4), dtype=np.uint8)
    noise[..., 3] = 255
    path = keep(tmp_path, "0" * 16, "traversal", "rows: latent 3 (größe)", as_address(noise))
    assert path.stat().st_size < 40_000
    one = kept(tmp_path, "0" * 16, "traversal")
    assert one.caption == "rows: latent 3 (größe)"
    image = Image.open(io.BytesIO(base64.b64decode(one.data.partition(",")[2])))
    assert image.size == (230, 192)
    assert kept(tmp_path, "0" * 16, "swaps") is None
