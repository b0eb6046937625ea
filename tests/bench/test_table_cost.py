"""``bench table --cost`` as it is typed."""

import json
import re

import pytest


@pytest.fixture(scope="module")
def results(cache, tmp_path_factory):
    """Rows of β-VAE at two strengths and of a VAE: times of a step 40, 80 and 20 ms."""
    from bench.opening import Folders
    from bench.rows import empty_row
    from bench.running.grid import Request, build
    from bench.store import Store

    home = tmp_path_factory.mktemp("cost")
    folders = Folders(home / "data", cache, home / "results")
    store = Store(folders.results)
    for spec in build(Request("betavae[beta=4,8],vae", "dsprites", (0,), "smoke"), folders, "cpu").runs:
        row = empty_row(spec, "done", None)
        ms = {"vae": 20}.get(spec.method, 10 * spec.method_params.get("beta", 0))
        row["training"]["n_steps"] = 10
        row["cost"] = {"seconds": {"training": ms / 100}, "peak_memory_mb": 25.0 * ms, "device": "cpu"}
        store.write(spec, row)
    return folders.results


def test_a_table_against_the_method_with_default_parameters(typed, results):
    code, out, err = typed("table", "--cost", "--format", "csv", "--results", results)
    assert (code, err) == (0, "")
    head, *lines = (line.split(",") for line in out.split("\n"))
    at = {name: i for i, name in enumerate(head)}
    found = {line[at["method"]]: float(line[at["step_ratio"]]) for line in lines}
    assert found == pytest.approx({"betavae[beta=4]": 1.0, "betavae[beta=8]": 2.0, "vae": 0.5})


def test_another_method_to_compare_with_need_not_be_among_those_chosen(typed, results):
    arguments = ["--methods", "vae", "--against", "betavae[beta=8]", "--results", results]
    code, out, _ = typed("table", "--cost", *arguments)
    assert code == 0
    assert re.search(r"^vae .* 20 +0\.25 .* 500 +0\.25$", out, re.M)
    assert "beta=4" not in out.split("means over")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cost", "--against", "betvae"], "unknown method 'betvae'. Did you mean 'betavae'"),
        (["--cost", "--against", "vae,betavae"], "--against takes one method"),
        (["--cost", "--against", "betavae[gama=1]"], "gama"),
        (["--against", "vae"], "write `bench table --cost --against METHOD`"),
        (["--cost", "--rows"], "--cost prints a table of its own; leave out --rows"),
        (["--cost", "--metrics", "mcc"], "leave out --metrics"),
        (["--cost", "--methods", "ffrl"], "no stored rows of method 'ffrl'"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(typed, results, arguments, message):
    code, out, err = typed("table", *arguments, "--results", results)
    assert (code, out, err.count("\n")) == (2, "", 0)
    assert message in err


def test_rows_that_were_not_trained_have_no_costs(typed, results, tmp_path):
    import shutil

    shutil.copytree(results, tmp_path / "copy")
    for path in (tmp_path / "copy" / "rows").glob("*/*/*.json"):
        row = json.loads(path.read_text())
        row["training"]["n_steps"] = 0
        path.write_text(json.dumps(row))
    code, _, err = typed("table", "--cost", "--results", tmp_path / "copy")
    assert (code, err.count("\n")) == (2, 0)
    assert "was trained in steps" in err
