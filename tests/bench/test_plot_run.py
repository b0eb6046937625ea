"""`bench plot codes` and `sources`, `bench traverse --largest`: pictures of one stored run."""

from __future__ import annotations

import re
import shutil

import pytest

from bench.store import Store

RUN = "pca/smiley/0"


@pytest.fixture(scope="module")
def stored(train):
    return train("pca,random_codes", "smiley", "mcc")


@pytest.mark.parametrize("kind", ["codes", "sources"])
def test_a_run_is_drawn_in_three_formats_below_the_store(typed, stored, kind):
    code, out, err = typed("plot", kind, RUN, "--results", stored.root)
    stem = stored.root / "figures" / f"{kind}-{stored.find(RUN)['hash']}"
    assert (code, err) == (0, "")
    assert out.split("\n") == [f"{stem}{ending}" for ending in (".pdf", ".svg", ".png")]
    assert stem.with_suffix(".png").read_bytes()[1:4] == b"PNG"


def test_what_does_not_decode_is_compared_with_its_sources_all_the_same(typed, stored, tmp_path):
    run = "random_codes/smiley/0"
    assert typed("plot", "sources", run, "--results", stored.root, "-o", tmp_path)[0] == 0
    assert len([*tmp_path.glob("sources-*.png")]) == 1


def test_a_traversal_of_the_largest_codes_has_a_file_of_its_own(typed, stored):
    code, out, err = typed("traverse", RUN, "--largest", 3, "--base", 7, "--results", stored.root)
    assert (code, err) == (0, "")
    assert out.endswith(f"traversal-{stored.find(RUN)['hash']}-largest-7.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", "codes"], "draws one run; name it: bench plot codes METHOD/DATASET/SEED"),
        (["plot", "sources", RUN, "--methods", "pca"], "--methods chooses among rows of the other kinds"),
        (["plot", "codes", RUN, "--metrics", "mcc"], "--metrics chooses among rows of the other kinds"),
        (["plot", "scores", RUN], "draws all stored rows, not one RUN; codes, sources, swaps, flow, speeds, switching"),
        (["plot", "codes", "random_codes/smiley/0"], "does not decode codes"),
        (["plot", "codes", "zzz"], "no row in"),
        (["traverse", RUN, "--largest", "0"], "0 is not in the range x>=1"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(typed, stored, arguments, message):
    code, out, err = typed(*arguments, "--results", stored.root)
    assert (code, out, err.count("\n")) == (2, "", 0)
    assert re.search(message, err), err


def test_codes_that_are_gone_or_broken_are_named(typed, stored, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(stored.root, copy)
    path = Store(copy).artifacts(stored.find(RUN)["hash"]) / "codes.h5"
    path.write_bytes(path.read_bytes()[:100])
    code, _, err = typed("plot", "sources", RUN, "--results", copy)
    assert (code, err.count("\n")) == (2, 0)
    assert "codes.h5: not readable codes of pca on smiley, seed 0" in err
    path.unlink()
    code, _, err = typed("plot", "sources", RUN, "--results", copy)
    assert (code, err.count("\n")) == (2, 0)
    assert "codes.h5 is not there" in err
