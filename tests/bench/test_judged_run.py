"""Runs whose sequences are judged: what their rows say, and the pictures of their swaps."""

from __future__ import annotations

import re

import pytest

from bench import registry
from bench.cli import main
from bench.opening import Folders
from bench.running import metric_choice, prepare
from bench.running.grid import Request, build
from bench.running.standing import Options
from bench.running.worker import perform
from bench.store import Store, row_problem

METHODS = "dsvae[n_steps=2,width=4,n_hidden=16],mocogan[n_steps=2,width=4]"
DATASET = "sprites[source=generated,n_train=4,n_val=1,n_test=2]"


@pytest.fixture(scope="module")
def stored(cache, tmp_path_factory):
    home = tmp_path_factory.mktemp("judged")
    folders = Folders(home / "data", cache, home / "results")
    runs = build(Request(METHODS, DATASET, (0,), "smoke", metrics=("swap",)), folders, "cpu").runs
    (job,) = prepare.jobs(runs, ("swap",))
    prepare.prepare(job, folders, "cpu", ("swap",))
    made = [path for path in cache.iterdir() if path.name.endswith("-judge.safetensors")]
    assert [perform(spec, Options(folders, metrics=("swap",))) for spec in runs] == ["done", "done"]
    assert [path for path in cache.iterdir() if path.name.endswith("-judge.safetensors")] == made
    return Store(folders.results)


def test_a_row_says_which_judge_it_was_and_how_good(stored):
    rows = {row["spec"]["method"]: row for row in stored.rows()}
    judges = [row["judge"] for row in rows.values()]
    assert judges[0] == judges[1]
    assert list(judges[0]["accuracy"]) == ["action", "body", "bottom", "top", "hair"]
    assert (judges[0]["threshold"], judges[0]["is_trusted"], judges[0]["budget"]) == (0.999, False, "smoke")
    for row in rows.values():
        assert row_problem(row) == ""
        assert row["details"]["swap[fixed_dynamic]"]["judge"] == judges[0]["hash"]
        assert any("of the factors of real test sequences, below 99.9%" in note for note in row["notes"])
        assert not any("seeded" in note for note in row["notes"])
    values = rows["dsvae"]["metrics"]
    for condition, n_heads in (("fixed_dynamic", 1), ("fixed_static", 4), ("fixed_static,swapped", 4)):
        assert 0 <= values[f"swap[{condition}]/acc"]["value"] <= 1
        assert len(rows["dsvae"]["details"][f"swap[{condition}]"]["acc"]) == n_heads
    assert len(rows["dsvae"]["details"]["swap[fixed_dynamic]"]["passes"]) == 2
    values = rows["mocogan"]["metrics"]
    assert values["swap[fixed_dynamic]/acc"]["value"] is None
    assert values["swap[fixed_dynamic]/acc_agree"]["value"] is not None


@pytest.mark.parametrize(
    ("method", "dataset", "expected"),
    [
        ("dsvae", "sprites", {"fixed_dynamic", "fixed_static", "fixed_dynamic,swapped", "fixed_static,swapped"}),
        ("mocogan", "sprites", {"fixed_dynamic", "fixed_static"}),  # it has no codes of test sequences
        ("dsvae", "sm_mnist", {"fixed_static", "fixed_static,swapped"}),  # no judged factor is dynamic
        ("dsvae", "timit", {"utterance", "segment", "content_probe@dynamic"}),
    ],
)
def test_sequences_are_judged_or_verified_where_no_metrics_are_named(method, dataset, expected):
    entry = registry.dataset(dataset)
    ids = metric_choice.wanted(None, "quick", registry.method(method).target, entry.card.describe(entry.config()))
    own = [one for one in ids if one.startswith(("swap", "verification", "content_probe"))]
    assert {one.partition("[")[2].removesuffix("]") or one for one in own} == expected


@pytest.mark.parametrize("method", ["dsvae", "mocogan"])
def test_swaps_of_a_run_are_drawn_still_and_animated(method, capsys, stored):
    with pytest.raises(SystemExit) as ended:
        main(["plot", "swaps", f"{method}/sprites/0", "--results", str(stored.root)])
    out, err = capsys.readouterr()
    stem = stored.root / "figures" / f"swaps-{stored.find(f'{method}/sprites/0')['hash']}"
    assert (ended.value.code or 0, err) == (0, "")
    assert out.split() == [f"{stem}.png", f"{stem}.gif"]


def test_the_page_of_a_run_shows_its_swaps_and_the_most_telling_of_many_latents(stored, typed, tmp_path):
    run = next(row for row in stored.rows() if row["spec"]["method"] == "dsvae")
    page = tmp_path / "page.html"
    assert typed("report", run["hash"], "--results", stored.root, "-o", page)[::2] == (0, "")
    text = page.read_text(encoding="utf-8")
    assert 'alt="4 by 3 generated sequences' in text
    assert re.search(r"20 of \d+ latents are shown", text)
    assert text.count("data:image/png;base64,") == 21
