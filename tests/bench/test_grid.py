"""From a selection to runs: named sweeps."""

import pytest

from bench.grid import Request, build
from bench.opening import Folders
from bench.registry import UsageError


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
    ],
)
def test_a_sweep_that_cannot_be_is_refused(tmp_path, text, message):
    with pytest.raises(UsageError) as error:
        runs(tmp_path, text)
    assert message in str(error.value)
