"""What every registered data set keeps to, at budget "smoke" from the source that needs no files."""

from itertools import islice

import numpy as np
import pytest
import torch

from bench import registry
from bench.evidence.evaluation import ITEM_VIEWS
from bench.fetching.self_test import look_at
from bench.opening import Folders, describe, open_dataset, resolve_source
from bench.spec import BUDGETS

DATASETS = registry.datasets()
N = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory, cache):
    return Folders(tmp_path_factory.mktemp("no data"), cache, tmp_path_factory.mktemp("results"))


OPENED = {}


def opened(name, folders):
    """Config, container; skipped where the data set has no source without its official files."""
    if name not in OPENED:
        entry = DATASETS[name]
        config = entry.config(**entry.card.budgets["smoke"])
        try:
            config, source = resolve_source(name, config, folders)
        except FileNotFoundError:
            pytest.skip("official files only")
        OPENED[name] = config, open_dataset(name, config, source, folders)
    return OPENED[name]


def draws(container, view, n=2, state=None):
    rng = np.random.default_rng(0)
    if state is not None:
        rng.bit_generator.state = state
    return rng, list(islice(container.batches(view, N, rng), n))


@pytest.mark.parametrize("name", DATASETS)
def test_an_absent_data_set_says_in_one_line_what_to_do(name, folders):
    entry = DATASETS[name]
    config = entry.config(**entry.card.budgets["smoke"])
    try:
        _, source = resolve_source(name, config, folders)
        assert source.kind in ("generated", "bundled")
    except FileNotFoundError as error:
        text = str(error)
        assert "\n" not in text
        assert text.startswith(name)
        assert "bench data fetch" in text


@pytest.mark.parametrize("name", DATASETS)
def test_cards_have_every_budget_and_files_can_be_checked(name):
    card = DATASETS[name].card
    assert set(card.budgets) == set(BUDGETS)
    for text in (card.title, card.paper, card.summary, card.license, card.verified):
        assert text.strip()
    for file in card.files:
        assert file.addresses or file.by_hand, file.name
        assert not any(character in file.name for character in "\\:"), file.name


@pytest.mark.parametrize("name", DATASETS)
def test_batches_are_floats_of_the_described_shape_and_their_index_is_in_range(name, folders):
    config, container = opened(name, folders)
    info = describe(name, config)
    for view in info.views:
        spec = container.spec(view)
        assert spec.observation_shape == info.observation_shape
        _, (draw, _) = draws(container, view)
        assert draw.x.shape == (N, spec.n_frames, *info.observation_shape)
        assert draw.x.dtype == torch.float32
        if len(info.observation_shape) == 3:
            assert draw.x.min() >= 0
            assert draw.x.max() <= 1
        assert draw.x.std() > 0
        assert draw.index.shape == (N,)
        assert draw.index.min() >= 0
        assert draw.index.max() < spec.n_train


@pytest.mark.parametrize("name", DATASETS)
def test_batches_follow_the_generator_alone(name, folders):
    _, container = opened(name, folders)
    for view in container.info.views:
        rng, first = draws(container, view)
        state = rng.bit_generator.state
        following = draws(container, view, n=1, state=state)[1][0]
        again = draws(container, view, n=3)[1]
        for a, b in zip([*first, following], again, strict=True):
            assert torch.equal(a.x, b.x)
            assert torch.equal(a.index, b.index)
        assert not torch.equal(first[0].x, first[1].x)


@pytest.mark.parametrize("name", DATASETS)
def test_labelled_rows_have_factors_within_their_sizes(name, folders):
    _, container = opened(name, folders)
    space = container.info.factors
    for view in container.info.views:
        drawn = container.labelled(200, np.random.default_rng(1), view=view)
        assert drawn.x.shape[2:] == container.info.observation_shape
        assert drawn.factors.shape == (*drawn.x.shape[:2], len(space.names))
        assert drawn.factors.dtype == (np.int64 if space.is_discrete else np.float64)
        for i, (size, kind) in enumerate(zip(space.sizes, space.kinds, strict=True)):
            column = drawn.factors[..., i]
            assert np.isfinite(column).all()
            if kind != "continuous":
                assert 0 <= column.min() <= column.max() < size, space.names[i]
                assert (column == np.round(column)).all()
        again = container.labelled(200, np.random.default_rng(1), view=view)
        np.testing.assert_array_equal(drawn.x, again.x)


def offers(view):
    return [name for name, entry in DATASETS.items() if view in describe(name, entry.config()).views]


@pytest.mark.parametrize("name", offers("transformations"))
def test_transformations_act_one_by_one_and_by_the_amounts_given(name, folders):
    config, container = opened(name, folders)
    info = describe(name, config)
    n_steps, n_kinds = info.n_frames - 1, len(info.transformations)
    spec = container.spec("transformations")
    assert (spec.n_frames, spec.transformations) == (info.n_frames, info.transformations)
    _, (draw, _) = draws(container, "transformations")
    assert draw.transformation.shape == (N, n_steps, n_kinds)
    assert draw.transformation.dtype == torch.float32
    for split in container.splits:
        still = container.moved(N, np.zeros((n_steps, n_kinds)), np.random.default_rng(0), split)
        np.testing.assert_array_equal(still, np.repeat(still[:, :1], n_steps + 1, axis=1))
        for kind in range(n_kinds):
            alone = np.eye(n_kinds)[kind] * np.ones((n_steps, 1))
            frames = container.moved(N, alone, np.random.default_rng(0), split)
            assert frames.shape == (N, info.n_frames, *info.observation_shape)
            assert (frames[:, 1:] != frames[:, :1]).any(axis=(2, 3, 4)).mean() > 0.8  # some look the same after a turn


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if describe(name, entry.config()).has_grid])
def test_a_grid_renders_any_cell_and_refuses_others(name, folders):
    _, container = opened(name, folders)
    space = container.info.factors
    cells = np.random.default_rng(2).integers(space.sizes, size=(5, len(space.sizes)))
    first, second = (container.render(cells, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.shape == (5, *container.info.observation_shape)
    assert first.dtype == np.uint8
    assert (first != second).any() == container.info.render_is_random
    cells[3, 0] = space.sizes[0]
    with pytest.raises(ValueError, match=f"factor '{space.names[0]}' has values 0 … {space.sizes[0] - 1}"):
        container.render(cells, np.random.default_rng(0))


# Data sets whose items are sequences

OF_ITEMS = {
    name: info
    for name, entry in DATASETS.items()
    if set((info := describe(name, entry.config())).views) & set(ITEM_VIEWS)
}


def item_view(container):
    return next(view for view in ITEM_VIEWS if view in container.info.views)


@pytest.mark.parametrize("name", OF_ITEMS)
def test_static_factors_hold_for_a_whole_sequence_and_some_dynamic_one_changes(name, folders):
    _, container = opened(name, folders)
    space, judged = container.info.factors, container.info.judged
    factors = container.labelled(100, np.random.default_rng(1), view=item_view(container)).factors
    changes = dict(zip(space.names, (factors != factors[:, :1]).any(axis=(0, 1)), strict=True))
    assert not any(changes[factor] for factor, dynamic in zip(space.names, space.dynamic, strict=True) if not dynamic)
    assert not any(changes[factor] for factor in judged)
    # a label of the whole sequence, an action say, is dynamic too: then it is one that a judge names
    assert any(changes.values()) or any(dict(zip(space.names, space.dynamic, strict=True))[one] for one in judged)


@pytest.mark.parametrize("name", [name for name, info in OF_ITEMS.items() if "sequences" in info.views])
def test_no_recording_is_on_both_sides_of_a_split_and_whole_splits_can_be_had(name, folders):
    _, container = opened(name, folders)
    recordings = {split: set(container.groups[container.rows_of(split)].tolist()) for split in container.splits}
    fit, test = container.evaluation_splits
    assert not recordings[fit] & recordings[test]
    every = container.every(test)
    assert len(every.x) == len(container.rows_of(test)) == len(set(container.rows_of(test).tolist()))
    assert every.x.shape[1:] == (container.info.n_frames, *container.info.observation_shape)
    assert len(recordings["train"]) == container.spec("sequences").n_sequences


@pytest.mark.parametrize("name", [name for name, info in OF_ITEMS.items() if info.extras])
def test_extras_have_the_shapes_announced_and_the_values_agreed(name, folders):
    _, container = opened(name, folders)
    view, names = item_view(container), tuple(container.info.extras)
    first, again = (next(container.batches(view, N, np.random.default_rng(3), extras=names)) for _ in range(2))
    spec = container.spec(view)
    for extra, values in first.extras.items():
        assert values.shape == (N, *container.info.extras[extra]), extra
        assert values.dtype == (torch.float32 if values.shape[1:] else torch.int64), extra
        assert torch.isfinite(values).all(), extra
        assert torch.equal(values, again.extras[extra]), extra
    for extra, holds in (
        ("flow_cells", lambda v: set(v[:, :, 0].unique().tolist()) <= {0, 1}),
        ("flow_cells", lambda v: set(v[:, :, 1].unique().tolist()) <= set(range(8))),
        ("voice_changed", lambda v: v.std() > 0 and not torch.equal(v, first.x)),
        ("volume", lambda v: (v >= 0).all() and v.std() > 0),
        ("recording", lambda v: ((v >= 0) & (v < spec.n_sequences)).all()),
        ("n_segments", lambda v: (v >= 1).all()),
    ):  # fmt: skip
        assert extra not in first.extras or holds(first.extras[extra]), extra
    with pytest.raises(ValueError, match="bring no 'nothing'"):
        container.batches(view, N, np.random.default_rng(3), extras=("nothing",))


@pytest.mark.parametrize("name", [name for name, info in OF_ITEMS.items() if info.transformations])
def test_amounts_say_what_moves_and_nothing_moves_without_them(name, folders):
    _, container = opened(name, folders)
    info = container.info
    wanted = (N, info.n_frames - 1, len(info.transformations))
    draw = next(container.batches("transformations", N, np.random.default_rng(0)))
    assert draw.transformation.shape == wanted
    assert draw.transformation.dtype == torch.float32
    assert (draw.transformation != 0).any()
    assert container.labelled(N, np.random.default_rng(0)).amounts.shape == wanted
    still = container.moved(N, np.zeros(wanted, np.float32), np.random.default_rng(2))
    assert still.shape == (N, info.n_frames, *info.observation_shape)
    assert (still == still[:, :1]).all()
    for kind in range(len(info.transformations)):
        amounts = np.zeros(wanted, np.float32)
        amounts[..., kind] = 1
        moved = container.moved(N, amounts, np.random.default_rng(2))
        assert (moved[:, 1:] != moved[:, :1]).any(), info.transformations[kind]


@pytest.mark.parametrize("name", OF_ITEMS)
def test_the_self_test_looks_at_whole_items_and_what_comes_with_them(name, folders):
    _, container = opened(name, folders)
    words = look_at(container, name)
    for more in (*container.info.extras, *container.info.transformations):
        assert more in words
