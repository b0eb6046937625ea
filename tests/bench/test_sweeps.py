"""From a selection to runs: named sweeps, and how a dry run counts them."""

from dataclasses import replace

import pytest

from bench.cli.run import _skipped_lines, _todo_lines
from bench.opening import Folders
from bench.registry import UsageError
from bench.running.grid import Request, build


def runs(tmp_path, methods):
    request = Request(methods, "natural_sprites[source=generated]", seeds=(0,), budget="smoke")
    return build(request, Folders(tmp_path, tmp_path, tmp_path), "cpu").runs


def test_a_named_sweep_is_its_points_with_the_users_other_values(tmp_path):
    found = [run.method_params for run in runs(tmp_path, "betavae[grid=study,n_latents=6]")]
    assert [params["beta"] for params in found] == [1, 2, 4, 6, 8, 16]
    assert {(params["network"], params["n_latents"]) for params in found} == {("study", 6)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("betavae[grid=studdy]", "no sweep is called 'studdy' (from --methods betavae[grid=studdy]); it has study"),
        ("vae[grid=study]", "no sweep is called 'study' (from --methods vae[grid=study]); it has none"),
        ("betavae[grid=study,beta=4]", "grid=study sets 'beta' itself (from --methods betavae[grid=study,beta=4])"),
        ("study[grid=study]", "study is a sweep itself and takes no 'grid' (from --methods study[grid=study])"),
        ("study[gamma=3]", "betavae: unknown parameter 'gamma' (from --methods study[gamma=3])"),
        ("studdy", "unknown method 'studdy'. Did you mean 'study'? `bench list methods` shows all of them."),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(tmp_path, text, message):
    with pytest.raises(UsageError) as error:
        runs(tmp_path, text)
    assert message in str(error.value)


# Locatello et al., ICML 2019: six strengths each, and what goes with them
STRENGTHS = {
    "betavae": [{"beta": b} for b in (1, 2, 4, 6, 8, 16)],
    "factorvae": [{"gamma": g} for g in (10, 20, 30, 40, 50, 100)],
    "dipvae1": [{"lambda_od": s, "lambda_d": 10 * s} for s in (1, 2, 5, 10, 20, 50)],
    "dipvae2": [{"lambda_od": s, "lambda_d": s} for s in (1, 2, 5, 10, 20, 50)],
    "betatcvae": [{"beta": b, "objective": "study"} for b in (1, 2, 4, 6, 8, 10)],
    "annealedvae": [{"c_max": c, "gamma": 1000} for c in (5, 10, 25, 50, 75, 100)],
}


def test_the_study_is_six_methods_at_six_strengths_beside_whatever_else_is_named(tmp_path):
    found = runs(tmp_path, "study[n_latents=6],pca")
    assert [run.method for run in found] == [name for name in STRENGTHS for _ in range(6)] + ["pca"]
    for run, strength in zip(found, (point for points in STRENGTHS.values() for point in points), strict=False):
        wanted = {"network": "study", "n_latents": 6, **strength}
        assert {key: run.method_params[key] for key in wanted} == wanted


def test_a_dry_run_has_one_line_for_each_method_on_each_data_set(tmp_path):
    found = [replace(run, seed=seed) for seed in range(3) for run in runs(tmp_path, "betavae[grid=study],pca")]
    lines = _todo_lines(found, {run.hash: 90.0 + run.seed for run in found})
    assert lines == [
        "betavae  natural_sprites    18 runs of about 1 min 31 s (6 settings)",
        "pca      natural_sprites     3 runs of about 1 min 31 s",
    ]
    assert _skipped_lines([(run, "too small") for run in found]) == [
        "betavae on natural_sprites: 18 runs skipped, too small",
        "pca on natural_sprites: 3 runs skipped, too small",
    ]
    assert _skipped_lines([(found[0], "too small")]) == ["betavae on natural_sprites: skipped, too small"]
