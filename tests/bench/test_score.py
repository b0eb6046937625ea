"""`bench score` and `bench.score`: the scorer's numbers from any file, and one clear line for files that are wrong."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import bench as suite
from bench import representation
from bench.cli import main
from bench.spec import RunSpec
from bench.store import Store, row_problem
from metrics import scoring

RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(size, size=600) for size in (3, 6, 4)], axis=1)
CODES = FACTORS @ RNG.normal(size=(3, 5)) + 0.1 * RNG.normal(size=(600, 5))
NAMES = ("shape", "size", "hue")
CHEAP = "mcc,mig,modularity"


def write_npz(folder):
    path = folder / "codes.npz"
    np.savez(path, codes=CODES, factors=FACTORS, factor_names=np.array(NAMES))
    return [path]


def write_npz_compressed(folder):
    path = folder / "codes.npz"
    np.savez_compressed(path, latents=CODES, factors=FACTORS.astype(np.int16), factor_names=np.array(NAMES, "S"))
    return [path]


def write_npz_split(folder):
    path = folder / "codes.npz"
    train = {"codes_train": CODES[:400], "factors_train": FACTORS[:400], "factor_names": np.array(NAMES)}
    np.savez(path, **train, codes_test=CODES[400:], factors_test=FACTORS[400:])
    return [path]


def write_npy(folder):
    np.save(folder / "codes.npy", np.asfortranarray(CODES.astype(">f8")))
    pd.DataFrame(FACTORS, columns=NAMES).to_csv(folder / "factors.csv", index=False)
    return [folder / "codes.npy", folder / "factors.csv"]


def write_csv(folder):
    path = folder / "codes.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"factors_{name}" for name in NAMES), *(f"codes_{i}" for i in range(5))])
        writer.writerows([*f, *map(repr, map(float, c))] for f, c in zip(FACTORS.tolist(), CODES, strict=True))
    return [path]


def write_two_csv(folder):
    pd.DataFrame(CODES).to_csv(folder / "codes.csv")  # header 0 … 4, and a nameless column of row numbers
    pd.DataFrame(FACTORS, columns=NAMES).to_csv(folder / "factors.tsv", sep="\t")
    return [folder / "codes.csv", folder / "factors.tsv"]


def write_savetxt(folder):
    np.savetxt(folder / "codes.txt", CODES, fmt="%.17g")
    np.savetxt(folder / "factors.txt", FACTORS, fmt="%d", delimiter=";", header=";".join(NAMES))
    return [folder / "codes.txt", folder / "factors.txt"]


def write_hdf5(folder):
    path = folder / "codes.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("codes", data=CODES, chunks=True, compression="gzip")
        file["factors"], file["factor_names"] = FACTORS, list(NAMES)
    return [path]


WRITERS = [
    write_npz, write_npz_compressed, write_npz_split, write_npy, write_csv, write_two_csv, write_savetxt, write_hdf5,
]  # fmt: skip


@pytest.fixture
def call(capsys):
    """The command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["score", *map(str, arguments)])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def expected():
    evidence = {
        "codes": CODES[:400], "factors": FACTORS[:400], "codes_test": CODES[400:], "factors_test": FACTORS[400:]
    }  # fmt: skip
    return scoring.score(evidence, factor_names=NAMES)


def test_the_function_gives_the_scorers_numbers(expected):
    found = suite.score(CODES, FACTORS, factor_names=NAMES)
    own = {key: entry["value"] for key, entry in expected.values.items() if not key.startswith("reconstruction")}
    assert dict(found) == own
    assert found["mig[hist20]"] == own["mig[hist20]"]
    assert found.scores.details.keys() == expected.details.keys()


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_gives_the_same_numbers(write, tmp_path):
    codes, *factors = write(tmp_path)
    found = representation.score_files(codes, *factors, metrics=CHEAP)
    memory = suite.score(CODES, FACTORS, factor_names=NAMES, metrics=CHEAP)
    assert dict(found) == dict(memory)
    assert found.factors == memory.factors
    assert [factor["name"] for factor in found.factors] == list(NAMES)
    if write is not write_npz_split:
        assert found.fingerprints == memory.fingerprints


@pytest.mark.parametrize(
    ("codes", "factors"),
    [
        pytest.param(torch.tensor(CODES, requires_grad=True), torch.tensor(FACTORS), id="tensors"),
        pytest.param(pd.DataFrame(CODES), pd.DataFrame(FACTORS, columns=NAMES), id="data frames"),
        pytest.param(CODES.tolist(), FACTORS.tolist(), id="lists"),
    ],
)
def test_arrays_of_other_libraries_score_alike(codes, factors):
    assert dict(suite.score(codes, factors, metrics=CHEAP)) == dict(suite.score(CODES, FACTORS, metrics=CHEAP))


def test_digits_are_scored_in_three_lines():
    digits = load_digits()
    codes = PCA(10, random_state=0).fit_transform(digits.data)
    scored = suite.score(codes, digits.target)

    # a linear map of ten components tells digits apart, and one factor alone cannot be disentangled from others
    assert scored["explicitness[lbfgs]/test"] > 0.95
    assert scored["dci[gbt]/disentanglement"] is None
    assert "at least two" in scored.reasons["dci[gbt]/disentanglement"]
    assert (scored.n_train, scored.n_test, scored.n_latents) == (1198, 599, 10)
    assert "explicitness[lbfgs]/test" in repr(scored)
    assert "<td>explicitness[lbfgs]/test</td>" in scored._repr_html_()


def test_columns_keep_their_kinds():
    frame = pd.DataFrame({"class": FACTORS[:, 0], "angle": RNG.normal(size=600)})
    scored = suite.score(CODES, frame, metrics="mcc[spearman],mig")
    assert [factor["kind"] for factor in scored.factors] == ["discrete", "continuous"]
    assert scored.reasons == {"mig[hist20]": "mig[hist20] needs discrete factors; angle is continuous"}
    assert scored["mcc[spearman]"] is not None


def test_grid_codes_feed_interventions(tmp_path):
    sizes = (3, 4)
    grid = np.stack(np.meshgrid(*map(range, sizes), indexing="ij"), -1).reshape(-1, 2).astype(float)
    np.savez(tmp_path / "grid.npz", grid_codes=grid, factor_sizes=sizes)
    scored = representation.score_files(tmp_path / "grid.npz", metrics="factorvae_score", protocol="locatello2019")
    assert scored["factorvae_score@locatello2019"] == 1.0


def test_codes_that_a_run_kept_are_scored_with_its_own_split(tmp_path):
    from bench.running.kept_codes import save_codes

    save_codes(tmp_path / "codes.h5", CODES, FACTORS, n_train=450)
    scored = representation.score_files(tmp_path / "codes.h5", metrics="mcc")
    assert (scored.n_train, scored.n_test) == (450, 150)


@pytest.mark.parametrize(
    ("factors", "hint"),
    [
        (np.sort(FACTORS, axis=0), "shuffle the rows"),
        (
            FACTORS.astype(np.float32),
            "whole numbers written as floats count as continuous: factor 0, factor 1, factor 2",
        ),
        (np.hstack([FACTORS, np.ones((600, 1), int)]), "left out, one value only: factor 3"),
        (np.hstack([FACTORS, RNG.permutation(600)[:, None]]), "factor 3 is discrete with 600 values"),
    ],
)
def test_signs_of_a_mistake_are_told(factors, hint):
    notes = suite.score(CODES, factors, metrics="mcc[spearman]").notes
    assert any(hint in note for note in notes), notes


def test_a_constant_latent_is_told_and_changes_nothing_that_averages_over_factors():
    scored = suite.score(np.hstack([CODES, np.ones((600, 1))]), FACTORS, metrics="mcc[spearman]")
    assert "constant latents: 1 of 6" in scored.notes
    assert scored["mcc[spearman]"] == suite.score(CODES, FACTORS, metrics="mcc[spearman]")["mcc[spearman]"]


def test_json_holds_every_number_or_null_with_a_reason(call, tmp_path):
    np.savez(tmp_path / "c.npz", codes=CODES, factors=FACTORS, ids=np.arange(600))
    code, out, err = call(tmp_path / "c.npz", "--metrics", "mig,betavae_score", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    mig = found["metrics"]["mig[hist20]"]
    assert mig["value"] == suite.score(CODES, FACTORS, metrics="mig")["mig[hist20]"]
    assert (mig["floor"], mig["ceiling"], mig["higher_is_better"]) == (0.0006, 0.887, True)
    assert found["metrics"]["betavae_score"]["value"] is None
    assert "grid_codes" in found["metrics"]["betavae_score"]["reason"]
    assert found["dropped_factors"] == []
    assert found["versions"]["bench"] == suite.__version__
    assert found["notes"] == ["not read from c.npz: ids"]


def test_the_table_shows_bounds_and_reasons(call, tmp_path):
    np.savez(tmp_path / "c.npz", codes=CODES, factors=FACTORS.astype(float))
    code, out, _ = call(tmp_path / "c.npz", "--metrics", "mcc[spearman],mig")
    lines = out.splitlines()
    row = next(line for line in lines if line.startswith("mig"))
    assert code == 0
    assert row.split() == ["mig[hist20]", "—", "0.0006", "0.887", "↑"]
    assert lines[lines.index(row) + 1].strip().startswith("mig[hist20] needs discrete factors")
    code, out, _ = call(tmp_path / "c.npz", "--metrics", "mig", "--discrete", "all")
    assert code == 0
    assert "—" not in out


def test_a_saved_row_stands_in_a_table_of_its_own(call, tmp_path, capsys):
    results = tmp_path / "results"
    for seed, noise in ((0, 0.0), (1, 0.5), (2, 0.7)):
        path = tmp_path / f"seed{seed}.npz"
        np.savez(path, codes=CODES + noise * RNG.normal(size=CODES.shape), factors=FACTORS)
        label = ("--name", "mine", "--dataset", "toy", "--seed", seed, "--results", results)
        assert call(path, "--metrics", CHEAP, "--save", *label)[0] == 0
    rows = list(Store(results).rows())
    assert [row_problem(row) for row in rows] == ["", "", ""]
    assert {(row["spec"]["source"], row["spec"]["budget"], row["spec"]["view"]) for row in rows} == {
        ("user", "none", "codes")
    }
    with pytest.raises(SystemExit) as ended:
        main(["table", "--results", str(results), "--format", "csv"])
    table = pd.read_csv(io.StringIO(capsys.readouterr().out)).set_index("metric")
    assert not ended.value.code
    assert table.loc["mig[hist20]", "n"] == 3
    values = [row["metrics"]["mig[hist20]"]["value"] for row in rows]
    assert table.loc["mig[hist20]", "mean"] == pytest.approx(np.mean(values), abs=1e-9)


def test_a_row_has_the_fields_of_a_trained_one(tmp_path):
    from bench.running.worker import empty_row
    from bench.scored_row import row_of, spec_of

    scored = suite.score(CODES, FACTORS, metrics="mig")
    spec = spec_of(scored, "mine", "toy", 0)
    row = row_of(scored, spec)
    assert set(row) - set(empty_row(spec, "done", None)) == {"codes"}
    assert set(empty_row(spec, "done", None)) <= set(row)
    assert row["scored"] == {"mig[hist20]": 1}
    assert RunSpec.from_dict(json.loads(json.dumps(row["spec"]))).hash == row["hash"]


def test_saving_again_adds_metrics_and_never_replaces_other_codes(call, tmp_path):
    path = tmp_path / "c.npz"
    np.savez(path, codes=CODES, factors=FACTORS)
    label = ("--save", "--dataset", "toy", "--results", tmp_path / "r")
    call(path, "--metrics", "mig", *label)
    assert call(path, "--metrics", "modularity", *label)[0] == 0
    (row,) = Store(tmp_path / "r").rows()
    assert set(row["metrics"]) == set(row["scored"]) == {"mig[hist20]", "modularity[hist20]"}
    np.savez(path, codes=CODES + 1e-9, factors=FACTORS)
    code, _, err = call(path, "--metrics", "mig", *label)
    assert code == 2
    assert "holds other codes of c on toy, seed 0" in err


def test_importing_the_suite_or_scoring_loads_no_torch():
    code = (
        "import sys, bench; before = [m for m in ('numpy', 'torch', 'pandas') if m in sys.modules]; bench.score;"
        "import bench.scored_row, bench.report.scored; print(before, 'torch' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False False"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--metrics", "migg"), "Did you mean 'mig'"),
        (("--metrics", ","), "none are named"),
        (("--metrics", "betavae_score"), r"nothing can be scored; betavae_score needs grid_codes"),
        (("--protocol", "slow"), "unknown protocol 'slow'"),
        (("--discrete", "hut"), "Did you mean 'hue'"),
        (("--name", "x"), "add --save"),
        (("--results", "x"), "add --save"),
        (("--save",), "--save needs --dataset"),
        (("--save", "--dataset", "../up"), "names a folder"),
        (("--factors", "absent.npz"), "absent.npz: no such file"),
        (("--factors", "codes.npz"), "is in .*codes.npz already"),
    ],
)
def test_wrong_options_get_one_line(arguments, hint, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (path,) = write_npz(tmp_path)
    code, out, err = call(path, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(hint, err), err


@pytest.mark.parametrize(
    ("codes", "factors", "more", "hint"),
    [
        (np.where(CODES[7, 1] == CODES, np.nan, CODES), FACTORS, {}, "codes: nan at row 7, column 1"),
        (CODES, FACTORS[:9], {}, r"wanted \(600, factors\), got \(9, 3\)"),
        (CODES, FACTORS, {"codes_test": CODES}, "codes_test without factors_test"),
        (CODES, FACTORS, {"grid_codes": CODES}, "grid_codes without factor_sizes"),
        (CODES, FACTORS, {"grid_codes": CODES, "factor_sizes": [3, 6, 4]}, "wanted 72 .* got 600"),
        (CODES, FACTORS, {"factor_names": ["a"]}, "got 1 for 3 factors"),
        (CODES, FACTORS + 0.5, {"discrete": [True] * 3}, "column 0 is discrete, so whole numbers are wanted"),
        (CODES[:2], FACTORS[:2], {}, "wanted 3 or more, got 2"),
        (CODES, FACTORS, {"metrics": "nothing"}, "unknown metric 'nothing'"),
    ],
)
def test_the_function_raises_with_the_place(codes, factors, more, hint):
    with pytest.raises(ValueError, match=hint):
        suite.score(codes, factors, **more)


def test_names_from_a_file_cannot_move_the_cursor_or_write_html():
    name = "\x1b[2J<script>"
    scored = suite.score(CODES, FACTORS, factor_names=[name, "b", "c"], metrics="mcc[spearman]")
    assert "\x1b" not in repr(scored)
    assert "<script>" not in scored._repr_html_()


GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("judge_confident", {"judge/acc": 0.9266667, "judge/is": 5.516071, "judge/h_y": 2.196159}),
        ("judge_binary", {"judge/acc": 0.732, "judge/kl_generated_real": 1.439381}),
        ("eer_separated", {"eer": 0.0209064}),
    ],
)
@pytest.mark.parametrize("form", ["npz", "h5"])
def test_outputs_of_a_judge_and_vectors_of_speakers_are_scored_without_factors(case, expected, form, call, tmp_path):
    path = GOLDEN / f"{case}.npz"
    if form == "h5":
        with np.load(path) as arrays, h5py.File(tmp_path / "given.h5", "w") as file:
            for key, array in arrays.items():
                file[key] = array
        path = tmp_path / "given.h5"
    results = tmp_path / "results"
    code, out, _ = call(path, "--json", "--save", "--dataset", "golden", "--results", results)
    assert code == 0
    found = {key: entry["value"] for key, entry in json.loads(out)["metrics"].items()}
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-6)
    (row,) = Store(results).rows()
    assert row_problem(row) == ""
    assert row["metrics"][next(iter(expected))]["value"] == pytest.approx(next(iter(expected.values())), abs=1e-6)


def test_the_table_of_a_judge_says_what_was_judged(call, tmp_path):
    code, out, _ = call(GOLDEN / "judge_confident.npz")
    assert code == 0
    assert out.startswith("judge_confident.npz: 1,200 generated sequences judged, 9 classes; protocol quick\n\n")
    code, _, err = call(GOLDEN / "judge_confident.npz", "--discrete", "all")
    assert (code, err.count("\n")) == (2, 1)
    assert "names factors" in err


def test_labels_beside_codes_are_left_alone_as_before(call, tmp_path):
    np.savez(tmp_path / "c.npz", codes=CODES, factors=FACTORS, labels=np.array(["a"] * 600))
    code, out, _ = call(tmp_path / "c.npz", "--metrics", "mig")
    assert code == 0
    assert "not read from c.npz: labels" in out
