"""Methods that see whole sequences, from the command line to the row: extras, parts, features, and none of a code."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors.torch import load_file

from bench import registry
from bench.cli import main
from bench.inspection.trained import NotTraversable, revive, scored_codes
from bench.opening import Folders
from bench.registry import UsageError
from bench.running import worker
from bench.running.estimate import seconds_per_step
from bench.running.grid import Request, build
from bench.running.prepare import jobs
from bench.running.standing import Options
from bench.running.training import Interrupted
from bench.running.worker import perform
from bench.spec import RunSpec
from bench.store import Store

BOTH = "toy_walks,toy_walks[features=true]"
METRICS = "mcc,mig@static,mig@dynamic,elbo,reconstruction"


@pytest.fixture(scope="module")
def grid(bench, tmp_path_factory):
    """The rows of three methods on images and on features."""
    folder = tmp_path_factory.mktemp("grid") / "results"
    arguments = ("--methods", "toy_static_dynamic,toy_generates,pca[n_latents=3]", "--datasets", BOTH, "--seeds", "1")
    done = bench("run", *arguments, "--budget", "smoke", "--metrics", METRICS, "--no-figures", "--results", str(folder))
    assert done.returncode == 0, done.stderr
    found = {}
    for path in (folder / "rows").glob("*/*/*.json"):
        row = Store(folder).find(path.stem)
        found[row["spec"]["method"], row["spec"]["dataset_params"]["features"]] = row
    return folder, done, found


@pytest.mark.parametrize("features", [False, True], ids=["images", "features"])
def test_a_sequence_method_is_scored_as_a_whole_and_in_its_parts(grid, features):
    row = grid[2]["toy_static_dynamic", features]
    assert row["status"] == "done"
    values = {key: entry["value"] for key, entry in row["metrics"].items()}
    assert values.keys() == {
        "mcc[spearman]", "mcc[pearson]", "mig[hist20]@static", "mig[hist20]@dynamic", "elbo", "elbo/weighted",
        "reconstruction[mse]",
    }  # fmt: skip
    assert None not in values.values()
    assert values["elbo/weighted"] >= values["elbo"]
    assert row["details"]["mcc[spearman]"]["factors"] == ["shade", "place"]
    # 90 sequences, a third of them for testing: all frames of each are rows
    assert row["notes"][0].startswith("scored on 300 + 150 rows of 60 + 30 sequences, up to 5 frames of each: ")
    assert len(row["training"]["curve"]["volume"]) > 0  # a term made of the extra


@pytest.mark.parametrize("features", [False, True], ids=["images", "features"])
def test_a_method_without_codes_runs_and_says_what_its_scores_would_take(grid, features):
    row = grid[2]["toy_generates", features]
    assert row["status"] == "done"
    assert {entry["value"] for entry in row["metrics"].values()} == {None}
    assert row["metrics"]["mcc[spearman]"]["reason"] == "mcc[spearman] needs codes, factors"
    assert "has no parts" in row["metrics"]["mig[hist20]@static"]["reason"]
    assert (grid[0] / "artifacts" / row["hash"] / "checkpoint.safetensors").exists()


def test_methods_of_frames_run_on_the_same_data_as_ever(grid):
    for features in (False, True):
        row = grid[2]["pca", features]
        assert row["spec"]["view"] == "images"
        assert row["metrics"]["mcc[spearman]"]["value"] > 0.3
        assert (
            "mig[hist20]@static needs a code with the part 'static'; this one has no parts"
            in (row["metrics"]["mig[hist20]@static"]["reason"])
        )
    assert grid[2]["pca", True]["metrics"]["reconstruction[mse]"]["value"] < 0.02  # not cut to [0, 1]


@pytest.fixture
def toys(monkeypatch):
    """The toy sequences, registered in this process for the length of a test."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "outside"))
    monkeypatch.setattr(registry, "_METHODS", dict(registry.methods()))
    registry.datasets()
    monkeypatch.setattr(registry, "_DATASETS", dict(registry._DATASETS))
    sys.modules.pop("toybench.sequences", None)
    yield importlib.import_module("toybench.sequences")
    sys.modules.pop("toybench.sequences", None)


def command(capsys, *arguments):
    """Exit code and stderr of the command line in this process."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0), capsys.readouterr().err


def test_a_second_call_scores_further_parts_from_the_checkpoint(toys, cache, grid, tmp_path):
    folder, _, rows = grid
    folders, old = Folders(tmp_path, cache, folder), rows["toy_static_dynamic", False]
    assert perform(RunSpec.from_dict(old["spec"]), Options(folders, metrics=("mcc@dynamic",))) == "done"
    row = Store(folder).find(old["hash"])
    assert row["metrics"]["mcc[spearman]@dynamic"]["value"] > 0
    assert row["training"] == old["training"]


def test_traversals_start_from_sequences_and_are_refused_where_nothing_can_be_drawn(toys, grid, capsys):
    folder, _, rows = grid
    results = ("--results", str(folder))
    assert command(capsys, "traverse", rows["toy_static_dynamic", False]["hash"], *results)[0] == 0
    assert command(capsys, "report", rows["toy_static_dynamic", True]["hash"], *results)[0] == 0
    for key, why in {
        ("toy_static_dynamic", True): "toy_walks has no images to draw: its observations are 12 features",
        ("toy_generates", False): "toy_generates cannot be traversed: it does not decode codes",
    }.items():
        assert command(capsys, "traverse", rows[key]["hash"], *results) == (2, f"bench: {why}\n")


def test_features_have_a_contact_sheet(toys, tmp_path, capsys):
    arguments = ("data", "show", "toy_walks[features=true]", "--output", str(tmp_path / "sheet.png"))
    assert command(capsys, *arguments)[0] == 0
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


@pytest.mark.parametrize("data", ["toy_walks", "toy_walks[features=true]"])
def test_steps_are_timed_with_the_extras_that_the_method_wants(toys, cache, tmp_path, data):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    assert 0 < seconds_per_step(spec_of(folders, data), "cpu") < 1


def spec_of(folders, data="toy_walks"):
    request = Request("toy_static_dynamic", data, (0,), "smoke", metrics=("mcc", "mig@dynamic"))
    (spec,) = build(request, folders, "cpu").runs
    return spec


@pytest.mark.parametrize("data", ["toy_walks", "toy_walks[features=true]"])
def test_a_run_with_extras_that_was_stopped_ends_bit_equal(toys, cache, tmp_path, monkeypatch, data):
    whole, stopped = (Folders(tmp_path / "data", cache, tmp_path / name) for name in ("whole", "stopped"))
    spec = spec_of(whole, data)
    assert perform(spec, Options(whole)) == "done"

    asked = iter(range(100))

    @contextmanager
    def stops_after_17_steps():
        yield lambda: next(asked) == 16

    with monkeypatch.context() as patched:
        patched.setattr(worker, "stop_requests", stops_after_17_steps)
        with pytest.raises(Interrupted):
            perform(spec, Options(stopped))
    assert perform(spec, Options(stopped)) == "done"
    rows = [Store(folders.results).read(spec) for folders in (whole, stopped)]
    assert rows[0]["metrics"] == rows[1]["metrics"]
    assert rows[0]["training"]["curve"] == rows[1]["training"]["curve"]
    first, second = (
        load_file(Store(folders.results).artifacts(spec.hash) / "checkpoint.safetensors")
        for folders in (whole, stopped)
    )
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first if not name.startswith("global/"))


def test_data_without_the_extra_are_refused_in_one_line_that_names_it(toys, cache, tmp_path):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    with pytest.raises(UsageError, match=r"toy_static_dynamic on toy_walks: needs the extra 'volume' with each batch"):
        spec_of(folders, "toy_walks[volume=false]")


def test_only_whole_sequences_are_prepared_apart_from_frames(toys, cache, tmp_path):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    request = Request("toy_static_dynamic,toy_generates,pca,ica", "toy_walks", (0, 1), "smoke", metrics=("mcc",))
    found = jobs(build(request, folders, "cpu").runs)
    assert [spec.view for spec in found] == ["sequences", "images"]


def test_a_revived_sequence_method_encodes_its_rows_from_their_sequences(toys, cache, tmp_path):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    spec = spec_of(folders)
    assert perform(spec, Options(folders)) == "done"
    row = Store(folders.results).read(spec)
    trained = revive(row, folders)
    kept, _, names = scored_codes(row, folders)
    assert names == ("shade", "place")
    assert trained.codes(3, 9) == pytest.approx(kept[3:9], abs=1e-5)
    assert trained.start(5)[0] == pytest.approx(kept[5], abs=1e-5)
    assert trained.shown_frames(4).shape == (4, 1, 8, 8)
    assert trained.decode(trained.start(5)).shape == (1, 1, 8, 8)
    with pytest.raises(UsageError, match="--base 450: there are 450 evaluation rows"):
        trained.start(450)
    other = spec_of(folders, "toy_walks[features=true]")
    with pytest.raises(NotTraversable, match="12 features"):
        revive({**row, "spec": other.to_dict()}, folders)
