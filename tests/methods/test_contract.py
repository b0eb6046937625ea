"""What every registered method keeps to, whatever it learns: built at budget "smoke" on a tiny description of data."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from bench.api import Batch, DataSpec
from bench.registry import methods

FRAMES = {"images": 1, "pairs": 2, "sequences": 8, "transformations": 8}
AUDIO = {"FHVAE"}  # titles of methods that take audio features alone
METHODS = methods()
TRAINED = [name for name, entry in METHODS.items() if entry.config().n_steps]
FITTED = [name for name, entry in METHODS.items() if hasattr(entry.target, "fit")]
ENCODING = [name for name, entry in METHODS.items() if hasattr(entry.target, "encode")]


def tiny_spec(card):
    if card.title in AUDIO:
        extras = {"recording": (), "n_segments": ()}
        return DataSpec((200,), FRAMES[card.view], n_train=64, n_sequences=8, extras=extras)
    names = ("scaling", "rotation", "colouring") if card.view == "transformations" else ()
    return DataSpec((1, 64, 64), FRAMES[card.view], n_train=64, n_sequences=64, transformations=names)


def observations(card, n=6, seed=0):
    """Smooth random images in [0, 1], (n, time, 1, 64, 64), or random audio features (n, time, 200)."""
    if card.title in AUDIO:
        return torch.randn(n, FRAMES[card.view], 200, generator=torch.Generator().manual_seed(seed))
    coarse = torch.rand(n * FRAMES[card.view], 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    frames = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")
    return frames.unflatten(0, (n, FRAMES[card.view]))


def build(name, seed=0):
    """The method as a run would have it before its first step: initialised from a seed, fitted if it fits."""
    entry = METHODS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = entry.target(entry.config(**entry.card.budgets["smoke"]), tiny_spec(entry.card))
    if hasattr(method, "fit"):
        x = observations(entry.card, n=60, seed=9).flatten(0, 1)
        method.fit(x, torch.Generator().manual_seed(seed))
    return method.eval()


def batch(card):
    extras = {"recording": torch.arange(6), "n_segments": torch.full((6,), 8)} if card.title in AUDIO else {}
    # where the method is told: each of three transformations acts on two of the items
    told = torch.eye(3).repeat(2, 1)[:, None].repeat(1, FRAMES[card.view] - 1, 1) if card.supervised else None
    return Batch(observations(card), torch.arange(6), step=0, n_steps=10, transformation=told, extras=extras)


@torch.no_grad()
def encoded(method, x):
    return method.encode(x)


def global_states():
    return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()  # noqa: NPY002


@pytest.mark.parametrize("name", ENCODING)
def test_codes_are_float32_finite_deterministic_and_one_row_per_observation(name):
    method, x = build(name), observations(METHODS[name].card)
    codes = encoded(method, x)
    assert codes.dtype == torch.float32
    assert codes.shape[:2] == x.shape[:2]
    assert codes.ndim == 3
    assert torch.isfinite(codes).all()
    assert torch.equal(codes, encoded(method, x))
    assert codes.flatten(0, 1).std(0).max() > 0  # quantised codes may start with constant columns


@pytest.mark.parametrize("name", [n for n in ENCODING if not METHODS[n].card.batch_dependent])
def test_codes_do_not_depend_on_what_is_encoded_beside_them(name):
    method, x = build(name), observations(METHODS[name].card)
    whole = encoded(method, x)
    pieces = torch.cat([encoded(method, x[:1]), encoded(method, x[1:6])])
    # Kernels sum in another order for another number of rows: float32 rounding, relative to the codes' size.
    torch.testing.assert_close(pieces, whole, rtol=0, atol=2e-5 * whole.abs().max().item())


@pytest.mark.parametrize("name", [n for n in ENCODING if hasattr(METHODS[n].target, "decode")])
def test_decoded_frames_lie_in_the_unit_interval(name):
    method, x = build(name), observations(METHODS[name].card)
    with torch.no_grad():
        frames = method.decode(5 * encoded(method, x).flatten(0, 1))
    assert frames.shape == x.flatten(0, 1).shape
    assert frames.dtype == torch.float32
    assert frames.min() >= 0
    assert frames.max() <= 1


@pytest.mark.parametrize("name", TRAINED)
def test_losses_are_finite_scalars_that_reach_every_parameter_of_their_player(name):
    method = build(name).train()
    for player in method.players:
        terms = method.losses(batch(METHODS[name].card), torch.Generator().manual_seed(0), player)
        for term, value in terms.items():
            assert value.shape == (), term
            assert value.dtype == torch.float32, term
            assert torch.isfinite(value), term
        parameters = method.player_parameters(player)
        method.zero_grad()
        terms["loss"].backward(inputs=parameters)
        idle = [
            key
            for key, parameter in method.named_parameters()
            if any(parameter is p for p in parameters) and (parameter.grad is None or not parameter.grad.any())
        ]
        assert idle == []


@pytest.mark.parametrize("name", TRAINED)
def test_losses_are_decided_by_the_generator_they_are_given(name):
    # built twice: batch and spectral norms keep running state
    methods = [build(name).train() for _ in range(2)]
    seen = batch(METHODS[name].card)
    with torch.no_grad():
        first, second = (
            [method.losses(seen, torch.Generator().manual_seed(3), p)["loss"].item() for p in method.players]
            for method in methods
        )
    assert first == second


@pytest.mark.parametrize("name", TRAINED)
def test_losses_run_under_bfloat16_autocast_and_stay_near_float32(name):
    method = build(name).to(memory_format=torch.channels_last).train()
    seen = batch(METHODS[name].card)
    for player in method.players:
        with torch.no_grad():
            exact = method.losses(seen, torch.Generator().manual_seed(0), player)
            with torch.autocast("cpu", torch.bfloat16):
                fast = method.losses(seen, torch.Generator().manual_seed(0), player)
        for term, value in fast.items():
            assert value.dtype == torch.float32, term
            # bfloat16 keeps 8 bits; the terms of a fresh network are sums of many such values
            torch.testing.assert_close(value, exact[term], rtol=0.02, atol=0.05)


@pytest.mark.parametrize("name", METHODS)
def test_global_generators_are_left_untouched(name):
    method, card = build(name), METHODS[name].card
    before = global_states()
    x = observations(card)
    if name in FITTED:
        method.fit(observations(card, n=60).flatten(0, 1), torch.Generator().manual_seed(0))
    if name in ENCODING:
        encoded(method, x)
    if name in TRAINED:
        for player in method.players:
            method.losses(batch(card), torch.Generator().manual_seed(0), player)
    if card.reads_factors:
        method.encode_factors(torch.zeros(3, 2), torch.Generator().manual_seed(0))
    assert global_states() == before


@pytest.mark.parametrize("name", ENCODING)
def test_saved_weights_give_equal_codes_in_a_method_built_from_another_seed(name):
    x = observations(METHODS[name].card)
    method, other = build(name, seed=0), build(name, seed=1)
    codes = encoded(method, x)
    state = {key: tensor.contiguous() for key, tensor in method.state_dict().items()}
    other.load_state_dict(load(save(state)))
    assert torch.equal(encoded(other, x), codes)


@pytest.mark.parametrize("name", METHODS)
def test_cards_are_filled_and_budgets_name_existing_parameters(name):
    entry = METHODS[name]
    assert set(entry.card.budgets) == {"smoke", "quick", "standard", "paper"}
    assert entry.card.budgets["paper"] == {}  # published settings are the config's own defaults
    for budget in entry.card.budgets.values():
        entry.config(**budget)
    for field in ("title", "paper", "summary", "verified", "source"):
        assert len(getattr(entry.card, field)) > 2, field
    assert dataclasses.is_dataclass(entry.config)
    assert entry.config.__dataclass_params__.frozen
    assert any(hasattr(entry.target, way) for way in ("encode", "encode_factors", "generate"))  # MoCoGAN has no codes
    assert (name in TRAINED) != (entry.card.family == "reference")
