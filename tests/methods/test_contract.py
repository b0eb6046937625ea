"""What every registered method keeps to, whatever it learns: built at budget "smoke" on tiny descriptions of data.

A method is held to its contract on every kind of data of its view that its constructor takes.
"""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from tiny_data import SPECS, amounts, batch, name_of, observations

from bench.registry import methods
from bench.report.terms import term_title
from metrics.registry import PARTS

METHODS = methods()
TRAINED = [name for name, entry in METHODS.items() if entry.config().n_steps]
OF_ITEM = {
    "static": 0,
    "utterance": 0,
    "dynamic": 1,
    "capsules": 1,
    "speeds": 1,
}  # axes before the last but the batch's


def offering(*capabilities):
    return [name for name, entry in METHODS.items() if all(hasattr(entry.target, one) for one in capabilities)]


FITTED, ENCODING = offering("fit"), offering("encode")


@cache
def accepted(name):
    """Descriptions of data that the method can be built for: ``ValueError`` is its way to decline."""
    found, reasons = [], []
    for spec in SPECS[METHODS[name].card.view]:
        try:
            built(name, spec)
            found.append(spec)
        except ValueError as error:
            reasons.append(str(error))
    assert found, reasons
    assert all("\n" not in reason and reason for reason in reasons), reasons
    return found


def built(name, spec, seed=0):
    entry = METHODS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return entry.target(entry.config(**entry.card.budgets["smoke"]), spec)


def build(name, spec, seed=0):
    """The method as a run would have it before its first step: initialised from a seed, fitted if it fits."""
    method = built(name, spec, seed)
    if hasattr(method, "fit"):
        x = observations(spec, n=60, seed=9).flatten(0, 1)
        method.fit(x, torch.Generator().manual_seed(seed))
    return method.eval()


def batch_for(name, spec, method, seed=0):
    return batch(spec, method.extras, METHODS[name].card.supervised, seed)


def each(names):
    """A test for each of these methods, on all that it takes."""
    return pytest.mark.parametrize("name", names)


@torch.no_grad()
def encoded(method, x):
    return method.encode(x)


def check_observations(x, shape, spec):
    """Float32 of this shape (before the observation's), finite, images in [0, 1]."""
    assert x.shape == (*shape, *spec.observation_shape), name_of(spec)
    assert x.dtype == torch.float32
    assert torch.isfinite(x).all()
    if len(spec.observation_shape) == 3:
        assert x.min() >= 0
        assert x.max() <= 1


def global_states():
    return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()  # noqa: NPY002


@each(ENCODING)
def test_codes_are_float32_finite_deterministic_and_one_row_per_observation(name):
    for spec in accepted(name):
        method, x = build(name, spec), observations(spec)
        codes = encoded(method, x)
        assert codes.dtype == torch.float32
        assert codes.shape[:2] == x.shape[:2]
        assert codes.ndim == 3
        assert torch.isfinite(codes).all()
        assert torch.equal(codes, encoded(method, x))
        assert codes.flatten(0, 1).std(0).max() > 0  # quantised codes may start with constant columns


@each([n for n in ENCODING if not METHODS[n].card.batch_dependent])
def test_codes_do_not_depend_on_what_is_encoded_beside_them(name):
    for spec in accepted(name):
        method, x = build(name, spec), observations(spec)
        whole = encoded(method, x)
        pieces = torch.cat([encoded(method, x[:1]), encoded(method, x[1:6])])
        # Kernels sum in another order for another number of rows: float32 rounding, relative to the codes' size.
        torch.testing.assert_close(pieces, whole, rtol=0, atol=2e-5 * whole.abs().max().item())


@each(offering("encode", "decode"))
def test_decoded_frames_are_observations_whatever_the_codes(name):
    for spec in accepted(name):
        method, x = build(name, spec), observations(spec)
        codes = encoded(method, x).flatten(0, 1)
        with torch.no_grad():
            check_observations(method.decode(5 * codes), codes.shape[:1], spec)


@each(TRAINED)
def test_losses_are_finite_scalars_that_reach_every_parameter_of_their_player(name):
    for spec in accepted(name):
        method = build(name, spec).train()
        one = batch_for(name, spec, method)
        for player in method.players:
            terms = method.losses(one, torch.Generator().manual_seed(0), player)
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
            assert idle == [], name_of(spec)


@each(TRAINED)
def test_every_term_that_a_method_logs_has_a_unit(name):
    spec = accepted(name)[0]
    method = build(name, spec).train()
    for player in method.players:
        with torch.no_grad():
            terms = method.losses(batch_for(name, spec, method), torch.Generator().manual_seed(0), player)
        for term in terms:
            assert "(" in term_title(term), term


@each(TRAINED)
def test_losses_are_decided_by_the_generator_they_are_given(name):
    for spec in accepted(name):
        # built twice: batch and spectral norms keep running state
        both = [build(name, spec).train() for _ in range(2)]
        one = batch_for(name, spec, both[0])
        with torch.no_grad():
            first, second = (
                [method.losses(one, torch.Generator().manual_seed(3), p)["loss"].item() for p in method.players]
                for method in both
            )
        assert first == second


@each(TRAINED)
def test_losses_run_under_bfloat16_autocast_and_stay_near_float32(name):
    for spec in accepted(name):
        method = build(name, spec).to(memory_format=torch.channels_last).train()
        one = batch_for(name, spec, method)
        # what runs through a recurrent network loses a little more of bfloat16's 8 bits
        rtol, atol = (0.05, 0.1) if spec.n_frames > 2 else (0.02, 0.05)
        for player in method.players:
            with torch.no_grad():
                exact = method.losses(one, torch.Generator().manual_seed(0), player)
                with torch.autocast("cpu", torch.bfloat16):
                    fast = method.losses(one, torch.Generator().manual_seed(0), player)
            for term, value in fast.items():
                assert value.dtype == torch.float32, term
                # the terms of a fresh network are sums of many such values
                torch.testing.assert_close(value, exact[term], rtol=rtol, atol=atol, msg=lambda m, t=term: f"{t}: {m}")


@each(METHODS)
def test_global_generators_and_the_batch_are_left_untouched(name):
    card, spec = METHODS[name].card, accepted(name)[0]
    method = build(name, spec)
    x, one = observations(spec), batch_for(name, spec, method)
    kept = {key: value.clone() for key, value in {"x": one.x, **one.extras}.items()}
    before = global_states()
    generator = torch.Generator().manual_seed(0)
    if name in FITTED:
        method.fit(observations(spec, n=60).flatten(0, 1), generator)
    if name in ENCODING:
        encoded(method, x)
    if hasattr(method, "sample_prior"):
        with torch.no_grad():
            method.sample_prior(3, spec.n_frames, generator)
    if name in TRAINED:
        for player in method.players:
            method.losses(one, generator, player)
    if card.reads_factors:
        method.encode_factors(torch.zeros(3, 2), generator)
    assert global_states() == before
    for key, value in {"x": one.x, **one.extras}.items():
        assert torch.equal(value, kept[key]), key


@each(ENCODING)
def test_saved_weights_give_equal_codes_in_a_method_built_from_another_seed(name):
    for spec in accepted(name):
        x = observations(spec)
        method, other = build(name, spec, seed=0), build(name, spec, seed=1)
        codes = encoded(method, x)
        state = {key: tensor.contiguous() for key, tensor in method.state_dict().items()}
        other.load_state_dict(load(save(state)))
        assert torch.equal(encoded(other, x), codes)


@each(offering("log_weights"))
def test_log_weights_of_frames_or_sequences_are_finite_and_decided_by_the_generator(name):
    for spec in accepted(name):
        method, x = build(name, spec), observations(spec)
        x = x if METHODS[name].card.view == "sequences" else x.flatten(0, 1)
        with torch.no_grad():
            first, again = (method.log_weights(x, 3, torch.Generator().manual_seed(1)) for _ in range(2))
        assert first.shape == (len(x), 3)
        assert torch.isfinite(first).all()
        assert torch.equal(first, again)


@each(offering("parts"))
def test_parts_are_those_announced_with_a_code_per_item_frame_or_step(name):
    for spec in accepted(name):
        method, x = build(name, spec), observations(spec)
        assert set(method.part_names) <= set(PARTS)
        with torch.no_grad():
            parts, again = method.parts(x), method.parts(x)
        assert set(parts) == set(method.part_names)
        for part, codes in parts.items():
            assert codes.dtype == torch.float32, part
            assert torch.isfinite(codes).all(), part
            assert torch.equal(codes, again[part]), part
            times = (spec.n_frames - (part == "speeds"),) * OF_ITEM[part]
            assert codes.shape[:-1] == (len(x), *times), part


@each([n for n in offering("parts", "encode") if METHODS[n].card.family == "sequential"])
def test_a_code_is_the_static_part_repeated_over_time_and_then_the_dynamic_part(name):
    for spec in accepted(name):
        method, x = build(name, spec), observations(spec)
        with torch.no_grad():
            parts = method.parts(x)
        static = parts["static"][:, None].expand(-1, spec.n_frames, -1)
        torch.testing.assert_close(
            encoded(method, x), torch.cat([static, parts["dynamic"]], dim=-1), rtol=1e-5, atol=1e-6
        )


@each(offering("parts", "generate"))
def test_parts_generate_sequences(name):
    for spec in accepted(name):
        method, x = build(name, spec), observations(spec)
        with torch.no_grad():
            parts = method.parts(x)
            found, again = (method.generate(parts["static"], parts["dynamic"]) for _ in range(2))
        check_observations(found, x.shape[:2], spec)
        assert torch.equal(found, again)


@each(offering("sample_prior"))
def test_the_prior_is_decided_by_the_generator_fits_the_parts_and_generates(name):
    for spec in accepted(name):
        method, n = build(name, spec), 4
        with torch.no_grad():
            first, again, other = (
                method.sample_prior(n, spec.n_frames, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
            )
            assert set(first) == {"static", "dynamic"}
            for part, times in (("static", ()), ("dynamic", (spec.n_frames,))):
                assert first[part].shape[:-1] == (n, *times), part
                assert first[part].dtype == torch.float32, part
                assert torch.isfinite(first[part]).all(), part
                assert torch.equal(first[part], again[part]), part
                assert not torch.equal(first[part], other[part]), part
            if hasattr(method, "parts"):
                parts = method.parts(observations(spec))
                assert {p: parts[p].shape[-1] for p in first} == {p: first[p].shape[-1] for p in first}
            check_observations(method.generate(**first), (n, spec.n_frames), spec)


@each(offering("transform"))
def test_a_transformed_sequence_begins_untouched_and_depends_on_amounts_so_far(name):
    for spec in accepted(name):
        method, x0 = build(name, spec), observations(spec)[:, 0]
        moves = amounts(spec)
        with torch.no_grad():
            moved, again = method.transform(x0, moves), method.transform(x0, moves)
            still, short = method.transform(x0, torch.zeros_like(moves)), method.transform(x0, moves[:, :3])
        check_observations(moved, (len(x0), spec.n_frames), spec)
        assert torch.equal(moved, again)
        torch.testing.assert_close(still[:, 0], moved[:, 0], rtol=0, atol=1e-5)
        torch.testing.assert_close(short, moved[:, :4], rtol=0, atol=1e-5)


@each(offering("infer_amounts"))
def test_inferred_amounts_are_numbers_per_step_that_transform_takes(name):
    for spec in accepted(name):
        method, x = build(name, spec), observations(spec)
        with torch.no_grad():
            found = method.infer_amounts(x)
            moved = method.transform(x[:, 0], found)
        assert found.shape[:2] == (len(x), spec.n_frames - 1)
        assert found.dtype == torch.float32
        assert torch.isfinite(found).all()
        check_observations(moved, x.shape[:2], spec)


@each(METHODS)
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
    # a method has codes, or generates sequences without any, or is told the factors
    has_codes, generates = name in ENCODING, name in offering("generate", "sample_prior")
    assert (has_codes or generates) != entry.card.reads_factors
    assert (name in TRAINED) != (entry.card.family == "reference")


@each([name for name, entry in METHODS.items() if entry.card.family == "sequential"])
def test_sequential_methods_can_be_made_narrow_and_say_what_they_cannot_take(name):
    assert METHODS[name].config().width > 0
    assert METHODS[name].card.view == "sequences"
    refused = [spec for spec in SPECS["sequences"] if spec not in accepted(name)]
    for spec in refused:
        with pytest.raises(ValueError, match=f"^{name}: "):
            built(name, spec)
