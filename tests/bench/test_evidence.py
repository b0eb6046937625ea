"""The rows that scores are made from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.api import Method
from bench.datasets.base import DataInfo, DataStore, FactorSpace
from bench.datasets.containers import ImageData, SequenceData
from bench.evidence import encoding, evaluation
from bench.evidence.gathering import Evidence, available
from metrics import scoring
from metrics.protocols import protocol_named

SPACE = FactorSpace(("number",), (200,), ("ordinal",), (False,))
PROTOCOL = replace(protocol_named("quick"), n_train=30, n_test=13)


def images(splits=None):
    """200 images whose every pixel is their number."""
    numbers = np.arange(200)
    frames = np.broadcast_to(numbers.astype(np.uint8)[:, None, None, None], (200, 1, 2, 2)).copy()
    return ImageData(DataInfo((1, 2, 2), ("images",), SPACE), frames, numbers[:, None], splits)


@pytest.mark.parametrize("at_once", [7, 15_000])
def test_rows_drawn_in_pieces_keep_their_factors_and_their_split(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(evaluation, "DRAWN_AT_ONCE", at_once)
    data = images({"train": np.arange(150), "test": np.arange(150, 200)})
    data.evaluation_splits = ("train", "test")
    rows = evaluation.evaluation_rows(data, "some data", DataStore(tmp_path, tmp_path, "key"), PROTOCOL)
    x, factors = rows.x, rows.factors
    assert x.shape == (43, 1, 2, 2)
    np.testing.assert_array_equal(x[:, 0, 0, 0], factors[:, 0])
    assert factors[:30].max() < 150 <= factors[30:].min()


def test_factors_lost_from_the_cache_are_drawn_again_to_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "DRAWN_AT_ONCE", 7)
    store = DataStore(tmp_path, tmp_path, "key")
    first = evaluation.evaluation_rows(images(), "some data", store, PROTOCOL).factors.copy()
    for path in tmp_path.glob("*factors.npy"):
        path.unlink()
    rows = evaluation.evaluation_rows(images(), "some data", store, PROTOCOL)
    x, again = rows.x, rows.factors
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(x[:, 0, 0, 0], again[:, 0])


def test_images_with_a_test_split_are_scored_on_it(tmp_path):
    data = images({"train": np.arange(150), "test": np.arange(150, 200)})
    factors = evaluation.evaluation_rows(data, "some data", DataStore(tmp_path, tmp_path, "key"), PROTOCOL).factors
    assert factors[:30].max() < 150 <= factors[30:].min()


def test_images_that_are_warped_to_floats_are_kept_as_bytes(tmp_path):
    class Floats(ImageData):
        def labelled(self, n, rng, split="train", view="images"):
            drawn = super().labelled(n, rng, split, view)
            return replace(drawn, x=(drawn.x / 255).astype(np.float32))

    numbers = images()
    data = Floats(numbers.info, numbers.frames, numbers.factors)
    rows = evaluation.evaluation_rows(data, "some data", DataStore(tmp_path, tmp_path, "key"), PROTOCOL)
    assert rows.x.dtype == np.uint8
    np.testing.assert_array_equal(rows.x[:, 0, 0, 0], rows.factors[:, 0])


# Methods that encode whole sequences

N_FRAMES = 6


def sequences(n_train, n_test, split=True):
    """Sequences whose every pixel is their number, and whose dynamic factor is the frame's number."""
    n = n_train + n_test
    numbers = np.broadcast_to(np.arange(n)[:, None], (n, N_FRAMES))
    factors = np.stack([numbers, np.broadcast_to(np.arange(N_FRAMES), numbers.shape)], axis=-1)
    frames = np.broadcast_to(numbers[..., None, None, None], (n, N_FRAMES, 1, 2, 2)).astype(np.uint8)
    space = FactorSpace(("number", "time"), (n, N_FRAMES), ("categorical", "ordinal"), (False, True))
    info = DataInfo((1, 2, 2), ("sequences", "images"), space, n_frames=N_FRAMES)
    splits = {"train": np.arange(n_train), "test": np.arange(n_train, n)} if split else None
    return SequenceData(info, frames, factors, splits)


def rows_of(data, tmp_path, n_train=30, n_test=13):
    protocol = replace(PROTOCOL, n_train_sequences=n_train, n_test_sequences=n_test)
    return evaluation.evaluation_rows(data, "some", DataStore(tmp_path, tmp_path, "key"), protocol, "sequences")


def test_every_sequence_gives_one_row_of_a_random_frame_where_there_are_enough(tmp_path):
    rows = rows_of(sequences(60, 40), tmp_path)
    assert len(rows) == 43
    assert rows.n_train == 30
    assert len(set(rows.factors[:, 0])) == 43  # nothing twice
    assert rows.factors[:30, 0].max() < 60 <= rows.factors[30:, 0].min()
    assert set(rows.factors[:, 1]) == set(range(N_FRAMES))
    np.testing.assert_array_equal(rows.frames(slice(43))[:, 0, 0, 0], rows.factors[:, 0])
    np.testing.assert_array_equal(rows.items(5, 9)[:, :, 0, 0, 0], rows.item_factors[5:9, :, 0])
    assert rows.notes == ()
    again = rows_of(sequences(60, 40), tmp_path)
    np.testing.assert_array_equal(rows.factors, again.factors)


@pytest.mark.parametrize(("n_test", "n_rows"), [(5, 13), (2, 12)], ids=["further frames", "all there are"])
def test_too_few_sequences_give_further_frames_of_themselves_and_say_so(tmp_path, n_test, n_rows):
    rows = rows_of(sequences(60, n_test), tmp_path)
    test = rows.factors[30:]
    assert len(test) == len(np.unique(test, axis=0)) == n_rows
    counts = np.bincount(test[:, 0] - 60)
    assert counts.max() - counts.min() <= 1
    assert f"of 30 + {n_test} sequences, up to {counts.max()} frames of each" in rows.notes[0]


def test_without_a_test_split_a_third_of_the_sequences_is_for_testing(tmp_path):
    rows = rows_of(sequences(12, 0, split=False), tmp_path, 8, 8)
    fit, test = set(rows.factors[: rows.n_train, 0]), set(rows.factors[rows.n_train :, 0])
    assert (len(fit), len(test)) == (8, 4)
    assert not fit & test


class Knowing(Method):
    """Encodes each frame as [number of the sequence, number of the frame], plus parts that say where they are of."""

    card = type("Card", (), {"reads_factors": False, "view": "sequences"})
    part_names = ("static", "dynamic", "speeds")

    def parts(self, x):
        times = torch.arange(x.shape[1], dtype=torch.float32).expand(len(x), -1)[..., None]
        return {
            "static": x[:, 0, 0, 0, :1] * 255,
            "dynamic": torch.cat([times, times], dim=-1),
            "speeds": times[:, 1:],  # the step that ends at this frame
        }

    def encode(self, x):
        parts = self.parts(x)
        return torch.cat([parts["static"][:, None].expand(-1, x.shape[1], -1), parts["dynamic"]], dim=-1)

    def decode(self, codes):
        return (codes[:, :1] / 255)[:, :, None, None].expand(-1, 1, 2, 2)


class InColumns(Knowing):
    """Its parts are its code, one after another, so that nothing is encoded twice."""

    part_names = ("static", "dynamic")
    calls = 0

    def parts(self, x):
        type(self).calls += 1
        return {name: codes for name, codes in super().parts(x).items() if name in self.part_names}


@pytest.mark.parametrize("method", [Knowing(), InColumns()], ids=lambda method: type(method).__name__)
def test_codes_and_parts_of_a_row_are_those_of_its_sequence_and_frame(tmp_path, monkeypatch, method):
    monkeypatch.setattr(encoding, "CHUNK", 4 * N_FRAMES)
    data = sequences(60, 10)
    rows = rows_of(data, tmp_path)
    made = Evidence(method, data, "some", rows, PROTOCOL, torch.device("cpu"), 0)
    names = available(type(method), data.info) - {"cell_codes", "cell_kl", "member"}
    arrays = made.gather(names)
    assert set(arrays) == names
    for suffix, span in (("", slice(0, 30)), ("_test", slice(30, None))):
        number, time = rows.factors[span].T
        np.testing.assert_allclose(arrays[f"codes{suffix}"], np.stack([number, time, time], 1), atol=1e-4)
        np.testing.assert_allclose(arrays[f"codes{suffix}@static"][:, 0], number, atol=1e-4)
        np.testing.assert_array_equal(arrays[f"codes{suffix}@dynamic"], np.stack([time, time], 1))
        # a part is scored against the factors of its kind alone: the others are constant
        np.testing.assert_array_equal(arrays[f"factors{suffix}@static"], np.stack([number, 0 * time], 1))
        np.testing.assert_array_equal(arrays[f"factors{suffix}@dynamic"], np.stack([0 * number, time], 1))
        if "speeds" in method.part_names:
            np.testing.assert_array_equal(
                arrays[f"codes{suffix}@speeds"][:, 0], arrays[f"factors{suffix}@speeds"][:, 1]
            )
            np.testing.assert_array_equal(arrays[f"factors{suffix}@speeds"][:, 1], np.maximum(time, 1))
    np.testing.assert_allclose(arrays["reconstructions"], arrays["observations"], atol=1e-6)


def test_parts_that_are_columns_of_the_code_are_encoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 4 * N_FRAMES)
    monkeypatch.setattr(InColumns, "calls", 0)
    data = sequences(60, 10)
    made = Evidence(InColumns(), data, "some", rows_of(data, tmp_path), PROTOCOL, torch.device("cpu"), 0)
    made.gather({"codes", "codes@static", "codes@dynamic", "codes_test@static"})
    n_chunks = -(-40 // 4)
    assert InColumns.calls == n_chunks + 2  # encode calls it once a piece; two more to see where the parts are


def test_rows_of_a_part_that_the_data_has_no_factors_for_are_not_offered(tmp_path):
    space = FactorSpace(("number",), (9,), ("categorical",), (False,))
    info = DataInfo((1, 2, 2), ("sequences",), space, n_frames=N_FRAMES)
    names = available(Knowing, info)
    assert {"codes@dynamic", "factors@static", "factors@speeds"} <= names
    assert "factors@dynamic" not in names
    ids, refused = scoring.applicable(
        names, True, ["mig@static", "mig@dynamic", "mig@capsules", "reconstruction@static"]
    )
    assert ids == ["mig[hist20]@static"]
    assert refused["mig[hist20]@dynamic"] == "mig[hist20]@dynamic needs factors@dynamic"
    assert refused["mig[hist20]@capsules"].endswith("the part 'capsules'; this one has static, dynamic, speeds")
    assert "needs observations@static, reconstructions@static" in refused["reconstruction[mse]@static"]
