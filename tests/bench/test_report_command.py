"""`bench report` and `bench traverse`: one run found by hash or by name, its checkpoint brought back to life."""

from __future__ import annotations

import re
import shutil

import pytest

from bench.store import Store

RUN = "pca/natural_sprites/0"


@pytest.fixture(scope="module")
def stored(train):
    """A store with one trained run of each kind: with a decoder, and without."""
    return train("pca,random_codes", "natural_sprites[n_pairs=64]", "mcc")


def test_a_run_is_found_by_name_and_by_the_beginning_of_its_hash_and_its_page_lies_with_its_artifacts(typed, stored):
    row = stored.find(RUN)
    code, out, err = typed("report", RUN, "--results", stored.root)
    page = stored.artifacts(row["hash"]) / "report.html"
    assert (code, out, err) == (0, str(page), "")
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 10  # one strip per latent
    typed("report", row["hash"][:7], "--results", stored.root)
    assert page.read_text(encoding="utf-8") == text


def test_without_its_checkpoint_the_page_says_what_makes_one(typed, stored, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(stored.root / "rows", copy / "rows")
    page = tmp_path / "page.html"
    assert typed("report", RUN, "--results", copy, "-o", page)[0] == 0
    text = page.read_text(encoding="utf-8")
    assert "checkpoint.safetensors is not there" in text
    assert f"bench merge DIR --artifacts --results {copy}" in text
    assert "bench run --methods pca --datasets" in text
    assert "data:image" not in text
    assert "mcc" in text


def test_what_does_not_decode_has_no_traversal_and_no_way_to_make_one(typed, stored, tmp_path):
    page = tmp_path / "page.html"
    typed("report", "random_codes/natural_sprites/0", "--results", stored.root, "-o", page)
    text = page.read_text(encoding="utf-8")
    assert "random_codes cannot be traversed: it does not decode codes" in text
    assert "bench merge" not in text


def test_a_corrupt_checkpoint_costs_the_pictures_not_the_page(typed, stored, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(stored.root, copy)
    path = Store(copy).artifacts(stored.find(RUN)["hash"]) / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    page = tmp_path / "page.html"
    assert typed("report", RUN, "--results", copy, "-o", page)[0] == 0
    assert "not a readable checkpoint" in page.read_text(encoding="utf-8")
    code, _, err = typed("traverse", RUN, "--results", copy)
    assert (code, err.count("\n")) == (2, 0)
    assert "not a readable checkpoint" in err


def test_bench_traverse_takes_the_same_names(typed, stored, tmp_path):
    picture = tmp_path / "t.png"
    code, out, _ = typed("traverse", RUN, "--results", stored.root, "-o", picture)
    assert (code, out) == (0, str(picture))
    assert picture.read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "zzz"], "no row in"),
        (
            ["report", "pca/natural_sprites/9"],
            "no row in .* of 'pca/natural_sprites/9', which is read as method/dataset",
        ),
        (["report", ""], "2 rows in .* \\(\\w{16}, \\w{16}\\)"),
        (["report", RUN, "-o", "page.png"], "end the name in .html"),
        (["report", RUN, "-o", "nowhere/page.html"], "there is no folder nowhere"),
        (["report", RUN, "--base", "99999999"], "there are 15000 evaluation rows"),
        (["traverse", RUN, "--base", "99999999"], "there are 15000 evaluation rows"),
        (["traverse", "random_codes/natural_sprites/0"], "does not decode codes"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(typed, stored, arguments, message):
    code, out, err = typed(*arguments, "--results", stored.root)
    assert (code, out, err.count("\n")) == (2, "", 0)
    assert re.search(message, err), err
