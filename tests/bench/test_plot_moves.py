"""``bench plot`` of known transformations: frames, fields and speeds in a picture are those of the trained method."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from bench import checkpoint
from bench.evidence import traversal_rule
from bench.evidence.traversal_rule import rule_for
from bench.inspection.flow_fields import flow_fields, principal_plane
from bench.inspection.inferred_speeds import inferred_speeds
from bench.inspection.moved_sequences import film
from bench.inspection.trained import loaded
from bench.opening import Folders, open_dataset, spec_dataset, spec_method
from bench.randomness import EVALUATION_SEED, stream
from bench.report.move_pictures import LEFT_PX, TOP_PX
from bench.rows import empty_row
from bench.running.grid import Request, build
from bench.spec import RunSpec
from bench.store import Store

METHODS = ("ffrl", "sta", "vae")
VAE = "vae[network=flow]"
ON = "transforming_mnist/0"


@pytest.fixture(scope="module", autouse=True)
def _few_sequences():
    """Rules are fitted to fewer sequences than those of scores."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"N_FIT": 4, "N_CODES": 64, "N_CANDIDATES": 3}.items():
            patch.setattr(traversal_rule, name, value)
        yield


@pytest.fixture(scope="module")
def folders(cache, tmp_path_factory):
    """A store with a finished row and a checkpoint of each method, at its first weights."""
    home = tmp_path_factory.mktemp("moves")
    folders = Folders(home / "data", cache, home / "results")
    store = Store(folders.results)
    for spec in build(Request("ffrl,sta,vae[network=flow]", "transforming_mnist", (0,), "smoke"), folders, "cpu").runs:
        cls, config = spec_method(spec)
        data = open_dataset(spec.dataset, *spec_dataset(spec), folders)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            weights = checkpoint.module_tensors(cls(config, data.spec(spec.view)))
        checkpoint.save(store.artifacts(spec.hash) / "checkpoint.safetensors", weights, {})
        store.write(spec, empty_row(spec, "done", None))
    return folders


@pytest.fixture(scope="module")
def rows(folders):
    return {name: Store(folders.results).find(f"{name}/{ON}") for name in METHODS}


@pytest.fixture(scope="module")
def revived(folders, rows):
    return {name: loaded(row, folders)[1:] for name, row in rows.items()}


@pytest.fixture(scope="module")
def switching(folders, rows):
    return film(dict(zip(("ffrl", "sta", VAE), rows.values(), strict=True)), "switching", folders)


def test_every_course_switches_half_way_between_neighbours(switching):
    assert switching.courses == ("scaling, then rotation", "rotation, then colouring", "colouring, then scaling")
    assert switching.amounts.shape == (3, 8, 3)
    for i, amounts in enumerate(switching.amounts):
        np.testing.assert_array_equal(amounts.argmax(1), [i] * 4 + [(i + 1) % 3] * 4)
        np.testing.assert_array_equal(amounts.sum(1), 1)


def test_the_frames_shown_are_what_the_method_makes_of_the_first_true_frame(switching, revived):
    x0, amounts = torch.from_numpy(switching.truth[:, 0]), torch.from_numpy(switching.amounts)
    method, _ = revived["ffrl"]
    with torch.inference_mode():
        expected = method.eval().transform(x0, amounts)
    np.testing.assert_allclose(switching.moved["ffrl"], expected, atol=1e-6)
    assert switching.rules == {"ffrl": "transform", "sta": "matched", VAE: "best_dim"}


def test_axis_aligned_codes_move_by_the_shared_rule_of_the_scores(switching, revived, rows):
    method, data = revived["vae"]
    dataset_id = RunSpec.from_dict(rows["vae"]["spec"]).dataset_id
    rule = rule_for(method, data, dataset_id, torch.device("cpu"))
    with torch.inference_mode():
        expected = rule.move(torch.from_numpy(switching.truth[:, 0]), torch.from_numpy(switching.amounts))
    np.testing.assert_allclose(switching.moved[VAE], expected, atol=1e-6)


def test_all_methods_are_given_one_sequence_and_it_moves_as_the_data_say(folders, rows, switching):
    alone = film({"sta": rows["sta"]}, "switching", folders)
    np.testing.assert_array_equal(alone.truth, switching.truth)
    # first enlarged by 1 + 0.1 t, then turned: nothing is added to the green channel of a red digit
    assert switching.truth[0, :, 1].max() == 0
    assert switching.truth[0, 4].sum() > 1.3 * switching.truth[0, 0].sum()
    assert switching.truth[0, 8].sum() == pytest.approx(switching.truth[0, 4].sum(), rel=0.1)


def test_the_number_beside_a_row_is_its_error_over_that_of_a_still_picture(switching):
    x, made = switching.truth[1].astype(float), switching.moved["sta"][1].astype(float)
    expected = np.abs(x[1:] - made[1:]).sum() / np.abs(x[1:] - x[0]).sum()
    assert switching.relative_error("sta")[1] == pytest.approx(expected, rel=1e-5)


def test_the_animation_shows_the_frames_of_every_method(typed, folders, switching, tmp_path):
    runs = [f"{name}/{ON}" for name in METHODS]
    code, out, err = typed("plot", "switching", *runs, "--results", folders.results, "-o", tmp_path)
    assert (code, err) == (0, "")
    made = [*tmp_path.glob("switching-*")]
    assert sorted(path.suffix for path in made) == [".gif", ".pdf", ".png", ".svg"]
    assert sorted(out.split("\n")) == sorted(map(str, made))
    with Image.open(next(path for path in made if path.suffix == ".gif")) as gif:
        assert gif.n_frames == 9
        gif.seek(6)
        pixels = np.asarray(gif.convert("RGB"), float)[TOP_PX::4, LEFT_PX::4].transpose(2, 0, 1) / 255
    # frames of 32 pixels, 1 apart, and 4 below the truth; a palette of 256 colours for all frames
    top, course = 36 + 33 * 1, 2
    shown = pixels[:, top : top + 32, 33 * course : 33 * course + 32]
    np.testing.assert_allclose(shown, switching.moved["sta"][course, 6], atol=0.07)
    np.testing.assert_allclose(pixels[:, :32, :32], switching.truth[0, 6], atol=0.07)


def test_superposed_sequences_are_of_both_at_once(folders, rows):
    found = film({"ffrl": rows["ffrl"]}, "superposing", folders)
    assert found.courses[0] == "scaling and rotation"
    np.testing.assert_array_equal(found.amounts[1], np.tile([0, 1, 1], (8, 1)))
    turned = found.truth[1, :, :, :, :].argmax(1)[:, 16, :]  # a hue of 160 degrees is mostly green at the end
    assert turned[0].max() == 0
    assert turned[8].max() > 0


def test_velocity_is_the_gradient_of_the_potential_and_paths_are_the_methods(folders, rows, revived):
    fields = flow_fields(rows["ffrl"], folders)
    assert [one.transformation for one in fields] == ["scaling", "rotation", "colouring"]
    assert [one.flow for one in fields] == [0, 1, 2]
    for one in fields:
        across, up = one.places[0, 1, 0] - one.places[0, 0, 0], one.places[1, 0, 1] - one.places[0, 0, 1]
        by_up, by_across = np.gradient(one.potential.astype(float), up, across)
        found = np.stack([by_across, by_up], axis=-1)[1:-1, 1:-1]
        size = np.abs(one.velocity).max()
        # differences over a step of the grid are exact to its square
        np.testing.assert_allclose(found, one.velocity[1:-1, 1:-1], atol=0.05 * size)
        assert 0 < one.in_plane <= 1 + 1e-6
        assert one.paths.shape == (24, 9, 2)
        gone = one.paths[:, -1] - one.paths[:, 0]
        assert gone.mean(0)[0] >= 0


def test_paths_of_double_control_follow_both_fields_of_a_flow(folders, rows, revived):
    one = flow_fields(rows["sta"], folders)[2]
    method, data = revived["sta"]
    rng = stream(EVALUATION_SEED, RunSpec.from_dict(rows["sta"]["spec"]).dataset_id, "flow fields")
    x0 = torch.from_numpy(data.moved(24, np.eye(3)[[0] * 8], rng, "test")[:, :1]).float()
    amounts = torch.zeros(24, 8, 6)
    amounts[:, :, [one.flow, one.flow + 3]] = 1
    with torch.no_grad():
        path = method.eval().moved(method.encode(x0)[:, 0], amounts).numpy()
    np.testing.assert_allclose(one.paths, path @ principal_plane(path), atol=1e-4)


def test_speeds_are_those_that_the_method_infers(folders, rows, revived):
    found = inferred_speeds(rows["sta"], folders)
    assert found.true.shape == (3, 8, 3)
    assert found.inferred.shape == (3, 50, 8, 6)
    assert found.n_flows == 3
    method, data = revived["sta"]
    rng = stream(EVALUATION_SEED, RunSpec.from_dict(rows["sta"]["spec"]).dataset_id, "inferred speeds")
    x = torch.from_numpy(data.moved(50, found.true[1], rng, "test")).float()
    with torch.inference_mode():
        np.testing.assert_allclose(found.inferred[1], method.eval().infer_amounts(x), atol=1e-5)


@pytest.mark.parametrize(("kind", "run"), [("flow", "ffrl"), ("speeds", "sta")])
def test_fields_and_speeds_are_drawn_in_three_formats(typed, folders, rows, kind, run, tmp_path):
    code, out, err = typed("plot", kind, f"{run}/{ON}", "--results", folders.results, "-o", tmp_path)
    assert (code, err) == (0, "")
    assert out.split("\n") == [f"{tmp_path}/{kind}-{rows[run]['hash']}{ending}" for ending in (".pdf", ".svg", ".png")]


def test_the_page_of_a_run_shows_its_moves(typed, folders, rows, tmp_path):
    page = tmp_path / "page.html"
    assert typed("report", f"sta/{ON}", "--results", folders.results, "-o", page)[::2] == (0, "")
    text = page.read_text(encoding="utf-8")
    error = film({"": rows["sta"]}, "switching", folders).relative_error("")
    for course, one in zip(("scaling, then rotation", "rotation, then colouring"), error, strict=False):
        assert f"<figcaption>{course}: error {one:.2f}</figcaption>" in text
    assert text.count("above those of the method") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["switching", "zzz"], "no row in"),
        (["switching", "--methods", "ffri"], "no stored rows of method 'ffri'"),
        (["switching", f"ffrl/{ON}", "--methods", "sta"], "takes RUNs or --methods, not both"),
        (["superposing", "--metrics", "mcc"], "--metrics is for scores"),
        (["generalisation"], r"holds nothing unseen; train on transforming_mnist\[unseen=fashion_mnist\]"),
        (["flow"], "draws one run; name it: bench plot flow METHOD/DATASET/SEED"),
        (["flow", f"ffrl/{ON}", f"sta/{ON}"], "draws one run, got"),
        (
            ["flow", f"vae/{ON}"],
            "vae has no flow field to draw; those that have: ffrl, ffrl_taught, ffrl_weak, poflow, sta",
        ),
        (["speeds", f"ffrl/{ON}"], "ffrl infers no speeds; those that do: ffrl_taught, ffrl_weak, sta"),
        (["speds", f"sta/{ON}"], "draws no 'speds'. Did you mean 'speeds'"),
        (["swiching"], "draws no 'swiching'. Did you mean 'switching'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_exit_2(typed, folders, arguments, message):
    code, out, err = typed("plot", *arguments, "--results", folders.results)
    assert (code, out, err.count("\n")) == (2, "", 0)
    assert re.search(message, err), err


def test_a_run_without_its_checkpoint_is_left_out_by_name(typed, folders, rows, tmp_path):
    store = Store(folders.results)
    path = store.artifacts(rows["sta"]["hash"]) / "checkpoint.safetensors"
    kept = path.read_bytes()
    path.unlink()
    try:
        options = ["--methods", "sta,vae", "--results", folders.results, "-o", tmp_path]
        code, out, err = typed("plot", "superposing", *options)
        assert code == 0
        assert len(out.split("\n")) == 4
        assert re.search("sta.* is left out: .*checkpoint.safetensors is not there", err)
        code, out, err = typed("plot", "superposing", f"sta/{ON}", *options[2:])
        assert (code, out, err.count("\n")) == (2, "", 0)
    finally:
        path.write_bytes(kept)
