"""Data sets of a user's own: what is read, what is refused, and that the name works wherever a data set's does."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

import bench as suite
from bench import registry
from bench.adding import add_dataset, add_file, layout_of
from bench.datasets.added import CARD, FRAMES, arrays, read_card
from bench.evidence.evaluation import evaluation_rows
from bench.fetching.self_test import look_at
from bench.opening import Folders, open_dataset, resolve_source
from bench.registry import UsageError
from bench.running.grid import Request, build
from bench.running.standing import Options
from bench.running.worker import perform
from bench.spec import RunSpec
from bench.store import Store
from metrics.protocols import protocol_named

RNG = np.random.default_rng(0)
GREY = RNG.integers(256, size=(30, 16, 16), dtype=np.uint8)
COLOUR = RNG.integers(256, size=(30, 16, 16, 3), dtype=np.uint8)
VIDEO = RNG.integers(256, size=(12, 5, 16, 16, 3), dtype=np.uint8)
LABELS = np.stack([np.arange(30) % 3, np.arange(30) % 5 * 10 - 7], axis=1)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path


def kept(root, name):
    """Frames and factors of an added data set, and its card."""
    card = read_card(root / "added" / name)
    return *arrays(card), card


@pytest.mark.parametrize(
    ("images", "layout", "expected"),
    [
        pytest.param(GREY, None, GREY[:, None, None], id="n h w"),
        pytest.param(GREY[..., None], None, GREY[:, None, None], id="n h w 1"),
        pytest.param(GREY[:, None], None, GREY[:, None, None], id="n 1 h w"),
        pytest.param(COLOUR, None, COLOUR.transpose(0, 3, 1, 2)[:, None], id="n h w 3"),
        pytest.param(COLOUR.transpose(0, 3, 1, 2), None, COLOUR.transpose(0, 3, 1, 2)[:, None], id="n 3 h w"),
        pytest.param(VIDEO[..., 0], None, VIDEO[:, :, None, ..., 0], id="n t h w"),
        pytest.param(VIDEO, None, VIDEO.transpose(0, 1, 4, 2, 3), id="n t h w 3"),
        pytest.param(VIDEO.transpose(0, 1, 4, 2, 3), None, VIDEO.transpose(0, 1, 4, 2, 3), id="n t 3 h w"),
        pytest.param(VIDEO[:, :3, ..., 0], "nthw", VIDEO[:, :3, None, ..., 0], id="three grey frames"),
        pytest.param(COLOUR.transpose(0, 2, 1, 3), "nwhc", COLOUR.transpose(0, 3, 1, 2)[:, None], id="turned"),
        pytest.param(GREY.astype(float) / 255, None, GREY[:, None, None], id="float64"),
        pytest.param(GREY.astype(np.float32) / 255, None, GREY[:, None, None], id="float32"),
        pytest.param(GREY > 99, None, 255 * (GREY > 99)[:, None, None], id="bool"),
        pytest.param((GREY > 99).astype(np.uint8), None, 255 * (GREY > 99)[:, None, None], id="0 and 1"),
        pytest.param(GREY[::-1], None, GREY[::-1][:, None, None], id="a view with negative strides"),
        pytest.param(np.asfortranarray(COLOUR), None, COLOUR.transpose(0, 3, 1, 2)[:, None], id="Fortran order"),
    ],
)
def test_images_are_brought_into_one_form(root, images, layout, expected):
    added = add_dataset("mine", images, layout=layout)
    frames, factors, card = kept(root, "mine")
    np.testing.assert_array_equal(frames, expected)
    assert frames.dtype == np.uint8
    assert factors.shape == (*expected.shape[:2], 0)
    assert added.path == root / "added" / "mine"
    assert card.info.views == (("pairs", "sequences", "images") if expected.shape[1] > 1 else ("images",))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((30, 3, 16, 3), "could be nhwc or nchw"),
        ((30, 5, 16, 16, 4), "are no images"),
        ((30, 16), "are no images"),
        ((2,) * 6, "are no images"),
    ],
)
def test_axes_that_cannot_be_told_are_asked_for(shape, message):
    with pytest.raises(UsageError, match=f"{message}.*--layout.*: n images, t time"):
        layout_of(shape, None)


@pytest.mark.parametrize("given", ["hwc", "nhw", "nhwx", "nhhw", "nhwcc", "thwc"])
def test_a_layout_must_fit(given):
    with pytest.raises(UsageError, match=r"--layout has a letter for each axis.*got"):
        layout_of((30, 16, 16, 3), given)


BAD = GREY.astype(float) / 255


@pytest.mark.parametrize(
    ("images", "message"),
    [
        pytest.param(BAD * 255, "got 0 … 255; divide by 255", id="0 to 255"),
        pytest.param(BAD * 2 - 1, r"\(x \+ 1\) / 2", id="-1 to 1"),
        pytest.param(np.where(BAD > 0.99, np.nan, BAD), "NaN", id="NaN"),
        pytest.param(GREY.astype(np.int64), "wanted uint8, or floats.*got int64", id="integers"),
        pytest.param(GREY * 0 + 7, "all values are 7", id="one grey"),
        pytest.param(GREY[:1], "wanted 2 or more", id="one image"),
        pytest.param(np.zeros((0, 16, 16), np.uint8), "wanted 2 or more", id="none"),
        pytest.param(np.array("text"), "without axes", id="no array"),
        pytest.param(GREY.astype(object), "got object", id="objects"),
    ],
)
def test_images_that_cannot_be_are_one_line_and_leave_nothing(root, images, message):
    with pytest.raises(UsageError, match=message) as error:
        add_dataset("mine", images)
    assert "\n" not in str(error.value)
    assert not list(root.rglob("*mine*"))


def test_integer_factors_become_class_indices_by_rank(root):
    add_dataset("mine", GREY, LABELS, factor_names=["shape", "angle"])
    _, factors, card = kept(root, "mine")
    np.testing.assert_array_equal(factors[:, 0], np.stack([np.arange(30) % 3, np.arange(30) % 5], axis=1))
    assert (card.factors.names, card.factors.sizes) == (("shape", "angle"), (3, 5))
    assert factors.dtype == np.int64


def test_float_factors_stay_measurements_unless_said_otherwise(root):
    values = LABELS + np.array([0, 0.5])
    added = add_dataset("mine", GREY, values)
    _, factors, card = kept(root, "mine")
    np.testing.assert_array_equal(factors[:, 0], values)
    assert card.factors.kinds == ("continuous", "continuous")
    assert any("factor 0 is whole numbers" in note for note in added.notes)
    add_dataset("mine", GREY, values, discrete=[True, False], replace=True)
    _, factors, card = kept(root, "mine")
    np.testing.assert_array_equal(factors[:, 0], np.stack([np.arange(30) % 3, values[:, 1]], axis=1))
    assert (card.factors.kinds, card.factors.sizes) == (("ordinal", "continuous"), (3, 0))


def test_factors_of_a_sequence_are_those_of_each_of_its_frames(root):
    who, where = np.arange(12), np.arange(60).reshape(12, 5)
    add_dataset("still", VIDEO, who)
    np.testing.assert_array_equal(kept(root, "still")[1][..., 0], np.repeat(who[:, None], 5, axis=1))
    add_dataset("moving", VIDEO, np.stack([np.repeat(who[:, None], 5, axis=1), where], axis=-1))
    _, factors, card = kept(root, "moving")
    np.testing.assert_array_equal(factors[..., 1], where)
    assert card.factors.dynamic == (False, True)


@pytest.mark.parametrize(
    ("factors", "options", "message"),
    [
        (LABELS[:-1], {}, r"wanted \(30, k\), one row per image, got \(29, 2\)"),
        (LABELS, {"factor_names": ["one"]}, "one per column of the factors, got 1 for 2"),
        (LABELS, {"factor_names": ["a", "a"]}, "one is there twice"),
        (LABELS, {"factor_names": ["a", "b\n"]}, "cannot be shown in a table"),
        (LABELS, {"discrete": [True]}, "got 1 for 2"),
        (np.where(LABELS == 0, np.nan, LABELS), {}, "NaN or infinite in row 0"),
        (LABELS.astype(str), {}, "wanted integers"),
        (None, {"factor_names": ["a"]}, "but no factors"),
    ],
)
def test_factors_that_do_not_fit_are_one_line_and_leave_nothing(root, factors, options, message):
    with pytest.raises(UsageError, match=message):
        add_dataset("mine", GREY, factors, **options)
    assert not list(root.rglob("*mine*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("natural_sprites", "is a data set of the suite"),
        ("../escaped", "is no name"),
        ("a,b", "is no name"),
        ("a[b=c]", "is no name"),
        ("", "is no name"),
        ("x" * 61, "is no name"),
    ],
)
def test_a_name_must_be_free_and_one_that_can_be_typed(root, name, message):
    with pytest.raises(UsageError, match=message):
        add_dataset(name, GREY)
    assert not (root / "added").exists()


def test_a_name_is_taken_until_it_is_replaced(root):
    add_dataset("mine", GREY)
    with pytest.raises(UsageError, match="--replace"):
        add_dataset("mine", COLOUR)
    assert kept(root, "mine")[0].shape[2] == 1
    add_dataset("mine", COLOUR, replace=True)
    assert kept(root, "mine")[0].shape[2] == 3
    assert [path.name for path in (root / "added").iterdir()] == ["mine"]


def test_what_cannot_be_replaced_by_bad_data_stays(root):
    add_dataset("mine", GREY)
    with pytest.raises(UsageError):
        add_dataset("mine", GREY, LABELS[:3], replace=True)
    np.testing.assert_array_equal(kept(root, "mine")[0][:, 0, 0], GREY)


def test_equal_content_has_one_fingerprint_in_every_file_format(root, tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, factors=LABELS)
    np.savez_compressed(tmp_path / "b.npz", imgs=GREY[:, None], labels=LABELS.astype(np.int32))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("x", data=GREY[..., None], chunks=(7, 16, 16, 1), compression="gzip")
        file["y"] = LABELS
    for name in ("a.npz", "b.npz", "c.h5"):
        add_file(name[0], tmp_path / name)
    add_dataset("d", GREY, LABELS)
    assert len({kept(root, name)[2].fingerprint for name in "abcd"}) == 1
    add_dataset("e", GREY, LABELS, factor_names=["other", "names"])
    add_dataset("f", GREY[::-1], LABELS)
    assert len({kept(root, name)[2].fingerprint for name in "aef"}) == 3


def test_files_larger_than_a_piece_are_read_in_pieces(root, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.files.array_file.PIECE", 3_000)
    np.savez(tmp_path / "a.npz", images=COLOUR)
    np.save(tmp_path / "b.npy", COLOUR)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["images"] = COLOUR
    for name in ("a.npz", "b.npy", "c.h5"):
        add_file(name[0], tmp_path / name)
        np.testing.assert_array_equal(kept(root, name[0])[0][:, 0], COLOUR.transpose(0, 3, 1, 2))


def test_keys_names_and_kinds_can_be_said(root, tmp_path):
    np.savez(tmp_path / "a.npz", left=GREY, right=255 - GREY, truth=LABELS.astype(float), factor_names=["a", "b"])
    add_file("mine", tmp_path / "a.npz", images="right", factors="truth", discrete=["b"])
    frames, _, card = kept(root, "mine")
    np.testing.assert_array_equal(frames[:, 0, 0], 255 - GREY)
    assert (card.factors.names, card.factors.kinds) == (("a", "b"), ("continuous", "ordinal"))


class Exploding:
    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


def test_files_that_cannot_be_are_one_line_and_leave_nothing(root, tmp_path):
    (tmp_path / "text.csv").write_text("a,b\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps({"images": GREY}))
    np.savez(tmp_path / "names.npz", left=GREY, right=GREY)
    np.savez(tmp_path / "both.npz", images=GREY, x=GREY)
    np.savez(tmp_path / "objects.npz", images=np.array([Exploding()], dtype=object))
    np.savez(tmp_path / "good.npz", images=GREY)
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "short.npz").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with h5py.File(tmp_path / "hollow.h5", "w") as file:
        file.create_dataset("images", shape=(10**6, 1000, 1000), dtype="u1")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file["images"] = h5py.ExternalLink("good.h5", "/images")
    np.save(tmp_path / "liar.npy", GREY)
    content = (tmp_path / "liar.npy").read_bytes()
    (tmp_path / "liar.npy").write_bytes(
        content.replace(b"(30, 16, 16)", b"(30000, 16, 16)").replace(b"    \n", b" \n", 1)
    )
    expected = {
        "text.csv": "is none of npz, npy and HDF5",
        "empty.npz": "is none of",
        "pickle.npz": "is none of",
        "names.npz": "holds left, right; say which are the images with --images KEY",
        "both.npz": "holds images and x; say which",
        "objects.npz": "pickled",
        "short.npz": "short",
        "damaged.npz": "damaged",
        "hollow.h5": "nothing was ever written",
        "outside.h5": "holds no arrays",
        "liar.npy": "damaged or cut short",
        "absent.npz": "no such file",
    }
    for name, message in expected.items():
        with pytest.raises(UsageError, match=message) as error:
            add_file("mine", tmp_path / name)
        assert "\n" not in str(error.value)
    assert not list(root.rglob("*mine*"))


def opened(root, cache, name):
    folders = Folders(root, cache, root / "results")
    config, source = resolve_source(name, registry.dataset(name).config(), folders)
    return open_dataset(name, config, source, folders), source, folders


@pytest.mark.parametrize("with_factors", [True, False])
@pytest.mark.parametrize("images", [GREY, VIDEO], ids=["images", "sequences"])
def test_it_opens_as_what_it_is(root, cache, images, with_factors):
    add_dataset("mine", images, np.arange(len(images)) if with_factors else None)
    data, source, _ = opened(root, cache, "mine")
    words = look_at(data, "mine")
    assert source.kind == "user"
    assert source.fingerprint == kept(root, "mine")[2].fingerprint
    assert ("factors: factor 0" if with_factors else "no factors") in words


def test_pairs_are_neighbouring_frames_and_images_are_theirs(root, cache):
    add_dataset("mine", VIDEO, np.arange(60).reshape(12, 5, 1))
    data, _, _ = opened(root, cache, "mine")
    factors = data.labelled(200, np.random.default_rng(0), view="pairs").factors[..., 0]
    assert (factors[:, 1] - factors[:, 0] == 1).all()
    assert set(factors[:, 0].tolist()) == {i for i in range(60) if i % 5 < 4}
    pairs = next(data.batches("pairs", 8, np.random.default_rng(3))).x
    images = next(data.batches("images", 16, np.random.default_rng(3))).x
    assert (images[:, 0].reshape(pairs.shape) == pairs).all()
    assert data.spec("sequences").n_frames == 5


@pytest.mark.parametrize("images", [GREY, VIDEO], ids=["images", "sequences"])
def test_scores_are_tested_on_images_that_nothing_was_fitted_to(root, cache, images):
    add_dataset("mine", images, np.arange(len(images)))
    data, _, _ = opened(root, cache, "mine")

    class NoCache:
        def cached(self, name, build):
            return build()

        def cached_rows(self, name, n_rows, build, chunk):
            return np.concatenate([build(slice(i, min(i + chunk, n_rows))) for i in range(0, n_rows, chunk)])

    protocol = protocol_named("quick")
    rows = evaluation_rows(data, "mine", NoCache(), protocol)
    x, factors = rows.x, rows.factors
    fit, test = set(factors[: protocol.n_draw, 0].tolist()), set(factors[protocol.n_draw :, 0].tolist())
    assert not fit & test
    assert fit | test == set(range(len(images)))
    assert len(test) == len(images) // 3
    assert len(x) == protocol.n_draw + protocol.n_test
    assert data.spec("images").n_train >= len(images)


def test_its_name_is_found_listed_and_guessed(root):
    add_dataset("shelf", GREY, LABELS)
    assert (
        registry.dataset("shelf").card.summary
        == "Added from arrays: 30 images of 1 × 16 × 16, factors factor 0, factor 1."
    )
    with pytest.raises(UsageError, match="Did you mean 'shelf'"):
        registry.dataset("shelff")
    registry.dataset("natural_sprites")


def test_a_damaged_card_is_said_where_the_name_is_used_and_other_names_work(root, cache):
    add_dataset("mine", GREY)
    add_dataset("other", GREY)
    for damage in ("", "[]", "{}", '{"format": 2}', "[" * 50_000):
        (root / "added/mine" / CARD).write_text(damage)
        with pytest.raises(ValueError, match=r"card.json: damaged .*add it again"):
            opened(root, cache, "mine")
    opened(root, cache, "other")
    about = json.loads((root / "added/other" / CARD).read_text())
    (root / "added/other" / CARD).write_text(json.dumps(about | {"frames": [31, 1, 1, 16, 16]}))
    with pytest.raises(ValueError, match=f"{FRAMES} is not what was added"):
        opened(root, cache, "other")


def test_a_run_on_images_without_factors_scores_what_needs_none(root, cache, tmp_path):
    add_dataset("plain", GREY[:20])
    folders = Folders(root, cache, tmp_path / "results")
    grid = build(Request("pca,oracle,random_codes", "plain", (0,), "smoke"), folders, "cpu")
    assert [spec.method for spec in grid.runs] == ["pca"]
    assert {reason for _, reason in grid.skipped} == {"what it offers is scored against factors, and plain has none"}
    (spec,) = grid.runs
    assert (spec.source, spec.fingerprint) == ("user", kept(root, "plain")[2].fingerprint)
    assert perform(spec, Options(folders, metrics=("mcc", "mig", "reconstruction"))) == "done"
    row = Store(folders.results).read(RunSpec.from_dict(spec.to_dict()))
    assert row["metrics"]["reconstruction[mse]"]["value"] < 0.1
    assert row["metrics"]["mig[hist20]"]["reason"] == "mig[hist20] needs factors"


def test_a_grid_on_added_sequences_offers_all_its_views(root, cache, tmp_path):
    add_dataset("walks", RNG.integers(256, size=(6, 4, 64, 64), dtype=np.uint8), np.arange(6))
    folders = Folders(root, cache, tmp_path / "results")
    grid = build(Request("slowvae,betavae", "walks", (0,), "smoke"), folders, "cpu")
    assert [(spec.method, spec.view) for spec in grid.runs] == [("slowvae", "pairs"), ("betavae", "images")]


def test_the_lines_of_the_readme_make_a_data_set(root, cache):
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    code = text.partition("## Your own data")[2].partition("```python\n")[2].partition("```")[0]
    exec(compile(code, "README.md", "exec"), {})
    data, source, _ = opened(root, cache, "shelf")
    assert source.kind == "user"
    assert look_at(data, "shelf") == "500 images of 3 × 64 × 64; factors: hue 5, angle 7"


def test_the_function_is_where_a_user_looks_for_it(root):
    assert (
        str(suite.add_dataset("mine", GREY, LABELS)) == "mine: 30 images of 16 × 16, 1 channel; factor 0 3, factor 1 5"
    )


def test_the_command_line_adds_lists_verifies_and_finds(bench_in_process, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("BENCH_DATA", raising=False)
    np.savez(tmp_path / "a.npz", images=GREY, factors=LABELS)
    root = ["--data-root", str(tmp_path / "data")]
    assert bench_in_process(
        "data", "add", "a_name_of_this_test", str(tmp_path / "a.npz"), "--factor-names", "a,b", *root
    ) == (0, "")
    assert bench_in_process("data", "verify", "a_name_of_this_test", *root) == (0, "")
    assert bench_in_process("data", "show", "a_name_of_this_test", "-o", str(tmp_path / "sheet.png"), *root) == (0, "")
    assert (tmp_path / "sheet.png").stat().st_size > 1_000
    code, error = bench_in_process("data", "add", "a_name_of_this_test", str(tmp_path / "a.npz"), *root)
    assert (code, error.count("\n")) == (2, 1)
    frames = np.load(tmp_path / "data/added/a_name_of_this_test" / FRAMES, mmap_mode="r+")
    frames[0, 0, 0, 0, 0] ^= 255
    frames.flush()
    assert bench_in_process("data", "verify", "a_name_of_this_test", *root)[0] == 1
    code, error = bench_in_process("data", "show", "a_name_of_this_test")
    assert (code, "unknown data set 'a_name_of_this_test'" in error) == (2, True)


def test_a_name_that_was_added_is_completed(root, tmp_path, monkeypatch):
    from bench.cli.completion import names_of

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    assert "shelf" not in names_of("datasets")
    add_dataset("shelf", GREY)
    assert "shelf" in names_of("datasets")


def test_a_full_disk_is_one_line_and_leaves_nothing(root, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    real = Path.open

    def full(path, mode="r", *arguments, **keywords):
        return real(Path("/dev/full") if path.name == FRAMES else path, mode, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match=r"the disk of .* is full"):
        add_dataset("mine", GREY)
    monkeypatch.undo()
    assert not list(root.rglob("*mine*"))
